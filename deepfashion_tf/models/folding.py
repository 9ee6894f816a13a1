"""Batch norm with frozen statistics, computed inside the convolution before it.

With frozen statistics a batch norm is ``x * scale + shift``, and so
``norm(convolve(x, kernel)) = convolve(x, kernel * scale) + shift``. That saves the passes over
whole maps that a batch norm makes, forward and backward, and the convolution, its bias and its
activation become one op in TensorFlow. Kernels, gammas and betas get the same gradients.
"""

import keras
import tensorflow as tf
from keras import layers

from deepfashion_tf.models.convolution import Conv2D


class FoldedConvolution(keras.Layer):
    """Computes a convolution and the batch norm after it, whose statistics are frozen, as one.

    Args:
        convolution: without groups; shared, not copied.
        normalization: shared, too.
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
        scale = norm.gamma * tf.math.rsqrt(norm.moving_variance + norm.epsilon)
        shift = norm.beta - norm.moving_mean * scale
        if convolution.use_bias:
            shift += convolution.bias * scale
        is_depthwise = isinstance(convolution, layers.DepthwiseConv2D)
        kernel = convolution.kernel * (scale[:, None] if is_depthwise else scale)
        kernel = tf.cast(kernel, images.dtype)
        strides = [1, *convolution.strides, 1]
        convolve = tf.nn.depthwise_conv2d if is_depthwise else tf.nn.conv2d
        maps = convolve(images, kernel, strides, convolution.padding.upper())
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


def _is_frozen(layer) -> bool:
    is_norm = isinstance(layer, layers.BatchNormalization)
    return is_norm and (not layer.trainable or getattr(layer, "freeze_statistics", False))


class _Done(keras.Layer):
    """Stands where a batch norm stood, and passes on what its convolution has done."""

    def call(self, images, mask=None):
        return images


def fold_batch_norm(network: keras.Model) -> keras.Model:
    """Builds a network that computes the same, with batch norms inside their convolutions.

    Only batch norms with frozen statistics move, and not behind grouped convolutions.

    Args:
        network: functional, from one tensor of images.

    Returns:
        A network of the same inputs, outputs and variables.
    """
    readers: dict[int, list] = {}
    for operation in network.operations:
        if not isinstance(operation, layers.InputLayer):
            for tensor in keras.tree.flatten(operation.input):
                readers.setdefault(id(tensor), []).append(operation)
    outputs = {id(tensor) for tensor in network.outputs}
    folded = {}
    for layer in network.layers:
        after = readers.get(id(layer.output), []) if not isinstance(layer.output, list) else []
        if (
            type(layer) in (Conv2D, layers.Conv2D, layers.DepthwiseConv2D)
            and len(after) == 1
            and _is_frozen(after[0])
            and id(layer.output) not in outputs
        ):
            folded[id(layer)] = FoldedConvolution(layer, after[0])
            folded[id(after[0])] = _Done(dtype=layer.dtype_policy)

    def replace(layer: keras.Layer) -> keras.Layer:
        return folded.get(id(layer), layer)

    images = keras.Input(network.input.shape[1:], name=network.input.name)
    return keras.models.clone_model(network, input_tensors=images, clone_function=replace)
