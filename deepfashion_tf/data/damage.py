"""Damaged JPEGs: those that a decoder completes with grey, and warns of."""

import re

import simplejpeg

DAMAGED = "is a damaged JPEG image: a part of it is missing"
# Of all that the decoder warns of, these mean that pixels are made up.
_LOSS = re.compile(r"premature end|bad huffman code|instead of rst", re.IGNORECASE)


def jpeg_damage(encoded: bytes) -> str | None:
    """Returns whether pixels of a JPEG are missing.

    TensorFlow's decoder fills what is missing with grey, without a word. Here libjpeg-turbo
    decodes the image at an eighth, a third of the cost, and its warnings are looked at. Harmless
    ones, such as stray bytes between segments, are no damage.

    Args:
        encoded: a file of any kind that `image_size` accepts.

    Returns:
        What follows on the file's name in a sentence, None if all is well or it is no JPEG.
    """
    if not encoded.startswith(b"\xff\xd8\xff"):
        return None
    try:
        simplejpeg.decode_jpeg(encoded, "GRAY", True, True, min_height=1, min_width=1)
    except ValueError as error:
        return loss_in(error)
    return None


def loss_in(error: ValueError) -> str | None:
    """Returns what `jpeg_damage` does, of a warning of the decoder."""
    return DAMAGED if _LOSS.search(str(error)) else None
