"""What is run: the report's grid as data, at two scales, or a study."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from deepfashion_tf.data.sources import located
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import expand_user
from deepfashion_tf.reproduction.studies import ALIKE, STUDIES, Study, StudyName
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.jobs import Job
from deepfashion_tf.runs.recipes import report
from deepfashion_tf.schema import builtin_schema

Scale = Literal["quick", "full"]

BACKBONES = {
    "resnet50": "ResNet-50",
    "seresnet50": "SE-ResNet-50",
    "seresnext50": "SE-ResNeXt-50",
}
FC_LAYERS = (0, 2, 4)

# The report's own weights: torchvision's, and those that its SE networks were published with.
_REPORT_WEIGHTS = {
    "resnet50": "timm:resnet50.tv_in1k",
    "seresnet50": "timm:legacy_seresnet50.in1k",
    "seresnext50": "timm:legacy_seresnext50_32x4d.in1k",
}
CELLS: dict[str, dict] = {
    **{
        f"{backbone}-fc{layers}": {"backbone": backbone, "fc_layers": layers, **ALIKE}
        for layers in FC_LAYERS
        for backbone in BACKBONES
    },
    "resnet50-fc0-no_flip": {"backbone": "resnet50", "flip": False, **ALIKE},
    "resnet50-fc0-no_crop": {"backbone": "resnet50", "crop": False, **ALIKE},
    "seresnet50-fc0-cross_entropy": {
        "backbone": "seresnet50",
        "gamma": 0.0,
        **ALIKE,
    },
    "seresnet50-fc0-gamma1": {"backbone": "seresnet50", "gamma": 1.0, **ALIKE},
    "seresnet50-fc0-gamma5": {"backbone": "seresnet50", "gamma": 5.0, **ALIKE},
    "seresnet50-fc0-weighted": {
        "backbone": "seresnet50",
        "loss_weights": builtin_schema().loss_weights,
    },
}
"""Cell -> the options in which it differs from the scale's recipe (focal, gamma = 2, flip, crop).
The cells without a suffix are Table 2."""

FINAL = "seresnet50-fc0-weighted"
LOSSES = {
    "seresnet50-fc0-cross_entropy": "cross-entropy (eq. 6)",
    "seresnet50-fc0-gamma1": "focal, γ = 1",
    "seresnet50-fc0": "focal, γ = 2",
    "seresnet50-fc0-gamma5": "focal, γ = 5",
    FINAL: "focal, γ = 2, weighted (eq. 7)",
}

EXPERIMENTS: dict[str, list[str]] = {
    "table2": [f"{backbone}-fc{layers}" for layers in FC_LAYERS for backbone in BACKBONES],
    "figure6": ["resnet50-fc0"],
    "figure8": ["resnet50-fc0", "resnet50-fc0-no_flip", "resnet50-fc0-no_crop"],
    "figure9": ["resnet50-fc0", "seresnet50-fc0"],
    "figure10": ["seresnet50-fc0", "seresnext50-fc0"],
    "loss": list(LOSSES),
    "final": [FINAL],
}
"""What the report shows -> the cells that it takes."""


def quick() -> TrainConfig:
    """Returns the recipe for two CPU cores and an hour: on drawings, small, from random weights.

    Besides its size it departs from the report in two points. From random weights the 1000
    outputs of ImageNet have no meaning, so the heads read the 2048-d average; and a learning
    rate that stays at 1e-3 would end so short a run in the middle of its noise, so that it
    falls as half a cosine.
    """
    return replace(
        report(),
        weights="none",
        heads="pooled",
        schedule="cosine",
        image_size=32,
        epochs=5,
        wardrobe_images=(1000, 300, 600),
    )


def full() -> TrainConfig:
    """Returns the report's own recipe: 224 px, ImageNet weights, 30 epochs, constant 1e-3."""
    return report()


