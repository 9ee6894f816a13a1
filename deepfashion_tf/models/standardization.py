"""Features of mean 0 and deviation 1, by the statistics of the training images."""

import keras
import numpy as np
from keras import ops

LEAST = 1e-3  # deviation: a feature that never changes must not become large


@keras.saving.register_keras_serializable("deepfashion_tf")
class Standardization(keras.layers.Layer):
    """Computes ``(x - mean) / deviation`` of features ``[batch, width]``, in float32.

    Both are weights, which training does not change: `adapt` measures them. Keras' own
    Normalization copies them when it is adapted, so that a checkpoint that is read later would
    not reach its answers.
    """

    def build(self, shape) -> None:
        width = (shape[-1],)
        self.mean = self.add_weight(width, "zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(width, "ones", trainable=False, name="deviation")

    def call(self, inputs):
        return (ops.cast(inputs, "float32") - self.mean) / self.deviation

    def adapt(self, features: np.ndarray) -> None:
        """Measures mean and deviation.

        Args:
            features: float ``[n, width]``, of the training images.
        """
        self.mean.assign(features.mean(axis=0, dtype=np.float64))
        self.deviation.assign(np.maximum(features.std(axis=0, dtype=np.float64), LEAST))
