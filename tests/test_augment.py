import numpy as np
import pytest
import tensorflow as tf

from deepfashion_tf.data.augment import (
    JITTERS,
    Augmentation,
    erase,
    jitter,
    rectangles,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 16, 16, 3)).astype(np.uint8)
KEY = tf.constant([3, 5], tf.int64)
ALL = Augmentation(jitter=0.5, least_crop=0.4, erase=0.5)


def windows(*rows) -> tf.Tensor:
    return tf.constant(rows, tf.float32)


def test_a_rectangle_is_a_slice_of_the_image():
    found = rectangles(windows([0.25, 0.5, 0.5, 0.25], [-0.5, 0, 0.75, 1], [0, 0, 0, 1]), 16)
    expected = np.zeros((3, 16, 16, 3), bool)
    expected[0, 8:12, 4:12] = True
    expected[1, :, :4] = True
    np.testing.assert_array_equal(np.reshape(found, (3, 16, 16, 3)), expected)


def test_a_window_of_a_jittered_image_is_enlarged_to_the_whole():
    none = tf.zeros((6, len(JITTERS)))
    whole = jitter(IMAGES, none, windows(*[[0, 0, 1, 1]] * 6))
    np.testing.assert_allclose(whole, IMAGES, atol=1e-3)
    found = jitter(IMAGES, none, windows(*[[0.25, 0.5, 0.5, 0.5]] * 6)).numpy()
    part = tf.image.resize(IMAGES[:, 8:, 4:12], (16, 16)).numpy()
    # At its edge it sees what lies beyond, which a picture of the part alone does not.
    np.testing.assert_allclose(found[:, 1:-1, 1:-1], part[:, 1:-1, 1:-1], atol=0.01)


def test_what_is_erased_has_one_colour_and_the_rest_stays():
    found = erase(IMAGES, windows(*[[0.5, 0, 0.5, 0.5]] * 6), tf.constant([[1.0, 2, 3]] * 6))
    expected = IMAGES.astype("float32")
    expected[:, :8, 8:] = [1, 2, 3]
    np.testing.assert_array_equal(found, expected)


def test_what_is_drawn_hangs_on_seed_and_epoch_alone():
    one, other = ALL.draw(50, KEY), ALL.draw(50, KEY)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])
        assert not np.array_equal(values, ALL.draw(50, KEY + [0, 1])[name])
        assert not np.array_equal(values, ALL.draw(50, KEY + [1, 0])[name])
    assert Augmentation(flip=False).draw(50, KEY) == {}


def test_each_change_happens_as_often_and_as_far_as_it_is_asked_for():
    drawn = {name: values.numpy() for name, values in ALL.draw(20_000, KEY).items()}
    left, top, width, height = drawn["crops"].T
    assert (width * height).min() + 1e-6 >= 0.4 and (width * height).max() <= 1
    ratio = width / height
    assert 0.74 < ratio.min() < 0.8 and 1.25 < ratio.max() < 1.34
    for start, length in ((left, width), (top, height)):
        assert start.min() >= 0 and (start + length).max() <= 1 + 1e-6
    erased = drawn["erased"][:, 2] > 0
    assert abs(erased.mean() - 0.5) < 0.02
    areas = np.prod(drawn["erased"][erased, 2:], axis=1)
    assert 0.019 < areas.min() < 0.03 and 0.18 < areas.max() < 0.21


def test_a_crop_has_the_area_that_it_was_promised():
    drawn = Augmentation(least_crop=0.95).draw(5000, KEY)["crops"].numpy()
    assert np.prod(drawn[:, 2:], axis=1).min() >= 0.95 - 1e-6 and drawn.max() <= 1 + 1e-6


@pytest.mark.parametrize("in_graph", [False, True])
def test_all_changes_together_keep_the_shape_and_the_range(in_graph):
    drawn = ALL.draw(6, KEY)
    change = tf.function(ALL.change) if in_graph else ALL.change
    found = change(tf.constant(IMAGES), drawn).numpy()
    assert found.shape == IMAGES.shape and found.dtype == np.float32
    assert found.min() >= 0 and found.max() <= 255


@pytest.mark.parametrize(("epoch", "share"), [(0, 0.1), (4, 0.5), (9, 1.0), (30, 1.0)])
def test_the_share_of_images_that_are_erased_grows_with_the_epochs(epoch, share):
    augmentation = Augmentation(flip=False, erase=0.8, grow_epochs=10)
    drawn = augmentation.draw(4000, tf.constant([5, epoch], tf.int64))
    assert np.mean(np.any(drawn["erased"], axis=1)) == pytest.approx(0.8 * share, abs=0.03)
