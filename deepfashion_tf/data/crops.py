"""Crops without TensorFlow, whose import takes seconds: the same pixels as `images.read_crop`.

JPEGs are decoded by libjpeg-turbo, as TensorFlow does, other kinds by Pillow. Sums of float32 in
another order may change a pixel by one grey level. At the rim of a box in a JPEG it may be some
more: TensorFlow decodes the box alone, without the colours beside it.
"""

import functools

import numpy as np
import simplejpeg

from deepfashion_tf.data.boxes import Box, box_fault, enlarged_box
from deepfashion_tf.data.conversion import ENOUGH, RATIOS, converted, needs_conversion
from deepfashion_tf.data.damage import loss_in
from deepfashion_tf.data.headers import UNREADABLE, exif_orientation, image_size
from deepfashion_tf.data.split import WHOLE_IMAGE

LARGE = 1e6  # pixels above which a JPEG is made smaller
_ROWS = 8  # of the crop that are computed at once
# Multiplications above which OpenBLAS wakes threads, which then wait for those of other images:
# crops took forty times as long.
_PRODUCTS = 2**18

Place = tuple[float, float, float, float]  # y, x, height, width of a box in an array


class CropFault(ValueError):
    """Says why an image cannot be used: what follows on its name in a sentence."""


def crop_of(
    encoded: bytes,
    box: Box,
    side: int,
    padding: float = 0.0,
    accept_damaged: bool = False,
) -> np.ndarray:
    """Decodes an image of any kind, crops it to a box and resizes it to a square.

    Args:
        encoded: a file's contents.
        box: x1 y1 x2 y2 in half-open pixels of the upright image; all -1 = the whole image.
        side: of the crop in pixels.
        padding: share of the box's sides by which it is enlarged, as `enlarged_box` does.
        accept_damaged: whether JPEGs are decoded of which a part is missing.

    Returns:
        uint8 ``[side, side, 3]``, RGB.

    Raises:
        CropFault: the image or the box cannot be used.
    """
    size = image_size(encoded)
    if isinstance(size, str):
        raise CropFault(size)
    if fault := box_fault(box, size):
        raise CropFault(fault)
    box = (0, 0, *size) if tuple(box) == WHOLE_IMAGE else enlarged_box(box, size, padding)
    is_png = encoded.startswith(b"\x89PNG\r\n\x1a\n")
    if is_png and b"IEND\xaeB`\x82" not in encoded:  # cut off, which Pillow does not tell
        raise CropFault(UNREADABLE)
    try:
        if encoded.startswith(b"\xff\xd8\xff") and not needs_conversion(encoded):
            return squash(*_from_jpeg(encoded, box, size, side, accept_damaged), side)
        pixels = converted(encoded, box, side)
    except CropFault:
        raise
    except MemoryError as error:
        raise CropFault("takes more memory than is free") from error
    except Exception as error:  # decoders raise what they like on broken files
        raise CropFault(UNREADABLE) from error
    return squash(*_whole(pixels), side)


def _whole(pixels: np.ndarray) -> tuple[np.ndarray, Place]:
    return pixels, (0, 0, *pixels.shape[:2])


