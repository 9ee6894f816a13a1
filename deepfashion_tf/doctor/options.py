"""The options of `deepfashion check`. No TensorFlow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.data.table_options import RowOptions
from deepfashion_tf.errors import InputError


@dataclass(frozen=True)
class Options(RowOptions):
    """What to look at, and what to write of it.

    Raises:
        InputError: options that do not go together.
    """

    data: Annotated[str, tyro.conf.Positional]
    """Folder in the challenge's or the original layout, table (.csv, .parquet), tfds:NAME or
    wardrobe: what `deepfashion train` takes as --data."""
    schema: Path | None = None
    """YAML file of the data's categories. None: the run's, those of the data, or the built-in."""
    offline: bool = False
    """Fetch nothing."""
    html: Path | None = None
    """Write a page (.html) with the balance drawn and what was found in pictures."""
    fix: Path | None = None
    """Write a table (.csv) without unreadable images, wrong boxes and repeated pictures."""

    run: Path | None = None
    """Run whose options --folds trains with."""
    folds: int | None = None
    """Look for wrong labels: train so many models, each without its share of the images (5)."""
    noise_dir: Path = Path("label-noise")
    """Folder for these models; the same command goes on where it was."""
    parallel: int = 1
    """How many of them are trained at a time."""
    export: Path = Path("relabel.csv")
    """Table of the least believed labels, to be corrected."""
    relabel: Path | None = None
    """Such a table, corrected: --fix writes the data with its labels."""

    def __post_init__(self) -> None:
        wrong = [
            (self.html and self.html.suffix.lower() not in (".html", ".htm"))
            and f"--html {self.html} is no page: name a file that ends in .html.",
            *(
                path
                and path.suffix.lower() != ".csv"
                and f"{option} {path} is no table: name a file that ends in .csv."
                for option, path in (
                    ("--fix", self.fix),
                    ("--export", self.export),
                )
            ),
            self.folds is not None
            and not 2 <= self.folds <= 100
            and f"--folds is {self.folds}, but must lie between 2 and 100.",
            self.parallel < 1 and f"--parallel is {self.parallel}, but must be 1 or more.",
            self.folds and self.run is None and "--folds needs a run: name one with --run.",
            self.relabel
            and not self.fix
            and f"--relabel {self.relabel} changes labels: name with --fix what to write.",
        ]
        for sentence in filter(None, wrong):
            raise InputError(sentence)
