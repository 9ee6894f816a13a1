"""The command line of `deepfashion tune`: a training's options, and the search's own."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from deepfashion_tf.errors import InputError
from deepfashion_tf.models.variants import layer_name
from deepfashion_tf.outputs import check_outputs
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.options import RecipeFile, parse_with_recipe

# What a search writes into its folder.
SEARCH_FILES = ("best.yaml", "trials.csv", "importance.png", "study.db")


@dataclass(frozen=True)
class SearchOptions:
    """How the search is carried out.

    Raises:
        InputError: a value out of its range.
    """

    trials: int = 20
    """Number of trials, including the untuned one and those already in --output-dir."""
    prune: bool = True
    """Stop trials whose accuracy stays below the median of earlier trials."""

    def __post_init__(self) -> None:
        if not 1 <= self.trials <= 100_000:
            raise InputError(f"--trials is {self.trials}, but must lie between 1 and 100000.")


@dataclass(frozen=True)
class TuneCommand:
    """What `deepfashion tune` is asked for."""

    search: tyro.conf.OmitArgPrefixes[SearchOptions]
    config: tyro.conf.OmitArgPrefixes[TrainConfig]
    recipe_file: RecipeFile = None
    """File (YAML or JSON) with options as defaults, as `deepfashion train` reads it."""


def parse_tune_command(description: str, args: Sequence[str] | None = None) -> TuneCommand:
    """Parses options on top of the recipe's defaults; ``output_dir`` is the search's folder.

    Raises:
        InputError: a value out of its range, or a recipe file that cannot be used.
    """
    own = SearchOptions()
    command, _ = parse_with_recipe(TuneCommand, "tune", description, args, own=own, search=own)
    config = command.config
    if not config.output_dir:
        folder = Path("tuning") / f"{layer_name(config.backbone)}-{config.recipe}"
        config = dataclasses.replace(config, output_dir=folder)
        command = dataclasses.replace(command, config=config)
    written = {f"{name} of --output-dir,": config.output_dir / name for name in SEARCH_FILES}
    check_outputs(written, [command.recipe_file, config.data, config.schema])
    return command
