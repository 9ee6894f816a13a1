"""Random changes of training images.

`Augmentation` draws; each op applies what was drawn, and draws nothing.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import tensorflow as tf

from deepfashion_tf.data.rand_augment import AT_ONCE, CHANGES, rand_augment


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


def mix(images: tf.Tensor, shares: tf.Tensor, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes each image with the one before it in the batch, the first with the last.

    Args:
        images: uint8 or float32 ``[batch, size, size, 3]``, 0..255.
        shares: float32 ``[batch]``, how much of the image itself is left everywhere (mixup).
        windows: float32 ``[batch, 4]``, where the other image covers it whole (CutMix); width
            0 = nowhere.

    Returns:
        Images, float32, same shape, and float32 ``[batch]``, how much of the image itself is
        left of all.

    Reference:
        Zhang et al. 2018, mixup, eq. 1; Yun et al. 2019, CutMix, eq. 1.
    """
    side = images.shape[1]
    own = tf.reshape(tf.cast(images, tf.float32), [-1, side, 3 * side])
    other = tf.roll(own, 1, axis=0)
    covered = rectangles(windows, side)
    blended = other + shares[:, None, None] * (own - other)
    mixed = tf.reshape(tf.where(covered, other, blended), [-1, side, side, 3])
    uncovered = 1.0 - tf.reduce_mean(tf.cast(covered, tf.float32), axis=(1, 2))
    return mixed, shares * uncovered


def soft_labels(labels: tf.Tensor, shares: tf.Tensor, classes: int) -> tf.Tensor:
    """Gives the labels of images that `mix` has mixed.

    Args:
        labels: int32 ``[batch]``; -1 = not labelled. Or float32 ``[batch, classes]``, soft ones.
        shares: float32 ``[batch]``, as `mix` gives them.
        classes: how many.

    Returns:
        float32 ``[batch, classes]``, each class's share of the image; of sum 1 where both of
        its parts are labelled, 0 where none is.
    """
    own = labels if labels.shape.rank == 2 else tf.one_hot(labels, classes)
    return shares[:, None] * own + (1.0 - shares)[:, None] * tf.roll(own, 1, axis=0)


@dataclass(frozen=True)
class Augmentation:
    """How training images are changed at random.

    Attributes:
        flip: mirror half of them.
        rand_augment: strength of two of the changes of `rand_augment`, 0 to 1; 0 = none are made.
        jitter: amount of `jitter`, 0 to 1.
        least_crop: a part of at least this share of the image's area, of sides 3:4 to 4:3, is
            enlarged to the whole; 1 = all of it.
        erase: share of the images in which a rectangle of 2 to 20 % of the area is painted over.
        mixup: share of the images that another one is laid over, by Beta(0.4, 0.4).
        cutmix: share of the images that a part of another one is set into, of any size.
        box_jitter: how far each edge of the box moves at most, as a share of the box's side.
        grow_epochs: in the first epochs fewer images are changed by RandAugment and erased: a
            share that grows evenly, and is whole in the last of so many epochs; 0 = from the
            beginning.
    """

    flip: bool = True
    rand_augment: float = 0.0
    jitter: float = 0.0
    least_crop: float = 1.0
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    box_jitter: float = 0.0
    grow_epochs: int = 0

    @property
    def mixes(self) -> bool:
        """Whether labels become soft."""
        return self.mixup > 0 or self.cutmix > 0

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
        if self.rand_augment:
            choices = tf.cast(tf.floor(uniform(9, AT_ONCE) * len(CHANGES)), tf.int32)
            changed = uniform(11)[:, None] < grown
            drawn["choices"] = tf.where(changed, choices, CHANGES.index("identity"))
            signs = tf.sign(uniform(10, AT_ONCE, low=-1.0))
            drawn["strengths"] = self.rand_augment * signs
        if self.jitter or self.least_crop < 1 or self.box_jitter:
            drawn["amounts"] = self.jitter * uniform(0, len(JITTERS), low=-1.0)
        if self.least_crop < 1:
            drawn["crops"] = _windows(uniform(1, 4), self.least_crop, 1.0, inside=True)
        if self.box_jitter:
            drawn["edges"] = self.box_jitter * uniform(8, 4, low=-1.0)
        if self.erase:
            windows = _windows(uniform(2, 4), 0.02, 0.2, inside=True)
            drawn["erased"] = tf.where(uniform(3)[:, None] < self.erase * grown, windows, 0.0)
            drawn["colours"] = uniform(4, 3, high=255.0)
        if self.mixes:
            kinds = uniform(5)
            gammas = tf.random.stateless_gamma([count, 2], key + [0, 2**40 + 6], alpha=0.4)
            shares = gammas[:, 0] / tf.maximum(tf.reduce_sum(gammas, axis=1), 1e-30)
            drawn["shares"] = tf.where(kinds < self.mixup, shares, 1.0)
            cut = (kinds >= self.mixup) & (kinds < self.mixup + self.cutmix)
            windows = _windows(uniform(7, 4), 0.0, 1.0, inside=False)
            drawn["windows"] = tf.where(cut[:, None], windows, 0.0)
        return drawn

    def change(
        self,
        images: tf.Tensor,
        drawn: dict[str, tf.Tensor],
        size: int | None = None,
        margin: float = 0.0,
    ) -> tf.Tensor:
        """Does to a batch what was drawn, but for the mixing.

        Args:
            images: uint8 ``[batch, side, side, 3]``: boxes, and where they move a margin.
            drawn: what `draw` gave, of these images.
            size: side of the result where boxes move; otherwise it is the images'.
            margin: what is around each box, as a share of its side.
        """
        if "flips" in drawn:
            images = flip_where(images, drawn["flips"])
        if "choices" in drawn:
            images = rand_augment(images, drawn["choices"], drawn["strengths"])
        if "amounts" in drawn:
            boxes = moved_boxes(drawn["edges"], margin) if "edges" in drawn else None
            images = jitter(images, drawn["amounts"], drawn.get("crops"), boxes, size)
        if "erased" in drawn:
            images = erase(images, drawn["erased"], drawn["colours"])
        return images


