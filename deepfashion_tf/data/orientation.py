"""EXIF orientation in TensorFlow: where it stands in a file, and how to turn the image by it.

The numbers 1 to 8 say how the stored rows and columns have to be turned and
mirrored for people to see the image upright. Only EXIF counts, as in browsers;
Pillow also asks XMP where EXIF is silent.

Reference: CIPA DC-008 (Exif 2.32), tag 0x0112; TIFF 6.0, section 2.
"""

import tensorflow as tf

from deepfashion_tf.data.byte_ops import (
    byte_length,
    bytes_at,
    find_chunk,
    find_part,
    find_segment,
    has_text,
    number,
    occurs,
    part,
    where64,
)
from deepfashion_tf.data.headers import EXIF_BYTES

# Orientation -> swap rows and columns, then mirror left to right, then top to bottom.
_TURNS = (
    (False, False, False),  # there is no 0
    (False, False, False),
    (False, True, False),
    (False, True, True),
    (False, False, True),
    (True, False, False),
    (True, True, False),
    (True, True, True),
    (True, False, True),
)


def jpeg_orientation(image_bytes: tf.Tensor) -> tf.Tensor:
    """Reads a JPEG's orientation, int32, 1 where there is none."""

    def read() -> tf.Tensor:
        position = find_segment(image_bytes, 0xE1, b"Exif\0\0")
        length = number(bytes_at(image_bytes, position + 2, 2), False)
        return _orientation_at(image_bytes, position, 10, length - 8)

    return tf.cond(occurs(image_bytes, b"Exif\0\0"), read, lambda: tf.constant(1))


def png_orientation(image_bytes: tf.Tensor) -> tf.Tensor:
    """Reads a PNG's orientation, int32, 1 where there is none."""

    def read() -> tf.Tensor:
        position = find_chunk(image_bytes, b"eXIf", before=b"IEND")
        length = number(bytes_at(image_bytes, position, 4), False)
        return _orientation_at(image_bytes, position, 8, length)

    return tf.cond(occurs(image_bytes, b"eXIf"), read, lambda: tf.constant(1))


def webp_orientation(image_bytes: tf.Tensor) -> tf.Tensor:
    """Reads the orientation, int32, from an extended WebP's EXIF chunk, 1 where there is none."""

    def matches(head: tf.Tensor) -> tf.Tensor:
        return has_text(head, 0, b"EXIF")

    def step(head: tf.Tensor) -> tf.Tensor:
        length = number(head[4:8], True)
        return 8 + length + length % 2

    def read() -> tf.Tensor:
        position = find_part(image_bytes, 12, matches, step)
        length = number(bytes_at(image_bytes, position + 4, 4), True)
        # Some programs put the JPEG's six bytes before the EXIF data, some do not.
        prefixed = has_text(bytes_at(image_bytes, position + 8, 6), 0, b"Exif\0\0")
        prefix = where64(prefixed, 6, 0)
        return _orientation_at(image_bytes, position, 8 + prefix, length - prefix)

    return tf.cond(occurs(image_bytes, b"EXIF"), read, lambda: tf.constant(1))


def _orientation_at(
    image_bytes: tf.Tensor, position: tf.Tensor, skip: tf.Tensor | int, length: tf.Tensor
) -> tf.Tensor:
    """Reads EXIF data of a length that stands some bytes behind a position, if that is >= 0."""
    length = tf.clip_by_value(where64(position < 0, 0, length), 0, EXIF_BYTES)
    return tiff_orientation(part(image_bytes, position + skip, length))


def tiff_orientation(tiff: tf.Tensor) -> tf.Tensor:
    """Reads the orientation from EXIF data; 1 where it is broken, as in `headers`.

    Args:
        tiff: scalar string, from the byte order on.

    Returns:
        int32, 1 to 8.
    """
    head = bytes_at(tiff, 0, 8)
    little, big = has_text(head, 0, b"II*\0"), has_text(head, 0, b"MM\0*")
    start = number(head[4:], little)
    count = number(bytes_at(tiff, start, 2), little)
    count = tf.minimum(count, tf.maximum(byte_length(tiff) - start - 2, 0) // 12)
    directory = tf.io.decode_raw(part(tiff, start + 2, 12 * count), tf.uint8)
    entries = tf.reshape(tf.cast(directory, tf.int64), [-1, 12])
    kind = number(entries[:, 2:4], little)
    is_long = kind == 4
    # One short or one long. Of two entries the first one counts.
    matches = (number(entries[:, :2], little) == 0x0112) & ((kind == 3) | is_long)
    matches &= number(entries[:, 4:8], little) == 1
    values = tf.where(is_long, number(entries[:, 8:12], little), number(entries[:, 8:10], little))
    values = tf.boolean_mask(values, matches)
    orientation = tf.concat([values, tf.ones([1], tf.int64)], axis=0)[0]
    valid = (little | big) & (orientation >= 1) & (orientation <= 8)
    return tf.cast(where64(valid, orientation, 1), tf.int32)


def stored_window(corners: tf.Tensor, size: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Finds the pixels of a box in the image as it is stored.

    Args:
        corners: int32 ``[2, 2]``, (x1, y1) and (x2, y2) in the upright image, half-open.
        size: int32 ``[2]``, width and height of the upright image.
        orientation: int32, 1 to 8.

    Returns:
        int32 ``[4]``: y, x, height, width.
    """
    turn = tf.gather(tf.constant(_TURNS), orientation)
    corner = tf.where(turn[1:], size - corners[1], corners[0])
    window = tf.stack([corner, corners[1] - corners[0]])
    # The order (y, x) is what an image has whose rows and columns are not swapped.
    return tf.reshape(tf.where(turn[0], window, window[:, ::-1]), [4])


def turned_place(place: tf.Tensor, size: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Finds what of a stored image is where, once `turn_upright` has turned it.

    Args:
        place: float32 ``[4]``: y, x, height, width in the image as it is stored.
        size: int32 ``[2]``, its height and width.
        orientation: int32, 1 to 8.

    Returns:
        float32 ``[4]``: the same in the upright image.
    """
    turn = tf.gather(tf.constant(_TURNS), orientation)
    place, size = tf.reshape(place, [2, 2]), tf.cast(size, tf.float32)
    place = tf.where(turn[0], place[:, ::-1], place)
    size = tf.where(turn[0], size[::-1], size)
    corner = tf.where(turn[:0:-1], size - place[0] - place[1], place[0])
    return tf.concat([corner, place[1]], axis=0)


def turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors an image ``[height, width, channels]`` as its orientation says."""

    def turned() -> tf.Tensor:
        turn = tf.gather(tf.constant(_TURNS), orientation)
        swapped = tf.cond(turn[0], lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        return tf.raw_ops.Reverse(tensor=swapped, dims=tf.stack([turn[2], turn[1], False]))

    return tf.cond(orientation == 1, lambda: image, turned)
