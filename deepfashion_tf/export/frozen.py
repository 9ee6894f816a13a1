"""Graphs whose weights are constants, and how they come to compute in bfloat16."""

import os
from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.grappler.tf_optimizer import OptimizeGraph

from deepfashion_tf.errors import InputError

# What TensorFlow's rewriter reads its lists of operations from.
_KEPT_IN_FLOAT32 = {
    f"TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_{change}": "Softmax"
    for change in ("DENYLIST_ADD", "INFERLIST_REMOVE")
}


def freeze(
    traced: tf.types.experimental.ConcreteFunction,
    change: Callable[[tf.types.experimental.ConcreteFunction], Callable] | None = None,
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Makes constants of the weights.

    TensorFlow joins batch norm to convolutions of constants alone, and lays their kernels out
    once, not at each call.

    Args:
        traced: from images to a tensor a category.
        change: what is made of the graph without variables.
    """
    frozen = convert_variables_to_constants_v2(traced)
    if change:
        frozen = change(frozen)
    names = sorted(traced.structured_outputs)  # the order in which a dictionary is flattened

    def call(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            name: tf.identity(value, name)
            for name, value in zip(names, frozen(images), strict=True)
        }

    return call


def in_bfloat16(frozen: tf.types.experimental.ConcreteFunction) -> Callable:
    """Rewrites a graph without variables to compute in bfloat16 what loses little by it.

    As ``auto_mixed_precision_onednn_bfloat16`` does at run time, but kept: batch norm is joined to
    the kernels in float32 before, and what follows the cast of a constant is computed here.
    Softmax stays in float32: probabilities of 8 bits would no longer add up to 1.
    """
    outputs = [output.name for output in frozen.outputs]
    graph = tf.compat.v1.train.export_meta_graph(
        graph_def=frozen.graph.as_graph_def(add_shapes=True), graph=frozen.graph
    )
    graph.collection_def["train_op"].node_list.value.extend(outputs)
    config = tf.compat.v1.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.auto_mixed_precision_onednn_bfloat16 = rewriting.ON
    rewriting.optimizers.extend(
        ["constfold", "auto_mixed_precision_onednn_bfloat16", "constfold", "dependency"]
    )
    rewriting.meta_optimizer_iterations = rewriting.ONE
    own = {name: os.environ[name] for name in _KEPT_IN_FLOAT32 if name in os.environ}
    os.environ |= _KEPT_IN_FLOAT32
    try:
        changed = OptimizeGraph(config, graph)
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
    whole = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(changed, name=""), [])
    return whole.prune([given.name for given in frozen.inputs], outputs)
