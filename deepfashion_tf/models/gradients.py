"""Gradients of one's own, after which TensorFlow keeps no graph."""

import functools
from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.eager import record


def with_gradient(compute: Callable) -> Callable:
    """Does what `tf.custom_gradient` does, and lets the graph go with its function.

    TensorFlow registers each use of `tf.custom_gradient` in a graph by a name, and so keeps the
    graph for good: 100 to 400 MB with each training of a process. The gradient is found through
    `tf.GradientTape` alone; `tf.gradients` and SavedModels do not know it.

    Args:
        compute: tensors -> what comes out, and a function from the gradients of that to a list of
            gradients, one for each tensor.

    Returns:
        Tensors -> what comes out.
    """

    @functools.wraps(compute)
    def call(*inputs):
        inputs = [tf.convert_to_tensor(each) for each in inputs]
        with record.stop_recording():
            outputs, gradient = compute(*inputs)

        def backward(*of_outputs):
            found = gradient(*of_outputs)
            return list(found) if isinstance(found, (list, tuple)) else [found]

        record.record_operation("WithGradient", tf.nest.flatten(outputs), inputs, backward)
        return outputs

    return call
