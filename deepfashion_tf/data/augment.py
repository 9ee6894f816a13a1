"""Random changes of training images: each op applies what was drawn, and draws nothing."""

import cv2
import numpy as np
import tensorflow as tf


def flip_where(images: tf.Tensor, flips: tf.Tensor) -> tf.Tensor:
    """Mirrors some images of a batch left to right.

    By OpenCV, which takes a twentieth of the time that TensorFlow's own op does.

    Args:
        images: uint8 ``[batch, height, width, 3]``.
        flips: bool ``[batch]``.

    Returns:
        uint8, same shape.
    """

    def flip(images: np.ndarray, flips: np.ndarray) -> np.ndarray:
        flipped = images.copy()
        for place in np.flatnonzero(flips):
            cv2.flip(images[place], 1, dst=flipped[place])
        return flipped

    flipped = tf.numpy_function(flip, [images, flips], tf.uint8, stateful=False)
    return tf.ensure_shape(flipped, images.shape)


# How far an amount of 1 goes, in the order in which `jitter` reads its amounts.
JITTERS = {
    "zoom": 0.25,  # e-fold: 0.78 to 1.28 times as large
    "stretch": 0.15,  # e-fold of the width, the height the other way
    "turn": 0.2,  # radians
    "right": 0.12,  # share of the side
    "down": 0.12,
    "contrast": 0.3,  # e-fold
    "brightness": 40.0,  # grey levels
    "red": 0.1,  # e-fold
    "green": 0.1,
    "blue": 0.1,
}


def jitter(images: tf.Tensor, amounts: tf.Tensor) -> tf.Tensor:
    """Zooms, stretches, turns, moves and recolours each image by given amounts.

    What comes in over the edge is the image reflected. All amounts 0 is the identity.

    Args:
        images: uint8 ``[batch, size, size, 3]``, RGB.
        amounts: float32 ``[batch, 10]``, -1..1, in units of JITTERS and in its order.

    Returns:
        float32, same shape, 0..255.
    """
    side = images.shape[1]
    zoom, stretch, turn, right, down, contrast, brightness, *channels = tf.unstack(
        amounts * tf.constant(list(JITTERS.values())), axis=1
    )
    # The op wants the way from a place in the result to its place in the image.
    width, height = tf.exp(-zoom - stretch), tf.exp(-zoom + stretch)
    xx, xy = width * tf.cos(turn), -height * tf.sin(turn)
    yx, yy = width * tf.sin(turn), height * tf.cos(turn)
    centre, none = (side - 1) / 2, tf.zeros_like(zoom)
    x0 = centre * (1 - xx - xy) - right * side
    y0 = centre * (1 - yx - yy) - down * side
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack([xx, xy, x0, yx, yy, y0, none, none], axis=1),
        output_shape=[side, side],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    gains = tf.exp(tf.stack(channels, axis=1) + contrast[:, None])
    offsets = 127.5 * (1.0 - gains) + brightness[:, None]
    # Row by row: see `normalize`.
    gains, offsets = (tf.tile(values, [1, side])[:, None] for values in (gains, offsets))
    recoloured = tf.reshape(moved, [-1, side, 3 * side]) * gains + offsets
    return tf.reshape(tf.clip_by_value(recoloured, 0.0, 255.0), [-1, side, side, 3])
