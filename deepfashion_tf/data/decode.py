"""Files to pixels in TensorFlow: upright, over white, RGB, and only where the box is.

All is made of TensorFlow's ops, so that an exported model decodes as training did.
Where its decoders get a kind of file wrong, the file is prepared for them, or
refused by a sentence from `headers`, which refuses the same files by their headers.
"""

import tensorflow as tf

from deepfashion_tf.data.boxes import Box, box_fault, enlarged_box
from deepfashion_tf.data.byte_ops import (
    bytes_at,
    find_chunk,
    find_segment,
    has_text,
    number,
    occurs,
    part,
    where64,
)
from deepfashion_tf.data.conversion import ENOUGH, RATIOS, convert, needs_conversion
from deepfashion_tf.data.crops import LARGE
from deepfashion_tf.data.gif import first_frame
from deepfashion_tf.data.headers import (
    ANIMATED_WEBP,
    BARE_CMYK,
    MAX_PIXELS,
    OTHER_KIND,
    PACKED_BMP,
    PARTIAL_GIF,
    TOO_LARGE,
    UNREADABLE,
    image_size,
)
from deepfashion_tf.data.orientation import (
    jpeg_orientation,
    png_orientation,
    stored_window,
    turn_upright,
    turned_place,
    webp_orientation,
)
from deepfashion_tf.data.split import WHOLE_IMAGE

_HEAD = 64  # bytes that hold all that is asked of a header at a fixed place


@tf.autograph.experimental.do_not_convert  # there is nothing to convert, and looking takes seconds
def decode_and_crop(image_bytes: tf.Tensor, box: tf.Tensor, padding: float = 0.0) -> tf.Tensor:
    """Decodes a JPEG, PNG, GIF, BMP or WebP file and crops it; a JPEG only where the box is.

    The image is upright as its EXIF orientation says, and what is transparent is
    white. Of an animated GIF it is the first frame.

    Args:
        image_bytes: scalar string, the file as it is.
        box: int32 ``[4]``, x1 y1 x2 y2 in half-open pixels of the upright image;
            all -1 = the whole image.
        padding: share of the box's sides by which it is enlarged, as `enlarged_box` does.

    Returns:
        uint8 ``[height, width, 3]``, RGB.

    Raises:
        tf.errors.InvalidArgumentError: not an image, one of a kind that is refused
            (the message holds a sentence that says why), or a box outside it.
    """
    return decode_for(image_bytes, box, padding, None)[0]


