"""Combines several runs into one that averages their probabilities."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deepfashion_tf.command_line import import_tensorflow


@dataclass(frozen=True)
class Options:
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Two or more run directories on one data set, with any backbones and image sizes."""
    output_dir: Path = Path("saved_models/ensemble")
    """Run directory to create."""
    splits: tuple[Literal["train", "val", "test"], ...] = ("val", "test")
    """Splits for the printed comparison of gain and cost."""
    distil: Path | None = None
    """Also distil the ensemble into one network with the options of the first run, in this
    directory."""
    recall_price: float | None = None
    """Points of mean accuracy on validation images that mean class recall may cost, 0 to 100.
    None: the price of the run with the largest images."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.serving.ensemble import ensemble_command

    ensemble_command(
        options.runs, options.output_dir, options.splits, options.distil, options.recall_price
    )
