"""Decoding against Pillow, and against the standards where Pillow is wrong."""

import numpy as np
import pytest
import tensorflow as tf
from image_files import (
    ALPHA,
    HEIGHT,
    PIXELS,
    RGB,
    WIDTH,
    as_pillow_shows_it,
    bmp,
    exif,
    jpeg,
    png,
    png_chunk,
    refused,
    save,
    supported,
    with_chunk,
)

from deepfashion_tf.data.decode import decode_and_crop, image_fault
from deepfashion_tf.data.headers import MAX_PIXELS, image_size

WHOLE = tf.constant([-1, -1, -1, -1])
BOX = (5, 3, 17, 26)
SUPPORTED, REFUSED = supported(), refused()
RNG = np.random.default_rng(0)


def decode(encoded: bytes, box=(-1, -1, -1, -1)) -> np.ndarray:
    return decode_and_crop(tf.constant(encoded), tf.constant(box)).numpy()


def error_of(encoded: bytes) -> str:
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        decode(encoded)
    return str(error.value)


def tolerance(name: str) -> int:
    # Over white Pillow and we round an x.5 differently.
    return 1 if "alpha" in name or "rgba" in name else 0


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_file_is_what_pillow_shows(name):
    expected = as_pillow_shows_it(SUPPORTED[name]).astype(int)
    assert np.abs(decode(SUPPORTED[name]) - expected).max() <= tolerance(name)
    assert image_fault(SUPPORTED[name]) is None


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_crop_is_that_part_of_the_upright_image(name):
    x1, y1, x2, y2 = BOX
    whole, crop = decode(SUPPORTED[name]).astype(int), decode(SUPPORTED[name], BOX)
    assert crop.shape == (y2 - y1, x2 - x1, 3)
    # JPEG upsamples colour across the crop's edge: a few grey levels at the rim.
    difference = np.abs(crop - whole[y1:y2, x1:x2])
    assert difference.max() <= (8 if name.startswith("jpeg") else 0)
    assert difference[2:-2, 2:-2].max() <= (1 if name.startswith("jpeg") else 0)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_pillows(orientation, order):
    tiff = exif(orientation, order)
    files = [
        jpeg(orientation, order),
        with_chunk(save(RGB, "PNG"), b"eXIf", tiff, before=b"IDAT"),
        with_chunk(save(RGB, "PNG"), b"eXIf", tiff, before=b"IEND"),
        save(RGB, "WEBP", lossless=True, exif=b"Exif\0\0" + tiff),
        save(RGB, "WEBP", lossless=True, exif=tiff),
    ]
    for encoded in files:
        image, expected = decode(encoded), as_pillow_shows_it(encoded).astype(int)
        assert image.shape == ((WIDTH, HEIGHT, 3) if orientation >= 5 else (HEIGHT, WIDTH, 3))
        assert np.abs(image - expected).max() == 0
        assert image_size(encoded) == image.shape[1::-1]
        x1, y1, x2, y2 = BOX
        crop = decode(encoded, BOX).astype(int)
        assert np.abs(crop - image[y1:y2, x1:x2])[2:-2, 2:-2].max() <= 1


def without_head(entries: bytes) -> bytes:
    return b"II*\0\x08\0\0\0" + entries


BROKEN_EXIF = {
    "nothing": b"",
    "no byte order": b"XX" + exif(6)[2:],
    "a directory behind the end": b"II*\0\xff\xff\xff\xff" + exif(6)[8:],
    "a directory cut off": exif(6)[:-6],
    "more entries than bytes": without_head(b"\xff\xff" + bytes(12)),
    "orientation 0": exif(0),
    "orientation 9": exif(9),
    "two values": exif(6)[:14] + b"\2" + exif(6)[15:],
    "text": exif(6)[:12] + b"\2" + exif(6)[13:],
}


@pytest.mark.parametrize("name", BROKEN_EXIF)
def test_broken_exif_turns_nothing(name):
    encoded = save(RGB, "JPEG", quality=95, exif=b"Exif\0\0" + BROKEN_EXIF[name])
    assert b"Exif\0\0" in encoded
    np.testing.assert_array_equal(decode(encoded), decode(jpeg()))
    assert image_size(encoded) == (WIDTH, HEIGHT)


