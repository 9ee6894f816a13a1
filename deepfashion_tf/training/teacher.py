"""What a trained run answers, as labels for another one: distillation."""

import numpy as np

from deepfashion_tf.data.pipeline import evaluation_dataset
from deepfashion_tf.data.reading import Reader
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError
from deepfashion_tf.models.views import with_views
from deepfashion_tf.progress import progress_bar
from deepfashion_tf.schema import UNLABELLED
from deepfashion_tf.training.config import TrainConfig
from deepfashion_tf.training.run import Run

SHARE = 0.5  # of the teacher in a label


def taught_labels(config: TrainConfig, split: Split, reader: Reader) -> dict[str, np.ndarray]:
    """Gives soft labels: half of what an image is labelled, half of what the teacher answers.

    An image that is not labelled in a category has the teacher's half alone, and counts half.

    Args:
        config: names the teacher.
        split: training images.
        reader: of their crops.

    Returns:
        category -> float32 ``[images, classes]``, shares of the classes.

    Raises:
        InputError: the teacher is no run, or answers other categories or for another size.

    Reference:
        Hinton et al. 2015, Distilling the Knowledge in a Neural Network, section 2, at
        temperature 1.
    """
    teacher = Run.load(config.teacher)
    known = teacher.schema.select(teacher.trained)
    differences = [c for c in split.schema if known.get(c) != split.schema[c]]
    differences = [f"it was not taught {', '.join(differences)}"] if differences else []
    for name, words in (
        ("image_size", "pixels are"),
        ("crop", "--crop is"),
        ("box_padding", "--box-padding is"),
    ):
        ours, theirs = getattr(config, name), getattr(teacher.config, name)
        if ours != theirs:
            differences.append(f"its {words} {theirs}, this run's {ours}")
    if differences:
        raise InputError(
            f"--teacher {config.teacher} cannot teach this run: {'; '.join(differences)}. Name a "
            f"run of the same size and categories."
        )
    answer = with_views(teacher.load_model(), teacher.config.tta)
    batches = evaluation_dataset(split, reader, teacher.normalization, batch_size=config.batch_size)
    parts: dict[str, list[np.ndarray]] = {category: [] for category in split.schema}
    with progress_bar("asking the teacher", len(split)) as on_progress:
        done = 0
        for images, _ in batches:
            found = answer(images)
            for category, values in parts.items():
                values.append(found[category].numpy())
            done += len(images)
            on_progress(done, len(split))
    return {
        category: _joined(split.labels_of(category), np.concatenate(values))
        for category, values in parts.items()
    }


def _joined(labels: np.ndarray, answers: np.ndarray) -> np.ndarray:
    own = np.eye(answers.shape[1], dtype="float32")[np.maximum(labels, 0)]
    own[labels == UNLABELLED] = 0.0
    return (1 - SHARE) * own + SHARE * answers
