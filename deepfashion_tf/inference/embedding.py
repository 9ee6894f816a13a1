"""Features of images: what the heads of a run read, for similarity search."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from deepfashion_tf.data.images import normalize
from deepfashion_tf.errors import InputError
from deepfashion_tf.models.attribute_model import shared_features
from deepfashion_tf.models.views import VIEWS, views_of
from deepfashion_tf.runs.run import Run


def embedder(run: Run, model: keras.Model | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """Makes a function from crops to features.

    The features are the average of the backbone's last map, or, of multi-scale heads, the
    standardized averages of several maps. They are the mean over the views that ``--tta`` names.

    Args:
        run: trained, and no ensemble.
        model: its best model; None = loaded here.

    Returns:
        A function from uint8 ``[n, size, size, 3]`` to float32 ``[n, d]``.

    Raises:
        InputError: the run is an ensemble, or has no model.
    """
    if run.is_ensemble:
        raise InputError(
            f"{run.directory} is an ensemble of several networks: embed images with one of its "
            f"members."
        )
    model = model or run.load_model()
    names = {layer.name for layer in model.layers}
    if "standardization" in names:
        features = model.get_layer("standardization").output
    else:
        features = shared_features(model)[0]
    network = keras.Model(model.input, features)
    tta, size = run.config.tta, run.config.image_size

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8)])
    def embed(crops: tf.Tensor) -> tf.Tensor:
        outputs = network(views_of(normalize(crops, run.normalization), tta), training=False)
        return tf.add_n(tf.split(outputs, VIEWS[tta])) / VIEWS[tta]

    return lambda crops: embed(tf.constant(crops)).numpy()
