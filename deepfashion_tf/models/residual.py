"""What lies between the convolutions of a block, in as few passes over its maps as there can be.

TensorFlow's sums, products and rectifiers of bfloat16 are ops of their own, and slow for what they
read and write. In bfloat16 training on a CPU, XLA compiles them into one pass here.
"""

import keras
import tensorflow as tf
from keras import ops

from deepfashion_tf.models.average import MapAverage
from deepfashion_tf.models.convolution import trains_bfloat16_on_cpu
from deepfashion_tf.models.gradients import with_gradient


@keras.saving.register_keras_serializable("deepfashion_tf")
class Squeeze(MapAverage):
    """Returns the map itself and the average of each channel, ``[batch, channels]``.

    As one layer, since the two gradients that arrive are then added in one pass over the map:
    that of the average need not be spread over a map of its own first.
    """

    def call(self, inputs, training=None):
        average = super().call
        if None in inputs.shape[1:3] or not trains_bfloat16_on_cpu(self, training):
            return tf.identity(inputs), average(inputs, training=training)

        @with_gradient
        def fork(images):
            def gradient(of_images, of_average):
                height, width, channels = images.shape[1:]
                of_place = of_average * tf.cast(1 / (height * width), images.dtype)
                return _add(of_images, tf.reshape(of_place, [-1, 1, 1, channels]))

            return (tf.identity(images), average(images, training=True)), gradient

        return fork(inputs)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape), super().compute_output_shape(input_shape)


@keras.saving.register_keras_serializable("deepfashion_tf")
class Residual(keras.layers.Layer):
    """Ends a block: ``relu(shortcut + branch)``, or ``relu(shortcut + branch * factors)``.

    Takes a list of two or three: maps ``[batch, height, width, channels]``, and the factors of
    squeeze and excitation, ``[batch, 1, 1, channels]``.
    """

    def call(self, inputs, training=None):
        shortcut, branch, *factors = inputs
        if None in branch.shape[1:3] or not trains_bfloat16_on_cpu(self, training):
            return ops.relu(shortcut + (branch * factors[0] if factors else branch))
        return (_end_scaled if factors else _end)(*inputs)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])


@with_gradient
def _end(shortcut, branch):
    outputs = _add_and_rectify(shortcut, branch)

    def gradient(of_outputs):
        of_sum = _unrectify(of_outputs, outputs)
        return of_sum, of_sum

    return outputs, gradient


@with_gradient
def _end_scaled(shortcut, branch, factors):
    outputs = _scale_add_and_rectify(shortcut, branch, factors)

    def gradient(of_outputs):
        of_sum, of_branch, products = _unrectify_and_scale(of_outputs, outputs, branch, factors)
        # XLA's sum over places takes longer than all of the rest.
        sides = branch.shape[1:3]
        average = tf.nn.avg_pool2d(products, sides, 1, "VALID")
        return of_sum, of_branch, average * tf.cast(sides[0] * sides[1], average.dtype)

    return outputs, gradient


@tf.function(jit_compile=True, autograph=False)
def _add(one, other):
    return one + other


@tf.function(jit_compile=True, autograph=False)
def _add_and_rectify(shortcut, branch):
    return tf.nn.relu(shortcut + branch)


@tf.function(jit_compile=True, autograph=False)
def _scale_add_and_rectify(shortcut, branch, factors):
    return tf.nn.relu(shortcut + branch * factors)


@tf.function(jit_compile=True, autograph=False)
def _unrectify(gradient, outputs):
    return tf.where(outputs > 0, gradient, tf.zeros_like(gradient))


@tf.function(jit_compile=True, autograph=False)
def _unrectify_and_scale(gradient, outputs, branch, factors):
    of_sum = tf.where(outputs > 0, gradient, tf.zeros_like(gradient))
    return of_sum, of_sum * factors, of_sum * branch
