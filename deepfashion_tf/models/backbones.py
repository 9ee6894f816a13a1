"""Builds the backbones by name."""

import keras

from deepfashion_tf.models.applications import build_application
from deepfashion_tf.models.efficientnet_lite import build_efficientnet_lite
from deepfashion_tf.models.senet import build_senet, pool_padding
from deepfashion_tf.models.variants import (
    Application,
    LiteVariant,
    Variant,
    default_variant,
    find_variant,
    known_backbone,
    layer_name,
    variants_of,
)

REPRESENTATIONS = ("logits", "pooled")
_BUILD = {
    Variant: build_senet,
    LiteVariant: build_efficientnet_lite,
    Application: build_application,
}


def build_backbone(
    name: str,
    image_size: int,
    representation: str = "logits",
    variant: str | None = None,
) -> keras.Model:
    """Builds a backbone with random weights.

    Args:
        name: a key of BACKBONES, or keras:NAME for a network of keras.applications.
        image_size: side of the square input in pixels, at least 32.
        representation: "logits", the 1000-d ImageNet output that the report reads,
            or "pooled", the average of the last feature map before it.
        variant: a key of VARIANTS; None = the backbone's own.

    Returns:
        A Functional model: float32 ``[batch, size, size, 3]`` -> ``[batch, 1000 or channels]``.
        Its name is the backbone's, as `layer_name` gives it.

    Raises:
        ValueError: an unknown name or representation, another backbone's variant, or an image
            that is too small for it.
    """
    try:
        name = known_backbone(name)
    except ValueError as error:
        raise ValueError(f"unknown backbone {name!r}: {error}") from None
    if representation not in REPRESENTATIONS:
        raise ValueError(f"unknown representation {representation!r}: one of {REPRESENTATIONS}")
    variant = variant or default_variant(name)
    if variant not in variants_of(name):
        raise ValueError(
            f"{variant!r} is no variant of {name}: one of {', '.join(variants_of(name))}"
        )
    chosen = find_variant(variant)
    build = _BUILD[type(chosen)]
    return build(chosen, image_size, layer_name(name), representation == "logits")


def fitting_variants(name: str, network: keras.Model) -> list[str]:
    """Lists the variants of a backbone that a network can be of, by what no weight shape tells.

    Args:
        name: as `build_backbone` takes it.
        network: a backbone of this name.
    """
    return [variant for variant in variants_of(name) if _is_of(find_variant(variant), network)]


def _is_of(variant: Variant | LiteVariant | Application, network: keras.Model) -> bool:
    if not isinstance(variant, Variant):
        return True  # the only one of its name
    known = {layer.name: layer for layer in network.layers}
    if not {"conv1_conv", "conv1_bn", "pool1_pad", "conv3_block1_1_conv"} <= set(known):
        return False
    stride = 2 if variant.stride_on == "1x1" else 1
    side = network.input_shape[1]
    has_padding = side is None or known["pool1_pad"].padding == pool_padding(variant, -(-side // 2))
    return (
        known["conv1_conv"].use_bias == variant.bias
        and abs(known["conv1_bn"].epsilon - variant.epsilon) < 1e-12
        and tuple(known["conv3_block1_1_conv"].strides) == (stride, stride)
        and has_padding
    )
