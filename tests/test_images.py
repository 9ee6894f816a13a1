import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deepfashion_tf.data.augment import JITTERS, flip_where, jitter
from deepfashion_tf.data.decode import decode_and_crop
from deepfashion_tf.data.images import normalize, read_crop, squash_resize
from deepfashion_tf.data.normalization import NORMALIZATIONS

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (50, 70, 3), np.uint8)
WHOLE = tf.constant([-1, -1, -1, -1])
BOX = tf.constant([13, 7, 44, 39])


def encoded(kind: str) -> tf.Tensor:
    encode = {"jpeg": tf.io.encode_jpeg, "png": tf.io.encode_png}[kind]
    return encode(tf.constant(PIXELS))


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_crop_equals_slicing(kind):
    whole = decode_and_crop(encoded(kind), WHOLE).numpy()
    assert whole.shape == PIXELS.shape
    crop = decode_and_crop(encoded(kind), BOX).numpy()
    # JPEG upsamples colour across the crop's edge: a grey level or two at the rim.
    tolerance = 0 if kind == "png" else 3
    difference = np.abs(crop.astype(int) - whole[7:39, 13:44])
    assert difference[1:-1, 1:-1].max() <= tolerance
    assert crop.shape == (32, 31, 3)


def test_png_keeps_every_pixel():
    np.testing.assert_array_equal(decode_and_crop(encoded("png"), WHOLE), PIXELS)


def test_grey_pictures_get_three_channels():
    grey = tf.io.encode_jpeg(tf.constant(PIXELS[..., :1]))
    assert decode_and_crop(grey, BOX).shape == (32, 31, 3)


@pytest.mark.parametrize("box", [(0, 0, 71, 50), (-2, 0, 5, 5), (5, 5, 5, 9), (0, 9, 5, 4)])
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_box_that_does_not_fit_is_an_error(kind, box):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_and_crop(encoded(kind), tf.constant(box))


def test_bytes_that_are_no_image_are_an_error():
    for broken in (b"", b"text", encoded("jpeg").numpy()[:200]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode_and_crop(tf.constant(broken), WHOLE)


def test_resize_is_pillows_bilinear():
    """Pillow's filter is what the report's pipeline used; it rounds between its two passes."""
    ours = squash_resize(tf.constant(PIXELS), 16).numpy().astype(int)
    pillow = Image.fromarray(PIXELS).resize((16, 16), Image.Resampling.BILINEAR)
    assert np.abs(ours - np.asarray(pillow)).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(20, 30), (64, 64), (64, 3), (65, 30), (20, 99)])
def test_a_resize_is_the_antialiased_one_whether_it_enlarges_or_not(height, width):
    pixels = RNG.integers(0, 256, (height, width, 3), np.uint8)
    expected = np.round(tf.image.resize(pixels, (64, 64), antialias=True))
    # A mean that lies in the middle of two grey levels may be rounded to either.
    difference = np.abs(squash_resize(tf.constant(pixels), 64).numpy() - expected)
    assert difference.max() <= 1 and difference.mean() < 1e-3


def test_resize_averages_instead_of_picking():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 255
    # The rim has fewer neighbours to average.
    small = squash_resize(tf.constant(stripes), 16).numpy()[1:-1]
    assert np.abs(small.astype(int) - 127).max() < 10


def test_flip_twice_is_the_identity_and_once_is_numpys():
    images, flips = tf.constant(np.stack([PIXELS, 255 - PIXELS])), tf.constant([True, False])
    once = flip_where(images, flips)
    np.testing.assert_array_equal(once, [PIXELS[:, ::-1], 255 - PIXELS])
    np.testing.assert_array_equal(flip_where(once, flips), images)


