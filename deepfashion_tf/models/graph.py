"""The graph of a functional model: which layer is called on what.

A layer's own ``input`` and ``output`` are those of its first call anywhere, and those of a model
inside a model are inside it. Keras has no public list of a graph's calls.
"""

from dataclasses import dataclass

import keras

from deepfashion_tf.keras_private import nodes_by_depth


@dataclass(frozen=True)
class Call:
    """A call of an operation.

    Attributes:
        operation: a layer, a model, or an operation of ``keras.ops``.
        inputs: the tensors that it reads.
        outputs: those that it makes.
    """

    operation: keras.Operation
    inputs: list[keras.KerasTensor]
    outputs: list[keras.KerasTensor]


def calls_of(network: keras.Model) -> list[Call]:
    """Lists the calls of a functional model in the order in which they are computed."""
    by_depth = nodes_by_depth(network)
    return [
        Call(node.operation, list(node.input_tensors), list(node.outputs))
        for depth in sorted(by_depth, reverse=True)
        for node in by_depth[depth]
        if not isinstance(node.operation, keras.layers.InputLayer)
    ]
