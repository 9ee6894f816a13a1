"""Runs the report's tables and figures, or a study, with seeds, intervals and verdicts."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from deepfashion_tf.reproduction.grid import Scale, make_grid
from deepfashion_tf.reproduction.reproduce import reproduce
from deepfashion_tf.reproduction.studies import StudyName


@dataclass(frozen=True)
class Options:
    study: StudyName = "report"
    """report: its tables and figures. strong: what each part of the recipe strong is worth.
    pretrained: what ImageNet weights give. finetune: what each part of the recipe finetune is
    worth."""
    scale: Scale = "quick"
    """quick: the wardrobe (or your data), small, from random weights, within an hour on two
    cores. full: the report's own recipe on your data, at 224 px from ImageNet weights; for a
    GPU."""
    data: str | None = None
    """Data set with the six categories: a folder, a table, tfds:NAME or wardrobe. None: the
    wardrobe."""
    data_dir: Path | None = None
    """As --data, for folders."""
    seeds: int = 3
    """Runs of each cell, with the seeds 0, 1, 2 …"""
    only: tuple[str, ...] = ()
    """Experiments (table2 figure6 figure8 figure9 figure10 loss final) or cells. None: all."""
    output_dir: Path | None = None
    """Where everything goes; what is finished there is not run again. None: reproduction/, or
    reproduction-STUDY/."""
    jobs: int | None = None
    """Runs at a time. None: 2 at the quick scale, if there are two cores, and 1 at the full."""
    weights: str | None = None
    """Weights to start from. None: random at the quick scale, and the report's own at the full."""
    epochs: int | None = None
    """Epochs of each run. None: the scale's."""
    image_size: int | None = None
    """Side of the crops in pixels. None: the scale's."""
    offline: bool = False
    """Download nothing."""


def main() -> int:
    options = tyro.cli(Options, description=__doc__)
    grid, parallel = make_grid(options)
    return reproduce(grid, list(options.only), parallel)
