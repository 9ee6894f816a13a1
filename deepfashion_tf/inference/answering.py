"""The graph from crops to calibrated probabilities, which runs answer and exports are made of."""

import keras
import tensorflow as tf

from deepfashion_tf.data.images import normalize
from deepfashion_tf.inference.calibration import CALIBRATION_FILE, LEAST, Calibration
from deepfashion_tf.models.views import with_views
from deepfashion_tf.runs.run import Run


def answering_function(run: Run, model: keras.Model) -> tf.types.experimental.PolymorphicFunction:
    """Makes the graph from a run's crops to calibrated probabilities, named by category.

    Args:
        run: whose normalization, calibration and views are taken.
        model: from normalized images to probabilities.

    Returns:
        What takes ``images``, uint8 ``[n, size, size, 3]``, and gives float32 ``[n, classes]`` a
        category, the mean over the views that ``--tta`` names.
    """
    size = run.config.image_size
    of_views = with_views(model, run.config.tta)
    calibration = Calibration.load(run.directory / CALIBRATION_FILE, run.schema)

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8, "images")],
    )
    def answer(crops: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = of_views(normalize(crops, run.normalization))
        return {
            category: tf.identity(
                _scale(value, calibration.temperature(category), calibration.offsets(category)),
                category,
            )
            for category, value in outputs.items()
        }

    return answer


def _scale(probabilities: tf.Tensor, temperature: float, offsets: tuple[float, ...]) -> tf.Tensor:
    """Does what `calibration.scale` does, in the graph."""
    if temperature == 1.0 and not offsets:
        return probabilities
    logits = tf.math.log(tf.maximum(probabilities, LEAST))
    if offsets:
        logits += tf.constant(offsets, logits.dtype)
    return tf.nn.softmax(logits / temperature)
