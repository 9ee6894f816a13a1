"""Examines a data set before a week of training does: images, boxes, duplicates, splits, labels.

Ends with exit code 1 where something was found that spoils training or scores.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.command_line import import_tensorflow, run


@dataclass(frozen=True)
class Options:
    data: Annotated[str, tyro.conf.Positional]
    """Folder in the challenge's or the original layout, table (.csv, .parquet), tfds:NAME or
    wardrobe: what scripts/train.py takes as --data."""
    schema: Path | None = None
    """YAML file of the data's categories. None: those of the data, else the built-in six."""
    split_seed: int = 0
    """Seeds the division of a table without a column split, as in training."""
    offline: bool = False
    """Fetch nothing."""
    html: Path | None = None
    """Write a page with the balance drawn and what was found in pictures."""
    fix: Path | None = None
    """Write a table (.csv) without unreadable images, wrong boxes and repeated pictures."""


def main() -> int:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.doctor.check import check_data
    from deepfashion_tf.training.config import TrainConfig

    config = TrainConfig(
        data=options.data,
        schema=options.schema,
        split_seed=options.split_seed,
        offline=options.offline,
    )
    return check_data(config, options.html, options.fix)


if __name__ == "__main__":
    run(main)
