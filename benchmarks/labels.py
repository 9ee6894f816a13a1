"""What the doctor's advice on labels is worth, on drawings, whose labels are known."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.table import Table

from deepfashion_tf.data.sources import open_splits, wardrobe_dir
from deepfashion_tf.data.split import SPLITS, Split
from deepfashion_tf.data.table import write_table
from deepfashion_tf.doctor.noise import find_doubts, out_of_sample
from deepfashion_tf.doctor.suggest import suggest
from deepfashion_tf.evaluation.scores import Scores
from deepfashion_tf.evaluation.statistics import over_seeds
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.jobs import Job, run_jobs
from deepfashion_tf.runs.run import Run

SWAPPED = 0.05  # of the labels
LOOKED_AT = 0.1  # of the list, from its top
FOLDS = 5
LABELLED = 0.1  # of the training images, before any are suggested
SUGGESTED = 200


@dataclass(frozen=True)
class Planted:
    """Labels of a category that were swapped, and how many of them stand at the list's top."""

    category: str
    swapped: int
    found: int


def find_swapped(run: Run, images: int, directory: Path, seed: int = 0) -> list[Planted]:
    """Swaps labels of drawings and looks for them in the list of the least believed.

    Args:
        run: whose options the models of the folds are trained with.
        images: how many drawings.
        directory: for the models; what is trained there is not trained again.
        seed: of what is swapped.

    Returns:
        For each category, and last for all of them as "all".
    """
    drawn = _drawings(run.config, images)
    labels, is_swapped = swap_labels(drawn.labels, list(map(len, drawn.schema.values())), seed)
    drawn = replace(drawn, labels=labels)
    probabilities = out_of_sample(
        run, drawn, np.arange(images), FOLDS, directory, parallel=min(2, os.cpu_count() or 1)
    )
    doubts = find_doubts(drawn, probabilities)
    columns = list(drawn.schema)
    is_top = np.zeros(labels.shape, bool)
    for doubt in doubts[: round(LOOKED_AT * len(doubts))]:
        is_top[doubt.row, columns.index(doubt.category)] = True
    found = [
        Planted(name, int(swapped.sum()), int((swapped & top).sum()))
        for name, swapped, top in zip(columns, is_swapped.T, is_top.T, strict=True)
    ]
    return [*found, Planted("all", sum(p.swapped for p in found), sum(p.found for p in found))]


def swap_labels(
    labels: np.ndarray, sizes: Sequence[int], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gives `SWAPPED` of the labels another class each, all other classes alike.

    Args:
        labels: int32 ``[n, categories]``, all labelled.
        sizes: classes of each category.
        seed: of which, and of what to.

    Returns:
        The labels, and bool of the same shape: which of them are wrong.
    """
    rng = np.random.default_rng(seed)
    is_swapped = rng.random(labels.shape) < SWAPPED
    others = (labels + rng.integers(1, np.array(sizes), labels.shape)) % np.array(sizes)
    return np.where(is_swapped, others, labels).astype(np.int32), is_swapped


def swapped_table(planted: Sequence[Planted]) -> Table:
    """Makes the table for the terminal."""
    table = Table(title=f"Swapped labels among the {LOOKED_AT:.0%} least believed")
    for name in ("category", "swapped", "found", "share"):
        table.add_column(name, justify="left" if name == "category" else "right")
    for row in planted:
        share = f"{row.found / row.swapped:.0%}" if row.swapped else "-"
        table.add_row(row.category, str(row.swapped), str(row.found), share)
    return table


@dataclass(frozen=True)
class Labelling:
    """Test scores of one seed: with the first labels, and with more of two kinds."""

    before: Scores
    suggested: Scores
    random: Scores


def compare_labellings(
    run: Run, images: int, seeds: int, directory: Path
) -> Iterator[list[Labelling]]:
    """Labels a tenth of some drawings, then 200 more: those suggested, or any.

    Args:
        run: whose options the models are trained with, for as many steps as it was.
        images: training drawings.
        seeds: how often, each with other first labels and other weights.
        directory: for the models; what is trained there is not trained again.

    Yields:
        After each seed what was found so far.
    """
    config = replace(
        run.config,
        data=None,
        teacher=None,
        wardrobe_train=images,
        wardrobe_val=400,
        wardrobe_test=1000,
    )
    train, val, test = open_splits(config, SPLITS, run.schema)
    found = []
    for seed in range(seeds):
        found.append(_compare(config, train, [val, test], seed, directory / f"seed-{seed}"))
        yield list(found)


def _compare(
    config: TrainConfig, train: Split, others: list[Split], seed: int, directory: Path
) -> Labelling:
    order = np.random.default_rng(seed).permutation(len(train))
    first = order[: round(LABELLED * len(train))]
    rest = order[len(first) :]

    def job(name: str, rows: np.ndarray) -> Job:
        table = directory / f"{name}.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        write_table(table, [train.take(np.sort(rows), "train"), *others])
        # As many steps as on all of the images.
        epochs = round(config.epochs * len(train) / len(rows))
        own = {"data": str(table.resolve()), "data_dir": None, "seed": seed, "epochs": epochs}
        return Job(replace(config, **own, output_dir=directory.resolve() / name), ["test"])

    before = job("before", first)
    _finish([before])
    asked = replace(train.take(rest, "train"), labels=np.full_like(train.labels[rest], -1))
    chosen = [s.row for s in suggest(Run.load(before.directory), asked, SUGGESTED, seed)]
    jobs = [
        job("suggested", np.concatenate([first, rest[chosen]])),
        job("random", np.concatenate([first, rest[:SUGGESTED]])),
    ]
    _finish(jobs)
    return Labelling(*(Scores.load(one.directory / "metrics-test.json") for one in [before, *jobs]))


def _finish(jobs: Sequence[Job]) -> None:
    waiting = [job for job in jobs if not job.is_done]
    for job in waiting:
        console.print(f"training {job.directory}", style="dim", soft_wrap=True)
    if waiting:
        run_jobs(waiting, len(waiting), lambda running: None)


def labelling_table(found: Sequence[Labelling]) -> Table:
    """Makes the table for the terminal: means over seeds, and the difference with its interval."""
    table = Table(title=f"{SUGGESTED} labels more ({len(found)} seeds)")
    for name in ("", "mean accuracy", "mean class recall"):
        table.add_column(name, justify="left" if not name else "right")
    names = {"before": "before", "random": "drawn at random", "suggested": "suggested"}
    for kind, name in names.items():
        scores = [getattr(one, kind) for one in found]
        means = [np.mean([getattr(s, value) for s in scores]) for value in _VALUES]
        table.add_row(name, *(f"{mean:.4f}" for mean in means))
    gains = [
        over_seeds([getattr(o.suggested, value) - getattr(o.random, value) for o in found])
        for value in _VALUES
    ]
    table.add_row(
        "suggested − random",
        *(
            f"{g.mean:+.4f}" + (f" ({g.low:+.4f} … {g.high:+.4f})" if g.low is not None else "")
            for g in gains
        ),
    )
    return table


_VALUES = ("mean_accuracy", "mean_class_recall")


def _drawings(config: TrainConfig, images: int) -> Split:
    """Gives all drawings of a wardrobe as one split."""
    own = replace(config, data=None, wardrobe_train=images, wardrobe_val=1, wardrobe_test=0)
    (split,) = open_splits(replace(own, wardrobe_dir=wardrobe_dir(own)), ["train"])
    return split