@tf.autograph.experimental.do_not_convert
def decode_for(
    image_bytes: tf.Tensor, box: tf.Tensor, padding: float, size: int | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Does what `decode_and_crop` does, a large JPEG no larger than a crop of it needs.

    Args:
        image_bytes: as there.
        box: as there.
        padding: as there.
        size: side of the crop that is made of it; None = as large as it is.

    Returns:
        uint8 ``[height, width, 3]``, and float32 ``[4]``: y, x, height, width of the box in it.
        They are whole numbers, and the box is all of it, where nothing was made smaller.

    Raises:
        tf.errors.InvalidArgumentError: as there.
    """
    image, place = tf.cond(
        tf.io.is_jpeg(image_bytes),
        lambda: _from_jpeg(image_bytes, box, padding, size),
        lambda: _from_other(image_bytes, box, padding),
    )
    return tf.ensure_shape(image, (None, None, 3)), place


# For callers outside a graph: op by op it takes four times as long.
decode_compiled = tf.function(
    lambda image_bytes, box: decode_and_crop(image_bytes, box),
    autograph=False,
    input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([4], tf.int32)],
)


def image_fault(encoded: bytes, box: Box | None = None, padding: float = 0.0) -> str | None:
    """Returns why an image cannot be used, whatever the bytes are.

    Args:
        encoded: a file's contents.
        box: as in `decode_and_crop`; None = the whole image.
        padding: as there.

    Returns:
        What follows on the file's name in a sentence, None if all is well.
    """
    size = image_size(encoded)
    if isinstance(size, str):
        return size
    box = WHOLE_IMAGE if box is None else tuple(int(value) for value in box)
    if fault := box_fault(box, size):
        return fault
    if box != WHOLE_IMAGE:
        box = enlarged_box(box, size, padding)
    try:
        if needs_conversion(encoded):
            convert(encoded, box)
        else:
            decode_compiled(tf.constant(encoded), tf.constant(box, tf.int32))
    except ValueError:
        return UNREADABLE
    except (tf.errors.ResourceExhaustedError, MemoryError):
        return "takes more memory than is free"
    except tf.errors.OpError:
        return UNREADABLE
    return None


# One op in the graph each: the ops of a branch that is not taken cost time all the same,
# and most files are JPEGs without EXIF. The padding is a number of Python, so that there is
# nothing of it in the graph where there is none.
_kept_apart = tf.function(autograph=False, experimental_attributes={"_noinline": True})


def _from_jpeg(
    image_bytes: tf.Tensor, box: tf.Tensor, padding: float, size: int | None
) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.io.extract_jpeg_shape(image_bytes)
    # As float32, which a product of two 16-bit numbers does not overflow.
    pixels = tf.reduce_prod(tf.cast(shape[:2], tf.float32))
    is_plain = (pixels < MAX_PIXELS) & (shape[2] != 4) & ~occurs(image_bytes, b"Exif\0\0")

    def decode() -> tuple[tf.Tensor, tf.Tensor]:
        corners = corners_inside(box, shape[1::-1], padding)
        window = tf.concat([corners[0, ::-1], (corners[1] - corners[0])[::-1]], axis=0)
        return decode_jpeg(image_bytes, window, size)

    return tf.cond(is_plain, decode, lambda: _from_special_jpeg(image_bytes, box, padding, size))


def decode_jpeg(
    image_bytes: tf.Tensor, window: tf.Tensor, size: int | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a part of a JPEG as it is stored; the window is y, x, height, width.

    A large one is made two, four or eight times smaller by the decoder itself, which leaves
    out what it need not compute, as long as it stays four times as large as the crop: there
    hardly a pixel of the crop is more than one grey level from what it would be.

    Args:
        image_bytes: scalar string.
        window: int32 ``[4]``.
        size: as of `decode_for`.

    Returns:
        As `decode_for` does.
    """

    def decode(ratio: int) -> tuple[tf.Tensor, tf.Tensor]:
        start = window[:2] // ratio
        end = (window[:2] + window[2:] + ratio - 1) // ratio
        # The exact transform is what Pillow and browsers use; TensorFlow's default is up to
        # seven grey levels away from it, and no faster on today's processors.
        image = tf.io.decode_and_crop_jpeg(
            image_bytes,
            tf.concat([start, end - start], axis=0),
            channels=3,
            ratio=ratio,
            dct_method="INTEGER_ACCURATE",
        )
        place = tf.cast(window, tf.float32) / ratio
        return image, tf.concat([place[:2] - tf.cast(start, tf.float32), place[2:]], axis=0)

    if size is None:
        return decode(1)
    sides = tf.cast(window[2:], tf.float32)
    fit = tf.reduce_min(sides) >= ENOUGH * size * tf.constant(RATIOS, tf.float32)
    steps = tf.reduce_sum(tf.cast(fit & (tf.reduce_prod(sides) > LARGE), tf.int32))
    return tf.switch_case(
        steps, [lambda ratio=ratio: decode(ratio) for ratio in (1, *RATIOS[::-1])]
    )


@_kept_apart
def _from_special_jpeg(
    image_bytes: tf.Tensor, box: tf.Tensor, padding: float, size: int | None
) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.io.extract_jpeg_shape(image_bytes)
    image_bytes = _require_pixels(tf.cast(shape[:2], tf.int64), image_bytes)

    # Pillow and browsers take all CMYK for inverted, TensorFlow only what Adobe's marker says is.
    def has_marker() -> tf.Tensor:
        return find_segment(image_bytes, 0xEE, b"Adobe") >= 0

    is_sure = tf.cond(shape[2] == 4, has_marker, lambda: tf.constant(True))
    image_bytes = _require(is_sure, BARE_CMYK, image_bytes)
    orientation = jpeg_orientation(image_bytes)
    window = _window(box, shape[1::-1], orientation, padding)
    image, place = decode_jpeg(image_bytes, window, size)
    place = turned_place(place, tf.shape(image)[:2], orientation)
    return turn_upright(image, orientation), place


@_kept_apart
def _from_other(
    image_bytes: tf.Tensor, box: tf.Tensor, padding: float
) -> tuple[tf.Tensor, tf.Tensor]:
    head = bytes_at(image_bytes, 0, _HEAD)
    is_webp = has_text(head, 0, b"RIFF") & has_text(head, 8, b"WEBP")
    is_gif = has_text(head, 0, b"GIF87a") | has_text(head, 0, b"GIF89a")
    kinds = [has_text(head, 0, b"\x89PNG\r\n\x1a\n"), is_gif, has_text(head, 0, b"BM"), is_webp]
    known = tf.reduce_any(kinds)
    image_bytes = _require(known, OTHER_KIND, image_bytes)
    decoders = [_decode_png, _decode_gif, _decode_bmp, _decode_webp]
    image, orientation = tf.switch_case(
        tf.argmax(kinds, output_type=tf.int32),
        [lambda decode=decode: decode(image_bytes, head) for decode in decoders],
    )
    window = _window(box, tf.shape(image)[1::-1], orientation, padding)
    y, x, height, width = tf.unstack(window)
    image = turn_upright(_over_white(image[y : y + height, x : x + width]), orientation)
    return image, whole_place(image)


def whole_place(image: tf.Tensor) -> tf.Tensor:
    """Returns the place, as of `decode_for`, of a box that is the whole image."""
    return tf.concat([tf.zeros(2), tf.cast(tf.shape(image)[:2], tf.float32)], axis=0)


def _decode_png(image_bytes: tf.Tensor, head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    image_bytes = _require(has_text(head, 8, b"\0\0\0\x0dIHDR"), UNREADABLE, image_bytes)
    size = tf.stack([number(head[16:20], False), number(head[20:24], False)])
    image_bytes = _require_pixels(size, image_bytes)
    colours = head[25]  # 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha

    def has_clear_colour() -> tf.Tensor:
        return find_chunk(image_bytes, b"tRNS", before=b"IDAT") >= 0

    def decode(channels: int) -> tf.Tensor:
        return tf.io.decode_png(image_bytes, channels=channels)

    def with_clear_colour() -> tf.Tensor:
        image = decode(4)
        # Where libpng ignores a broken tRNS, it sets alpha to 1 for 1 bit, 3 for 2, 15 for 4.
        alpha = tf.cast(image[..., 3:] > 0, tf.uint8) * 255
        return tf.concat([image[..., :3], alpha], axis=-1)

    is_keyed = ((colours == 0) | (colours == 2)) & occurs(image_bytes, b"tRNS")
    is_keyed = tf.cond(is_keyed, has_clear_colour, lambda: tf.constant(False))
    # Of a palette, 0 channels are 4 or 3 as it has transparent colours or not. Of 16 bits,
    # TensorFlow takes the upper 8, as Pillow does for RGB; grey of 16 bits Pillow clips at 255.
    image = tf.switch_case(
        tf.where(is_keyed, 1, tf.where(colours >= 4, 2, tf.where(colours == 3, 0, 3))),
        [lambda: decode(0), with_clear_colour, lambda: decode(4), lambda: decode(3)],
    )
    return image, png_orientation(image_bytes)


def _decode_gif(image_bytes: tf.Tensor, head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    size = tf.stack([number(head[6:8], True), number(head[8:10], True)])
    frame, fills = first_frame(_require_pixels(size, image_bytes))
    frame = _require(tf.strings.length(frame) > 0, UNREADABLE, frame)
    frame = _require(fills, PARTIAL_GIF, frame)
    return tf.io.decode_gif(frame)[0], tf.constant(1)


def _decode_bmp(image_bytes: tf.Tensor, head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    pixels_at, header = number(head[10:14], True), number(head[14:18], True)
    bits = number(head[28:30], True)
    # TensorFlow takes palettes for grey and does not look for compression.
    is_plain = (header >= 40) & (number(head[30:34], True) == 0) & ((bits == 24) | (bits == 32))
    image_bytes = _require(is_plain, PACKED_BMP, image_bytes)
    image_bytes = _require(pixels_at >= 14 + header, UNREADABLE, image_bytes)
    size = tf.stack([number(head[18:22], True), number(head[22:26], True)])
    size = tf.where(size < 2**31, size, 2**32 - size)  # negative: the rows go downwards
    image_bytes = _require_pixels(size, image_bytes)
    # Some programs add bytes at the end, which TensorFlow does not allow.
    row = (size[0] * bits // 8 + 3) // 4 * 4
    image_bytes = part(image_bytes, 0, pixels_at + row * size[1])
    # The fourth byte of 32 is not defined, and shown by nobody.
    return tf.io.decode_bmp(image_bytes, channels=3), tf.constant(1)


def _decode_webp(image_bytes: tf.Tensor, head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    is_extended = has_text(head, 12, b"VP8X")
    flags = where64(is_extended, head[20], 0)
    # TensorFlow 2.21 writes past the end of its memory where an animation has no alpha.
    image_bytes = _require(flags // 2 % 2 == 0, ANIMATED_WEBP, image_bytes)
    lossless = number(head[21:25], True)
    size = tf.where(
        has_text(head, 12, b"VP8L"),
        tf.stack([lossless % 2**14, lossless // 2**14 % 2**14]) + 1,
        tf.stack([number(head[26:28], True), number(head[28:30], True)]) % 2**14,
    )
    extended = tf.stack([number(head[24:27], True), number(head[27:30], True)]) + 1
    image_bytes = _require_pixels(tf.where(is_extended, extended, size), image_bytes)
    image = tf.io.decode_image(image_bytes, channels=0, expand_animations=False)
    orientation = tf.cond(
        flags // 8 % 2 == 1, lambda: webp_orientation(image_bytes), lambda: tf.constant(1)
    )
    return image, orientation


def _over_white(image: tf.Tensor) -> tf.Tensor:
    """Lays an image ``[height, width, 3 or 4]`` with or without alpha over white."""

    def blend() -> tf.Tensor:
        # uint16 holds 255 * 255 and takes half of what float32 takes.
        colours, alpha = tf.cast(image[..., :3], tf.uint16), tf.cast(image[..., 3:], tf.uint16)
        return tf.cast((colours * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)

    return tf.cond(tf.shape(image)[2] == 4, blend, lambda: image)


def _window(
    box: tf.Tensor, stored_size: tf.Tensor, orientation: tf.Tensor, padding: float
) -> tf.Tensor:
    """Returns y, x, height, width of a box in the image as it is stored."""
    size = tf.where(orientation >= 5, stored_size[::-1], stored_size)
    return stored_window(corners_inside(box, size, padding), size, orientation)


def corners_inside(box: tf.Tensor, size: tf.Tensor, padding: float = 0.0) -> tf.Tensor:
    """Returns (x1, y1) and (x2, y2), int32 ``[2, 2]``, of a box in an image of (width, height).

    The box itself has to lie inside; then it is enlarged by `padding`.
    """
    whole = tf.stack([tf.zeros_like(size), size])
    corners = tf.where(tf.reduce_all(box == -1), whole, tf.reshape(box, [2, 2]))
    inside = (corners[0] >= 0) & (corners[0] < corners[1]) & (corners[1] <= size)
    message = "the box (x1, y1, x2, y2) has no area or lies outside the image (width, height)"
    check = tf.debugging.Assert(tf.reduce_all(inside), [message, box, size])
    with tf.control_dependencies([check]):
        corners = tf.identity(corners)
    return enlarged_corners(corners, size, padding) if padding else corners


def enlarged_corners(corners: tf.Tensor, size: tf.Tensor, padding: float) -> tf.Tensor:
    """Does what `enlarged_box` does, for (x1, y1) and (x2, y2), int32 ``[2, 2]``, that fit."""
    sides = tf.cast(corners[1] - corners[0], tf.float64)
    moves = tf.cast(tf.floor(padding * sides + 0.5), tf.int32)
    return tf.stack([tf.maximum(corners[0] - moves, 0), tf.minimum(corners[1] + moves, size)])


def _require_pixels(size: tf.Tensor, image_bytes: tf.Tensor) -> tf.Tensor:
    """Passes a file on whose width and height, int64, make no more pixels than allowed."""
    # Two 32-bit numbers may be too much for int64.
    pixels = tf.reduce_prod(tf.cast(size, tf.float64))
    return _require(pixels <= MAX_PIXELS, TOO_LARGE, image_bytes)


def _require(condition: tf.Tensor, sentence: str, value: tf.Tensor) -> tf.Tensor:
    """Passes a value on, once a condition holds."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [f"the image {sentence}"])]):
        return tf.identity(value)
