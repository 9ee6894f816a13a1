"""The stages of any convolutional network, found by the sides and channels of its feature maps."""

import keras

# What joins a block's branch with its shortcut, in Keras and here.
_JOINS = ("Add", "Average", "Concatenate", "Residual")


def stage_maps(network: keras.Model) -> dict[int, keras.KerasTensor]:
    """Finds the feature map that ends each stage.

    A stage is a run of blocks whose maps have the same side and as many channels. Its end is
    the last map that everything later depends on through it alone, and that joins a block's
    branch with its shortcut. A network without shortcuts has one stage for each side. Where
    more than two stages have the same side, the last one stands for all of them.

    Args:
        network: functional, from images of a known size to features.

    Returns:
        Stage -> map ``[batch, rows, columns, channels]``. Stages count from 2, the first with a
        quarter of the image's side, as ResNet's names do; the last one is the last map of all.

    Raises:
        ValueError: the network has no feature maps.
    """
    image_side = network.input.shape[1] or 0
    # Larger maps are the stem's.
    cuts = [
        (kind, tensor)
        for kind, tensor in _cuts(network)
        if _is_map(tensor) and kind != "ZeroPadding2D" and 3 * tensor.shape[1] <= image_side
    ]
    if not cuts:
        raise ValueError(f"the network {network.name} has no feature maps of a quarter of its side")
    joins = [tensor for kind, tensor in cuts if kind in _JOINS]
    ends: dict[tuple, keras.KerasTensor] = {}
    for tensor in joins or [tensor for _, tensor in cuts]:
        ends[tensor.shape[1], tensor.shape[3] if joins else 0] = tensor
    sides = [side for side, _ in ends]
    many = {side for side in sides if sides.count(side) > 2}
    kept = {}
    for (side, channels), tensor in ends.items():
        kept[side, 0 if side in many else channels] = tensor
    last = cuts[-1][1]
    found = [tensor for tensor in kept.values() if tensor is not last]
    if not found or last.shape[1:] != found[-1].shape[1:]:
        found.append(last)
    else:
        # An activation or a normalization of it.
        found[-1] = last
    return dict(enumerate(found, start=2))


def stage_output(network: keras.Model, stage: int) -> keras.KerasTensor:
    """Finds the feature map of a stage.

    Raises:
        ValueError: there is no such stage.
    """
    maps = stage_maps(network)
    if stage not in maps:
        raise ValueError(
            f"the network {network.name} has no stage {stage}: name one of 2 to {max(maps)}"
        )
    return maps[stage]


def layers_up_to(network: keras.Model, stage: int) -> list[keras.Layer]:
    """Lists the layers that a stage's feature map is computed by, the image's end first.

    Raises:
        ValueError: there is no such stage.
    """
    wanted = {id(stage_output(network, stage))}
    found = []
    for operation in reversed(network.operations):
        if any(id(tensor) in wanted for tensor in keras.tree.flatten(operation.output)):
            found.append(operation)
            if not isinstance(operation, keras.layers.InputLayer):
                wanted |= {id(tensor) for tensor in keras.tree.flatten(operation.input)}
    return [layer for layer in reversed(found) if isinstance(layer, keras.Layer)]


def _cuts(network: keras.Model) -> list[tuple[str, keras.KerasTensor]]:
    """Lists the tensors that all that is computed after them depends on through them alone.

    Returns:
        Pairs of the name of the operation's class and its output.
    """
    operations = [
        operation
        for operation in network.operations
        if not isinstance(operation, keras.layers.InputLayer)
    ]
    last_use = {}
    for place, operation in enumerate(operations):
        for tensor in keras.tree.flatten(operation.input):
            last_use[id(tensor)] = place
    found, open_until = [], 0
    for place, operation in enumerate(operations):
        outputs = keras.tree.flatten(operation.output)
        if open_until <= place and len(outputs) == 1:
            found.append((type(operation).__name__, outputs[0]))
        ends = [last_use.get(id(tensor), len(operations)) for tensor in outputs]
        open_until = max(open_until, *ends)
    return found


def _is_map(tensor: keras.KerasTensor) -> bool:
    shape = tensor.shape
    return len(shape) == 4 and None not in shape[1:3] and shape[1] == shape[2]
