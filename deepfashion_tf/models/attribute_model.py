"""The many-headed model: backbone, optional fully connected layers, one softmax a category."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import keras
import numpy as np
from keras import layers

from deepfashion_tf.models.attention import AttentionPooling
from deepfashion_tf.models.backbones import build_backbone, stage_output
from deepfashion_tf.models.batch_norm import FusedBatchNormalization
from deepfashion_tf.schema import Schema

FC_WIDTHS = (512, 256, 128, 64)
HEADS = ("pooled", "attention")
ATTENDED = (3, 4)  # stages: 8 and 4 places a side at 64 pixels, 28 and 14 at 224


def build_model(
    schema: Schema,
    backbone: str,
    *,
    image_size: int = 224,
    representation: str = "logits",
    fc_layers: int = 0,
    heads: str = "pooled",
    dropout: float = 0.1,
    variant: str | None = None,
    freeze_batch_norm: bool = False,
    sync_batch_norm: bool = True,
    untrained: Collection[str] = (),
    drop_path: float = 0.0,
    any_size: bool = False,
    precision: str = "float32",
) -> keras.Model:
    """Builds the report's model with random weights.

    Args:
        schema: the categories, one head each.
        backbone: a key of BACKBONES.
        image_size: side of the square input in pixels.
        representation: "logits" (1000-d) or "pooled" (2048-d).
        fc_layers: fully connected ReLU layers between backbone and heads: 0, 2 or 4.
        heads: "pooled", which all read the representation, or "attention": each reads, beside
            it, what it looks at itself: see `AttentionPooling`.
        dropout: share dropped before each head, 0 <= dropout < 1.
        variant: key of VARIANTS; None = the backbone's own.
        freeze_batch_norm: in training, too, the backbone normalizes with the moving
            statistics it has, which stay as they are; gamma and beta learn.
        sync_batch_norm: where several replicas train, normalize by the statistics of the
            whole batch instead of each replica's part.
        untrained: categories that no label will teach: their answers are the same for
            all attributes, so that nobody takes chance for knowledge.
        drop_path: of the backbone in training, see `build_senet`.
        any_size: takes images of another size, too; see `final_form`.
        precision: name of the Keras dtype policy of all but the heads: "float32",
            "mixed_bfloat16" or "mixed_float16". Weights are float32 in any.

    Returns:
        A Functional model from normalized images, float32 ``[batch, size, size, 3]``,
        to a dict category -> probabilities, float32 ``[batch, classes]``. The output
        layers bear the categories' names.

    Raises:
        ValueError: an unknown backbone, representation, variant or kind of heads, or another
            `fc_layers`, which heads that look have none of.
    """
    if fc_layers not in (0, 2, 4):
        raise ValueError(f"fc_layers is {fc_layers}: one of 0, 2, 4")
    if heads not in HEADS:
        raise ValueError(f"unknown heads {heads!r}: one of {', '.join(HEADS)}")
    if heads == "attention" and fc_layers:
        raise ValueError(f"fc_layers is {fc_layers}, but heads that look have none: 0")
    side = None if any_size else image_size
    images = keras.Input((side, side, 3), name="images")
    with _dtype_policy(precision):
        network = build_backbone(
            backbone,
            image_size,
            representation,
            variant,
            drop_path=drop_path,
            any_size=any_size,
        )
    if heads == "attention":
        maps = [stage_output(network, stage) for stage in ATTENDED]
        network = keras.Model(network.input, [network.output, *maps], name=backbone)
    for layer in network.layers:
        if isinstance(layer, FusedBatchNormalization):
            layer.freeze_statistics = freeze_batch_norm
            layer.synchronized = sync_batch_norm
    features = network(images)
    for index, width in enumerate(FC_WIDTHS[:fc_layers]):
        features = layers.Dense(width, activation="relu", dtype=precision, name=f"fc{index + 1}")(
            features
        )
    if heads == "attention":
        attention = AttentionPooling(list(schema), dtype=precision, name="attention_pooling")
        of_category = attention(features)
    else:
        of_category = [features] * len(schema)
    outputs = {}
    for (category, attributes), features in zip(schema.items(), of_category, strict=True):
        x = layers.Dropout(dropout, name=f"{category}_dropout")(features)
        # In float32 whatever the precision of the rest: a loss takes logarithms of it.
        outputs[category] = layers.Dense(
            len(attributes),
            activation="softmax",
            kernel_initializer="zeros" if category in untrained else "glorot_uniform",
            dtype="float32",
            name=category,
        )(x)
    return keras.Model(images, outputs, name=f"{backbone}_attributes")


def shared_features(model: keras.Model) -> list[keras.KerasTensor]:
    """Finds what all heads of a model of `build_model` read: its backbone's outputs."""
    names = [layer.name for layer in model.layers]
    # Layers are in the order in which they are computed.
    reader = model.layers[names.index(backbone_of(model).name) + 1]
    return keras.tree.flatten(reader.input)


def backbone_of(model: keras.Model) -> keras.Model:
    """Finds the backbone in a model of `build_model`."""
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def final_form(model: keras.Model, image_size: int) -> keras.Model:
    """Gives a model that computes in float32, with the same weights: itself, if it does so.

    What was trained in 16 bits then answers alike on all machines, many of which have no
    units for them; and one that took images of any size takes those of one size.

    Args:
        model: as `build_model` gives it.
        image_size: side of its images in pixels.
    """

    def change(value: dict) -> dict:
        if value.get("class_name") == "DTypePolicy":
            value["config"]["name"] = "float32"
        if value.get("batch_shape") == [None, None, None, 3]:
            value["batch_shape"] = [None, image_size, image_size, 3]
        return value

    config = json.dumps(keras.saving.serialize_keras_object(model))
    changed = json.dumps(json.loads(config, object_hook=change))
    if changed == config:
        return model
    found = keras.saving.deserialize_keras_object(json.loads(changed))
    copy_values(model, found)
    return found


def copy_values(source: keras.Model, target: keras.Model) -> None:
    """Gives all variables of a model the values of another one's, which has the same layers."""
    for variable, other in zip(target.variables, source.variables, strict=True):
        variable.assign(np.asarray(other))


@contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Makes the layers that are built in the context of a policy; the global one comes back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
