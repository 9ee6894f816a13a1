"""Large JPEGs are decoded no larger than a crop needs: nearly the same pixels in less time."""

import io

import cv2
import numpy as np
import pytest
import tensorflow as tf
from image_files import exif
from PIL import Image

from deepfashion_tf.data.decode import decode_and_crop, decode_for
from deepfashion_tf.data.images import read_crop, squash_resize
from deepfashion_tf.data.plain import is_plain, make_plain, plain_crop

SIZE = 48
WHOLE = (-1, -1, -1, -1)
# Sides that no ratio divides, and the corners of a box that none does.
HEIGHT, WIDTH = 1637, 1283
BOX = (101, 203, 1100, 1513)


def photograph(orientation: int = 1, height: int = HEIGHT, width: int = WIDTH) -> bytes:
    """Makes a JPEG with shapes and noise of all sizes, as photographs have them."""
    rng = np.random.default_rng(0)
    pixels = np.zeros((height, width, 3), np.float32)
    for side in (5, 20, 80, 320, 1280):
        noise = rng.normal(0, 25, (side, side, 3)).astype(np.float32)
        pixels += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    file = io.BytesIO()
    image = Image.fromarray(np.uint8(np.clip(128 + pixels, 0, 255)))
    own = {} if orientation == 1 else {"exif": b"Exif\0\0" + exif(orientation)}
    image.save(file, "JPEG", quality=92, **own)
    return file.getvalue()


def crops(encoded: bytes, box: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Gives the crop, and what it would be of all pixels."""
    image = tf.constant(encoded)
    full = squash_resize(decode_and_crop(image, tf.constant(box)), SIZE)
    return read_crop(image, tf.constant(box), SIZE).numpy().astype(int), full.numpy().astype(int)


@pytest.mark.parametrize("box", [WHOLE, BOX])
@pytest.mark.parametrize("orientation", [1, 2, 3, 6, 8])
def test_a_crop_is_that_of_all_pixels_within_a_grey_level(orientation, box):
    if orientation >= 5 and box != WHOLE:
        box = (box[1], box[0], box[3], box[2])
    encoded = photograph(orientation)
    found, expected = crops(encoded, box)
    difference = np.abs(found - expected)
    # The rim of a box sees a little of what lies beyond it.
    rim = 0 if box == WHOLE else 1
    inner = difference[rim : SIZE - rim, rim : SIZE - rim]
    assert np.quantile(inner, 0.99) <= 1
    assert inner.max() <= 3
    assert difference.max() <= 12


@pytest.mark.parametrize("side", [SIZE, 224])
def test_it_stays_four_times_as_large_as_the_crop(side):
    image, place = decode_for(tf.constant(photograph()), tf.constant(WHOLE), 0.0, side)
    ratio = 4 if side == SIZE else 1
    assert image.shape == (-(-HEIGHT // ratio), -(-WIDTH // ratio), 3)
    np.testing.assert_allclose(place, [0, 0, HEIGHT / ratio, WIDTH / ratio])
    assert min(image.shape[:2]) >= 4 * side


def test_of_a_small_one_all_pixels_are_decoded():
    small = photograph(height=900, width=1000)
    image, _ = decode_for(tf.constant(small), tf.constant(WHOLE), 0.0, 32)
    assert image.shape == (900, 1000, 3)
    found, expected = crops(small, WHOLE)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("box", [WHOLE, BOX])
@pytest.mark.parametrize("orientation", [1, 3])
def test_the_pipeline_reads_it_as_the_export_does(orientation, box):
    encoded = photograph(orientation)
    expected = read_crop(tf.constant(encoded), tf.constant(box), SIZE)
    plain, place = make_plain(encoded, box, size=SIZE)
    np.testing.assert_array_equal(
        plain_crop(tf.constant(plain), tf.constant(place), SIZE), expected
    )
    # One that has to be turned goes on as its crop, in a hundredth of the bytes.
    assert (plain is encoded) == (orientation == 1)


def test_an_upright_one_with_exif_is_plain():
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file, "JPEG", exif=b"Exif\0\0" + exif(1))
    assert b"Exif\0\0" in file.getvalue() and is_plain(file.getvalue())
    assert not is_plain(photograph(6, 16, 16))
