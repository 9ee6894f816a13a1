"""Heads that look: each category weighs the places of the backbone's feature maps by itself."""

from collections.abc import Sequence

import keras
from keras import ops


@keras.saving.register_keras_serializable("deepfashion_tf")
class AttentionPooling(keras.layers.Layer):
    """Returns each category the pooled features and its own weighted mean of each feature map.

    For category k and a map of features ``x_p`` at places p: scores ``s_kp = w_k · x_p / √c``,
    attention ``a_kp = softmax_p(s_kp)``, weighted mean ``Σ_p a_kp x_p``. A pooled average tells
    all categories the same of a whole garment; so a neckline can look at the neck. It begins as
    the plain average, since every w_k begins at 0.

    Args:
        categories: their names, in the order of the results.

    Reference:
        Ilse et al. 2018, Attention-based Deep Multiple Instance Learning, eq. 7, with the
        scores of Vaswani et al. 2017, Attention Is All You Need, eq. 1.
    """

    def __init__(self, categories: Sequence[str], **kwargs) -> None:
        super().__init__(**kwargs)
        self.categories = list(categories)

    def build(self, shapes) -> None:
        self.queries = [
            self.add_weight((shape[-1], len(self.categories)), "zeros", name=f"queries_{number}")
            for number, shape in enumerate(shapes[1:])
        ]

    def call(self, inputs):
        """Joins the features.

        Args:
            inputs: pooled features ``[batch, width]``, then maps ``[batch, rows, columns, c]``.

        Returns:
            A list, one ``[batch, width + c + …]`` a category.
        """
        pooled, *maps = inputs
        means = [
            ops.matmul(ops.transpose(ops.cast(weights, places.dtype), (0, 2, 1)), places)
            for weights, places in map(self._weigh, maps, self.queries)
        ]
        return [
            ops.concatenate([pooled, *(mean[:, k] for mean in means)], axis=-1)
            for k in range(len(self.categories))
        ]

    def compute_output_shape(self, shapes) -> list[tuple]:
        width = sum(shape[-1] for shape in shapes)
        return [(shapes[0][0], width)] * len(self.categories)

    def attend(self, maps: list) -> list:
        """Returns the attention of each map: float32 ``[batch, rows, columns, categories]``, sum 1.

        Args:
            maps: as `call` takes them, without the pooled features.
        """
        found = (self._weigh(*pair)[0] for pair in zip(maps, self.queries, strict=True))
        return [
            ops.reshape(weights, (-1, *x.shape[1:3], len(self.categories)))
            for weights, x in zip(found, maps, strict=True)
        ]

    def _weigh(self, x, queries) -> tuple:
        """Returns the attention ``[batch, places, categories]`` and the features of the places."""
        rows, columns, channels = x.shape[1:]
        places = ops.reshape(x, (-1, rows * columns, channels))
        scores = ops.matmul(places, ops.cast(queries, x.dtype)) / channels**0.5
        return ops.softmax(ops.cast(scores, "float32"), axis=1), places

    def get_config(self) -> dict:
        return {**super().get_config(), "categories": self.categories}


def attention_of(model: keras.Model) -> AttentionPooling | None:
    """Finds the attention of a model; None where its heads do not look."""
    return next((layer for layer in model.layers if isinstance(layer, AttentionPooling)), None)
