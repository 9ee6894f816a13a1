"""How fast the gradients of depthwise convolutions are, beside TensorFlow's own."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from benchmarks.rates import Rate, race, repeated
from deepfashion_tf.models.depthwise_convolution import depthwise_conv2d

# Of EfficientNet-Lite0 at 224 px: side, channels, side of the kernel, stride.
LAYERS = [(56, 144, 5, 2), (28, 240, 5, 1), (28, 240, 3, 2), (14, 672, 5, 1), (7, 1152, 5, 1)]


def benchmark_depthwise(batch_size: int, rounds: int) -> Iterator[tuple[str, Rate, Rate]]:
    """Computes forward pass and both gradients of layers, in turn by TensorFlow and by this.

    Args:
        batch_size: images of a step.
        rounds: how often each is measured.

    Yields:
        For each layer and type: its name, TensorFlow's rate and this project's.
    """
    rng = np.random.default_rng(0)
    for side, channels, size, stride in LAYERS:
        for dtype in (tf.float32, tf.bfloat16):
            images = tf.cast(rng.normal(size=(batch_size, side, side, channels)), dtype)
            kernel = tf.cast(rng.normal(size=(size, size, channels, 1)), dtype)
            strides = [1, stride, stride, 1]
            theirs = _gradients_by(
                lambda i, k, strides=strides: tf.nn.depthwise_conv2d(i, k, strides, "SAME"),
                images,
                kernel,
            )
            ours = _gradients_by(
                lambda i, k, s=stride: depthwise_conv2d(i, k, (s, s), "same"), images, kernel
            )
            *_, rates = race({"TensorFlow": theirs, "deepfashion_tf": ours}, rounds)
            places = f"{side} x {side} x {channels}"
            yield f"{size} x {size}, stride {stride}, {places}, {dtype.name}", *rates


def _gradients_by(convolve: Callable, images: tf.Tensor, kernel: tf.Tensor) -> Callable[[], int]:
    @tf.function
    def gradients(images: tf.Tensor, kernel: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            maps = convolve(images, kernel)
        return tape.gradient(maps, [images, kernel])

    return repeated(lambda: gradients(images, kernel)[1].numpy(), len(images))
