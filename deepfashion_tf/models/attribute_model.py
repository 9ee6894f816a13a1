"""The many-headed model: backbone, optional fully connected layers, one softmax a category."""

import json
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager

import keras
import numpy as np
from keras import layers

from deepfashion_tf.models.attention import AttentionPooling
from deepfashion_tf.models.average import MapAverage
from deepfashion_tf.models.backbones import build_backbone
from deepfashion_tf.models.cloning import batch_norms, clone_network
from deepfashion_tf.models.stages import layers_up_to, stage_maps
from deepfashion_tf.models.standardization import Standardization
from deepfashion_tf.schema import Schema

FC_WIDTHS = (512, 256, 128, 64)
HEADS = ("logits", "pooled", "multiscale", "attention")
WHOLE_BACKBONE = -1  # as `freeze_stages`


def build_model(
    schema: Schema,
    backbone: str | keras.Model,
    *,
    image_size: int | None = None,
    fc_layers: int = 0,
    heads: str = "logits",
    dropout: float = 0.1,
    variant: str | None = None,
    untrained: Collection[str] = (),
    precision: str = "float32",
) -> keras.Model:
    """Builds the report's model with random weights, or on a backbone of your own.

    A backbone of your own gives a copy of its weights, and takes the pixels that it was trained
    on. The model normalizes nothing that the backbone does not:

        import keras
        import deepfashion_tf as df

        backbone = keras.applications.MobileNetV3Small((64, 64, 3), include_top=False, weights=None)
        model = df.build_model(df.builtin_schema(), backbone)
        model.predict(keras.random.uniform((2, 64, 64, 3), 0, 255))["fabric"].shape  # (2, 6)

    Args:
        schema: the categories, one head each.
        backbone: a key of BACKBONES, keras:NAME for a network of keras.applications, or a
            functional Keras model of one image input. "logits" and "pooled" heads read what it
            gives: feature maps, averaged over their places, or features ``[batch, width]``.
        image_size: side of the square input in pixels. None = that of your own backbone, or 224.
        fc_layers: fully connected ReLU layers between backbone and heads: 0, 2 or 4.
        heads: "logits": all read the 1000-d ImageNet output; "pooled": the average of the last
            feature map; "multiscale": beside it the averages of the maps that end the stages from
            an eighth of the image's side on, standardized; "attention": each reads, beside it, its
            own weighted averages of two of these maps: see `AttentionPooling`.
        dropout: share dropped before each head, 0 <= dropout < 1.
        variant: key of VARIANTS; None = the backbone's own.
        untrained: categories that no label will teach: their answers are the same for
            all attributes, so that nobody takes chance for knowledge.
        precision: name of the Keras dtype policy of all but the heads: "float32",
            "mixed_bfloat16" or "mixed_float16". Weights are float32 in any.

    Returns:
        A Functional model from normalized images, float32 ``[batch, size, size, 3]``, to a dict
        category -> probabilities, float32 ``[batch, classes]``. Output layers have these names.

    Raises:
        ValueError: an unknown backbone, variant or kind of heads; another `fc_layers`, which
            attention heads have none of; an image too small; or a backbone of your own that is no
            functional model from one image to feature maps or features.
    """
    _check_heads(heads, fc_layers)
    network = _network(backbone, image_size, heads, variant, precision)
    images = keras.Input(network.input_shape[1:], name="images")
    of_category = _read_by_heads(network(images), schema, heads, fc_layers, precision)
    outputs = {
        category: _softmax_head(category, len(schema[category]), dropout, category in untrained)(x)
        for category, x in zip(schema, of_category, strict=True)
    }
    return keras.Model(images, outputs, name=f"{network.name}_attributes")


def _check_heads(heads: str, fc_layers: int) -> None:
    if fc_layers not in (0, 2, 4):
        raise ValueError(f"fc_layers is {fc_layers}: one of 0, 2, 4")
    if heads not in HEADS:
        raise ValueError(f"unknown heads {heads!r}: one of {', '.join(HEADS)}")
    if heads == "attention" and fc_layers:
        raise ValueError(f"fc_layers is {fc_layers}, but attention heads have none: 0")


def _network(
    backbone: str | keras.Model,
    image_size: int | None,
    heads: str,
    variant: str | None,
    precision: str,
) -> keras.Model:
    """Builds the backbone, with the feature maps that heads read among its outputs."""
    if not isinstance(backbone, str) and variant:
        raise ValueError("a backbone of your own has no variant")
    with _dtype_policy(precision):
        if isinstance(backbone, str):
            output = "logits" if heads == "logits" else "pooled"
            network = build_backbone(backbone, image_size or 224, output, variant)
        else:
            network = clone_network(backbone, image_size or _side_of(backbone) or 224, "backbone")
    if heads in ("multiscale", "attention"):
        maps = _maps_of(network, heads)
        network = keras.Model(network.input, [network.output, *maps], name=network.name)
    for layer in batch_norms(network):
        # Of several replicas: by the statistics of the whole batch.
        layer.synchronized = True
    return network