def moved_boxes(edges: tf.Tensor, margin: float) -> tf.Tensor:
    """Finds boxes whose edges have moved in images that have a margin around them.

    Args:
        edges: float32 ``[batch, 4]``, how far left, top, right and bottom move to the right and
            down, as shares of the box's sides.
        margin: around each box, as a share of its side.

    Returns:
        float32 ``[batch, 4]``: left, top, width and height as shares of the images' side.
    """
    whole = 1.0 + 2.0 * margin
    corner, sides = edges[:, :2] + margin, 1.0 + edges[:, 2:] - edges[:, :2]
    return tf.concat([corner, sides], axis=1) / whole


def _windows(drawn: tf.Tensor, least: float, most: float, inside: bool) -> tf.Tensor:
    """Makes windows of random area, shape and place.

    Args:
        drawn: float32 ``[count, 4]``, uniform in 0..1: area, shape, left, top.
        least: smallest area, as a share of the image's.
        most: largest.
        inside: no window hangs over an edge, and its sides are 3:4 to 4:3; otherwise it is of
            the image's shape, and its middle lies anywhere.

    Returns:
        float32 ``[count, 4]``, as `rectangles` takes them.
    """
    area, shape, left, top = tf.unstack(drawn, axis=1)
    side = tf.sqrt(least + (most - least) * area)
    if not inside:
        return tf.stack([left - side / 2, top - side / 2, side, side], axis=1)
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


def jitter(
    images: tf.Tensor,
    amounts: tf.Tensor,
    windows: tf.Tensor | None = None,
    boxes: tf.Tensor | None = None,
    size: int | None = None,
) -> tf.Tensor:
    """Zooms, stretches, turns, moves and recolours each image by given amounts.

    What comes in over the edge is the image reflected. All amounts 0 is the identity. All of it,
    boxes and windows included, is one interpolation.

    Args:
        images: uint8 ``[batch, side, side, 3]``, RGB.
        amounts: float32 ``[batch, 10]``, -1..1, in units of JITTERS and in its order.
        windows: float32 ``[batch, 4]``, a part of each changed image that is then enlarged to
            the whole: left, top, width and height as shares of the side; None = all of it.
        boxes: float32 ``[batch, 4]``, a part of each image, told alike, that is taken for the
            image; what comes in over its edge is what lies there. None = all of it.
        size: side of the result in pixels; None = the images'.

    Returns:
        float32 ``[batch, size, size, 3]``, 0..255.
    """
    given = images.shape[1]
    side = given if boxes is None else size or given
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
    if boxes is not None:
        left, top, width, height = tf.unstack(boxes * given, axis=1)
        across, along = width / side, height / side
        x0, y0 = across * x0 + left + (across - 1) / 2, along * y0 + top + (along - 1) / 2
        xx, xy, yx, yy = across * xx, across * xy, along * yx, along * yy
    ways = tf.stack([xx, xy, x0, yx, yy, y0], axis=1)
    moved = tf.numpy_function(_warp, [images, ways, side], tf.float32, stateful=False)
    moved = tf.ensure_shape(moved, (images.shape[0], side, side, 3))
    gains = tf.exp(tf.stack(channels, axis=1) + contrast[:, None])
    offsets = 127.5 * (1.0 - gains) + brightness[:, None]
    # Row by row: see `normalize`.
    gains, offsets = (tf.tile(values, [1, side])[:, None] for values in (gains, offsets))
    recoloured = tf.reshape(moved, [-1, side, 3 * side]) * gains + offsets
    return tf.reshape(tf.clip_by_value(recoloured, 0.0, 255.0), [-1, side, side, 3])
