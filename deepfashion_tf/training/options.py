"""The command line of scripts/train.py, generated from TrainConfig."""

import argparse
import sys
from collections.abc import Sequence

import tyro

from deepfashion_tf.training.config import WARDROBES, TrainConfig
from deepfashion_tf.training.recipes import RECIPES


def parse_config(description: str, args: Sequence[str] | None = None) -> TrainConfig:
    """Parses options on top of the recipe's defaults.

    Args:
        description: the first lines of ``--help``.
        args: the options; None = those of this process.

    Returns:
        The config. On a wrong option the process ends with a sentence and exit code 2.
    """
    args = _join_weights(sys.argv[1:] if args is None else list(args))
    recipe = _recipe(args)
    return tyro.cli(
        TrainConfig,
        description=description,
        default=RECIPES[recipe](),
        args=args,
    )


def _recipe(args: list[str]) -> str:
    """Finds out which recipe the defaults come from before the options are parsed."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--recipe", choices=list(RECIPES))
    early.add_argument("--data-dir", "--data_dir")
    early.add_argument("--data")
    try:
        known, _ = early.parse_known_args(args)
    except argparse.ArgumentError:
        # tyro will say what is wrong with it.
        return "demo"
    with_data = known.data_dir or (known.data and known.data not in WARDROBES)
    return known.recipe or ("photographs" if with_data else "demo")


def _join_weights(args: list[str]) -> list[str]:
    """Puts ``--loss-weights.NAME VALUE``, one a category, together as ``--loss-weights``."""
    option, others, weights = "--loss-weights", [], []
    rest = iter(args)
    for arg in rest:
        name, _, value = arg.replace("_", "-", 1 if arg.startswith("--loss_w") else 0).partition(
            "="
        )
        if name.startswith(f"{option}."):
            weights += [name.removeprefix(f"{option}."), value or next(rest, "")]
        else:
            others.append(arg)
    return [*others, option, *weights] if weights else others
