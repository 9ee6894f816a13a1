"""Graphs that are rewritten before they are exported: constants folded, bfloat16."""

import os
from collections.abc import Callable

import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.grappler.tf_optimizer import OptimizeGraph

from deepfashion_tf.errors import InputError

_LARGE = 4096  # numbers: more than any bias has, which stays a constant to be fused
# What TensorFlow's rewriter reads its lists of operations from.
_KEPT_IN_FLOAT32 = {
    f"TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_{change}": "Softmax"
    for change in ("DENYLIST_ADD", "INFERLIST_REMOVE")
}


def freeze(
    traced: tf.types.experimental.ConcreteFunction,
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Makes constants of the weights.

    Args:
        traced: from images to a tensor a category.
    """
    frozen = convert_variables_to_constants_v2(traced)
    names = _names(traced)
    return lambda images: _named(names, frozen(images))


class Network(tf.Module):
    """Computes what a graph does, its batch norms joined to the kernels.

    The joined kernels are variables. TensorFlow keeps some twenty copies of each constant while it
    loads and optimizes a graph, and one of a variable.

    Args:
        traced: from images to a tensor a category.
        is_bfloat16: computes in bfloat16 what loses little by it.

    Raises:
        InputError: TensorFlow has no bfloat16 here.
    """

    def __init__(
        self, traced: tf.types.experimental.ConcreteFunction, is_bfloat16: bool = False
    ) -> None:
        super().__init__()
        frozen = convert_variables_to_constants_v2(traced)
        graph = _in_bfloat16(frozen) if is_bfloat16 else _rewritten(frozen, ["constfold"])
        kernels = {n.name: n for n in graph.node if n.op == "Const" and _is_large(n)}
        values = {
            name: tf.make_ndarray(node.attr["value"].tensor) for name, node in kernels.items()
        }
        self.kernels = [tf.Variable(value, trainable=False) for value in values.values()]
        for node in kernels.values():
            graph.node.remove(node)
        names, given = _names(traced), frozen.inputs[0].op.name
        outputs = [output.name for output in frozen.outputs]

        @tf.function(autograph=False, input_signature=[tf.TensorSpec.from_tensor(frozen.inputs[0])])
        def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
            read = (kernel.read_value() for kernel in self.kernels)
            inputs = {given: images, **dict(zip(values, read, strict=True))}
            return _named(names, tf.import_graph_def(graph, inputs, outputs, name=""))

        self.answer = answer


def _is_large(node) -> bool:
    shape = tf.TensorShape(node.attr["value"].tensor.tensor_shape)
    return tf.as_dtype(node.attr["dtype"].type).is_floating and shape.num_elements() > _LARGE


def _names(traced: tf.types.experimental.ConcreteFunction) -> list[str]:
    return sorted(traced.structured_outputs)  # the order in which a dictionary is flattened


def _named(names: list[str], values: list[tf.Tensor]) -> dict[str, tf.Tensor]:
    return {name: tf.identity(value, name) for name, value in zip(names, values, strict=True)}


def _rewritten(frozen: tf.types.experimental.ConcreteFunction, passes: list[str]) -> GraphDef:
    graph = tf.compat.v1.train.export_meta_graph(
        graph_def=frozen.graph.as_graph_def(add_shapes=True), graph=frozen.graph
    )
    outputs = [output.name for output in frozen.outputs]
    graph.collection_def["train_op"].node_list.value.extend(outputs)
    config = tf.compat.v1.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.auto_mixed_precision_onednn_bfloat16 = rewriting.ON
    # Then no node waits for a constant, which may become a variable.
    rewriting.optimizers.extend([*passes, "dependency"])
    rewriting.meta_optimizer_iterations = rewriting.ONE
    return OptimizeGraph(config, graph)


def _in_bfloat16(frozen: tf.types.experimental.ConcreteFunction) -> GraphDef:
    """Rewrites a graph without variables to compute in bfloat16 what loses little by it.

    As ``auto_mixed_precision_onednn_bfloat16`` does at run time, but kept: batch norm is joined to
    the kernels in float32 before, and what follows the cast of a constant is computed here.
    Softmax stays in float32: probabilities of 8 bits would no longer add up to 1.
    """
    own = {name: os.environ[name] for name in _KEPT_IN_FLOAT32 if name in os.environ}
    os.environ |= _KEPT_IN_FLOAT32
    try:
        passes = ["constfold", "auto_mixed_precision_onednn_bfloat16", "constfold"]
        changed = _rewritten(frozen, passes)
    finally:
        for name in _KEPT_IN_FLOAT32:
            del os.environ[name]
        os.environ |= own
    # To ask a node for an attribute that it has not would give it one.
    kinds = {node.attr["T"].type for node in changed.node if "T" in node.attr}
    if tf.bfloat16.as_datatype_enum not in kinds:
        raise InputError(
            "TensorFlow leaves all of the network in float32 here, as it does without oneDNN "
            "(TF_ENABLE_ONEDNN_OPTS=0) or on a processor that it has no bfloat16 for: export it on "
            "another machine, or in another format."
        )
    return changed
