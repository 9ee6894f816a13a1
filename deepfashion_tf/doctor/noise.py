"""Labels that a model which has not seen them disbelieves: confident learning, by cleanlab."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import stats

from deepfashion_tf.data.split import Split
from deepfashion_tf.data.table import write_table
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.evaluate import predict_split
from deepfashion_tf.evaluation.relabel import Doubt
from deepfashion_tf.files import whole_or_nothing
from deepfashion_tf.progress import console, make_progress
from deepfashion_tf.runs.jobs import Job, run_jobs
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import UNLABELLED

VAL_SHARE = 0.1  # of the images that a fold's model is trained on: choose its best epoch
RESAMPLES = 200
_ANSWERS = "out-of-sample.npz"


@dataclass(frozen=True)
class Noise:
    """The share of a category's labels that is wrong, as estimated, with its 95 % interval."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Doubted:
    """Images, their labels from the least believed on, and what is estimated of each category."""

    images: Split
    doubts: list[Doubt]
    noise: dict[str, Noise]


def fold_of(groups: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """Deals images out to folds; those of a group stay together.

    Args:
        groups: int ``[n]``.
        folds: how many.
        seed: of the order.

    Returns:
        int ``[n]``, 0 to folds - 1.
    """
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(sizes))
    # The large ones first: the small ones fill up what they leave.
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold, load = np.empty(len(sizes), np.int64), np.zeros(folds, np.int64)
    for group in order:
        fold[group] = load.argmin()
        load[fold[group]] += sizes[group]
    return fold[number]


def out_of_sample(
    run: Run, images: Split, groups: np.ndarray, folds: int, directory: Path, parallel: int = 1
) -> dict[str, np.ndarray]:
    """Returns each image's probabilities by a model that was trained without it.

    As many models as there are folds are trained with the run's own options, each in a run
    directory; those that are there already are not trained again, one that was interrupted
    goes on.

    Args:
        run: whose options are taken.
        images: files, with labels.
        groups: int ``[n]``: images that must not stand on both sides, such as copies.
        folds: how many, at least 2.
        directory: for the models.
        parallel: how many are trained at a time.

    Returns:
        category -> float32 ``[n, classes]``.

    Raises:
        InputError: the images are no files, or a training failed.
    """
    fold = fold_of(groups, folds)
    directory.mkdir(parents=True, exist_ok=True)
    run.schema.save(directory / "schema.yaml")
    jobs = []
    for number in range(folds):
        table = directory / f"fold-{number}.csv"
        _write_fold(table, images, fold == number, groups)
        config = replace(
            run.config,
            data=str(table.resolve()),
            schema=(directory / "schema.yaml").resolve(),
            teacher=None,  # it has learnt the labels that are asked about
            output_dir=directory.resolve() / f"fold-{number}",
            on_bad_image="error",
            untrained=(),
            first_epochs=0,  # each fold begins anew
        )
        jobs.append(Job(config))
    _train(jobs, parallel)
    found = {
        c: np.zeros((len(images), len(values)), np.float32) for c, values in images.schema.items()
    }
    for number, job in enumerate(jobs):
        rows = np.flatnonzero(fold == number)
        for category, values in _answer(job.directory, images.take(rows, "test")).items():
            found[category][rows] = values
    return found


def _write_fold(path: Path, images: Split, is_held_out: np.ndarray, groups: np.ndarray) -> None:
    """Writes the table of one fold: test is what its model must not see."""
    rest = np.flatnonzero(~is_held_out)
    share = max(2, round(1 / VAL_SHARE))
    is_val = fold_of(groups[rest], share) == 0
    parts = {"train": rest[~is_val], "val": rest[is_val], "test": np.flatnonzero(is_held_out)}
    before = path.read_bytes() if path.is_file() else None
    write_table(path, [images.take(rows, name) for name, rows in parts.items()])
    if before not in (None, path.read_bytes()):
        raise InputError(
            f"{path.parent} holds the folds of other data or labels: name another --noise-dir, "
            f"or remove it."
        )


