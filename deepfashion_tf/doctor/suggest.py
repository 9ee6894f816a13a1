"""Which photographs to label next: those that a run is unsure of, and unlike each other."""

import csv
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from scipy.cluster.vq import kmeans2

from deepfashion_tf.data.images import normalize
from deepfashion_tf.data.reading import crop_batches
from deepfashion_tf.data.split import WHOLE_IMAGE, Split
from deepfashion_tf.data.table_file import BOX
from deepfashion_tf.escaping import cell_text
from deepfashion_tf.files import write_atomically
from deepfashion_tf.inference.calibration import CALIBRATION_FILE, Calibration
from deepfashion_tf.progress import progress_bar
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import UNLABELLED

POOL = 10  # times as many of the most uncertain images are looked at for different ones


@dataclass(frozen=True)
class Suggestion:
    """An image that is worth a label.

    Attributes:
        row: of the split.
        uncertainty: 0 to 1, the mean over its unlabelled categories.
        answers: category -> what the run would answer, in those.
    """

    row: int
    uncertainty: float
    answers: dict[str, str]


@dataclass(frozen=True)
class Suggested:
    """A split, and which of its images to label next."""

    split: Split
    suggestions: list[Suggestion]


def suggest(run: Run, split: Split, count: int, seed: int = 0) -> list[Suggestion]:
    """Ranks images that lack labels by what a model would learn from them.

    Uncertainty is the entropy of a category's probabilities divided by the logarithm of the
    number of its classes; an image's is the mean over the categories in which it has no label
    and the run has learnt something. Of the ten times `count` most uncertain images the
    features are divided into `count` clusters by k-means, and each cluster gives its most
    uncertain image: so that not the same hard garment is asked for again and again.

    Args:
        run: trained on what is labelled.
        split: of the run's schema; the labels that it has tell what is asked about.
        count: how many images.
        seed: of the clusters' first centres.

    Returns:
        The most uncertain first; fewer than `count` where fewer lack labels.

    Reference:
        Zhdanov 2019, Diverse mini-batch Active Learning, section 3.
    """
    columns = [list(split.schema).index(category) for category in run.trained]
    is_asked = split.labels[:, columns] == UNLABELLED
    rows = np.flatnonzero(is_asked.any(axis=1))
    if not len(rows):
        return []
    features, probabilities = _look(run, split.take(rows, split.name))
    calibration = Calibration.load(run.directory / CALIBRATION_FILE, run.schema)
    answered = calibration.scale(probabilities)
    entropies = np.stack([_entropy(probabilities[c]) for c in run.trained], axis=1)
    uncertainty = np.mean(entropies, axis=1, where=is_asked[rows])
    chosen = _spread(features, uncertainty, count, seed)
    return [
        Suggestion(
            int(rows[place]),
            float(uncertainty[place]),
            {
                category: run.schema[category][int(answered[category][place].argmax())]
                for category, asked in zip(run.trained, is_asked[rows[place]], strict=True)
                if asked
            },
        )
        for place in chosen
    ]


def _look(run: Run, split: Split) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Gives the features that the heads read, float32 ``[n, features]``, and the probabilities."""
    model = run.load_model()
    read = [model.get_layer(category).input for category in run.trained]
    if isinstance(read[0], list):  # an ensemble's members, whose features are several
        read = list(model.output.values())
    read = {id(tensor): tensor for tensor in keras.tree.flatten(read)}
    (read,) = read.values() if len(read) == 1 else (keras.layers.Concatenate()([*read.values()]),)
    both = keras.Model(model.input, {"features": read, "answers": model.output})
    parts = []
    with progress_bar("answering", len(split)) as on_progress:
        for crops in crop_batches(split, run.config.image_size):
            parts.append(both.predict_on_batch(normalize(crops, run.normalization)))
            on_progress(sum(len(part["features"]) for part in parts), len(split))
    features = np.concatenate([part["features"] for part in parts]).astype(np.float32)
    return features, {
        category: np.concatenate([part["answers"][category] for part in parts])
        for category in run.trained
    }


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """Gives the entropy of each row, 1 where all classes are equally likely."""
    logarithms = np.log(np.maximum(probabilities, 1e-12))
    return -(probabilities * logarithms).sum(axis=1) / np.log(probabilities.shape[1])


def _spread(features: np.ndarray, uncertainty: np.ndarray, count: int, seed: int) -> list[int]:
    """Chooses places: one a cluster of the most uncertain ones, falling in uncertainty."""
    pool = np.argsort(-uncertainty, kind="stable")[: POOL * count]
    if len(pool) <= count:
        return pool.tolist()
    known = features[pool] / (np.linalg.norm(features[pool], axis=1, keepdims=True) + 1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clusters that come out empty
        _, clusters = kmeans2(known, count, minit="++", rng=np.random.default_rng(seed))
    # The first of each cluster is its most uncertain one; clusters that came out empty are filled.
    _, first = np.unique(clusters, return_index=True)
    rest = np.setdiff1d(np.arange(len(pool)), first)
    return pool[np.sort(np.concatenate([first, rest[: count - len(first)]]))].tolist()


def write_suggestions(path: Path, split: Split, suggestions: list[Suggestion]) -> None:
    """Writes a table to be filled in: the images, their labels so far, and the run's answers.

    Without the columns that begin with ``answer_``, which readers pass over, it is a table that
    ``--data`` takes.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    answers = [f"answer_{category}" for category in split.schema]
    writer.writerow(["image", *BOX, "split", *split.schema, "uncertainty", *answers])
    for found in suggestions:
        box, labels = split.boxes[found.row], split.labels[found.row]
        names = [
            cell_text(values[label]) if label != UNLABELLED else ""
            for label, values in zip(labels, split.schema.values(), strict=True)
        ]
        writer.writerow(
            [
                cell_text(split.keys[found.row]),
                *(["", "", "", ""] if box[0] == WHOLE_IMAGE[0] else box.tolist()),
                split.name,
                *names,
                f"{found.uncertainty:.4f}",
                *(cell_text(found.answers.get(category, "")) for category in split.schema),
            ]
        )
    write_atomically(path, text.getvalue())
