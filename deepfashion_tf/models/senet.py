"""Residual networks with and without squeeze and excitation: variants as data.

One block, one assembler: bottlenecks without biases, batch norm epsilon 1e-5.
Published weights of "ResNet-50" belong to networks that differ in where the stride
sits and how the stem is pooled, which no weight shape tells; each such network is
a line of `SENetVariant` below.

Reference:
    Hu et al. 2018, Squeeze-and-Excitation Networks (the report's eqs. 2-5).
"""

from dataclasses import dataclass

import keras
from keras import layers

from deepfashion_tf.models.batch_norm import FusedBatchNormalization
from deepfashion_tf.models.grouped_convolution import GroupedConv2D


@dataclass(frozen=True)
class SENetVariant:
    """What tells one network of the family from another.

    Attributes:
        blocks: bottleneck blocks in each of the four stages.
        groups: groups of the 3 x 3 convolution.
        base_width: channels of one group in the first stage.
        stride_on: which convolution of a stage's first bottleneck carries the
            stride, "1x1" or "3x3". No weight shape tells the two apart.
        pool: the stem's 3 x 3 pooling: "padded" by 1, or "ceil": not padded, but
            for a last window that may hang over the right and lower edge.
        reduction: the squeeze's reduction ratio; None = no squeeze and excitation.
    """

    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    groups: int = 1
    base_width: int = 64
    stride_on: str = "3x3"
    pool: str = "padded"
    reduction: int | None = 16


# classification_models; the SE-ResNeXt-50 is timm's as well.
SERESNET50 = SENetVariant(stride_on="1x1")
SERESNEXT50 = SENetVariant(groups=32, base_width=4)
# Cadene's, which timm calls legacy: the report's own.
LEGACY_SERESNET50 = SENetVariant(stride_on="1x1", pool="ceil")
LEGACY_SERESNEXT50 = SENetVariant(groups=32, base_width=4, pool="ceil")
# timm and torchvision.
TIMM_RESNET50 = SENetVariant(reduction=None)
TIMM_SERESNET50 = SENetVariant()

_EPSILON = 1e-5
# PyTorch's 0.1: Keras' 0.99 lags behind in runs of a few hundred steps.
BATCH_NORM_MOMENTUM = 0.9


def build_senet(variant: SENetVariant, input_shape: tuple, name: str, top: bool) -> keras.Model:
    """Assembles a network with random weights.

    Args:
        variant: which network.
        input_shape: ``(height, width, 3)``.
        name: the model's name.
        top: ends in the 1000-d ImageNet output (logits, no softmax) instead of
            the 2048-d average of the last feature map.

    Returns:
        A Functional model; the output of stage s is the layer ``conv{s}_block{last}_out``.
    """
    images = keras.Input(input_shape, name="images")
    x = layers.ZeroPadding2D(3, name="conv1_pad")(images)
    x = _convolve(x, 64, 7, 2, name="conv1")
    x = layers.Activation("relu", name="conv1_relu")(x)
    x = layers.ZeroPadding2D(_pool_padding(variant, x), name="pool1_pad")(x)
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
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if top:
        x = layers.Dense(1000, name="predictions")(x)
    return keras.Model(images, x, name=name)


def _pool_padding(variant: SENetVariant, x) -> tuple:
    """Gives ((top, bottom), (left, right)). What is padded is >= 0, so zeros never win."""
    if variant.pool == "padded":
        return ((1, 1), (1, 1))
    return tuple((0, (side - 3) % 2) for side in x.shape[1:3])


def _convolve(x, channels: int, kernel_size: int, strides: int, name: str):
    """Convolution without bias, then batch norm."""
    if kernel_size == 3 and strides == 2:
        # "same" would pad even sides at the end alone.
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    padding = "same" if strides == 1 or kernel_size == 1 else "valid"
    x = layers.Conv2D(
        channels,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_uniform",
        name=f"{name}_conv",
    )(x)
    return _normalize(x, name)


def _normalize(x, name: str):
    return FusedBatchNormalization(
        epsilon=_EPSILON,
        momentum=BATCH_NORM_MOMENTUM,
        gamma_initializer="zeros" if ends_branch(name) else "ones",
        name=f"{name}_bn",
    )(x)


def ends_branch(name: str) -> bool:
    """Says of a layer's name whether it ends a block's branch; its gamma starts at 0.

    A block is then the identity at first, and deep networks start to learn sooner
    from random weights (Goyal et al. 2017, Accurate, Large Minibatch SGD, section 5.1).
    """
    return name.removesuffix("_bn").endswith("_3")


def _bottleneck(x, variant: SENetVariant, width: int, channels: int, strides: int, name: str):
    shortcut = x
    if strides != 1 or x.shape[-1] != channels:
        shortcut = _convolve(x, channels, 1, strides, name=f"{name}_0")
    first, second = (strides, 1) if variant.stride_on == "1x1" else (1, strides)
    x = _convolve(x, width, 1, first, name=f"{name}_1")
    x = layers.Activation("relu", name=f"{name}_1_relu")(x)
    if variant.groups > 1:
        x = GroupedConv2D(variant.groups, second, name=f"{name}_2_conv")(x)
        x = _normalize(x, f"{name}_2")
    else:
        x = _convolve(x, width, 3, second, name=f"{name}_2")
    x = layers.Activation("relu", name=f"{name}_2_relu")(x)
    x = _convolve(x, channels, 1, 1, name=f"{name}_3")
    if variant.reduction:
        x = _squeeze_and_excite(x, variant.reduction, name=f"{name}_se")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def _squeeze_and_excite(x, reduction: int, name: str):
    """Scales channels by what a small network says of their averages.

    ``z = mean(x)`` (eq. 2); ``s = sigmoid(W2 relu(W1 z))`` (eqs. 3-4); ``x * s`` (eq. 5).
    """
    channels = x.shape[-1]
    z = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
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
    return layers.Multiply(name=f"{name}_scale")([x, s])
