"""The stages of any convolutional network, found by the sides and channels of its feature maps."""

import itertools
from collections.abc import Iterable

import keras

from deepfashion_tf.models.graph import Call, calls_of

# What joins a block's branch with its shortcut, in Keras and here.
_JOINS = ("Add", "Average", "Concatenate", "Residual")
# What follows on the last map: maps of one place, such as MobileNet's, are no stages.
_ENDS = ("GlobalAveragePooling2D", "GlobalMaxPooling2D", "MapAverage", "Flatten")


def stage_maps(network: keras.Model) -> dict[int, keras.KerasTensor]:
    """Finds the feature map that ends each stage.

    A stage is a run of blocks whose maps have the same side and as many channels. Its end is
    the last map that everything later depends on through it alone, and that joins a block's
    branch with its shortcut. A network without shortcuts has one stage for each side; so has one
    whose shortcuts cross all sides (NASNet): it ends at the last such map. Where
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
    trunk = itertools.takewhile(lambda cut: cut[0] not in _ENDS, _cuts(network))
    cuts = _of_stages(trunk, image_side)
    if not cuts:
        raise ValueError(f"the network {network.name} has no feature maps of a quarter of its side")
    joins = [tensor for kind, tensor in cuts if kind in _JOINS]
    if len({tensor.shape[1] for tensor in joins}) == 1:
        joins = [tensor for _, tensor in _of_stages(_last_joins(network), image_side)]
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


def _of_stages(cuts: Iterable, image_side: int) -> list[tuple[str, keras.KerasTensor]]:
    """Keeps the maps that are not the stem's, which are larger."""
    return [
        (kind, tensor)
        for kind, tensor in cuts
        if _is_map(tensor) and kind != "ZeroPadding2D" and 3 * tensor.shape[1] <= image_side
    ]


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

    Args:
        network: as `stage_maps` takes it.
        stage: its number; a negative one counts from the last stage, which is -1.

    Raises:
        ValueError: there is no such stage.
    """
    if stage < 0:
        stages = list(stage_maps(network))
        if -stage > len(stages):
            raise ValueError(
                f"the network {network.name} has {len(stages)} stages, and none is number {stage}"
            )
        stage = stages[stage]
    wanted = {id(stage_output(network, stage))}
    found = []
    for call in reversed(calls_of(network)):
        if any(id(tensor) in wanted for tensor in call.outputs):
            found.append(call.operation)
            wanted |= {id(tensor) for tensor in call.inputs}
    return [layer for layer in reversed(found) if isinstance(layer, keras.Layer)]


def _cuts(network: keras.Model) -> list[tuple[str, keras.KerasTensor]]:
    """Lists the tensors that all that is computed after them depends on through them alone.

    Returns:
        Pairs of what `_kind` returns and the tensor.
    """
    calls = calls_of(network)
    last_use = {}
    for place, call in enumerate(calls):
        for tensor in call.inputs:
            last_use[id(tensor)] = place
    found, open_until = [], 0
    for place, call in enumerate(calls):
        if open_until <= place and len(call.outputs) == 1:
            found.append((_kind(call), call.outputs[0]))
        ends = [last_use.get(id(tensor), len(calls)) for tensor in call.outputs]
        open_until = max(open_until, *ends)
    return found


def _last_joins(network: keras.Model) -> list[tuple[str, keras.KerasTensor]]:
    """Lists the last join of each side, for networks whose shortcuts cross all of them (NASNet).

    Returns:
        As `_cuts`, the finest first.
    """
    last = {}
    for call in calls_of(network):
        if _kind(call) in _JOINS and _is_map(call.outputs[0]):
            last[call.outputs[0].shape[1]] = (_kind(call), call.outputs[0])
    return [last[side] for side in sorted(last, reverse=True)]


def _kind(call: Call) -> str:
    """Returns the name of the operation's class; none of an Add of one map and a number."""
    kind = type(call.operation).__name__
    return "" if kind in _JOINS and len(call.inputs) < 2 else kind


def _is_map(tensor: keras.KerasTensor) -> bool:
    shape = tensor.shape
    return len(shape) == 4 and None not in shape[1:3] and shape[1] == shape[2]
