"""Builds the backbones by name."""

import keras

from deepfashion_tf.models.applications import build_application
from deepfashion_tf.models.efficientnet_lite import build_efficientnet_lite
from deepfashion_tf.models.senet import build_senet
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
    **options,
) -> keras.Model:
    """Builds a backbone with random weights.

    Args:
        name: a key of BACKBONES, or keras:NAME for a network of keras.applications.
        image_size: side of the square input in pixels, at least 32.
        representation: "logits", the 1000-d ImageNet output that the report reads,
            or "pooled", the average of the last feature map before it.
        variant: a key of VARIANTS; None = the backbone's own.
        options: ``drop_path`` and ``any_size`` of `build_senet`.

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
    return build(chosen, image_size, layer_name(name), representation == "logits", **options)
