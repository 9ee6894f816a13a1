"""The command line of scripts/train.py, generated from TrainConfig and RuntimeOptions."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from deepfashion_tf.data.sources import located
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import absolute
from deepfashion_tf.training.config import CONFIG_FILE, WARDROBES, TrainConfig
from deepfashion_tf.training.recipes import RECIPES
from deepfashion_tf.training.runtime_options import RuntimeOptions


@dataclass(frozen=True)
class Command:
    """What scripts/train.py is asked for."""

    config: tyro.conf.OmitArgPrefixes[TrainConfig]
    options: tyro.conf.OmitArgPrefixes[RuntimeOptions]


def parse_command(description: str, args: Sequence[str] | None = None) -> Command:
    """Parses options on top of the recipe's defaults, or of the run that is to go on.

    Args:
        description: the first lines of ``--help``.
        args: the options; None = those of this process.

    Returns:
        The command. On a wrong option the process ends with a sentence and exit code 2.

    Raises:
        InputError: the run to go on with is none, or has other options than those given.
    """
    args = _join_weights(sys.argv[1:] if args is None else list(args))
    default = Command(RECIPES[_recipe(args)](), RuntimeOptions())
    command = tyro.cli(Command, description=description, default=default, args=args)
    if command.options.resume is None:
        return command
    return _go_on(command, {arg.partition("=")[0].lstrip("-").replace("-", "_") for arg in args})


def _go_on(command: Command, given: set[str]) -> Command:
    """Takes the options of the run that is to go on, and compares those given with them.

    A run that is not there yet is begun, if ``--output-dir`` names the same folder.
    """
    asked, directory = command.config, command.options.resume
    is_same = asked.output_dir is not None and absolute(asked.output_dir) == absolute(directory)
    if is_same and not (directory / CONFIG_FILE).is_file():
        return dataclasses.replace(
            command, options=dataclasses.replace(command.options, resume=None)
        )
    config = TrainConfig.load(directory / CONFIG_FILE)
    if "output_dir" in given and not is_same:
        raise InputError(
            f"--output-dir {asked.output_dir} and --resume {directory} name two folders: a run "
            f"goes on in its own; leave --output-dir out."
        )
    wanted = dataclasses.asdict(asked)
    if not asked.is_wardrobe:
        wanted |= located(asked)
        given |= {"data"} & {name.replace("data_dir", "data") for name in given}
    differences = []
    # Where files lie may change; whether they hold the same is looked at when they are read.
    for name in given.intersection(wanted) - {"output_dir", "data_dir", "wardrobe_dir", "schema"}:
        value, other = getattr(config, name), wanted[name]
        if other != value and not (isinstance(value, dict) and other.items() <= value.items()):
            differences.append(f"--{name.replace('_', '-')} {other} (it has {value})")
    if differences:
        raise InputError(
            f"The run {directory} cannot go on with {', '.join(differences)}: leave that out, or "
            f"train anew, with another --output-dir."
        )
    return dataclasses.replace(command, config=dataclasses.replace(config, output_dir=directory))


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
