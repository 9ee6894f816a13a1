"""A convolution whose kernels of 1 x 1 train as the matrix products which they are."""

import keras
import tensorflow as tf


# Weights files name layers by their class: it has the parent's name for that.
@keras.saving.register_keras_serializable("deepfashion_tf")
class Conv2D(keras.layers.Conv2D):
    """Keras' convolution, whose kernels of 1 x 1 train as matrix products in bfloat16 on a CPU.

    oneDNN's gradient of such a kernel takes two to four times as long as the product of the
    same matrices, on processors that multiply tiles of bfloat16 (AMX), and is the largest part
    of a step there (BENCHMARKS.md). Variables, weights files and the result are those of the
    parent, which does all that is no training, other kernels, float32, and whatever a GPU does.

    A bias is added, but has no gradient then: the batch norm after it subtracts it again, so
    that what Keras finds for it is rounding alone.
    """

    def call(self, inputs, training=None):
        is_product = training and self.kernel_size == (1, 1) and self.compute_dtype == "bfloat16"
        if not is_product or tf.config.list_logical_devices("GPU"):
            return super().call(inputs)
        images = inputs
        if max(self.strides) > 1:
            # A slice with a stride takes ten times as long as the largest of one.
            images = tf.nn.max_pool2d(images, 1, self.strides, "VALID")
        kernel = tf.cast(tf.reshape(self.kernel, self.kernel.shape[2:]), images.dtype)
        outputs = tf.tensordot(images, kernel, 1)
        if self.use_bias:
            bias = tf.stop_gradient(tf.cast(self.bias, outputs.dtype))
            outputs = tf.nn.bias_add(outputs, bias)
        return outputs
