"""What tf2onnx leaves to be done for ONNX Runtime to be fast."""

from collections.abc import Iterator

# TensorFlow's maps are [batch, height, width, channels], ONNX' [batch, channels, height, width].
TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def scale_channels_first(graph) -> None:
    """Scales maps of squeeze and excitation as they are, instead of transposing them twice.

    tf2onnx moves transposes out of the way of what has one map for input. A product of a map and
    its channels' scales has two, so that it stands between two transposes of the whole map, in
    each block. Here the scales are transposed, one number a channel.

    Args:
        graph: an ``onnx.GraphProto``, changed in place. No map is an output of it, and what maps
            are multiplied by is ``[batch, 1, 1, channels]`` where it is no constant.
    """
    from onnx import helper

    constants = {tensor.name for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    for product in [node for node in graph.node if node.op_type == "Mul"]:
        behind = list(_readers(graph, product.output[0]))
        if not behind or not all(_permutes(node, TO_FIRST) for node in behind):
            continue
        for place, name in enumerate(product.input):
            before, scales = producers.get(name), product.input[1 - place]
            if before is None or not _permutes(before, TO_LAST) or scales in constants:
                continue
            transposed = f"{product.name}/scales"
            node = helper.make_node("Transpose", [scales], [transposed], transposed, perm=TO_FIRST)
            graph.node.insert(list(graph.node).index(product), node)
            del product.input[:]
            product.input.extend([before.input[0], transposed])
            for transpose in behind:
                for reader in _readers(graph, transpose.output[0]):
                    _rename(reader, transpose.output[0], product.output[0])
                graph.node.remove(transpose)
            if not any(_readers(graph, before.output[0])):
                graph.node.remove(before)
            break


def _permutes(node, permutation: list[int]) -> bool:
    return node.op_type == "Transpose" and list(node.attribute[0].ints) == permutation


def _readers(graph, name: str) -> Iterator:
    return (node for node in graph.node if name in node.input)


def _rename(node, old: str, new: str) -> None:
    for place, name in enumerate(node.input):
        if name == old:
            node.input[place] = new
