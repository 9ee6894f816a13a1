"""Makes one run of several, which answers with the mean of their probabilities."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deepfashion_tf.command_line import import_tensorflow


@dataclass(frozen=True)
class Options:
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Two or more run directories of one data set, of any backbones and image sizes."""
    output_dir: Path = Path("saved_models/ensemble")
    """Run directory to make."""
    splits: tuple[Literal["train", "val", "test"], ...] = ("val", "test")
    """Splits to compare them on: gain and cost are printed."""
    distil: Path | None = None
    """Also train one network, as RUN 1, on what the ensemble answers, into this run directory."""
    recall_price: float | None = None
    """Points of mean accuracy on the validation images that mean class recall may cost, 0 to 100.
    None: as of the run with the largest images."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.serving.ensemble import ensemble_command

    ensemble_command(
        options.runs, options.output_dir, options.splits, options.distil, options.recall_price
    )
