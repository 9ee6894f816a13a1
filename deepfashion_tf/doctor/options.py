"""The options of `deepfashion check`. No TensorFlow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.data.table_options import KeptOptions, RowOptions
from deepfashion_tf.errors import InputError


@dataclass(frozen=True)
class Options(KeptOptions, RowOptions):
    """What to look at, and what to write of it.

    Raises:
        InputError: options that do not go together.
    """

    data: Annotated[str, tyro.conf.Positional]
    """Folder, table, tfds:NAME or wardrobe, as in `deepfashion train --data`."""
    schema: Path | None = None
    """YAML file with the categories of the data. None: the run's schema, the data's own, or the
    built-in one."""
    offline: bool = False
    """Download nothing."""
    html: Path | None = None
    """Report page to write (.html), with plots and pictures of the findings."""
    fix: Path | None = None
    """Cleaned table to write (.csv), without unreadable images, wrong boxes and duplicates."""

    run: Path | None = None
    """Run whose options the models of --folds use."""
    folds: int | None = None
    """Number of cross-validation models that search for wrong labels, such as 5."""
    noise_dir: Path = Path("label-noise")
    """Folder of these models; finished models are reused."""
    parallel: int = 1
    """Models to train in parallel."""
    export: Path = Path("relabel.csv")
    """Table of the least plausible labels, for correction."""
    relabel: Path | None = None
    """Corrected table; --fix writes the data with its labels."""

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
            self.keep_columns
            and not self.fix
            and "--keep-columns needs --fix: name the table to write.",
        ]
        for sentence in filter(None, wrong):
            raise InputError(sentence)
