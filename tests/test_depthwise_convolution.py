"""Depthwise convolutions: TensorFlow's results and gradients, by other kernels."""

import gc
import time
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from deepfashion_tf.models.cloning import clone_network
from deepfashion_tf.models.depthwise_convolution import (
    ChannelConv2D,
    DepthwiseConv2D,
    depthwise_conv2d,
)

# Largest error of a gradient, as a share of its largest value: roundings of the type.
TOLERANCES = {"float32": 1e-5, "bfloat16": 2e-2}


def gradients_of(convolve, *variables) -> tuple[tf.Tensor, list[tf.Tensor]]:
    with tf.GradientTape() as tape:
        tape.watch(variables)
        maps = tf.cast(convolve(*variables), tf.float32)
        # Another weight for each place, so that places cannot be mixed up.
        weights = tf.reshape(tf.cast(tf.range(tf.size(maps)) % 7, tf.float32), tf.shape(maps))
        loss = tf.reduce_sum(maps * weights)
    return maps, tape.gradient(loss, variables)


def assert_near(found, expected, dtype: str) -> None:
    expected = np.asarray(expected)
    difference = np.abs(np.asarray(tf.cast(found, tf.float32)) - expected).max()
    assert difference <= TOLERANCES[dtype] * np.abs(expected).max()


# Sides, kernel, stride and padding; odd and even ones, and kernels wider than the map.
CASES = [
    (14, 5, 1, "same"),
    (13, 5, 2, "same"),
    (14, 5, 2, "same"),
    (14, 4, 1, "same"),
    (9, 3, 2, "same"),
    (3, 7, 2, "same"),
    (5, 7, 1, "same"),
    (14, 7, 1, "valid"),
    (15, 6, 2, "valid"),
]


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(("side", "size", "stride", "padding"), CASES)
def test_gradients_are_those_of_tensorflow(side, size, stride, padding, dtype):
    rng = np.random.default_rng(0)
    images = tf.cast(rng.normal(size=(3, side, side, 4)), dtype)
    kernel = tf.cast(rng.normal(size=(size, size, 4, 2)), dtype)

    def convolve(images, kernel):
        return depthwise_conv2d(images, kernel, (stride, stride), padding)

    def reference(images, kernel):
        return tf.nn.depthwise_conv2d(images, kernel, [1, stride, stride, 1], padding.upper())

    traced = tf.function(lambda *given: gradients_of(convolve, *given))
    exact = (tf.cast(given, tf.float32) for given in (images, kernel))
    maps, expected = gradients_of(reference, *exact)
    for found_maps, found in (traced(images, kernel), gradients_of(convolve, images, kernel)):
        assert_near(found_maps, maps, dtype)
        for gradient, wanted in zip(found, expected, strict=True):
            assert gradient.dtype == dtype
            assert_near(gradient, wanted, dtype)


def test_dilated_ones_and_images_of_unknown_sides_are_tensorflows_own():
    rng = np.random.default_rng(0)
    shapes = [(1, 9, 9, 2), (5, 5, 2, 1)]
    given = [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]
    signature = [tf.TensorSpec([None, None, None, 2]), tf.TensorSpec(shapes[1])]
    for dilations in ((1, 1), (2, 2)):

        def convolve(images, kernel, dilations=dilations):
            return depthwise_conv2d(images, kernel, (1, 1), "same", dilations)

        def reference(images, kernel, dilations=dilations):
            return tf.nn.depthwise_conv2d(images, kernel, [1] * 4, "SAME", dilations=dilations)

        traced = tf.function(
            lambda *x, convolve=convolve: gradients_of(convolve, *x)[1], input_signature=signature
        )
        _, expected = gradients_of(reference, *given)
        for found in (traced(*given), gradients_of(convolve, *given)[1]):
            for gradient, wanted in zip(found, expected, strict=True):
                assert_near(gradient, wanted, "float32")


def test_no_graph_outlives_its_function():
    def build() -> weakref.ref:
        kernel = tf.Variable(tf.ones([5, 5, 2, 1]))

        @tf.function
        def step(images):
            return gradients_of(lambda *x: depthwise_conv2d(*x, (1, 1), "same"), images, kernel)

        traced = step.get_concrete_function(tf.TensorSpec([1, 9, 9, 2]))
        return weakref.ref(traced.graph)

    graph = build()
    for _ in range(100):
        # It does nothing while another thread collects.
        gc.collect()
        if graph() is None:
            return
        time.sleep(0.1)
    pytest.fail("the graph is still there")


def depthwise(**options) -> keras.Layer:
    return keras.layers.DepthwiseConv2D(5, depth_multiplier=2, **options)


def in_groups_of_one(**options) -> keras.Layer:
    return keras.layers.Conv2D(8, 5, groups=4, **options)


@pytest.mark.parametrize("options", [{}, {"use_bias": False, "activation": "relu"}])
@pytest.mark.parametrize(
    ("theirs", "ours"), [(depthwise, DepthwiseConv2D), (in_groups_of_one, ChannelConv2D)]
)
def test_a_copied_network_trains_as_keras_own(theirs, ours, options):
    images = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 1)(images)
    x = theirs(padding="same", bias_initializer="ones", **options)(x)
    network = keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))
    copy = clone_network(network, 16, "copy")
    assert [type(layer) for layer in copy.layers].count(ours) == 1
    given = tf.constant(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), tf.float32)
    found = []
    for each in (network, copy):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(each(given, training=True)))
        found.append((loss, tape.gradient(loss, each.trainable_variables)))
    (loss, gradients), (own_loss, own_gradients) = found
    np.testing.assert_allclose(own_loss, loss, rtol=1e-5)
    for gradient, own in zip(gradients, own_gradients, strict=True):
        assert_near(own, gradient, "float32")
