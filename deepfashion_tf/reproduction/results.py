"""What finished runs have left in their directories, read for comparison."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from deepfashion_tf.data.split import Split, whole_images
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.evaluation.curves import read_history
from deepfashion_tf.evaluation.scores import Scores, score
from deepfashion_tf.evaluation.statistics import (
    Interval,
    epochs_to_learn,
    over_images,
    over_seeds,
)
from deepfashion_tf.reproduction.grid import Grid
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.jobs import answers_path
from deepfashion_tf.schema import Schema, builtin_schema
from deepfashion_tf.usage import command

History = dict[str, list[float]]
TOGETHER = "+"  # between the names of splits that are scored as one


@dataclass(frozen=True)
class SeedResult:
    """One finished run.

    Attributes:
        directory: where it lies.
        split: the one that is compared; "val+test" = both together.
        history: of its epochs.
        val: its best epoch's scores on the validation split.
        scores: on the split that is compared.
    """

    directory: Path
    split: str
    history: History
    val: Scores
    scores: Scores

    @classmethod
    def load(cls, directory: Path, split: str) -> "SeedResult":
        """Reads it.

        Raises:
            InputError: its files cannot be read.
        """
        scores = None
        if TOGETHER not in split:
            scores = Scores.load(directory / f"metrics-{split}.json")
        found = cls(
            directory,
            split,
            read_history(directory / "history.csv"),
            Scores.load(directory / "metrics.json"),
            scores,
        )
        return found if scores else replace(found, scores=_score(found.answers, split))

    @cached_property
    def answers(self) -> Answers:
        """Its answers on the split that is compared, read when first asked for: a large file."""
        parts = [
            Answers.load(answers_path(self.directory, name), builtin_schema())
            for name in self.split.split(TOGETHER)
        ]
        return Answers.joined(parts)

    @property
    def best(self) -> int:
        """Position of the epoch that was kept."""
        return int(np.nanargmax(self.history["val_mean_accuracy"]))


def _score(answers: Answers, name: str) -> Scores:
    count = len(answers.images)
    split = Split(
        answers.schema, name, None, answers.images, whole_images(count), answers.labels, name
    )
    return score(split, answers.answers)


@dataclass(frozen=True)
class Cell:
    """One cell's finished runs: seed -> result."""

    name: str
    runs: dict[int, SeedResult]

    @property
    def histories(self) -> list[History]:
        return [run.history for run in self.runs.values()]

    def best_epochs(self) -> dict[str, list[float]]:
        """Returns the epoch in which each category's validation accuracy is highest: one a seed.

        A category whose validation images all have one attribute has none.
        """
        return {
            category: [
                float(history["epoch"][int(np.nanargmax(history[f"val_{category}_accuracy"]))])
                for history in self.histories
            ]
            for category in self._varied
        }

    @property
    def shared_epoch_cost(self) -> float:
        """What one epoch for all costs a category: its validation accuracy in its own best epoch
        less that in the epoch that was kept; mean over the categories of `best_epochs`, and seeds.
        """
        return float(
            np.mean(
                [
                    np.nanmax(accuracy) - accuracy[run.best]
                    for run in self.runs.values()
                    for accuracy in (run.history[f"val_{c}_accuracy"] for c in self._varied)
                ]
            )
        )

    @property
    def _varied(self) -> list[str]:
        (first, *_) = self.runs.values()
        found = first.val.categories.items()
        return [name for name, s in found if s.images and s.majority_baseline < 1]

    @property
    def accuracy(self) -> Interval:
        """Mean accuracy over seeds, on the split that is compared."""
        return over_seeds([run.scores.mean_accuracy for run in self.runs.values()])

    @property
    def recall(self) -> Interval:
        """Mean class recall over seeds, on the split that is compared."""
        return over_seeds([run.scores.mean_class_recall for run in self.runs.values()])

    @property
    def loss(self) -> Interval:
        """Mean over categories of the validation loss at the best epoch, unweighted."""
        return over_seeds([_mean_loss(run) for run in self.runs.values()])


def _mean_loss(run: SeedResult) -> float:
    losses = [run.history[f"val_{category}_loss"][run.best] for category in run.val.categories]
    return float(np.nanmean(losses))


@dataclass(frozen=True)
class Difference:
    """One cell minus another, run by run and image by image.

    Attributes:
        seeds: over the seeds that both have.
        images: over images, both cells' answers averaged over those seeds.
    """

    seeds: Interval
    images: Interval

    @property
    def side(self) -> int:
        """1 or -1 where both intervals lie on that side of 0, else 0."""
        return self.seeds.side if self.seeds.side == self.images.side else 0


