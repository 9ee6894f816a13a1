"""The three backbones, each with the normalization that its weights expect."""

from collections.abc import Callable
from dataclasses import dataclass

import keras

from deepfashion_tf.models.batch_norm import FusedBatchNormalization
from deepfashion_tf.models.senet import (
    BATCH_NORM_MOMENTUM,
    SERESNET50,
    SERESNEXT50,
    SENetVariant,
    build_senet,
    ends_branch,
)

REPRESENTATIONS = ("logits", "pooled")


@dataclass(frozen=True)
class Backbone:
    """A network family member and the pixels it wants.

    Attributes:
        build: ``(input_shape, name, top) -> keras.Model``.
        normalization: key of ``data.images.NORMALIZATIONS``.
    """

    build: Callable[[tuple, str, bool], keras.Model]
    normalization: str


def _resnet50(input_shape: tuple, name: str, top: bool) -> keras.Model:
    model = keras.applications.ResNet50(
        weights=None,
        include_top=top,
        pooling="avg",
        classifier_activation=None,
        input_shape=input_shape,
        name=name,
    )
    return keras.models.clone_model(model, clone_function=_with_fused_batch_norm)


def _with_fused_batch_norm(layer: keras.layers.Layer) -> keras.layers.Layer:
    if isinstance(layer, keras.layers.BatchNormalization):
        config = {**layer.get_config(), "momentum": BATCH_NORM_MOMENTUM}
        if ends_branch(layer.name):
            config["gamma_initializer"] = "zeros"
        return FusedBatchNormalization.from_config(config)
    return layer.__class__.from_config(layer.get_config())


def _senet(variant: SENetVariant) -> Callable[[tuple, str, bool], keras.Model]:
    return lambda input_shape, name, top: build_senet(variant, input_shape, name, top)


BACKBONES = {
    "resnet50": Backbone(_resnet50, "caffe"),
    "seresnet50": Backbone(_senet(SERESNET50), "torch"),
    "seresnext50": Backbone(_senet(SERESNEXT50), "torch"),
}


def build_backbone(name: str, image_size: int, representation: str = "logits") -> keras.Model:
    """Builds a backbone with random weights.

    Args:
        name: a key of BACKBONES.
        image_size: side of the square input in pixels, at least 32.
        representation: "logits", the 1000-d ImageNet output that the report reads,
            or "pooled", the 2048-d average before it.

    Returns:
        A Functional model: float32 ``[batch, size, size, 3]`` -> ``[batch, 1000 or 2048]``.

    Raises:
        ValueError: an unknown name or representation.
    """
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone {name!r}: one of {', '.join(BACKBONES)}")
    if representation not in REPRESENTATIONS:
        raise ValueError(f"unknown representation {representation!r}: one of {REPRESENTATIONS}")
    return BACKBONES[name].build((image_size, image_size, 3), name, representation == "logits")
