"""Plain images: JPEG and PNG as nearly all are, which a small graph decodes.

`decode` knows all kinds, and its graph costs half a millisecond an image even where none
of the rare ones comes. The exported model has nothing else; but where Python gives the
bytes, it can turn a rare image into a plain one, by the very same function.
"""

import tensorflow as tf

from deepfashion_tf.data.boxes import Box, enlarged_box, fits, window_around
from deepfashion_tf.data.decode import corners_inside, decode_compiled, decode_jpeg
from deepfashion_tf.data.headers import image_size
from deepfashion_tf.data.split import WHOLE_IMAGE


def make_plain(encoded: bytes, box: Box, padding: float = 0.0) -> tuple[bytes, Box]:
    """Gives an image as one that `decode_plain` decodes to the same pixels.

    The size is known here, so that the box is enlarged here, and no graph has to.

    Args:
        encoded: a file of any kind that `decode_and_crop` decodes.
        box: as there.
        padding: as there.

    Returns:
        What came in with the enlarged box, or a PNG of what is inside it, and the box of a
        whole image.

    Raises:
        ValueError: the image cannot be used; says why.
        tf.errors.OpError: likewise, found out by decoding.
    """
    size = image_size(encoded)
    if isinstance(size, str):
        raise ValueError(f"the image {size}")
    box = enlarged_box(box, size, padding)
    if is_plain(encoded):
        return encoded, box
    pixels = decode_compiled(tf.constant(encoded), tf.constant(box, tf.int32))
    return tf.io.encode_png(pixels, compression=1).numpy(), WHOLE_IMAGE


def make_plain_around(
    encoded: bytes, box: Box, padding: float, margin: float
) -> tuple[bytes, tuple[int, ...]]:
    """Does what `make_plain` does, for a crop with a margin around it.

    Args:
        encoded: as there.
        box: as there.
        padding: as there.
        margin: share of the enlarged box's sides.

    Returns:
        An image, and eight numbers: the box that `decode_plain` takes, and the enlarged box as
        pixels of what it then gives.

    Raises:
        ValueError: as of `make_plain`.
        tf.errors.OpError: likewise.
    """
    size = image_size(encoded)
    if isinstance(size, str):
        raise ValueError(f"the image {size}")
    box = enlarged_box(box, size, padding)
    if box == WHOLE_IMAGE:
        box = (0, 0, *size)
    if not fits(box, size):  # the decoder says so
        return make_plain(encoded, box)[0], (*box, *box)
    window = window_around(box, size, margin)
    place = [int(value) - start for value, start in zip(box, window[:2] * 2, strict=True)]
    encoded, window = make_plain(encoded, window)
    return encoded, (*window, *place)


def is_plain(encoded: bytes) -> bool:
    """Whether an image that `image_size` accepts is upright, opaque and of 8 bits a channel."""
    if encoded.startswith(b"\xff\xd8\xff"):
        return b"Exif\0\0" not in encoded
    is_png = encoded.startswith(b"\x89PNG\r\n\x1a\n")
    # Eight bits of grey or RGB, without a colour that is transparent.
    return (
        is_png
        and encoded[24:26] in (b"\x08\0", b"\x08\2")
        and (b"tRNS" not in encoded and b"eXIf" not in encoded)
    )


def decode_plain(image_bytes: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    """Does what `decode_and_crop` does, for what `make_plain` has made."""

    def from_jpeg() -> tf.Tensor:
        size = tf.io.extract_jpeg_shape(image_bytes)[1::-1]
        start, end = tf.unstack(corners_inside(box, size))
        return decode_jpeg(image_bytes, tf.concat([start[::-1], (end - start)[::-1]], axis=0))

    def from_png() -> tf.Tensor:
        image = tf.io.decode_png(image_bytes, channels=3)
        start, end = tf.unstack(corners_inside(box, tf.shape(image)[1::-1]))
        return image[start[1] : end[1], start[0] : end[0]]

    image = tf.cond(tf.io.is_jpeg(image_bytes), from_jpeg, from_png)
    return tf.ensure_shape(image, (None, None, 3))
