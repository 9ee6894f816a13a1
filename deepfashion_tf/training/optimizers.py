"""Adam through TensorFlow's fused kernel."""

import keras
import tensorflow as tf

from deepfashion_tf.keras_private import PrivateAdam


@keras.saving.register_keras_serializable("deepfashion_tf")
class FusedAdam(PrivateAdam):
    """Keras' Adam with one op a variable instead of some twenty-five.

    A ResNet-50 has 160 variables: tracing and optimizing the composed update takes
    longer than building the network. State, arguments and results are Keras' own;
    both add epsilon to the uncorrected root. Some variables can have a smaller step:
    see `scale_rate`.

    Raises:
        ValueError: ``amsgrad`` is asked for, which the kernel does not know.

    Reference:
        Kingma and Ba 2015, Adam, algorithm 1 in the order given at the end of section 2.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.amsgrad:
            raise ValueError("FusedAdam knows no amsgrad: use keras.optimizers.Adam")
        self._scales: dict[int, float] = {}
        self._factors: dict[tuple, tuple[tf.Tensor, ...]] = {}

    def scale_rate(self, variables, scale: float) -> None:
        """Multiplies the learning rate of some of the variables that the optimizer is built for."""
        self._scales |= dict.fromkeys(map(self.index_of, variables), scale)

    def apply(self, grads, trainable_variables=None) -> None:
        self._factors = {}  # those of before may be another graph's
        super().apply(grads, trainable_variables)
        self._factors = {}

    def decay_of(self, variable) -> tf.Tensor:
        """Returns the share of a variable that a step takes away, at the variable's own rate."""
        scale = self._scales.get(self.index_of(variable), 1.0)
        return tf.cast(self.learning_rate * self.weight_decay * scale, variable.dtype)

    def update_step(self, gradient, variable, learning_rate) -> None:
        index = self.index_of(variable)
        first, second = self.moments_of(index)
        rate, first_power, second_power = self._factors_of(index, variable, learning_rate)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=_handle(first),
            v=_handle(second),
            beta1_power=first_power,
            beta2_power=second_power,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )

    def _factors_of(self, index: int, variable, learning_rate) -> tuple[tf.Tensor, ...]:
        """Returns learning rate and powers of the betas: once for all variables that share them."""
        scale = self._scales.get(index, 1.0)
        key = scale, variable.device, variable.dtype
        if key not in self._factors:
            step = tf.cast(self.iterations + 1, variable.dtype)
            betas = (tf.cast(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
            rate = tf.cast(learning_rate, variable.dtype) * scale
            self._factors[key] = rate, *(tf.pow(beta, step) for beta in betas)
        return self._factors[key]


def _handle(variable) -> tf.Tensor:
    """Returns the resource behind a variable of Keras or of TensorFlow."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
