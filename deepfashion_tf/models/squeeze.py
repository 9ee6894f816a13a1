"""The two ends of squeeze and excitation, with gradients that read the map less often."""

import keras
import tensorflow as tf

from deepfashion_tf.models.average import MapAverage
from deepfashion_tf.models.convolution import trains_bfloat16_on_cpu


@keras.saving.register_keras_serializable("deepfashion_tf")
class Squeeze(MapAverage):
    """Gives the map itself and the average of each channel, ``[batch, channels]``.

    As one layer, since the two gradients that arrive are then added in one pass over the map:
    that of the average need not be spread over a map of its own first.
    """

    def call(self, inputs, training=None):
        average = super().call
        if None in inputs.shape[1:3] or not trains_bfloat16_on_cpu(self, training):
            return tf.identity(inputs), average(inputs, training=training)

        @tf.custom_gradient
        def fork(images):
            def gradient(of_images, of_average):
                height, width, channels = images.shape[1:]
                of_average = tf.reshape(of_average, [-1, 1, 1, channels])
                return of_images + of_average * tf.cast(1 / (height * width), images.dtype)

            return (tf.identity(images), average(images, training=True)), gradient

        return fork(inputs)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape), super().compute_output_shape(input_shape)


@keras.saving.register_keras_serializable("deepfashion_tf")
class Excite(keras.layers.Multiply):
    """Keras' product of a map and a factor for each channel, ``[batch, 1, 1, channels]``.

    The gradient of the factors is a sum over places, which average pooling is faster at.
    """

    def call(self, inputs, training=None):
        sides = inputs[0].shape[1:3]
        if None in sides or not trains_bfloat16_on_cpu(self, training):
            return super().call(inputs)

        @tf.custom_gradient
        def scale(images, factors):
            def gradient(of_outputs):
                average = tf.nn.avg_pool2d(of_outputs * images, sides, 1, "VALID")
                places = tf.cast(sides[0] * sides[1], average.dtype)
                return of_outputs * factors, average * places

            return images * factors, gradient

        return scale(*inputs)
