import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deepfashion_tf.data.images import (
    NORMALIZATIONS,
    decode_and_crop,
    flip_where,
    normalize,
    read_crop,
    squash_resize,
)

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


def test_png_keeps_every_pixel_and_drops_alpha(tmp_path):
    np.testing.assert_array_equal(decode_and_crop(encoded("png"), WHOLE), PIXELS)
    rgba = np.concatenate([PIXELS, np.full((50, 70, 1), 9, np.uint8)], axis=-1)
    alpha = decode_and_crop(tf.io.encode_png(tf.constant(rgba)), WHOLE)
    np.testing.assert_array_equal(alpha, PIXELS)


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


def test_resize_averages_instead_of_picking():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 255
    # The rim has fewer neighbours to average.
    small = squash_resize(tf.constant(stripes), 16).numpy()[1:-1]
    assert np.abs(small.astype(int) - 127).max() < 10


def test_flip_twice_is_the_identity_and_once_is_numpys():
    image = tf.constant(PIXELS)
    once = flip_where(image, tf.constant(True))
    np.testing.assert_array_equal(once, PIXELS[:, ::-1])
    np.testing.assert_array_equal(flip_where(once, tf.constant(True)), PIXELS)
    np.testing.assert_array_equal(flip_where(image, tf.constant(False)), PIXELS)


@pytest.mark.parametrize("name", list(NORMALIZATIONS))
def test_normalize_is_keras_preprocessing(name):
    expected = keras.applications.imagenet_utils.preprocess_input(
        PIXELS[None].astype("float32"), mode=name
    )
    ours = normalize(tf.constant(PIXELS[None]), NORMALIZATIONS[name])
    # One multiply-add in float32 against several ops.
    np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_every_op_is_the_same_inside_tf_data():
    def all_ops(data, box, flip):
        image = flip_where(read_crop(data, box, 24), flip)
        return normalize(image, NORMALIZATIONS["caffe"])

    data = [encoded("jpeg"), encoded("png")]
    eager = [all_ops(d, BOX, tf.constant(True)) for d in data]
    dataset = tf.data.Dataset.from_tensor_slices((data, [BOX, BOX], [True, True])).map(all_ops)
    for expected, got in zip(eager, dataset, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-5)