def compare(
    one: Cell, other: Cell, weights: dict[str, float] | None = None, by_class: bool = False
) -> Difference:
    """Compares mean accuracies, or another sum over categories of the accuracies' differences.

    Args:
        one: minus
        other: this.
        weights: category -> its weight in the sum; None = 1 / categories, the mean.
        by_class: compare mean class recalls instead.
    """
    shared = [seed for seed in one.runs if seed in other.runs]
    hits = np.stack(
        [
            one.runs[seed].answers.class_hits - other.runs[seed].answers.class_hits
            if by_class
            else one.runs[seed].answers.hits - other.runs[seed].answers.hits
            for seed in shared
        ]
    )
    if weights:
        # `over_images` takes the mean over the categories that are left.
        chosen = list(weights)
        columns = [list(one.runs[shared[0]].answers.schema).index(name) for name in chosen]
        factors = np.array([weights[name] for name in chosen]) * len(chosen)
        hits = hits[..., columns] * factors
    known = ~np.isnan(hits[0]).all(axis=0)  # an attribute that no image has says nothing
    by_seed = [np.nanmean(one_seed[:, known], axis=0).mean() for one_seed in hits]
    return Difference(over_seeds(by_seed), over_images(hits.mean(axis=0)))


@dataclass(frozen=True)
class Results:
    """All that has been finished so far.

    Attributes:
        grid: what was to be run.
        schema: the categories.
        split: name of the split that is compared: "test", or "val" where that has no labels.
        cells: name -> cell, of those that have at least one finished run.
        images: images of each split.
    """

    grid: Grid
    schema: Schema
    split: str
    cells: dict[str, Cell]
    images: dict[str, int]

    @cached_property
    def baseline(self) -> Scores | None:
        """Scores that bear the majority baselines of the split; None before a run is finished."""
        runs = [run for cell in self.cells.values() for run in cell.runs.values()]
        return runs[0].scores if runs else None

    @property
    def seeds(self) -> int:
        """How many runs the cell with the most of them has."""
        return max((len(cell.runs) for cell in self.cells.values()), default=0)

    @property
    def is_comparable(self) -> bool:
        """Whether its numbers may be held against the report's: its recipe, on photographs."""
        return self.grid.scale == "full" and not self.grid.base.is_wardrobe

    @property
    def source(self) -> str:
        """What the images are, in words that stand on every table and figure."""
        base = self.grid.base
        name = "wardrobe (drawings)" if base.is_wardrobe else Path(base.data_name).name
        return f"{name}, {self.grid.scale} scale, {base.image_size} px"

    def speeds(self, cell: str) -> dict[str, list[float]]:
        """Returns the epochs that each category takes to be learnt: one value a seed."""
        return {
            category: [
                epochs_to_learn(
                    run.history[f"val_{category}_accuracy"],
                    run.val.categories[category].majority_baseline,
                )
                for run in self.cells[cell].runs.values()
            ]
            for category in self.schema
        }


def collect(grid: Grid, schema: Schema, split: str, images: dict[str, int]) -> Results:
    """Reads all finished runs of a grid; what is unfinished is left out.

    Raises:
        InputError: a finished run's files cannot be read.
    """
    finished = {
        name: [seed for seed in grid.seeds_begun(name) if grid.job(name, seed).is_done]
        for name in grid.cells
    }
    return Results(grid, schema, split, _read_cells(grid, finished, split), images)


def open_results(directory: Path | str) -> Results:
    """Reads a reproduction's directory, as far as its results.json goes, to draw or to compare.

    Raises:
        InputError: it is none, or a file in it cannot be read.
    """
    directory = Path(directory)
    path = directory / "results.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        options = dict(document["options"])
        scale = options.pop("scale")
        base = TrainConfig.from_values({**options, "data": document["data"]})
        grid = Grid(base, scale, document["seeds"], directory, splits=())
        finished = {name: list(map(int, cell["seeds"])) for name, cell in document["cells"].items()}
        split, images = document["split"], document["images"]
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is missing: name a directory that {command('reproduce')} has made."
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise InputError(
            f"{path} cannot be read ({error}): make it anew with the {command('reproduce')} that "
            f"has made it."
        ) from error
    return Results(grid, builtin_schema(), split, _read_cells(grid, finished, split), images)


def _read_cells(grid: Grid, finished: dict[str, list[int]], split: str) -> dict[str, Cell]:
    return {
        name: Cell(
            name, {seed: SeedResult.load(grid.run_directory(name, seed), split) for seed in seeds}
        )
        for name, seeds in finished.items()
        if seeds
    }
