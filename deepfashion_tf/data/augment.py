"""Random changes of training images.

`Augmentation` draws; each op applies what was drawn, and draws nothing.
"""

import math
from dataclasses import dataclass

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


def rectangles(windows: tf.Tensor, side: int) -> tf.Tensor:
    """Marks a rectangle in each image of a batch.

    Args:
        windows: float32 ``[batch, 4]``, left, top, width and height as shares of the side; they
            may hang over the edges.
        side: of the images in pixels.

    Returns:
        bool ``[batch, side, 3 * side]``, a row's three channels side by side; a pixel is in
        where its middle is.
    """
    left, top, width, height = tf.unstack(windows, axis=1)
    middles = (tf.range(side, dtype=tf.float32) + 0.5) / side

    def inside(start: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        return (middles >= start[:, None]) & (middles < (start + length)[:, None])

    rows, columns = inside(top, height), tf.repeat(inside(left, width), 3, axis=1)
    return rows[:, :, None] & columns[:, None]


def erase(images: tf.Tensor, windows: tf.Tensor, colours: tf.Tensor) -> tf.Tensor:
    """Paints a rectangle over each image.

    Args:
        images: uint8 or float32 ``[batch, size, size, 3]``, 0..255.
        windows: float32 ``[batch, 4]``, as `rectangles` takes them; width 0 = nothing is painted.
        colours: float32 ``[batch, 3]``, 0..255.

    Returns:
        float32, same shape.

    Reference:
        Zhong et al. 2020, Random Erasing Data Augmentation, algorithm 1, there with noise.
    """
    side = images.shape[1]
    paint = tf.tile(colours, [1, side])[:, None]
    rows = tf.reshape(tf.cast(images, tf.float32), [-1, side, 3 * side])
    return tf.reshape(tf.where(rectangles(windows, side), paint, rows), [-1, side, side, 3])


@dataclass(frozen=True)
class Augmentation:
    """How training images are changed at random.

    Attributes:
        flip: mirror half of them.
        jitter: amount of `jitter`, 0 to 1.
        least_crop: a part of at least this share of the image's area, of sides 3:4 to 4:3, is
            enlarged to the whole; 1 = all of it.
        erase: share of the images in which a rectangle of 2 to 20 % of the area is painted over.
        grow_epochs: in the first epochs fewer images are erased: a share that grows evenly, and
            is whole in the last of so many epochs; 0 = from the beginning.
    """

    flip: bool = True
    jitter: float = 0.0
    least_crop: float = 1.0
    erase: float = 0.0
    grow_epochs: int = 0

    def draw(self, count: int, key: tf.Tensor) -> dict[str, tf.Tensor]:
        """Draws what happens to each of `count` images.

        Args:
            count: how many.
            key: int64 ``[2]``, seed and epoch, from which alone all is drawn.
        """

        def uniform(number: int, *width: int, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
            # A key each: with one key, what is drawn would follow from the order.
            seed = key + [0, 2**40 + number]
            return tf.random.stateless_uniform([count, *width], seed, low, high)

        grown = 1.0
        if self.grow_epochs:
            grown = tf.minimum(tf.cast(key[1] + 1, tf.float32) / self.grow_epochs, 1.0)
        drawn = {}
        if self.flip:
            drawn["flips"] = uniform(2**40) < 0.5
        if self.jitter or self.least_crop < 1:
            drawn["amounts"] = self.jitter * uniform(0, len(JITTERS), low=-1.0)
        if self.least_crop < 1:
            drawn["crops"] = _windows(uniform(1, 4), self.least_crop, 1.0)
        if self.erase:
            windows = _windows(uniform(2, 4), 0.02, 0.2)
            drawn["erased"] = tf.where(uniform(3)[:, None] < self.erase * grown, windows, 0.0)
            drawn["colours"] = uniform(4, 3, high=255.0)
        return drawn

    def change(self, images: tf.Tensor, drawn: dict[str, tf.Tensor]) -> tf.Tensor:
        """Does to a batch what was drawn.

        Args:
            images: uint8 ``[batch, side, side, 3]``.
            drawn: what `draw` returned, of these images.
        """
        if "flips" in drawn:
            images = flip_where(images, drawn["flips"])
        if "amounts" in drawn:
            images = jitter(images, drawn["amounts"], drawn.get("crops"))
        if "erased" in drawn:
            images = erase(images, drawn["erased"], drawn["colours"])
        return images


def _windows(drawn: tf.Tensor, least: float, most: float) -> tf.Tensor:
    """Makes windows of random area, shape and place.

    Args:
        drawn: float32 ``[count, 4]``, uniform in 0..1: area, shape, left, top.
        least: smallest area, as a share of the image's.
        most: largest.

    Returns:
        float32 ``[count, 4]``, as `rectangles` takes them. No window hangs over an edge, and its
        sides are 3:4 to 4:3.
    """
    area, shape, left, top = tf.unstack(drawn, axis=1)
    side = tf.sqrt(least + (most - least) * area)
    stretch = tf.exp((shape - 0.5) * math.log(4 / 3))  # of half of the way each
    # As far as the area has room for.
    stretch = tf.clip_by_value(stretch, side, 1 / side)
    width, height = side * stretch, side / stretch
    return tf.stack([left * (1 - width), top * (1 - height), width, height], axis=1)


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


def _warp(images: np.ndarray, ways: np.ndarray, side: int) -> np.ndarray:
    """Interpolates each image at places that an affine map gives; by OpenCV.

    TensorFlow's ImageProjectiveTransformV3 takes three times as long.
    """
    warped = np.empty((len(images), side, side, 3), np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for image, way, out in zip(images, ways.reshape(-1, 2, 3), warped, strict=True):
        floats = image.astype(np.float32)
        cv2.warpAffine(floats, way, out.shape[1::-1], out, flags, cv2.BORDER_REFLECT)
    return warped


def jitter(images: tf.Tensor, amounts: tf.Tensor, windows: tf.Tensor | None = None) -> tf.Tensor:
    """Zooms, stretches, turns, moves and recolours each image by given amounts.

    What comes in over the edge is the image reflected. All amounts 0 is the identity. All of it,
    windows included, is one interpolation.

    Args:
        images: uint8 ``[batch, side, side, 3]``, RGB.
        amounts: float32 ``[batch, 10]``, -1..1, in units of JITTERS and in its order.
        windows: float32 ``[batch, 4]``, a part of each changed image that is then enlarged to
            the whole: left, top, width and height as shares of the side; None = all of it.

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
    centre = (side - 1) / 2
    x0 = centre * (1 - xx - xy) - right * side
    y0 = centre * (1 - yx - yy) - down * side
    if windows is not None:
        left, top, width, height = tf.unstack(windows, axis=1)
        # Pixels have their places in their middles.
        left, top = left * side + (width - 1) / 2, top * side + (height - 1) / 2
        x0, y0 = x0 + xx * left + xy * top, y0 + yx * left + yy * top
        xx, xy, yx, yy = xx * width, xy * height, yx * width, yy * height
    ways = tf.stack([xx, xy, x0, yx, yy, y0], axis=1)
    moved = tf.numpy_function(_warp, [images, ways, side], tf.float32, stateful=False)
    moved = tf.ensure_shape(moved, (images.shape[0], side, side, 3))
    gains = tf.exp(tf.stack(channels, axis=1) + contrast[:, None])
    offsets = 127.5 * (1.0 - gains) + brightness[:, None]
    # Row by row: see `normalize`.
    gains, offsets = (tf.tile(values, [1, side])[:, None] for values in (gains, offsets))
    recoloured = tf.reshape(moved, [-1, side, 3 * side]) * gains + offsets
    return tf.reshape(tf.clip_by_value(recoloured, 0.0, 255.0), [-1, side, side, 3])