def _train(jobs: Sequence[Job], parallel: int) -> None:
    waiting = [job for job in jobs if not job.is_done]
    epochs = sum(job.config.epochs for job in jobs)
    with make_progress("epochs") as progress:
        task = progress.add_task(f"training {len(jobs)} models", total=epochs)

        def tell(running: list[Job]) -> None:
            progress.update(task, completed=sum(job.epochs_done() for job in jobs))

        if waiting:
            console.print(
                f"training {len(waiting)} models in {jobs[0].directory.parent}", style="dim"
            )
            run_jobs(waiting, parallel, tell)
    failed = [job for job in waiting if not job.is_done]
    if failed:
        raise InputError(
            f"{len(failed)} of {len(jobs)} models could not be trained; the others are kept. The "
            f"first says: {failed[0].last_words()}"
        )


def _answer(directory: Path, held_out: Split) -> dict[str, np.ndarray]:
    path = directory / _ANSWERS
    if path.is_file():
        with np.load(path) as known:
            return dict(known)
    run = Run.load(directory)
    found = predict_split(run, run.load_model(), held_out)
    with whole_or_nothing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **found)
    return found


def find_doubts(images: Split, probabilities: dict[str, np.ndarray]) -> list[Doubt]:
    """Ranks labels by how little they are believed, the least first.

    A label's belief is its out-of-sample probability (self-confidence). Its place is that among
    the labels of its category: a hard category, whose labels are all believed little, does not
    hide the others' wrong ones. Which are counted as
    wrong, confident learning decides: those of a class whose images are believed to be of another
    at least as firmly as that class' own are on average.

    Reference:
        Northcutt et al. 2021, Confident Learning: Estimating Uncertainty in Dataset Labels,
        sections 3.1 and 3.2; by cleanlab.

    Raises:
        InputError: cleanlab is not installed.
    """
    filters, _ = _cleanlab()
    doubts, places = [], []
    for (category, attributes), labels in zip(images.schema.items(), images.labels.T, strict=True):
        rows = np.flatnonzero(labels != UNLABELLED)
        if len(np.unique(labels[rows])) < 2:
            continue
        known, given = _dense(probabilities[category][rows], labels[rows])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes with too few images to be judged
            is_issue = filters.find_label_issues(given, known, filter_by="both", n_jobs=1)
        answers = probabilities[category][rows].argmax(axis=1)
        beliefs = probabilities[category][rows, labels[rows]]
        places += (stats.rankdata(beliefs, "ordinal") / len(rows)).tolist()
        doubts += [
            Doubt(
                int(row),
                category,
                attributes[labels[row]],
                attributes[answer],
                float(belief),
                bool(wrong),
            )
            for row, answer, belief, wrong in zip(rows, answers, beliefs, is_issue, strict=True)
        ]
    return [doubts[number] for number in np.argsort(places, kind="stable")]


def estimate_noise(
    images: Split, probabilities: dict[str, np.ndarray], seed: int = 0
) -> dict[str, Noise]:
    """Estimates the share of wrong labels in each category, with a bootstrap interval over images.

    It is what the joint distribution of labels given and labels meant has beside its diagonal
    (Northcutt et al. 2021, section 3.1).

    Raises:
        InputError: cleanlab is not installed.
    """
    _, counts = _cleanlab()
    rng = np.random.default_rng(seed)
    found = {}
    for category, labels in zip(images.schema, images.labels.T, strict=True):
        rows = np.flatnonzero(labels != UNLABELLED)
        if len(np.unique(labels[rows])) < 2:
            continue

        def share(chosen: np.ndarray, labels=labels, category=category) -> float:
            known, given = _dense(probabilities[category][chosen], labels[chosen])
            joint = counts.estimate_joint(given, known)
            return float(1 - np.trace(joint))

        drawn = [share(rng.choice(rows, len(rows))) for _ in range(RESAMPLES)]
        low, high = np.percentile(drawn, [2.5, 97.5])
        found[category] = Noise(share(rows), float(low), float(high))
    return found


def _dense(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leaves out classes that no label names, which cleanlab cannot have."""
    classes, dense = np.unique(labels, return_inverse=True)
    known = probabilities[:, classes].astype(np.float64)
    total = known.sum(axis=1, keepdims=True)
    even = np.full_like(known, 1 / len(classes))
    return np.where(total > 0, known / np.maximum(total, 1e-300), even), dense


def _cleanlab():
    try:
        from cleanlab import count
        from cleanlab import filter as filters
    except ImportError as error:
        raise InputError(
            "Looking for wrong labels needs cleanlab: pip install 'deepfashion_tf[noise]'."
        ) from error
    return filters, count