def _from_jpeg(
    encoded: bytes, box: Box, size: tuple[int, int], side: int, accept_damaged: bool
) -> tuple[np.ndarray, Place]:
    """Decodes a JPEG, a large one no larger than the crop needs, as `decode.decode_jpeg` does."""
    height, width, space, _ = simplejpeg.decode_jpeg_header(encoded, strict=False)
    if space in ("CMYK", "YCCK"):
        return _whole(converted(encoded, box))
    across, down = box[2] - box[0], box[3] - box[1]
    is_large = across * down > LARGE
    enough = (r for r in RATIOS if is_large and min(across, down) >= r * ENOUGH * side)
    ratio = next(enough, 1)
    pixels = _decode(encoded, -(-height // ratio), -(-width // ratio), accept_damaged)
    if pixels is None:
        return _whole(converted(encoded, box))
    orientation = exif_orientation(encoded)
    x1, y1, x2, y2 = _stored(box, size, orientation)
    top, left = y1 // ratio, x1 // ratio
    part = pixels[top : -(-y2 // ratio), left : -(-x2 // ratio)]
    place = y1 / ratio - top, x1 / ratio - left, (y2 - y1) / ratio, (x2 - x1) / ratio
    return _upright(part, place, orientation)


def _decode(encoded: bytes, height: int, width: int, accept_damaged: bool) -> np.ndarray | None:
    """Decodes a JPEG as it is stored; None where Pillow is to try, which is more patient."""

    def decode(strict: bool) -> np.ndarray:
        # The exact transform and smooth colours, as TensorFlow, Pillow and browsers.
        return simplejpeg.decode_jpeg(
            encoded, "RGB", False, False, min_height=height, min_width=width, strict=strict
        )

    try:
        return decode(strict=True)
    except ValueError as error:
        if "premature end of jpeg file" in str(error).lower():
            raise CropFault(UNREADABLE) from error
        fault = loss_in(error)
        if fault and not accept_damaged:
            raise CropFault(fault) from error
    try:
        return decode(strict=False)
    except ValueError:
        return None


def _stored(box: Box, size: tuple[int, int], orientation: int) -> Box:
    """Turns a box of the upright image, of (width, height), into one of the image as stored."""
    x1, y1, x2, y2 = map(int, box)
    if orientation in (2, 3, 6, 7):
        x1, x2 = size[0] - x2, size[0] - x1
    if orientation in (3, 4, 7, 8):
        y1, y2 = size[1] - y2, size[1] - y1
    return (y1, x1, y2, x2) if orientation >= 5 else (x1, y1, x2, y2)


def _upright(pixels: np.ndarray, place: Place, orientation: int) -> tuple[np.ndarray, Place]:
    y, x, height, width = place
    if orientation >= 5:
        pixels, y, x, height, width = pixels.swapaxes(0, 1), x, y, width, height
    if orientation in (2, 3, 6, 7):
        pixels, x = pixels[:, ::-1], pixels.shape[1] - x - width
    if orientation in (3, 4, 7, 8):
        pixels, y = pixels[::-1], pixels.shape[0] - y - height
    return pixels, (y, x, height, width)


def squash(pixels: np.ndarray, place: Place, side: int) -> np.ndarray:
    """Resizes a part of an image to a square, as `images.squash_part` does.

    Args:
        pixels: uint8 ``[height, width, 3]``.
        place: of the part; its edges may lie between pixels.
        side: of the square in pixels.

    Returns:
        uint8 ``[side, side, 3]``, bilinear with antialiasing, rounded to whole grey levels.
    """
    y, x, height, width = place
    if (height, width) == (side, side) == pixels.shape[:2]:
        return np.ascontiguousarray(pixels)
    rows = _resize(pixels.reshape(len(pixels), -1), y, height, side)
    turned = rows.reshape(side, -1, 3).swapaxes(0, 1).reshape(-1, side * 3)
    found = _resize(turned, x, width, side).reshape(side, side, 3).swapaxes(0, 1)
    return np.rint(found).astype(np.uint8)


def _resize(rows: np.ndarray, start: float, length: float, side: int) -> np.ndarray:
    """Resizes the first axis of ``[n, columns]``: the triangle filter of ScaleAndTranslate."""
    found = np.empty((side, rows.shape[1]), np.float32)
    for first, low, weights in _bands(start, length, side, len(rows)):
        some = rows[low : low + weights.shape[1]].astype(np.float32)
        band = found[first : first + len(weights)]
        width = (_PRODUCTS - 1) // weights.size or 1
        for left in range(0, rows.shape[1], width):
            part = slice(left, left + width)
            np.matmul(weights, some[:, part], out=band[:, part])
    return found


@functools.lru_cache(maxsize=256)  # many photographs of a shop have the same size
def _bands(start: float, length: float, side: int, count: int) -> list[tuple[int, int, np.ndarray]]:
    """Returns the weights of a resizing in bands, since each result is a mean of few rows.

    Returns:
        For each band its first row in the result, its first row in what is resized, and weights
        ``[rows of the result, rows of what is resized]``.
    """
    step = np.float32(length) / np.float32(side)
    reach = max(step, np.float32(1))
    centres = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * step + np.float32(start)
    found = []
    for first in range(0, side, _ROWS):
        some = centres[first : first + _ROWS]
        low = max(int(np.ceil(some[0] - reach - 0.5)), 0)
        high = min(int(np.floor(some[-1] + reach - 0.5)) + 1, count)
        distance = np.abs(np.arange(low, high, dtype=np.float32) + np.float32(0.5) - some[:, None])
        weights = np.maximum(1 - distance / reach, 0, dtype=np.float32)
        weights /= weights.sum(axis=1, keepdims=True)
        found.append((first, low, weights))
    return found
