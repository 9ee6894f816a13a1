"""Reproduces the report's tables and figures, or runs a study with intervals."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.reproduction.grid import Scale, make_grid
from deepfashion_tf.reproduction.reproduce import reproduce
from deepfashion_tf.reproduction.studies import StudyName


@dataclass(frozen=True)
class Options:
    study: StudyName = "report"
    """report: its tables and figures. strong, finetune: the effect of each part of that recipe.
    pretrained: the effect of ImageNet weights."""
    scale: Scale = "quick"
    """quick: small images and random weights, within an hour on two cores. full: the report's
    own recipe at 224 px, for a GPU."""
    data: Annotated[str | None, tyro.conf.arg(aliases=("--data-dir",))] = None
    """Data set with the six categories: a folder, a table, tfds:NAME or wardrobe. None: the
    wardrobe."""
    seeds: int = 3
    """Runs per cell, with the seeds 0, 1, 2 and so on."""
    only: tuple[str, ...] = ()
    """Experiments (table2 figure6 figure8 figure9 figure10 loss final) or cells. None: all."""
    output_dir: Path | None = None
    """Output folder; finished cells are not repeated. None: reproduction/ or
    reproduction-STUDY/."""
    jobs: int | None = None
    """Parallel runs. None: 2 at the quick scale with two cores, 1 at the full scale."""
    weights: str | None = None
    """Initial weights. None: random at the quick scale, the report's own at the full scale."""
    epochs: int | None = None
    """Epochs per run. None: the default of the scale."""
    image_size: int | None = None
    """Side of the crops in pixels. None: the default of the scale."""
    offline: bool = False
    """Download nothing."""


def main() -> int:
    options = tyro.cli(Options, description=__doc__)
    grid, parallel = make_grid(options)
    return reproduce(grid, list(options.only), parallel)
