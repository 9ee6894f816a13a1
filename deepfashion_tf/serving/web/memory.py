"""Estimates the memory that decoding a picture takes, from its header."""

from deepfashion_tf.data.headers import image_size

MOST_BYTES = 300 * 10**6
# Bytes a pixel, measured on 16 million pixels with TensorFlow 2.21, which keeps what it has taken:
# 3 for RGB, 6 for a progressive JPEG, 14 and 18 for 8 and 16 bits with alpha, laid over white.
_PLAIN, _JPEG, _ALPHA = 3, 6, 18


def memory_of(encoded: bytes) -> int:
    """Returns about how many bytes decoding a picture takes; 0 for what is no picture."""
    size = image_size(encoded)
    return 0 if isinstance(size, str) else size[0] * size[1] * _bytes_a_pixel(encoded)


def _bytes_a_pixel(encoded: bytes) -> int:
    if encoded.startswith(b"\xff\xd8"):
        return _JPEG
    if encoded.startswith(b"\x89PNG"):
        return _ALPHA if encoded[25] >= 4 or b"tRNS" in encoded else _PLAIN
    # A lossless WebP may have alpha, and an extended one says whether it has.
    has_alpha = encoded[12:16] == b"VP8L" or (encoded[12:16] == b"VP8X" and encoded[20] & 0x10)
    return _ALPHA if encoded.startswith(b"RIFF") and has_alpha else _PLAIN
