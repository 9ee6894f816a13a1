"""Any functional Keras model as a backbone: a copy with this project's batch norm."""

import re
from collections import Counter
from collections.abc import Callable, Collection

import keras
from keras import layers

from deepfashion_tf.errors import list_some
from deepfashion_tf.models.average import MapAverage
from deepfashion_tf.models.batch_norm import FusedBatchNormalization
from deepfashion_tf.models.depthwise_convolution import ChannelConv2D, DepthwiseConv2D
from deepfashion_tf.models.senet import BATCH_NORM_MOMENTUM

Replace = Callable[[keras.Layer, dict], keras.Layer | None]


def clone_network(
    network: keras.Model,
    image_size: int,
    name: str,
    replace: Replace | None = None,
    *,
    weights: bool = True,
) -> keras.Model:
    """Copies a network, with batch norm whose statistics can be frozen alone.

    The copy's layers are of the dtype policy in force. Those that Keras has numbered are numbered
    anew, so that a network that is built twice in a process has the same names.

    Args:
        network: functional, from one tensor of images.
        image_size: side of the copy's square input in pixels.
        name: of the copy.
        replace: (layer, configuration) -> another layer in its place, or None.
        weights: copy them; otherwise they are drawn.

    Returns:
        A Functional model: float32 ``[batch, size, size, 3]`` -> what `network` gives, maps
        averaged over their places.

    Raises:
        ValueError: the model is not functional, does not take images of this size, or gives
            neither feature maps nor features.
    """
    network = _functional(network)
    _check_input(network, image_size)
    names = _names(network)

    def clone(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, keras.Model):
            inner = _functional(layer)
            names.update(_names(inner))
            copy = keras.models.clone_model(inner, clone_function=clone)
            copy.name = names[id(layer)]
            return copy
        config = layer.get_config()
        # The policy in force, not the one that the network was built in.
        config.pop("dtype", None)
        config["name"] = names[id(layer)]
        if replace and (other := replace(layer, config)):
            return other
        if type(layer) is layers.BatchNormalization:
            config["momentum"] = min(config["momentum"], BATCH_NORM_MOMENTUM)
        return _kind_of(layer).from_config(config)

    images = keras.Input((image_size, image_size, 3), name="images")
    copy = keras.models.clone_model(network, input_tensors=images, clone_function=clone)
    if weights:
        copy_layers(network, copy)
    return keras.Model(images, _pooled(copy, network.name), name=name)


def _kind_of(layer: keras.Layer) -> type[keras.Layer]:
    """Returns the layer of this project that computes what one of Keras' does, and faster."""
    kind = type(layer)
    if kind is layers.BatchNormalization:
        return FusedBatchNormalization
    if kind is layers.GlobalAveragePooling2D and layer.data_format == "channels_last":
        return MapAverage
    if kind is layers.DepthwiseConv2D:
        return DepthwiseConv2D
    if kind is layers.Conv2D and layer.groups > 1:
        return ChannelConv2D
    return kind


def _pooled(network: keras.Model, name: str) -> keras.KerasTensor:
    """Returns a network's features, or the averages of its feature maps."""
    x = network.output
    if len(x.shape) == 4:
        x = MapAverage(name="pooled_average")(x)
    if len(x.shape) != 2 or x.shape[-1] is None:
        raise ValueError(
            f"the model {name} gives {tuple(network.output.shape)}: a backbone gives feature "
            f"maps [batch, rows, columns, channels] or features [batch, width]"
        )
    return x


def _check_input(network: keras.Model, image_size: int) -> None:
    shape = network.input.shape[1:]
    if len(shape) != 3 or any(
        side not in (None, wanted)
        for side, wanted in zip(shape, (image_size, image_size, 3), strict=True)
    ):
        raise ValueError(
            f"the model {network.name} takes {tuple(shape)}, not images of ({image_size}, "
            f"{image_size}, 3): name another image_size or model"
        )


def copy_layers(
    source: keras.Model,
    target: keras.Model,
    *,
    is_copy: bool = False,
    without: Collection[keras.Layer] = (),
) -> None:
    """Returns a copy of a network the weights of the network, or of another copy, layer by layer.

    Args:
        source: the network, or one that was built alike.
        target: made by `clone_network`.
        is_copy: the source was made by it, too, and so has the same names.
        without: layers of the source that the copy has constants for.

    Raises:
        ValueError: the layers differ in names or shapes.
    """
    names = _names(source)
    found = {
        layer.name if is_copy else names[id(layer)]: layer
        for layer in source.layers
        if layer.weights and layer not in without
    }
    wanted = {layer.name: layer for layer in target.layers if layer.weights}
    differences = sorted(found.keys() ^ wanted.keys()) or [
        f"{name} {_shapes(found[name])} and {_shapes(wanted[name])}"
        for name in wanted
        if _shapes(found[name]) != _shapes(wanted[name])
    ]
    if differences:
        raise ValueError(f"they differ in {list_some(differences, most=3)}")
    for name, layer in wanted.items():
        layer.set_weights(found[name].get_weights())


def _shapes(layer: keras.Layer) -> list[tuple]:
    return [tuple(weight.shape) for weight in layer.weights]


def batch_norms(network: keras.Model) -> list[FusedBatchNormalization]:
    """Lists the batch norms of a network, those of models inside it, too."""
    found = []
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            found += batch_norms(layer)
        elif isinstance(layer, FusedBatchNormalization):
            found.append(layer)
    return found


def _functional(model: keras.Model) -> keras.Model:
    """Returns the model itself, or of a Sequential one the same layers as a graph.

    Raises:
        ValueError: it has no graph, or several inputs or outputs.
    """
    try:
        inputs, outputs = keras.tree.flatten(model.inputs), keras.tree.flatten(model.outputs)
    except (AttributeError, ValueError):
        inputs, outputs = [], []
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(
            f"the model {model.name} is no functional Keras model of one image input and one output"
        )
    if isinstance(model, keras.Sequential):
        return keras.Model(inputs[0], outputs[0], name=model.name)
    return model


def _names(network: keras.Model) -> dict[int, str]:
    """Names the operations of a network by id; those that Keras has named get new numbers."""
    names, numbers = {}, Counter()
    for layer in network.operations:
        base = re.sub(r"_\d+$", "", layer.name)
        kind = type(layer).__name__
        if base.replace("_", "") == kind.lower():
            numbers[base] += 1
            names[id(layer)] = f"{base}_{numbers[base]}"
        else:
            names[id(layer)] = layer.name
    return names
