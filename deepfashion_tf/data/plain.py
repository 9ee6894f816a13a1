"""Plain images: JPEG and PNG as nearly all are, which a small graph decodes.

`decode` knows all kinds, and its graph costs half a millisecond an image even where none
of the rare ones comes. The exported model has nothing else; but where Python gives the
bytes, it can turn a rare image into a plain one, by the same function.
"""

import functools

import numpy as np
import tensorflow as tf

from deepfashion_tf.data.boxes import Box, enlarged_box
from deepfashion_tf.data.conversion import convert, needs_conversion
from deepfashion_tf.data.decode import (
    corners_inside,
    decode_compiled,
    decode_jpeg,
    whole_place,
)
from deepfashion_tf.data.headers import image_size
from deepfashion_tf.data.images import read_crop, squash_part
from deepfashion_tf.data.orientation import jpeg_orientation
from deepfashion_tf.data.split import WHOLE_IMAGE


def make_plain(
    encoded: bytes, box: Box, padding: float = 0.0, size: int | None = None
) -> tuple[bytes, Box]:
    """Returns an image as one that `decode_plain` decodes to the same pixels.

    The size is known here, so that the box is enlarged here, and no graph has to.

    Args:
        encoded: a file of any kind that `decode_and_crop` decodes.
        box: as there.
        padding: as there.
        size: side of the crop that will be made of it; None = it is wanted as it is.

    Returns:
        What came in with the enlarged box, or a PNG of what is inside it, or of the crop, and the
        box of a whole image.

    Raises:
        ValueError: the image cannot be used; says why.
        tf.errors.OpError: likewise, found out by decoding.
    """
    sides = _sides(encoded)
    box = enlarged_box(box, sides, padding)
    if needs_conversion(encoded, sides):
        return convert(encoded, box, size), WHOLE_IMAGE
    if _is_stored_plain(encoded):
        return encoded, box
    decode = _cropper(size) if size else decode_compiled
    pixels = decode(tf.constant(encoded), tf.constant(box, tf.int32))
    return tf.io.encode_png(pixels, compression=1).numpy(), WHOLE_IMAGE


def decode_any(encoded: bytes, box: Box = WHOLE_IMAGE) -> np.ndarray:
    """Decodes an image of any kind that `image_size` accepts, for the eye and for comparison.

    Returns:
        uint8 ``[height, width, 3]``; of a JPEG beyond the pixel limit an eighth of its size.

    Raises:
        ValueError: the image cannot be used.
        tf.errors.OpError: likewise.
    """
    if needs_conversion(encoded):
        encoded, box = convert(encoded, box), WHOLE_IMAGE
    return decode_compiled(tf.constant(encoded), tf.constant(box, tf.int32)).numpy()


def _sides(encoded: bytes) -> tuple[int, int]:
    found = image_size(encoded)
    if isinstance(found, str):
        raise ValueError(f"the image {found}")
    return found


_orientation = tf.function(
    jpeg_orientation, autograph=False, input_signature=[tf.TensorSpec([], tf.string)]
)


@functools.cache
def _cropper(size: int) -> tf.types.experimental.ConcreteFunction:
    return tf.function(
        lambda image_bytes, box: read_crop(image_bytes, box, size),
        autograph=False,
        input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([4], tf.int32)],
    ).get_concrete_function()


def is_plain(encoded: bytes) -> bool:
    """Whether a sound image is sRGB, upright, opaque and of 8 bits a channel."""
    return not needs_conversion(encoded) and _is_stored_plain(encoded)


def _is_stored_plain(encoded: bytes) -> bool:
    if encoded.startswith(b"\xff\xd8\xff"):
        # Most that have EXIF are upright all the same.
        return b"Exif\0\0" not in encoded or int(_orientation(tf.constant(encoded))) == 1
    is_png = encoded.startswith(b"\x89PNG\r\n\x1a\n")
    # Eight bits of grey or RGB, without a colour that is transparent.
    return (
        is_png
        and encoded[24:26] in (b"\x08\0", b"\x08\2")
        and (b"tRNS" not in encoded and b"eXIf" not in encoded)
    )


def plain_crop(image_bytes: tf.Tensor, box: tf.Tensor, size: int) -> tf.Tensor:
    """Does what `read_crop` does, for what `make_plain` has made for a crop of that size."""
    return squash_part(*_decode(image_bytes, box, size), size)


def decode_plain(image_bytes: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    """Does what `decode_and_crop` does, for what `make_plain` has made."""
    return _decode(image_bytes, box, None)[0]


def _decode(
    image_bytes: tf.Tensor, box: tf.Tensor, size: int | None
) -> tuple[tf.Tensor, tf.Tensor]:
    def from_jpeg() -> tuple[tf.Tensor, tf.Tensor]:
        start, end = tf.unstack(corners_inside(box, tf.io.extract_jpeg_shape(image_bytes)[1::-1]))
        window = tf.concat([start[::-1], (end - start)[::-1]], axis=0)
        return decode_jpeg(image_bytes, window, size)

    def from_png() -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_png(image_bytes, channels=3)
        start, end = tf.unstack(corners_inside(box, tf.shape(image)[1::-1]))
        image = image[start[1] : end[1], start[0] : end[0]]
        return image, whole_place(image)

    image, place = tf.cond(tf.io.is_jpeg(image_bytes), from_jpeg, from_png)
    return tf.ensure_shape(image, (None, None, 3)), place
