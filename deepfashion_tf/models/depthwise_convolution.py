"""Depthwise convolutions whose gradients are fast on a CPU."""

import keras
import tensorflow as tf

from deepfashion_tf.models.gradients import with_gradient

_WIDTH = 3  # of the widest kernel that oneDNN has a fast gradient for


# Weights files name layers by their class: it has the parent's name for that.
@keras.saving.register_keras_serializable("deepfashion_tf")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Keras' depthwise convolution, with the gradients of `depthwise_conv2d` in training.

    Variables, weights files and the result are those of the parent.
    """

    def call(self, inputs, training=None):
        if not training or self.data_format != "channels_last":
            return super().call(inputs)
        return _train(self, inputs, self.kernel)


@keras.saving.register_keras_serializable("deepfashion_tf")
class ChannelConv2D(keras.layers.Conv2D):
    """Keras' convolution whose groups are single channels, trained as a depthwise convolution.

    Keras' own takes seconds for a step on a CPU. Variables, weights files and the result are those
    of the parent, which does all that is no training.
    """

    def call(self, inputs, training=None):
        if not training or self.data_format != "channels_last" or self.groups != inputs.shape[-1]:
            return super().call(inputs)
        return _train(self, inputs, tf.reshape(self.kernel, [*self.kernel_size, self.groups, -1]))


def _train(layer: keras.Layer, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    kernel = tf.cast(kernel, inputs.dtype)
    maps = depthwise_conv2d(inputs, kernel, layer.strides, layer.padding, layer.dilation_rate)
    if layer.use_bias:
        maps = tf.nn.bias_add(maps, tf.cast(layer.bias, maps.dtype))
    return maps if layer.activation is None else layer.activation(maps)


def depthwise_conv2d(
    images: tf.Tensor,
    kernel: tf.Tensor,
    strides: tuple[int, int],
    padding: str,
    dilations: tuple[int, int] = (1, 1),
) -> tf.Tensor:
    """Computes `tf.nn.depthwise_conv2d`, with gradients that are faster on a CPU.

    oneDNN has no fast gradient of kernels wider than 3. In bfloat16 it has none of images with
    strides above 1 either. This computes the former in columns of 3 and the latter in float32:
    1.7 to 1.9 times as fast in float32 and 5 to 9 times in bfloat16 (docs/benchmarks.md).
    Dilated convolutions and GPUs have TensorFlow's own gradients.

    Args:
        images: float ``[batch, height, width, channels]``.
        kernel: of the same type, ``[height, width, channels, multiplier]``.
        strides: of rows and columns; they are equal.
        padding: "same" or "valid".
        dilations: as `strides`.
    """
    padding = padding.upper()

    def compute(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.nn.depthwise_conv2d(images, kernel, [1, *strides, 1], padding, None, dilations)

    on_gpu = tf.config.list_logical_devices("GPU")
    if on_gpu or max(dilations) > 1 or None in images.shape[1:]:
        return compute(images, kernel)

    @with_gradient
    def convolve(images: tf.Tensor, kernel: tf.Tensor) -> tuple:
        def gradient(of_outputs: tf.Tensor) -> list[tf.Tensor]:
            given = (images, kernel, of_outputs, [1, *strides, 1], padding)
            return [_gradient_of_images(*given), _gradient_of_kernel(*given)]

        return compute(images, kernel), gradient

    return convolve(images, kernel)


def _gradient_of_images(images, kernel, of_outputs, strides, padding: str) -> tf.Tensor:
    in_float32 = images.dtype == tf.bfloat16 and max(strides) > 1
    if in_float32:
        kernel, of_outputs = tf.cast(kernel, tf.float32), tf.cast(of_outputs, tf.float32)
    found = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
        input_sizes=tf.shape(images),
        filter=kernel,
        out_backprop=of_outputs,
        strides=strides,
        padding=padding,
    )
    return tf.cast(found, images.dtype)


def _gradient_of_kernel(images, kernel, of_outputs, strides, padding: str) -> tf.Tensor:
    if kernel.shape[1] <= _WIDTH:
        return tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=images,
            filter_sizes=kernel.shape,
            out_backprop=of_outputs,
            strides=strides,
            padding=padding,
        )
    # TensorFlow's own kernel is the fastest one where strides are above 1, in float32 alone.
    by_tensorflow = max(strides) > 1 and images.dtype == tf.float32
    compute = _by_tensorflow if by_tensorflow else _by_columns
    return compute(images, kernel.shape, of_outputs, strides, padding)


def _by_columns(images, shape, of_outputs, strides: list[int], padding: str) -> tf.Tensor:
    """Computes the gradient of a kernel in columns narrow enough for oneDNN's fast one."""
    (top, bottom), (left, _) = _paddings(images, shape, of_outputs, strides, padding)
    columns = (of_outputs.shape[2] - 1) * strides[2]
    parts = []
    for start in range(0, shape[1], _WIDTH):
        width = min(_WIDTH, shape[1] - start)
        # The columns of the images, 0 beside them, that these columns of the kernel meet.
        first, last = start - left, start - left + columns + width
        part = images[:, :, max(first, 0) : min(last, images.shape[2])]
        beside = (max(-first, 0), max(last - images.shape[2], 0))
        parts.append(
            tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=tf.pad(part, [(0, 0), (top, bottom), beside, (0, 0)]),
                filter_sizes=[shape[0], width, *shape[2:]],
                out_backprop=of_outputs,
                strides=strides,
                padding="VALID",
            )
        )
    return tf.concat(parts, axis=1)


def _by_tensorflow(images, shape, of_outputs, strides: list[int], padding: str) -> tf.Tensor:
    """Computes the gradient of a kernel without oneDNN, which has none for explicit paddings."""
    paddings = _paddings(images, shape, of_outputs, strides, padding)
    return tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
        input=images,
        filter_sizes=shape,
        out_backprop=of_outputs,
        strides=strides,
        padding="EXPLICIT",
        explicit_paddings=[0, 0, *paddings[0], *paddings[1], 0, 0],
    )


def _paddings(images, shape, of_outputs, strides: list[int], padding: str) -> list[tuple[int, int]]:
    """Returns the rows and the columns of 0 on both sides of the images."""
    found = []
    for axis in (1, 2):
        used = (of_outputs.shape[axis] - 1) * strides[axis] + shape[axis - 1]
        missing = max(used - images.shape[axis], 0) if padding == "SAME" else 0
        found.append((missing // 2, missing - missing // 2))
    return found
