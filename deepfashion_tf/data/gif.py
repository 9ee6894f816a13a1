"""The first frame of a GIF, in TensorFlow, rewritten so that TensorFlow's decoder gets it right."""

import tensorflow as tf

from deepfashion_tf.data.byte_ops import byte_length, bytes_at, part, where64
from deepfashion_tf.data.headers import MAX_PARTS


def first_frame(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes a GIF of the first frame alone, in which what is transparent is white.

    TensorFlow decodes all frames, each as large as it says it is, before it drops all
    but the first; and it paints black what is transparent. So the frames behind the
    first one are cut off, the colour that stands for transparent becomes white, and
    the extension that calls it transparent goes.

    Returns:
        The GIF, and whether its frame fills the image; a file that breaks off before
        the frame ends is returned as an empty one.
    """
    frame, end, control = _find_first_frame(image_bytes)
    screen, head = bytes_at(image_bytes, 0, 13), bytes_at(image_bytes, frame, 10)
    own_table, shared_table = _table_bytes(head[9]), _table_bytes(screen[10])
    fills = tf.reduce_all(head[1:5] == 0) & tf.reduce_all(head[5:9] == screen[6:10])
    rewritten = tf.strings.join(
        [
            part(image_bytes, 0, 13 + shared_table),
            part(image_bytes, frame, end - frame),
            b";",
        ]
    )
    has_own = own_table > 0
    table = where64(has_own, 13 + shared_table + 10, 13)
    table_bytes = where64(has_own, own_table, shared_table)
    extension = bytes_at(image_bytes, control, 8)
    clear = 3 * extension[6]
    is_clear = (control >= 0) & (extension[2] == 4) & (extension[3] % 2 == 1)
    rewritten = tf.cond(
        is_clear & (clear < table_bytes),
        lambda: _replace(rewritten, table + clear, b"\xff\xff\xff"),
        lambda: rewritten,
    )
    return tf.where(end < 0, "", rewritten), fills


def _find_first_frame(image_bytes: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Walks over a GIF's blocks to the end of its first frame.

    Returns:
        Three int64: where the frame begins and where it ends, and where the last
        graphic control extension before it begins; -1 = there is none.
    """
    length = byte_length(image_bytes)
    none = tf.constant(-1, tf.int64)

    def walks_on(position, inside, frame, end, control) -> tf.Tensor:
        return (end < 0) & (position < length)

    def walk(position, inside, frame, end, control) -> tuple[tf.Tensor, ...]:
        head = bytes_at(image_bytes, position, 10)
        is_extension = ~inside & (head[0] == ord("!"))
        is_frame = ~inside & (head[0] == ord(","))
        control = tf.where(is_extension & (head[1] == 0xF9), position, control)
        frame = tf.where(is_frame, position, frame)
        # Inside: blocks with their lengths before them, to the one of length 0.
        closes = inside & (head[0] == 0)
        forward = tf.where(is_frame, 11 + _table_bytes(head[9]), length)
        forward = where64(is_extension, 2, forward)
        position += tf.where(inside, 1 + head[0], forward)
        end = tf.where(closes & (frame >= 0), position, end)
        return position, (inside & ~closes) | is_extension | is_frame, frame, end, control

    shared_table = _table_bytes(bytes_at(image_bytes, 10, 1)[0])
    begin = (13 + shared_table, tf.constant(False), none, none, none)
    _, _, frame, end, control = tf.while_loop(walks_on, walk, begin, maximum_iterations=MAX_PARTS)
    return frame, end, control


def _table_bytes(flags: tf.Tensor) -> tf.Tensor:
    """Returns how long the colour table is that a GIF's flags announce."""
    return where64(flags >= 0x80, tf.bitwise.left_shift(tf.constant(6, tf.int64), flags % 8), 0)


def _replace(image_bytes: tf.Tensor, position: tf.Tensor, text: bytes) -> tf.Tensor:
    rest = byte_length(image_bytes)
    head = part(image_bytes, 0, position)
    return tf.strings.join([head, text, part(image_bytes, position + len(text), rest)])
