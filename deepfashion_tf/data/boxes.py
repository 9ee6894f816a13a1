"""Boxes enlarged by what surrounds them, and what is wrong with one. No TensorFlow."""

import math

from deepfashion_tf.data.row_boxes import fits
from deepfashion_tf.data.split import WHOLE_IMAGE

Box = tuple[int, int, int, int]


def enlarged_box(box: Box, size: tuple[int, int], padding: float) -> Box:
    """Moves each edge of a box outward by a share of the box's side, as far as the picture goes.

    An edge moves by ``floor(padding * side + 1/2)`` pixels, the side being the box's width for
    left and right and its height for top and bottom: to the nearest whole pixel, in float64,
    which Python and TensorFlow compute alike to the last bit.

    Args:
        box: x1 y1 x2 y2 in half-open pixels of the upright image.
        size: width and height of the upright image.
        padding: share of the box's sides, 0 or more.

    Returns:
        The box. A whole image stays one, and a box that does not fit stays as it is: enlarged
        and cut it would fit, and the decoder is to refuse it.
    """
    x1, y1, x2, y2 = box
    width, height = size
    if not padding or not fits(box, size):
        return box
    right, down = (math.floor(padding * int(side) + 0.5) for side in (x2 - x1, y2 - y1))
    return (
        max(int(x1) - right, 0),
        max(int(y1) - down, 0),
        min(int(x2) + right, width),
        min(int(y2) + down, height),
    )


def box_fault(box: Box, size: tuple[int, int]) -> str | None:
    """Returns why a box is none of an image, None if all is well.

    Args:
        box: x1 y1 x2 y2 in half-open pixels; all -1 = the whole image.
        size: width and height of the upright image.
    """
    if tuple(box) == WHOLE_IMAGE or fits(box, size):
        return None
    spelled = ",".join(map(str, box))
    return f"is {size[0]} x {size[1]} pixels: the box {spelled} is empty or lies outside"