def _softmax_head(
    category: str, classes: int, dropout: float, is_untrained: bool
) -> Callable[[keras.KerasTensor], keras.KerasTensor]:
    drop = layers.Dropout(dropout, name=f"{category}_dropout")
    # In float32 whatever the precision of the rest: a loss takes logarithms of it.
    dense = layers.Dense(
        classes,
        activation="softmax",
        kernel_initializer="zeros" if is_untrained else "glorot_uniform",
        dtype="float32",
        name=category,
    )
    return lambda features: dense(drop(features))


def _read_by_heads(features, schema: Schema, heads: str, fc_layers: int, precision: str) -> list:
    """Returns what the head of each category reads, of what the backbone returns."""
    if heads == "multiscale":
        pooled, *maps = keras.tree.flatten(features)
        averages = [
            MapAverage(dtype=precision, name=f"average_{number}")(each)
            for number, each in enumerate(maps)
        ]
        if averages:
            features = layers.Concatenate(dtype="float32", name="multiscale")([*averages, pooled])
        features = Standardization(dtype="float32", name="standardization")(features)
    for index, width in enumerate(FC_WIDTHS[:fc_layers]):
        features = layers.Dense(width, activation="relu", dtype=precision, name=f"fc{index + 1}")(
            features
        )
    if heads == "attention":
        return AttentionPooling(list(schema), dtype=precision, name="attention_pooling")(features)
    return [features] * len(schema)


def _side_of(network: keras.Model) -> int | None:
    shape = getattr(network, "input_shape", None)
    return shape[1] if isinstance(shape, tuple) and len(shape) == 4 else None


def _maps_of(network: keras.Model, heads: str) -> list[keras.KerasTensor]:
    """Finds the feature maps that heads read beside the last one's average, the finest first."""
    stages = stage_maps(network)
    if heads == "multiscale":
        chosen = [stage for stage in stages if 2 < stage < max(stages)]
    else:
        sides = {each.shape[1]: stage for stage, each in stages.items() if stage > 2}
        chosen = sorted(sides.values())[:2]  # the last of each side
        if not chosen:
            raise ValueError(
                f"attention heads read maps of an eighth of the image's side or less, and the "
                f"network {network.name} has none"
            )
    return [stages[stage] for stage in chosen]


def freeze(model: keras.Model, stages: int = 0, batch_norm: bool = False) -> None:
    """Keeps parts of a model's backbone as they are while it is trained.

    Args:
        model: of `build_model`.
        stages: the first stages, up to this number, are not trained; 0 = all are, -1 = none is.
            Other negative numbers count from the last stage: -3 = the last two stages are trained.
        batch_norm: normalize with the moving statistics in training, too, which stay as they are;
            gamma and beta learn.

    Raises:
        ValueError: the backbone has no such stage.
    """
    network = backbone_of(model)
    for layer in batch_norms(network):
        layer.freeze_statistics = batch_norm
    train_from(network, stages)


def train_from(network: keras.Model, freeze_stages: int) -> None:
    """Makes a backbone trainable, but for its first stages.

    Args:
        network: of `build_model`.
        freeze_stages: as `freeze` takes it.

    Raises:
        ValueError: the network has no such stage.
    """
    network.trainable = freeze_stages != WHOLE_BACKBONE
    if freeze_stages not in (0, WHOLE_BACKBONE):
        for layer in layers_up_to(network, freeze_stages):
            layer.trainable = False


def shared_features(model: keras.Model) -> list[keras.KerasTensor]:
    """Finds what all heads of a model of `build_model` read: its backbone's outputs."""
    names = [layer.name for layer in model.layers]
    if "standardization" in names:
        return [model.get_layer("standardization").input]
    # Layers are in the order in which they are computed.
    reader = model.layers[names.index(backbone_of(model).name) + 1]
    return keras.tree.flatten(reader.input)


def feature_extractor(model: keras.Model) -> keras.Model | None:
    """Makes the part of a model that no head has weights in, from images to one vector.

    Returns:
        From normalized images to features ``[batch, width]``; None where the heads read feature
        maps (attention).
    """
    features = shared_features(model)
    return keras.Model(model.input, features[0]) if len(features) == 1 else None


def backbone_of(model: keras.Model) -> keras.Model:
    """Finds the backbone in a model of `build_model`."""
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def final_form(model: keras.Model) -> keras.Model:
    """Returns a model that computes in float32, with the same weights: itself, if it does so.

    What was trained in 16 bits then answers alike on all machines, many of which have no
    units for them.
    """

    def change(value: dict) -> dict:
        if value.get("class_name") == "DTypePolicy":
            value["config"]["name"] = "float32"
        return value

    config = json.dumps(keras.saving.serialize_keras_object(model))
    changed = json.dumps(json.loads(config, object_hook=change))
    if changed == config:
        return model
    found = keras.saving.deserialize_keras_object(json.loads(changed))
    copy_values(model, found)
    return found


def copy_values(source: keras.Model, target: keras.Model) -> None:
    """Returns all variables of a model the values of another one's, which has the same layers."""
    for variable, other in zip(target.variables, source.variables, strict=True):
        variable.assign(np.asarray(other))


@contextmanager
def _dtype_policy(name: str) -> Generator[None]:
    """Makes the layers that are built in the context of a policy; the global one comes back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