@pytest.mark.parametrize("name", ["torch", "caffe", "tf"])
def test_normalize_is_keras_preprocessing(name):
    expected = keras.applications.imagenet_utils.preprocess_input(
        PIXELS[None].astype("float32"), mode=name
    )
    ours = normalize(tf.constant(PIXELS[None]), NORMALIZATIONS[name])
    # One multiply-add in float32 against several ops.
    np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_normalizations_without_an_equal_in_keras():
    images = tf.constant(PIXELS[None])
    np.testing.assert_array_equal(normalize(images, NORMALIZATIONS["none"]), PIXELS[None])
    expected = (PIXELS[None].astype("float32") - 127) / 128
    np.testing.assert_allclose(normalize(images, NORMALIZATIONS["lite"]), expected, atol=1e-6)


@pytest.mark.slow
def test_every_op_is_the_same_inside_tf_data():
    def all_ops(data, box, flip):
        images = flip_where(read_crop(data, box, 24)[None], flip[None])
        return normalize(images, NORMALIZATIONS["caffe"])

    data = [encoded("jpeg"), encoded("png")]
    eager = [all_ops(d, BOX, tf.constant(True)) for d in data]
    dataset = tf.data.Dataset.from_tensor_slices((data, [BOX, BOX], [True, True])).map(all_ops)
    for expected, got in zip(eager, dataset, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-5)


def amounts(**values: float) -> tf.Tensor:
    return tf.constant([[values.get(name, 0.0) for name in JITTERS]])


SQUARE = RNG.integers(0, 256, (1, 40, 40, 3), np.uint8)


def test_jitter_by_nothing_is_the_identity():
    np.testing.assert_array_equal(jitter(SQUARE, amounts()), SQUARE)


def test_jitter_moves_right_and_down_by_shares_of_the_side():
    step = 5 / 40 / JITTERS["right"]
    moved = jitter(SQUARE, amounts(right=step)).numpy()
    np.testing.assert_allclose(moved[:, :, 5:], SQUARE[:, :, :-5], atol=1e-2)
    np.testing.assert_allclose(moved[:, :, :5], SQUARE[:, :, 4::-1], atol=1e-2)
    moved = jitter(SQUARE, amounts(down=step)).numpy()
    np.testing.assert_allclose(moved[:, 5:], SQUARE[:, :-5], atol=1e-2)


@pytest.mark.parametrize("name", ["contrast", "brightness", "red", "green", "blue"])
def test_jitter_recolours_around_the_middle_grey(name):
    expected = SQUARE.astype(float)
    factor = np.exp(JITTERS[name] * 0.5)
    if name == "brightness":
        expected += JITTERS[name] * 0.5
    else:
        channels = slice(None) if name == "contrast" else ["red", "green", "blue"].index(name)
        expected[..., channels] = (expected[..., channels] - 127.5) * factor + 127.5
    recoloured = jitter(SQUARE, amounts(**{name: 0.5}))
    np.testing.assert_allclose(recoloured, np.clip(expected, 0, 255), atol=1e-2)


def test_jitter_is_opencvs_affine_map():
    """Zoom, stretch, turn and move at once, against cv2.warpAffine."""
    smooth = cv2.resize(SQUARE[0, :5, :5], (80, 80), interpolation=cv2.INTER_CUBIC)
    zoom, stretch, turn = 0.2, -0.1, 0.15
    values = {"zoom": zoom, "stretch": stretch, "turn": turn}
    ours = jitter(
        smooth[None], amounts(right=0.5, **{k: v / JITTERS[k] for k, v in values.items()})
    )
    there = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    there = np.diag([np.exp(zoom + stretch), np.exp(zoom - stretch)]) @ there
    # Around the centre of the image, where the move to the right begins.
    back = np.linalg.inv(there)
    offset = 39.5 - back @ [39.5, 39.5] - [0.5 * JITTERS["right"] * 80, 0]
    theirs = cv2.warpAffine(
        smooth.astype(np.float32),
        np.column_stack([back, offset]),
        (80, 80),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    # OpenCV rounds positions to 1/32 of a pixel.
    np.testing.assert_allclose(ours[0], theirs, atol=3)
