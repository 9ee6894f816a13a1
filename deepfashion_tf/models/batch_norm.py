"""Batch norm through TensorFlow's fused kernel."""

import keras
import tensorflow as tf

from deepfashion_tf.models.gradients import with_gradient

KERNEL_DTYPES = ("float32", "bfloat16", "float16")


@keras.saving.register_keras_serializable("deepfashion_tf")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch norm, in training computed by one fused op forward and one backward.

    Keras composes the training pass of a dozen element-wise ops, each of which
    reads and writes the whole feature map (docs/benchmarks.md has the cost). Variables,
    weights files and the result are those of the parent. Images of bfloat16 or float16 are
    normalized by statistics, gamma and beta of float32, as the parent does. With
    ``synchronized`` all replicas normalize by the statistics of the whole batch: see
    `synchronized_batch_norm`. Where the fused kernel has no equal (masks, other inputs than maps
    with channels last) the parent's pass is used.

    Args:
        freeze_statistics: normalize with the moving mean and variance in training, too,
            and leave them as they are; gamma and beta learn. Calling a nested model
            with ``training=False`` does not do that: Keras 3's fit overrides it
            (keras-team/keras issue 20285).

    Reference:
        Ioffe and Szegedy 2015, Batch Normalization, algorithm 1.
    """

    def __init__(self, *args, freeze_statistics: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.freeze_statistics = freeze_statistics

    def get_config(self) -> dict:
        return {**super().get_config(), "freeze_statistics": self.freeze_statistics}

    def call(self, inputs, training=None, mask=None):
        training = training and not self.freeze_statistics
        # Of maps whose channels are last; an axis is a number after the layer is built.
        is_map = len(inputs.shape) == 4 and self.axis in (-1, 3)
        fused = training and self.trainable and mask is None and is_map
        if not fused or self.compute_dtype not in KERNEL_DTYPES:
            return super().call(inputs, training=training, mask=mask)
        gamma = tf.ones_like(self.moving_variance) if self.gamma is None else self.gamma
        beta = tf.zeros_like(self.moving_mean) if self.beta is None else self.beta
        replicas = tf.distribute.get_replica_context()
        if self.synchronized and replicas is not None and replicas.num_replicas_in_sync > 1:
            outputs, mean, variance = synchronized_batch_norm(inputs, gamma, beta, self.epsilon)
        else:
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs, gamma, beta, epsilon=self.epsilon, is_training=True
            )
            variance *= _biased(inputs)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs


def _sum_over_replicas(vectors: list) -> list:
    replicas = tf.distribute.get_replica_context()
    total = replicas.all_reduce(tf.distribute.ReduceOp.SUM, tf.concat(vectors, axis=0))
    return tf.split(total, [vector.shape[0] for vector in vectors])


def _statistics(images, gamma, beta, epsilon: float) -> tuple:
    """Returns mean and biased variance over all replicas, and of how many values they are.

    They are joined in 64 bits: the mean of squares minus the squared mean loses digits otherwise.
    """
    _, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        images, gamma, beta, epsilon=epsilon, is_training=True
    )
    variance *= _biased(images)
    mean, variance = tf.cast(mean, tf.float64), tf.cast(variance, tf.float64)
    own = tf.cast(tf.size(images) / images.shape[-1], tf.float64)
    count, total, squares = _sum_over_replicas(
        [own[None], own * mean, own * (variance + tf.square(mean))]
    )
    mean = total / count
    variance = tf.cast(tf.maximum(squares / count - tf.square(mean), 0.0), tf.float32)
    return tf.cast(mean, tf.float32), variance, tf.cast(count, tf.float32)


def synchronized_batch_norm(images, gamma, beta, epsilon: float):
    """Normalizes by the mean and variance over the images of all replicas.

    One all-reduce forward and one backward, of vectors of as many numbers as there are
    channels; what reads whole feature maps are fused kernels. Keras' own takes three forward
    and three backward and composes the rest.

    Args:
        images: float ``[batch, height, width, channels]``, of one replica; replicas may
            have different numbers of them.
        gamma: float32 ``[channels]``.
        beta: as `gamma`.
        epsilon: added to the variance.

    Returns:
        The normalized images, and float32 mean and (biased) variance ``[channels]``, through
        which no gradient flows.
    """
    gamma, beta = tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta)

    @with_gradient
    def normalize(images, gamma, beta):
        mean, variance, count = _statistics(images, gamma, beta, epsilon)
        outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
            images, gamma, beta, mean, variance, epsilon=epsilon, is_training=False
        )

        def gradient(of_outputs, of_mean, of_variance):
            frozen = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=of_outputs,
                x=images,
                scale=gamma,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=tf.zeros([0]),
                epsilon=epsilon,
                is_training=False,
            )
            # As if mean and variance were constants; what flows through them is linear in
            # the images, with sums over all replicas for coefficients.
            of_images, of_gamma, of_beta = frozen[:3]
            all_gamma, all_beta = _sum_over_replicas([of_gamma, of_beta])
            inverse = tf.math.rsqrt(variance + epsilon)
            slope = gamma * tf.square(inverse) * all_gamma / count
            offset = gamma * inverse * all_beta / count - slope * mean
            through = images * tf.cast(slope, images.dtype) + tf.cast(offset, images.dtype)
            return of_images - through, of_gamma, of_beta

        return (outputs, mean, variance), gradient

    return normalize(images, gamma, beta)


def _biased(images):
    """Factor from the kernel's unbiased variance (n / (n - 1)) to Keras' biased one."""
    _, height, width, _ = images.shape
    count = tf.cast(tf.shape(images)[0], tf.float32) * (height * width)
    return (count - 1.0) / count
