"""Test-time augmentation: several views of an image, and the mean of what is said of them."""

from collections.abc import Callable

import keras
import tensorflow as tf

VIEWS = {"none": 1, "flip": 2, "crops": 4}
"""Name -> views of an image: itself; and its mirror image; and the middle of both, enlarged."""
MIDDLE = 15 / 16  # of the side


def views_of(images: tf.Tensor, tta: str) -> tf.Tensor:
    """Returns all views of a batch, one view after the other.

    Args:
        images: float32 ``[batch, size, size, 3]``, normalized.
        tta: a key of VIEWS.

    Returns:
        float32 ``[views * batch, size, size, 3]``.
    """
    views = [images]
    if tta == "crops":
        size = images.shape[1]
        edge = round(size * (1 - MIDDLE) / 2)
        middle = images[:, edge : size - edge, edge : size - edge]
        views.append(tf.image.resize(middle, (size, size)))
    if tta != "none":
        views += [tf.reverse(view, axis=[2]) for view in views]
    return tf.concat(views, axis=0) if len(views) > 1 else images


def with_views(model: keras.Model, tta: str) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Makes a model answer with the mean of its probabilities over the views of an image.

    Args:
        model: from normalized images to probabilities, named by category.
        tta: a key of VIEWS.
    """

    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(views_of(images, tta), training=False)
        if tta == "none":
            return outputs
        return {
            category: tf.add_n(tf.split(values, VIEWS[tta])) / VIEWS[tta]
            for category, values in outputs.items()
        }

    return answer
