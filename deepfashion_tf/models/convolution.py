"""A convolution that trains as a matrix product where that is faster."""

import keras
import tensorflow as tf

SMALL = 2  # pixels


def trains_bfloat16_on_cpu(layer: keras.Layer, training: bool | None) -> bool:
    """Whether a call of a layer is one that other ops than Keras' are faster for."""
    on_cpu = not tf.config.list_logical_devices("GPU")
    return bool(training) and on_cpu and layer.compute_dtype == "bfloat16"


# Weights files name layers by their class: it has the parent's name for that.
@keras.saving.register_keras_serializable("deepfashion_tf")
class Conv2D(keras.layers.Conv2D):
    """Keras' convolution, trained as a matrix product in bfloat16 on a CPU where that is faster.

    oneDNN's gradient of a kernel of 1 x 1 takes two to four times as long as the product of the
    same matrices, on processors that multiply tiles of bfloat16 (AMX), and is the largest part
    of a step there (docs/benchmarks.md). The same holds for other kernels where the map that comes
    out has at most 2 x 2 places: then the pixels under each place of the kernel are put side by
    side first. Variables, weights files and the result are those of the parent, which does all
    that is no training, other kernels, float32, and whatever a GPU does.

    A bias is added, but has no gradient then: the batch norm after it subtracts it again, so
    that what Keras finds for it is rounding alone; and where the statistics of that are frozen,
    its beta learns in the place of the bias.
    """

    def call(self, inputs, training=None):
        if not trains_bfloat16_on_cpu(self, training):
            return super().call(inputs)
        sides = self.compute_output_shape(inputs.shape)[1:3]
        if self.kernel_size == (1, 1):
            patches = _every(inputs, self.strides)
        elif None not in sides and max(sides) <= SMALL:
            patches = self._patches(inputs, sides)
        else:
            return super().call(inputs)
        kernel = tf.cast(tf.reshape(self.kernel, [-1, self.filters]), patches.dtype)
        outputs = tf.tensordot(patches, kernel, 1)
        if self.use_bias:
            bias = tf.stop_gradient(tf.cast(self.bias, outputs.dtype))
            outputs = tf.nn.bias_add(outputs, bias)
        return outputs

    def _patches(self, images, sides: tuple[int, int]):
        """Puts the pixels under the kernel side by side, for each of the places that come out."""
        around = [(0, 0)]
        for side, out, stride, kernel in zip(
            images.shape[1:3], sides, self.strides, self.kernel_size, strict=True
        ):
            missing = max(0, (out - 1) * stride + kernel - side)
            around.append((missing // 2, missing - missing // 2))
        images = tf.pad(images, [*around, (0, 0)])
        rows, columns = (
            (out - 1) * stride + 1 for out, stride in zip(sides, self.strides, strict=True)
        )
        return tf.concat(
            [
                _every(images[:, row : row + rows, column : column + columns], self.strides)
                for row in range(self.kernel_size[0])
                for column in range(self.kernel_size[1])
            ],
            axis=-1,
        )


def _every(images, strides: tuple[int, int]):
    """Takes each second pixel, where strides are 2, and so on."""
    if max(strides) == 1:
        return images
    # A slice with a stride takes ten times as long as the largest of one.
    return tf.nn.max_pool2d(images, 1, strides, "VALID")
