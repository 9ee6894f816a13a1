"""What TensorFlow's converter leaves to be done for phones to read a LiteRT file."""

from collections.abc import Sequence
from copy import copy

from tensorflow.lite.tools import flatbuffer_utils


def order_outputs(content: bytes, names: Sequence[str]) -> bytes:
    """Puts a network's outputs in an order, and names them.

    Phone code reads outputs by position, of the graph or of its signature. The converter has two
    orders of its own, names each output ``PartitionedCall:n``, and makes one of two that are
    always the same, as untrained categories are.

    Args:
        content: of a LiteRT file with one signature, whose outputs are `names` in any order.
        names: the order that is wanted.

    Returns:
        The content of the file with those outputs.
    """
    network = flatbuffer_utils.convert_bytearray_to_object(content)
    (signature,) = network.signatureDefs
    graph = network.subgraphs[signature.subgraphIndex]
    found = {output.name.decode(): output for output in signature.outputs}
    graph.outputs = []
    for name in names:
        if found[name].tensorIndex in graph.outputs:
            found[name].tensorIndex = _copy_tensor(graph, found[name].tensorIndex)
        graph.outputs.append(found[name].tensorIndex)
    signature.outputs = [found[name] for name in names]
    for one in (*signature.inputs, *signature.outputs):
        graph.tensors[one.tensorIndex].name = one.name
    return flatbuffer_utils.convert_object_to_bytearray(network)


def _copy_tensor(graph, place: int) -> int:
    """Adds a tensor of the same values, and what computes it if it is no constant."""
    new = len(graph.tensors)
    graph.tensors.append(copy(graph.tensors[place]))
    for operator in [one for one in graph.operators if place in one.outputs]:
        graph.operators.append(copy(operator))
        graph.operators[-1].outputs = [new if one == place else one for one in operator.outputs]
    return new
