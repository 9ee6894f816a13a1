"""Batch norm with frozen statistics, computed inside the convolution before it.

With frozen statistics a batch norm is ``x * scale + shift``, and so
``norm(convolve(x, kernel)) = convolve(x, kernel * scale) + shift``. That saves the passes over
whole maps that a batch norm makes, forward and backward, and the convolution, its bias and its
activation become one op in TensorFlow. Kernels, gammas and betas get the same gradients.
"""

from collections import Counter

import keras
import tensorflow as tf
from keras import layers

from deepfashion_tf.models.batch_norm import FusedBatchNormalization
from deepfashion_tf.models.convolution import Conv2D
from deepfashion_tf.models.depthwise_convolution import DepthwiseConv2D, depthwise_conv2d
from deepfashion_tf.models.graph import calls_of


class FoldedConvolution(keras.Layer):
    """Computes a convolution and the batch norm after it, whose statistics are frozen, as one.

    Args:
        convolution: one that `_can_fold`; shared, not copied.
        normalization: of its channels; shared, too.
    """

    def __init__(
        self,
        convolution: layers.Conv2D | layers.DepthwiseConv2D,
        normalization: layers.BatchNormalization,
    ) -> None:
        super().__init__(dtype=convolution.dtype_policy, name=f"{convolution.name}_folded")
        self.convolution, self.normalization = convolution, normalization
        self.built = True

    def call(self, images):
        convolution, norm = self.convolution, self.normalization
        scale = tf.math.rsqrt(norm.moving_variance + norm.epsilon)
        if norm.gamma is not None:
            scale *= norm.gamma
        shift = -norm.moving_mean * scale
        if norm.beta is not None:
            shift += norm.beta
        if convolution.use_bias:
            shift += convolution.bias * scale
        kernel, convolve = convolution.kernel, tf.nn.conv2d
        if isinstance(convolution, layers.DepthwiseConv2D):
            # [rows, columns, channels, multiplier]: those of one channel are side by side.
            scale, convolve = tf.reshape(scale, kernel.shape[2:]), depthwise_conv2d
        maps = convolve(
            images,
            tf.cast(kernel * scale, images.dtype),
            convolution.strides,
            convolution.padding.upper(),
            dilations=convolution.dilation_rate,
        )
        return tf.nn.bias_add(maps, tf.cast(shift, images.dtype))

    def compute_output_shape(self, shape) -> tuple:
        return self.convolution.compute_output_shape(shape)


def fold_model(model: keras.Model) -> keras.Model:
    """Does `fold_batch_norm` to the networks inside a model; it shares all layers else.

    Args:
        model: functional, such as `build_model` makes.
    """

    def replace(layer: keras.Layer) -> keras.Layer:
        is_network = isinstance(layer, keras.Model) and not isinstance(layer.output, dict)
        return fold_batch_norm(layer) if is_network else layer

    return keras.models.clone_model(model, clone_function=replace)


def _can_fold(layer: keras.Operation) -> bool:
    """Whether a layer is a convolution and nothing else, in no groups."""
    return (
        type(layer) in (Conv2D, DepthwiseConv2D, layers.Conv2D, layers.DepthwiseConv2D)
        and (isinstance(layer, layers.DepthwiseConv2D) or layer.groups == 1)
        and layer.activation is keras.activations.linear
        and layer.data_format == "channels_last"
    )


def _is_frozen(layer: keras.Operation) -> bool:
    """Whether a layer is a batch norm of channels with statistics that training does not change."""
    is_norm = type(layer) in (FusedBatchNormalization, layers.BatchNormalization)
    is_frozen = is_norm and (not layer.trainable or getattr(layer, "freeze_statistics", False))
    return is_frozen and layer.axis in (-1, 3)


class _Done(keras.Layer):
    """Stands where a batch norm stood, and passes on what its convolution has done."""

    def call(self, images, mask=None):
        return images


def fold_batch_norm(network: keras.Model) -> keras.Model:
    """Builds a network that computes the same, with batch norms inside their convolutions.

    Only batch norms with frozen statistics move, and only behind a convolution without groups and
    activation whose output they alone read.

    Args:
        network: functional, from one tensor of images.

    Returns:
        A network of the same inputs, outputs and variables.
    """
    calls = calls_of(network)
    readers: dict[int, list[keras.Operation]] = {}
    for call in calls:
        for tensor in call.inputs:
            readers.setdefault(id(tensor), []).append(call.operation)
    times = Counter(id(call.operation) for call in calls)
    outputs = {id(tensor) for tensor in network.outputs}
    folded = {}
    for call in calls:
        layer, after = call.operation, readers.get(id(call.outputs[0]), [])
        if (
            _can_fold(layer)
            and len(after) == 1
            and _is_frozen(after[0])
            # One kernel for two batch norms, or the reverse, would be folded twice.
            and times[id(layer)] == times[id(after[0])] == 1
            and id(call.outputs[0]) not in outputs
        ):
            folded[id(layer)] = FoldedConvolution(layer, after[0])
            folded[id(after[0])] = _Done(dtype=layer.dtype_policy)

    def replace(layer: keras.Layer) -> keras.Layer:
        return folded.get(id(layer), layer)

    images = keras.Input(network.input.shape[1:], name=network.input.name)
    return keras.models.clone_model(network, input_tensors=images, clone_function=replace)
