"""Image ops in TensorFlow: decode, crop, resize, flip, normalize.

Every op is pure. The same functions stand in the training pipeline, in
prediction and in the exported graph, so that they cannot drift apart.
"""

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Normalization:
    """What a network's weights expect of pixels: ``(channels / scale - mean) / std``.

    Attributes:
        order: "rgb" or "bgr".
        scale: 255 brings pixels to 0..1 first, 1 leaves them in 0..255.
        mean: one value a channel, in the order of `order`, after scaling.
        std: as `mean`.
    """

    order: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


NORMALIZATIONS = {
    # classification_models' and timm's SE networks, torchvision, the report
    "torch": Normalization("rgb", 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # keras.applications' ResNet50 (converted from Caffe)
    "caffe": Normalization("bgr", 1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
}


def decode_and_crop(image_bytes: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG, PNG, GIF or BMP file and crops it; a JPEG only where the box is.

    Args:
        image_bytes: scalar string, the file as it is.
        box: int32 ``[4]``, x1 y1 x2 y2 in half-open pixels; all -1 = the whole image.

    Returns:
        uint8 ``[height, width, 3]``, RGB.

    Raises:
        tf.errors.InvalidArgumentError: not an image, or a box outside it.
    """

    def from_jpeg() -> tf.Tensor:
        x1, y1, width, height = _window(box, tf.io.extract_jpeg_shape(image_bytes))
        return tf.io.decode_and_crop_jpeg(image_bytes, [y1, x1, height, width], channels=3)

    def from_other() -> tf.Tensor:
        image = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
        x1, y1, width, height = _window(box, tf.shape(image))
        return image[y1 : y1 + height, x1 : x1 + width]

    image = tf.cond(tf.io.is_jpeg(image_bytes), from_jpeg, from_other)
    return tf.ensure_shape(image, (None, None, 3))


def _window(box: tf.Tensor, shape: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Gives x1, y1, width, height of a box inside an image of the given shape."""
    whole = tf.stack([0, 0, shape[1], shape[0]])
    box = tf.where(tf.reduce_all(box == -1), whole, box)
    x1, y1, x2, y2 = tf.unstack(box)
    inside = (x1 >= 0) & (y1 >= 0) & (x1 < x2) & (y1 < y2) & (x2 <= shape[1]) & (y2 <= shape[0])
    message = "the box (x1, y1, x2, y2) has no area or lies outside the image (height, width)"
    with tf.control_dependencies([tf.debugging.Assert(inside, [message, box, shape[:2]])]):
        return tf.identity(x1), y1, x2 - x1, y2 - y1


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
    resized = tf.image.resize(image, (size, size), method="bilinear", antialias=True)
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def read_crop(image_bytes: tf.Tensor, box: tf.Tensor, size: int) -> tf.Tensor:
    """Turns a file and a box into the uint8 ``[size, size, 3]`` crop a model is given."""
    return squash_resize(decode_and_crop(image_bytes, box), size)


def flip_where(image: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
    """Mirrors an image ``[height, width, 3]`` left to right where the scalar `flip` is true."""
    return tf.where(flip, tf.reverse(image, axis=[1]), image)


def normalize(images: tf.Tensor, normalization: Normalization) -> tf.Tensor:
    """Normalizes pixels by one multiply-add.

    Args:
        images: uint8 ``[..., 3]``, RGB, 0..255.
        normalization: one of NORMALIZATIONS.

    Returns:
        float32, same shape.
    """
    if normalization.order == "bgr":
        images = tf.reverse(images, axis=[-1])
    std = tf.constant(normalization.std)
    slope = 1.0 / (normalization.scale * std)
    return tf.cast(images, tf.float32) * slope - tf.constant(normalization.mean) / std
