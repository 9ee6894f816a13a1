"""Builds the backbones by name."""

import keras

from deepfashion_tf.models.efficientnet_lite import build_efficientnet_lite
from deepfashion_tf.models.senet import build_senet
from deepfashion_tf.models.variants import BACKBONES, VARIANTS, LiteVariant, variants_of

REPRESENTATIONS = ("logits", "pooled")


def build_backbone(
    name: str,
    image_size: int,
    representation: str = "logits",
    variant: str | None = None,
    **options,
) -> keras.Model:
    """Builds a backbone with random weights.

    Args:
        name: a key of BACKBONES.
        image_size: side of the square input in pixels, at least 32.
        representation: "logits", the 1000-d ImageNet output that the report reads,
            or "pooled", the 2048-d average before it.
        variant: a key of VARIANTS; None = the backbone's own.
        options: ``drop_path`` and ``any_size`` of `build_senet`.

    Returns:
        A Functional model: float32 ``[batch, size, size, 3]`` -> ``[batch, 1000 or 2048]``.

    Raises:
        ValueError: an unknown name or representation, or another backbone's variant.
    """
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone {name!r}: one of {', '.join(BACKBONES)}")
    if representation not in REPRESENTATIONS:
        raise ValueError(f"unknown representation {representation!r}: one of {REPRESENTATIONS}")
    variant = variant or BACKBONES[name]
    if variant not in variants_of(name):
        raise ValueError(
            f"{variant!r} is no variant of {name}: one of {', '.join(variants_of(name))}"
        )
    chosen = VARIANTS[variant]
    build = build_efficientnet_lite if isinstance(chosen, LiteVariant) else build_senet
    return build(chosen, image_size, name, representation == "logits", **options)
