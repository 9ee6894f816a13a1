"""Custom gradients after which TensorFlow keeps no graph."""

import functools
from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.eager import record


def with_gradient(compute: Callable) -> Callable:
    """Does what `tf.custom_gradient` does, and lets the graph go with its function.

    TensorFlow registers each use of `tf.custom_gradient` in a graph by a name, and so keeps the
    graph for good: 360 MB with each training of SE-ResNet-50 in a process. `tf.GradientTape` alone
    finds the gradient; `tf.gradients` and SavedModels do not.

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
            return tf.nest.flatten(gradient(*of_outputs))

        record.record_operation("WithGradient", tf.nest.flatten(outputs), inputs, backward)
        return outputs

    return call