def test_an_orientation_is_found_behind_other_segments_and_only_in_a_segment():
    plain = jpeg()
    turned = b"\xff\xe1" + (2 + 6 + 26).to_bytes(2, "big") + b"Exif\0\0" + exif(6)
    icc = b"\xff\xe2\xff\xff" + b"\0" * 65533
    comment = b"\xff\xfe" + (2 + len(turned)).to_bytes(2, "big") + turned
    assert decode(plain[:2] + icc * 3 + b"\xff\xff" + turned + plain[2:]).shape[0] == WIDTH
    for hidden in (plain[:2] + comment + plain[2:], plain + turned):
        assert decode(hidden).shape[0] == HEIGHT
        assert image_size(hidden) == (WIDTH, HEIGHT)


def test_of_two_orientations_the_first_counts():
    """Versions of Pillow disagree; both readings here agree."""
    two = b"II*\0\x08\0\0\0\2\0" + exif(6)[10:22] + exif(3)[10:22] + bytes(4)
    first, both = (
        save(RGB, "JPEG", quality=95, exif=b"Exif\0\0" + tiff) for tiff in (exif(6), two)
    )
    np.testing.assert_array_equal(decode(both), decode(first))
    assert image_size(both) == image_size(first) == (HEIGHT, WIDTH)


