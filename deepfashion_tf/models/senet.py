"""Residual networks with and without squeeze and excitation: variants as data.

One block, one assembler. Published weights of "ResNet-50" belong to networks that
differ in where the stride sits and how the stem is pooled, which no weight shape
tells; each such network is an entry of `variants.VARIANTS`.

Reference:
    Hu et al. 2018, Squeeze-and-Excitation Networks (the report's eqs. 2-5).
"""

import keras
from keras import layers

from deepfashion_tf.models.average import MapAverage
from deepfashion_tf.models.batch_norm import FusedBatchNormalization
from deepfashion_tf.models.convolution import Conv2D
from deepfashion_tf.models.grouped_convolution import GroupedConv2D
from deepfashion_tf.models.residual import Residual, Squeeze
from deepfashion_tf.models.variants import Variant

# PyTorch's 0.1: Keras' 0.99 lags behind in runs of a few hundred steps.
BATCH_NORM_MOMENTUM = 0.9


def build_senet(
    variant: Variant,
    image_size: int,
    name: str,
    top: bool,
) -> keras.Model:
    """Assembles a network with random weights.

    Args:
        variant: which network.
        image_size: side of the square input in pixels.
        name: the model's name.
        top: ends in the 1000-d ImageNet output (logits, no softmax) instead of
            the 2048-d average of the last feature map.

    Returns:
        A Functional model; the output of stage s is the layer ``conv{s}_block{last}_out``.
    """
    images = keras.Input((image_size, image_size, 3), name="images")
    x = layers.ZeroPadding2D(3, name="conv1_pad")(images)
    x = _convolve(x, variant, 64, 7, 2, name="conv1")
    x = layers.Activation("relu", name="conv1_relu")(x)
    padding = pool_padding(variant, -(-image_size // 2))
    x = layers.ZeroPadding2D(padding, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, blocks in enumerate(variant.blocks):
        for block in range(blocks):
            x = _bottleneck(
                x,
                variant,
                width=variant.base_width * variant.groups * 2**stage,
                channels=256 * 2**stage,
                strides=2 if stage and not block else 1,
                name=f"conv{stage + 2}_block{block + 1}",
            )
    x = MapAverage(name="avg_pool")(x)
    if top:
        x = layers.Dense(1000, name="predictions")(x)
    return keras.Model(images, x, name=name)


def pool_padding(variant: Variant, side: int) -> tuple:
    """Returns ((top, bottom), (left, right)). What is padded is >= 0, so zeros never win."""
    return ((1, 1),) * 2 if variant.pool == "padded" else ((0, (side - 3) % 2),) * 2


def _convolve(x, variant: Variant, channels: int, kernel_size: int, strides: int, name: str):
    """Convolution, then batch norm."""
    if kernel_size == 3 and strides == 2:
        # "same" would pad even sides at the end alone.
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    padding = "same" if strides == 1 or kernel_size == 1 else "valid"
    x = Conv2D(
        channels,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=variant.bias,
        kernel_initializer="he_uniform",
        name=f"{name}_conv",
    )(x)
    return _normalize(x, variant, name)


def _normalize(x, variant: Variant, name: str):
    # The gamma that ends a branch starts at 0: a block is then the identity, and deep
    # networks start to learn sooner from random weights (Goyal et al. 2017, Accurate,
    # Large Minibatch SGD, section 5.1).
    return FusedBatchNormalization(
        epsilon=variant.epsilon,
        momentum=BATCH_NORM_MOMENTUM,
        gamma_initializer="zeros" if name.endswith("_3") else "ones",
        name=f"{name}_bn",
    )(x)


def _bottleneck(x, variant: Variant, width: int, channels: int, strides: int, name: str):
    shortcut = x
    if strides != 1 or x.shape[-1] != channels:
        shortcut = _convolve(x, variant, channels, 1, strides, name=f"{name}_0")
    first, second = (strides, 1) if variant.stride_on == "1x1" else (1, strides)
    x = _convolve(x, variant, width, 1, first, name=f"{name}_1")
    x = layers.Activation("relu", name=f"{name}_1_relu")(x)
    if variant.groups > 1:
        x = GroupedConv2D(variant.groups, second, name=f"{name}_2_conv")(x)
        x = _normalize(x, variant, f"{name}_2")
    else:
        x = _convolve(x, variant, width, 3, second, name=f"{name}_2")
    x = layers.Activation("relu", name=f"{name}_2_relu")(x)
    x = _convolve(x, variant, channels, 1, 1, name=f"{name}_3")
    branch = _squeeze(x, variant.reduction, name=f"{name}_se") if variant.reduction else [x]
    return Residual(name=f"{name}_out")([shortcut, *branch])


def _squeeze(x, reduction: int, name: str) -> list:
    """Makes factors of channels: what a small network says of their averages.

    ``z = mean(x)`` (eq. 2); ``s = sigmoid(W2 relu(W1 z))`` (eqs. 3-4). `Residual` excites:
    ``x * s`` (eq. 5).

    Returns:
        x and s.
    """
    channels = x.shape[-1]
    x, z = Squeeze(name=f"{name}_squeeze")(x)
    z = layers.Dense(
        channels // reduction,
        activation="relu",
        kernel_initializer="he_uniform",
        name=f"{name}_reduce",
    )(z)
    s = layers.Dense(
        channels,
        activation="sigmoid",
        kernel_initializer="he_uniform",
        name=f"{name}_expand",
    )(z)
    return [x, layers.Reshape((1, 1, channels), name=f"{name}_factors")(s)]
