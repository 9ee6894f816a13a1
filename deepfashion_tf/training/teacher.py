"""What a trained run answers, as labels for another one: distillation."""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from deepfashion_tf.data.reading import Reader
from deepfashion_tf.data.split import Split
from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import InputError
from deepfashion_tf.models.views import with_views
from deepfashion_tf.models.weights.sources import keras_cache
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import UNLABELLED
from deepfashion_tf.training.kept import Kept, normalized_batches

SHARE = 0.5  # of the teacher in a label
_VERSION = 1  # raise it when the same image gets other answers


def taught_labels(
    config: TrainConfig, split: Split, reader_of: Callable[[int], Reader]
) -> dict[str, np.ndarray]:
    """Returns soft labels: half of what an image is labelled, half of what the teacher answers.

    The teacher answers once for each image: for the plain crop, at its own image size, with its
    own normalization and views. Its answers are kept on disk. An image that is not labelled in a
    category has the teacher's half alone, and counts half.

    Args:
        config: names the teacher.
        split: training images.
        reader_of: makes a reader of their plain crops, of a given side in pixels.

    Returns:
        category -> float32 ``[images, classes]``, shares of the classes.

    Raises:
        InputError: the teacher is no run, or answers other categories or for other crops; or the
            disk is full.

    Reference:
        Hinton et al. 2015, Distilling the Knowledge in a Neural Network, section 2, at
        temperature 1.
    """
    teacher = Run.load(config.teacher)
    _check(teacher, config, split)
    sizes = [len(attributes) for attributes in teacher.schema.values()]
    kept = Kept(_folder(teacher, config), (sum(sizes),), "answers of the teacher")

    def compute(rows: np.ndarray) -> Iterator[np.ndarray]:
        answer = _answering(teacher)
        reader = reader_of(teacher.config.image_size)
        batches = normalized_batches(reader, rows, teacher.normalization)
        return itertools.chain.from_iterable(answer(images).numpy() for images in batches)

    answers = np.split(kept.arrays(split, compute), np.cumsum(sizes)[:-1], axis=1)
    of_category = dict(zip(teacher.schema, answers, strict=True))
    return {
        category: _joined(split.labels_of(category), of_category[category])
        for category in split.schema
    }


def _check(teacher: Run, config: TrainConfig, split: Split) -> None:
    """Refuses a teacher that answers other questions than the run.

    Raises:
        InputError: says why.
    """
    known = teacher.schema.select(teacher.trained)
    differences = [c for c in split.schema if known.get(c) != split.schema[c]]
    differences = [f"it was not taught {', '.join(differences)}"] if differences else []
    for name in ("crop", "box_padding"):
        ours, theirs = getattr(config, name), getattr(teacher.config, name)
        if ours != theirs:
            differences.append(f"its --{name.replace('_', '-')} is {theirs}, this run's {ours}")
    if differences:
        raise InputError(
            f"--teacher {config.teacher} cannot teach this run: {'; '.join(differences)}. Name a "
            f"run of the same crops and categories."
        )


def _answering(teacher: Run) -> Callable[[tf.Tensor], tf.Tensor]:
    """Compiles the function from normalized crops to the probabilities of all categories."""
    model = teacher.load_model()
    of_views = with_views(model, teacher.config.tta)
    # Of any number of images, so that the last batch is not traced anew.
    shape = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)

    @tf.function(autograph=False, input_signature=[shape])
    def answer(images: tf.Tensor) -> tf.Tensor:
        found = of_views(images)
        return tf.concat([found[category] for category in teacher.schema], axis=1)

    return answer


def _folder(teacher: Run, config: TrainConfig) -> Path:
    """Names the folder by the hash of the teacher's file and of what else decides its answers.

    Raises:
        InputError: the teacher has no model.
    """
    if not teacher.model_path.is_file():
        teacher.load_model()  # says so
    with teacher.model_path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    settings = [_VERSION, tf.__version__, keras.__version__, teacher.config.tta]
    digest.update(as_json([*settings, str(teacher.normalization)]).encode())
    base = config.cache_folder or keras_cache() / "deepfashion_tf-features"
    return base / f"teacher-{digest.hexdigest()[:24]}"


def _joined(labels: np.ndarray, answers: np.ndarray) -> np.ndarray:
    own = np.eye(answers.shape[1], dtype="float32")[np.maximum(labels, 0)]
    own[labels == UNLABELLED] = 0.0
    return (1 - SHARE) * own + SHARE * answers