def test_an_orientation_of_four_bytes_counts():
    long = exif(6)[:12] + b"\4" + exif(6)[13:]
    encoded = save(RGB, "JPEG", quality=95, exif=b"Exif\0\0" + long)
    expected = as_pillow_shows_it(encoded).astype(int)
    assert np.abs(decode(encoded) - expected).max() == 0


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_is_scaled_to_255_and_its_clear_value_is_white(bits):
    """By the PNG standard: Pillow clips 16 bits at 255, and takes clear values for 8 bits."""
    values = RNG.integers(0, 2**bits, (HEIGHT, WIDTH, 1))
    scaled = values >> 8 if bits == 16 else values * 255 // (2**bits - 1)
    np.testing.assert_array_equal(decode(png(values, bits, 0)), np.repeat(scaled, 3, -1))
    clear = int(values[4, 5, 0])
    keyed = png(values, bits, 0, (b"tRNS", clear.to_bytes(2, "big")))
    expected = np.where(values == clear, 255, scaled)
    np.testing.assert_array_equal(decode(keyed), np.repeat(expected, 3, -1))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_clear_colour_is_white(bits):
    values = RNG.integers(0, 3, (HEIGHT, WIDTH, 3)) * (2**bits // 3)
    clear = values[4, 5]
    key = b"".join(int(value).to_bytes(2, "big") for value in clear)
    expected = np.where((values == clear).all(-1, keepdims=True), 255, values >> (bits - 8))
    np.testing.assert_array_equal(decode(png(values, bits, 2, (b"tRNS", key))), expected)


def test_a_broken_clear_value_makes_nothing_clear():
    values = RNG.integers(0, 4, (HEIGHT, WIDTH, 1))
    good = png(values, 2, 0, (b"tRNS", b"\0\1"))
    broken = good.replace(png_chunk(b"tRNS", b"\0\1"), png_chunk(b"tRNS", b"\0\1")[:-1] + b"?")
    assert broken != good
    np.testing.assert_array_equal(decode(broken), np.repeat(values * 85, 3, -1))


def test_what_is_transparent_is_white_and_not_its_hidden_colour():
    hidden = np.dstack([PIXELS, np.zeros((HEIGHT, WIDTH, 1), np.uint8)])
    assert (decode(png(hidden, 8, 6)) == 255).all()
    clear = RGB.quantize(50)
    clear.info["transparency"] = 7
    indices = np.asarray(clear)
    assert (decode(save(clear, "GIF"))[indices == 7] == 255).all()


def test_of_an_animated_gif_only_the_first_frame_is_read():
    """A later frame that says to be of 4 GB would be made room for, were it not cut off."""
    first = SUPPORTED["gif"]
    frame = b",\0\0\0\0\xff\xff\xff\xff\0\x08\x02\x01\x02\0"
    np.testing.assert_array_equal(decode(first[:-1] + frame * 9 + b";"), decode(first))


def test_a_bmp_whose_pixels_begin_in_its_header_is_not_readable():
    encoded = bmp()[:10] + bytes(4) + bmp()[14:]
    assert image_size(encoded) == image_fault(encoded) == "is not a readable image"
    assert "is not a readable image" in error_of(encoded)


def test_bytes_behind_a_bmp_and_its_fourth_channel_do_not_count():
    np.testing.assert_array_equal(decode(bmp(rest=b"\0\0")), PIXELS)
    np.testing.assert_array_equal(decode(bmp(32)), PIXELS)
    assert ALPHA.min() == 0


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_why(name):
    encoded, words = REFUSED[name]
    fault = image_fault(encoded)
    assert words in fault and "save it as" in fault
    assert image_size(encoded) == fault
    # A graph knows the kinds it reads by name, and all the others by none.
    assert fault in error_of(encoded) or "is no JPEG, PNG, GIF, BMP or WebP" in error_of(encoded)


def too_large() -> dict[str, bytes]:
    side = int(MAX_PIXELS**0.5) + 1
    big, little = side.to_bytes(4, "big"), side.to_bytes(4, "little")
    plain = png(np.zeros((1, 1, 1), int), 8, 0)
    header = plain[16:29]
    photo, at = jpeg(), jpeg().index(b"\xff\xc0") + 5
    extended = save(RGB, "WEBP", exif=b"Exif\0\0" + exif(1))
    canvas = (2**14 - 2).to_bytes(3, "little")

    def png_of_size(size: bytes) -> bytes:
        return plain.replace(png_chunk(b"IHDR", header), png_chunk(b"IHDR", size + header[8:]))

    return {
        "png": png_of_size(big * 2),
        "png of the largest numbers": png_of_size(b"\xff" * 8),
        "jpeg": photo[:at] + big[2:] * 2 + photo[at + 4 :],
        "jpeg turned": jpeg(6).replace(photo[at - 5 : at + 4], photo[at - 5 : at] + big[2:] * 2),
        "gif": SUPPORTED["gif"][:6] + little[:2] * 2 + SUPPORTED["gif"][10:],
        "bmp": bmp()[:18] + little * 2 + bmp()[26:],
        "webp": extended[:24] + canvas * 2 + extended[30:],
    }


@pytest.mark.parametrize("name", too_large())
def test_an_image_that_says_to_be_huge_is_not_decoded(name):
    encoded = too_large()[name]
    if name == "gif":  # its frame does not fill the screen, which is looked at first
        assert "first frame" in image_fault(encoded)
    elif name.startswith("jpeg"):  # which would be decoded at an eighth, were it all there
        assert image_fault(encoded) == "is not a readable image"
    else:
        assert "million pixels" in image_fault(encoded)
    assert "million pixels" in error_of(encoded)


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_fault_is_named_for_a_file_cut_off_and_a_box_outside(name):
    encoded = SUPPORTED[name]
    assert image_fault(encoded[: len(encoded) // 2]) == "is not a readable image"
    assert error_of(encoded[: len(encoded) // 2])
    width, height = image_size(encoded)
    assert image_fault(encoded, (0, 0, width, height)) is None
    for box in ((0, 0, width + 1, height), (0, 0, width, height + 1), (-1, 0, 5, 5), (5, 5, 5, 9)):
        assert f"is {width} x {height} pixels" in image_fault(encoded, box)
    assert "lies outside" in image_fault(encoded, (0, 0, 2**70, 5))


def test_bytes_that_are_no_image_are_not_readable():
    for encoded in (b"", b"text", b"\xff\xd8\xff", b"BM", b"GIF89a", b"RIFF1234WEBP"):
        assert "is not a readable image" in image_fault(encoded) or "BMP" in image_fault(encoded)
        assert error_of(encoded)


@pytest.mark.slow
def test_tf_data_and_a_saved_model_decode_alike(tmp_path):
    class Decoder(tf.Module):
        @tf.function(
            autograph=False,
            input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None, 4], tf.int32)],
        )
        def crops(self, files, boxes):
            crop = tf.TensorSpec([None, None, 3], tf.uint8)
            return tf.map_fn(
                lambda item: decode_and_crop(*item), (files, boxes), fn_output_signature=crop
            )

    files = tf.constant(list(SUPPORTED.values()))
    boxes = tf.constant([BOX] * len(SUPPORTED))
    eager = [decode(encoded, BOX) for encoded in SUPPORTED.values()]
    dataset = tf.data.Dataset.from_tensor_slices((files, boxes)).map(decode_and_crop)
    for expected, got in zip(eager, dataset, strict=True):
        np.testing.assert_array_equal(got, expected)
    tf.saved_model.save(Decoder(), str(tmp_path / "saved"))
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_array_equal(saved.crops(files, boxes), eager)
    for encoded, words in REFUSED.values():
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"{words}|is no JPEG"):
            saved.crops(tf.constant([encoded]), tf.constant([BOX]))
