"""Bytes of a file in TensorFlow: read numbers and texts, walk from part to part.

Every place is int64, and may lie outside the file: zeros stand there.
"""

from collections.abc import Callable

import tensorflow as tf

from deepfashion_tf.data.headers import MAX_PARTS

_FAR = 2**40  # behind the end of any file
_HEAD = 12  # bytes of a segment or chunk that tell what it is


def byte_length(image_bytes: tf.Tensor) -> tf.Tensor:
    """Counts the bytes of a file, int64."""
    return tf.cast(tf.strings.length(image_bytes), tf.int64)


def part(image_bytes: tf.Tensor, start: tf.Tensor | int, count: tf.Tensor) -> tf.Tensor:
    """Takes a part of a file, int64 places, as far as the file goes."""
    start = tf.clip_by_value(tf.cast(start, tf.int64), 0, byte_length(image_bytes))
    return tf.strings.substr(image_bytes, start, tf.maximum(count, 0))


def bytes_at(image_bytes: tf.Tensor, position: tf.Tensor | int, count: int) -> tf.Tensor:
    """Reads bytes as int64 ``[count]``, zeros where the file has ended."""
    data = part(image_bytes, position, tf.constant(count, tf.int64))
    return tf.cast(tf.io.decode_raw(data, tf.uint8, fixed_length=count), tf.int64)


def number(data: tf.Tensor, little: tf.Tensor | bool) -> tf.Tensor:
    """Reads the last axis, 2 to 4 bytes as int64, as one unsigned number."""
    weights = tf.constant([256**i for i in range(data.shape[-1])], tf.int64)
    weights = tf.where(little, weights, weights[::-1])
    return tf.reduce_sum(data * weights, axis=-1)


def has_text(data: tf.Tensor, position: int, text: bytes) -> tf.Tensor:
    """Returns whether bytes from `bytes_at` hold a text at a position."""
    return tf.reduce_all(data[position : position + len(text)] == list(text))


def where64(condition: tf.Tensor, yes: tf.Tensor | int, no: tf.Tensor | int) -> tf.Tensor:
    """Does what tf.where does, for int64 and plain numbers, which a graph takes for int32."""
    return tf.where(condition, tf.cast(yes, tf.int64), tf.cast(no, tf.int64))


def occurs(image_bytes: tf.Tensor, text: bytes) -> tf.Tensor:
    """Returns whether a text stands anywhere in a file: 5 µs, where walking takes 80."""
    parts = tf.raw_ops.StringSplitV2(input=[image_bytes], sep=text, maxsplit=1)
    return tf.size(parts.values) > 1


def find_part(
    image_bytes: tf.Tensor,
    start: int,
    matches: Callable[[tf.Tensor], tf.Tensor],
    step: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Walks from part to part of a file.

    Args:
        image_bytes: the file.
        start: where the first part begins.
        matches: tells by a part's first bytes whether it is the one.
        step: tells by them how far it is to the next part.

    Returns:
        Where the part begins, int64; -1 where there is none.
    """
    length = byte_length(image_bytes)

    def walks_on(position: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
        return ~found & (position < length)

    def walk(position: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        head = bytes_at(image_bytes, position, _HEAD)
        found = matches(head)
        return tf.where(found, position, position + step(head)), found

    begin = (tf.constant(start, tf.int64), tf.constant(False))
    position, found = tf.while_loop(walks_on, walk, begin, maximum_iterations=MAX_PARTS)
    return where64(found, position, -1)


def find_segment(image_bytes: tf.Tensor, marker: int, text: bytes) -> tf.Tensor:
    """Finds a JPEG's segment before the pixels by its marker and first bytes; -1 = none."""

    def length(head: tf.Tensor) -> tf.Tensor:
        return number(head[2:4], False)

    def matches(head: tf.Tensor) -> tf.Tensor:
        is_long_enough = length(head) >= len(text) + 2
        return (head[0] == 0xFF) & (head[1] == marker) & has_text(head, 4, text) & is_long_enough

    def step(head: tf.Tensor) -> tf.Tensor:
        is_alone = (head[1] == 0x01) | ((head[1] >= 0xD0) & (head[1] <= 0xD7))
        forward = where64(is_alone, 2, 2 + length(head))
        forward = where64(head[1] == 0xFF, 1, forward)
        pixels_begin = (head[0] != 0xFF) | (head[1] == 0xDA)
        return where64(pixels_begin, _FAR, forward)

    return find_part(image_bytes, 2, matches, step)


def find_chunk(image_bytes: tf.Tensor, name: bytes, before: bytes) -> tf.Tensor:
    """Finds a PNG's chunk that stands before a certain other one; -1 = none."""

    def matches(head: tf.Tensor) -> tf.Tensor:
        return has_text(head, 4, name)

    def step(head: tf.Tensor) -> tf.Tensor:
        forward = 12 + number(head[:4], False)
        return where64(has_text(head, 4, before), _FAR, forward)

    return find_part(image_bytes, 8, matches, step)
