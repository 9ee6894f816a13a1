"""Image ops in TensorFlow: crop, resize, normalize.

Every op is pure. The same functions stand in the training pipeline, in
prediction and in the exported graph, so that they cannot drift apart.
"""

import tensorflow as tf

from deepfashion_tf.data.decode import decode_for, whole_place
from deepfashion_tf.data.normalization import Normalization


def squash_resize(image: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes to a square whatever the aspect ratio, bilinear with antialiasing.

    Antialiasing is what the report's pipeline did (Pillow's bilinear filter), and
    what keeps stripes from turning into moiré.

    Args:
        image: uint8 ``[height, width, 3]``.
        size: the side of the result in pixels.

    Returns:
        uint8 ``[size, size, 3]``, rounded to whole grey levels.
    """
    return squash_part(image, whole_place(image), size)


def squash_part(image: tf.Tensor, place: tf.Tensor, size: int) -> tf.Tensor:
    """Does what `squash_resize` does to a part of an image, whose edges may lie between pixels.

    Args:
        image: uint8 ``[height, width, 3]``.
        place: float32 ``[4]``: y, x, height, width of the part.
        size: the side of the result in pixels.

    Returns:
        uint8 ``[size, size, 3]``; of an image that is all of it, `squash_resize`'s.
    """

    def plain() -> tf.Tensor:
        resized = tf.image.resize(image, (size, size), method="bilinear")
        # Means of pixels, which cannot lie outside of what a byte holds.
        return tf.cast(tf.round(resized), tf.uint8)

    scale = size / place[2:]
    is_whole = tf.reduce_all(place == whole_place(image))
    # Where nothing gets smaller both filters are the same, and the plain one is the faster.
    return tf.cond(
        is_whole & tf.reduce_all(place[2:] <= size),
        plain,
        lambda: _antialiased(image, size, scale, -place[:2] * scale),
    )


def _antialiased(
    image: tf.Tensor, size: int, scale: tf.Tensor, translation: tf.Tensor
) -> tf.Tensor:
    """Scales and moves an image, bilinear with antialiasing, one axis after the other.

    The op that does both at once adds whole rows up by the processor's vectors, but then pixel
    by pixel within them. So it is given rows alone, each as one pixel of many channels, and
    the turned image next: twice as fast, and the same to the last bit.

    Args:
        image: uint8 ``[height, width, 3]``.
        size: the side of the result in pixels.
        scale: float32 ``[2]``, of y and x.
        translation: float32 ``[2]``, likewise, in pixels of the result.

    Returns:
        uint8 ``[size, size, 3]``, rounded to whole grey levels.
    """

    def rows(pixels: tf.Tensor, width: int | tf.Tensor, axis: int) -> tf.Tensor:
        found = tf.raw_ops.ScaleAndTranslate(
            images=tf.reshape(pixels, [1, -1, 1, 3 * width]),
            size=[size, 1],
            scale=tf.stack([scale[axis], 1.0]),
            translation=tf.stack([translation[axis], 0.0]),
            kernel_type="triangle",
            antialias=True,
        )
        return tf.reshape(found, [size, width, 3])

    turned = tf.transpose(rows(image, tf.shape(image)[1], 0), [1, 0, 2])
    turned = rows(turned, size, 1)
    return tf.cast(tf.round(tf.transpose(turned, [1, 0, 2])), tf.uint8)


def read_crop(image_bytes: tf.Tensor, box: tf.Tensor, size: int, padding: float = 0.0) -> tf.Tensor:
    """Turns a file and a box into the uint8 ``[size, size, 3]`` crop a model is given."""
    return squash_part(*decode_for(image_bytes, box, padding, size), size)


def normalize(images: tf.Tensor, normalization: Normalization) -> tf.Tensor:
    """Normalizes pixels by one multiplication and one addition.

    Args:
        images: uint8 or float32 ``[..., width, 3]``, RGB, 0..255; the width is known.
        normalization: one of NORMALIZATIONS.

    Returns:
        float32, same shape.
    """
    if normalization.order == "bgr":
        images = tf.reverse(images, axis=[-1])
    std = tf.constant(normalization.std)
    slope, offset = 1.0 / (normalization.scale * std), tf.constant(normalization.mean) / std
    # Row by row, since TensorFlow takes seven times as long to repeat three numbers. `bias_add`
    # adds a row to each in half of the time of `+`.
    width = images.shape[-2]
    rows = tf.reshape(tf.cast(images, tf.float32), [-1, width * 3])
    rows = tf.nn.bias_add(rows * tf.tile(slope, [width]), -tf.tile(offset, [width]))
    return tf.reshape(rows, [-1 if side is None else side for side in images.shape])
