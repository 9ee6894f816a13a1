import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from deepfashion_tf.data.augment import (
    JITTERS,
    Augmentation,
    erase,
    jitter,
    mix,
    moved_boxes,
    rectangles,
    soft_labels,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 16, 16, 3)).astype(np.uint8)
KEY = tf.constant([3, 5], tf.int64)
ALL = Augmentation(rand_augment=0.4, jitter=0.5, least_crop=0.4, erase=0.5, mixup=0.3, cutmix=0.4)


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


MARGIN = 4  # pixels around boxes of 8


def moved(*edges: float, **options) -> np.ndarray:
    """Changes the inner 8 x 8 pixels of each image by moves of the edges, told in pixels."""
    drawn = {"amounts": tf.zeros((6, len(JITTERS))), "edges": windows(*[edges] * 6) / 8}
    return Augmentation(box_jitter=0.5).change(IMAGES, drawn | options, 8, MARGIN / 8).numpy()


def test_a_box_that_does_not_move_is_the_image_without_its_margin():
    np.testing.assert_allclose(moved(0, 0, 0, 0), IMAGES[:, 4:12, 4:12], atol=1e-3)
    found = moved_boxes(windows([0, 0, 0, 0], [-0.5, 0.25, 0.5, 0.25]), 0.5)
    np.testing.assert_allclose(found, [[0.25, 0.25, 0.5, 0.5], [0, 0.375, 1, 0.5]])


def test_edges_that_move_show_what_lies_there():
    np.testing.assert_allclose(moved(-3, 2, -3, 2), IMAGES[:, 6:14, 1:9], atol=1e-3)
    left, right = moved(-4, 0, 0, 0), moved(0, 0, 4, 0)
    for found, part in ((left, IMAGES[:, 4:12, :12]), (right, IMAGES[:, 4:12, 4:])):
        smaller = tf.image.resize(part, (8, 8)).numpy()  # bilinear, each pixel at its middle
        np.testing.assert_allclose(found, smaller, atol=1e-2)
    inward = tf.image.resize(IMAGES[:, 6:10, 4:12], (8, 8)).numpy()
    np.testing.assert_allclose(moved(0, 2, 0, -2)[:, 1:-1], inward[:, 1:-1], atol=1e-2)


def test_a_window_of_a_moved_box_is_one_of_what_the_box_shows():
    found = moved(-3, 2, -3, 2, crops=windows(*[[0.5, 0.25, 0.5, 0.5]] * 6))
    part = tf.image.resize(IMAGES[:, 8:12, 5:9], (8, 8)).numpy()
    # At its edge it sees what lies beyond, which a picture of the part alone does not.
    np.testing.assert_allclose(found[:, 1:-1, 1:-1], part[:, 1:-1, 1:-1], atol=0.01)


def test_boxes_that_move_change_nothing_else_that_is_drawn():
    with_boxes = dataclasses.replace(ALL, box_jitter=0.2).draw(20_000, KEY)
    edges = with_boxes.pop("edges").numpy()
    for name, values in ALL.draw(20_000, KEY).items():
        np.testing.assert_array_equal(values, with_boxes.pop(name))
    assert not with_boxes
    # Uniform, each edge on its own.
    assert np.abs(edges).max() <= 0.2 and np.abs(edges.mean(axis=0)).max() < 0.005
    assert np.abs(np.cov(edges.T) - np.eye(4) * 0.2**2 / 3).max() < 0.001
    amounts = Augmentation(box_jitter=0.2).draw(50, KEY)["amounts"]
    assert not np.any(amounts)


def test_what_is_erased_has_one_colour_and_the_rest_stays():
    found = erase(IMAGES, windows(*[[0.5, 0, 0.5, 0.5]] * 6), tf.constant([[1.0, 2, 3]] * 6))
    expected = IMAGES.astype("float32")
    expected[:, :8, 8:] = [1, 2, 3]
    np.testing.assert_array_equal(found, expected)


def test_mixed_images_are_shares_of_two():
    nothing = windows(*[[0, 0, 0, 0]] * 6)
    shares = tf.constant(RNG.uniform(size=6), tf.float32)
    mixed, left = mix(IMAGES, shares, nothing)
    np.testing.assert_array_equal(left, shares)
    own, other = IMAGES.astype("float32"), np.roll(IMAGES, 1, axis=0).astype("float32")
    share = shares.numpy()[:, None, None, None]
    np.testing.assert_allclose(mixed, share * own + (1 - share) * other, atol=1e-3)

    mixed, left = mix(IMAGES, tf.ones(6), windows(*[[0.5, 0.5, 1, 1]] * 6))
    np.testing.assert_array_equal(left, np.full(6, 0.75))
    own[:, 8:, 8:] = other[:, 8:, 8:]
    np.testing.assert_array_equal(mixed, own)


def test_the_labels_of_mixed_images_are_shares_too():
    found = soft_labels(tf.constant([1, -1, 0]), tf.constant([0.75, 0.5, 1.0]), 3)
    # The one before the first is the last; what is not labelled has no share.
    np.testing.assert_array_equal(found, [[0.25, 0.75, 0], [0, 0.5, 0], [1, 0, 0]])


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
    laid, cut = drawn["shares"] < 1, drawn["windows"][:, 2] > 0
    assert abs(laid.mean() - 0.3) < 0.02 and abs(cut.mean() - 0.4) < 0.02
    assert not (laid & cut).any()
    # Beta(0.4, 0.4) has the variance 1 / (4 (2 * 0.4 + 1)).
    assert abs(drawn["shares"][laid].var() - 1 / 7.2) < 0.005
    assert abs(np.prod(drawn["windows"][cut, 2:], axis=1).mean() - 0.5) < 0.02


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
