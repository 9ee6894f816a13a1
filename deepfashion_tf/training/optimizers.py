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
        self._shared: dict[tuple, dict[str, tf.Tensor]] = {}

    def scale_rate(self, variables, scale: float) -> None:
        """Multiplies the learning rate of some of the variables that the optimizer is built for."""
        self._scales |= dict.fromkeys(map(self.index_of, variables), scale)

    def apply(self, grads, trainable_variables=None) -> None:
        self._shared = {}  # those of before may be another graph's
        super().apply(grads, trainable_variables)
        self._shared = {}

    def decay_of(self, variable) -> tf.Tensor:
        """Returns the share of a variable that a step takes away, at the variable's own rate."""
        scale = self._scales.get(self.index_of(variable), 1.0)
        return tf.cast(self.learning_rate * self.weight_decay * scale, variable.dtype)

    def update_step(self, gradient, variable, learning_rate) -> None:
        index = self.index_of(variable)
        first, second = self.moments_of(index)
        shared = self._shared_inputs(index, variable, learning_rate)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=_handle(first),
            v=_handle(second),
            **shared,
            grad=tf.cast(gradient, variable.dtype),
        )

    def _shared_inputs(self, index: int, variable, learning_rate) -> dict[str, tf.Tensor]:
        """Returns learning rate, betas and their powers: once for all variables that share them."""
        scale = self._scales.get(index, 1.0)
        key = scale, variable.device, variable.dtype
        if key not in self._shared:
            numbers = {"beta1": self.beta_1, "beta2": self.beta_2, "epsilon": self.epsilon}
            shared = {name: tf.constant(number, variable.dtype) for name, number in numbers.items()}
            step = tf.cast(self.iterations + 1, variable.dtype)
            for beta in ("beta1", "beta2"):
                # As Keras does it: of float64, it keeps the rounding of float32.
                shared[f"{beta}_power"] = tf.pow(tf.cast(numbers[beta], variable.dtype), step)
            self._shared[key] = {"lr": tf.cast(learning_rate, variable.dtype) * scale, **shared}
        return self._shared[key]


def _handle(variable) -> tf.Tensor:
    """Returns the resource behind a variable of Keras or of TensorFlow."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