@dataclass(frozen=True)
class Grid:
    """The runs of a reproduction.

    Attributes:
        base: the scale's recipe, on the data that were asked for.
        scale: its name.
        seeds: runs of each cell, with the seeds 0, 1, 2 …
        directory: where all of it goes.
        splits: what is answered at the end of each run.
        study: what is run; None = the report's grid.
    """

    base: TrainConfig
    scale: Scale
    seeds: int
    directory: Path
    splits: tuple[str, ...]
    study: Study | None = None

    @property
    def cells(self) -> Mapping[str, dict]:
        """Cell -> the options in which it differs from `base`; none that differs in nothing."""
        if not self.study:
            return CELLS
        return {
            name: options
            for name, options in self.study.cells.items()
            if name == self.study.plain
            or any(getattr(self.base, option) != value for option, value in options.items())
        }

    @property
    def experiments(self) -> Mapping[str, list[str]]:
        """What is shown together -> the cells that it takes."""
        return {} if self.study else EXPERIMENTS

    def cells_of(self, names: list[str]) -> list[str]:
        """Lists the cells that experiments and cells of these names take, each once.

        Args:
            names: none = all of them.

        Raises:
            InputError: there is none of such a name.
        """
        there = [*self.experiments, *self.cells]
        if unknown := [name for name in names if name not in there]:
            kinds = f"{', '.join(self.experiments)}, and the cells " if self.experiments else ""
            raise InputError(
                f"--only names {', '.join(unknown)}, but there are {kinds}{', '.join(self.cells)}."
            )
        chosen = {cell for name in names for cell in self.experiments.get(name, [name])}
        return [cell for cell in self.cells if not names or cell in chosen]

    def config(self, cell: str, seed: int) -> TrainConfig:
        """Returns the configuration of one run."""
        options = self.cells[cell]
        weights = self.base.weights
        if weights is None:
            weights = _REPORT_WEIGHTS[options.get("backbone", self.base.backbone)]
        return replace(
            self.base,
            **{"weights": weights, **options},
            seed=seed,
            output_dir=self.run_directory(cell, seed),
        )

    def run_directory(self, cell: str, seed: int) -> Path:
        return self.directory / "cells" / cell / f"seed-{seed}"

    def seeds_begun(self, cell: str) -> list[int]:
        """Lists the seeds that a cell has directories of, those of earlier calls included."""
        found = self.run_directory(cell, 0).parent.glob("seed-*/")
        return sorted(int(path.name.removeprefix("seed-")) for path in found)

    def job(self, cell: str, seed: int) -> Job:
        # Views are of answers alone: what is trained is the plain cell's network.
        only_answers = self.study and self.cells[cell].keys() == {"tta"}
        like = self.run_directory(self.study.plain, seed) if only_answers else None
        return Job(self.config(cell, seed), self.splits, like)

    def jobs(self, cells: list[str]) -> list[Job]:
        """Returns the runs of some cells, all of seed 0 first, so that a part is a whole, too.

        Those that only score what another one trains come last.
        """
        jobs = [self.job(cell, seed) for seed in range(self.seeds) for cell in cells]
        return sorted(jobs, key=lambda job: job.like is not None)

    def options(self) -> dict:
        """Returns what decides the results, besides data and seeds, for comparison."""
        values = dataclasses.asdict(self.base)
        for name in ("data", "output_dir", "cache", "offline", "seed"):
            del values[name]
        return {"scale": self.scale, **values}


def _directory(study: StudyName) -> str:
    return "reproduction" if study == "report" else f"reproduction-{study}"


class Options(Protocol):
    """The options of `deepfashion reproduce`."""

    study: StudyName
    scale: Scale
    data: str | None
    seeds: int
    output_dir: Path | None
    jobs: int | None
    weights: str | None
    epochs: int | None
    image_size: int | None
    offline: bool


def make_grid(options: Options) -> tuple[Grid, int]:
    """Makes the grid that is asked for, and says how many runs there are at a time.

    Raises:
        InputError: an option out of its range, or the full scale without data.
    """
    for name, value in (("--seeds", options.seeds), ("--jobs", options.jobs)):
        if value is not None and not 1 <= value <= 1000:
            raise InputError(f"{name} is {value}, but must lie between 1 and 1000.")
    asked = {
        name: value
        for name in ("data", "weights", "epochs", "image_size", "offline")
        if (value := getattr(options, name)) is not None
    }
    study = STUDIES.get(options.study)
    recipe = study.recipe if study else full if options.scale == "full" else quick
    base = recipe()
    if study and options.scale == "quick":
        base = replace(base, **study.size)
    base = replace(base, **asked)
    if base.weights == "wardrobe" and base.is_wardrobe and not options.weights:
        # Drawings that are to be told from drawings would have been seen before.
        base = replace(base, weights="none")
    if options.scale == "full" and base.is_wardrobe:
        raise InputError(
            "--scale full repeats the report on its data: name them with --data. Without "
            "data, --scale quick draws some."
        )
    # Named from here, so that a run finds its data from anywhere.
    base = replace(base, data=located(base))
    grid = Grid(
        base,
        options.scale,
        options.seeds,
        expand_user(options.output_dir or Path(_directory(options.study)), "--output-dir"),
        ("val", "test"),
        study,
    )
    cores = 2 if options.scale == "quick" else 1
    return grid, options.jobs or min(cores, os.cpu_count() or 1)
