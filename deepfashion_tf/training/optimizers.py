"""Adam through TensorFlow's fused kernel."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("deepfashion_tf")
class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam with one op a variable instead of some twenty-five.

    A ResNet-50 has 160 variables: tracing and optimizing the composed update takes
    longer than building the network. State, arguments and results are Keras' own;
    both add epsilon to the uncorrected root. Some variables can be given a smaller
    step, or a later start: see `treat`.

    Raises:
        ValueError: ``amsgrad`` is asked for, which the kernel does not know.

    Reference:
        Kingma and Ba 2015, Adam, algorithm 1 in the order given at the end of section 2.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.amsgrad:
            raise ValueError("FusedAdam knows no amsgrad: use keras.optimizers.Adam")
        self._treated: dict[int, tuple[float, int]] = {}

    def treat(self, variables, *, scale: float = 1.0, first_step: int = 0) -> None:
        """Treats some variables in another way than the rest.

        Args:
            variables: Keras variables, among those that the optimizer is built for.
            scale: factor of the learning rate.
            first_step: the step, counted from 0, in which they get their first gradient.
                Bias correction counts from there; counted from the beginning it would make
                their first step three times as long.
        """
        indices = map(self._get_variable_index, variables)
        self._treated |= dict.fromkeys(indices, (scale, first_step))

    def update_step(self, gradient, variable, learning_rate) -> None:
        index = self._get_variable_index(variable)
        scale, first_step = self._treated.get(index, (1.0, 0))
        step = tf.cast(self.iterations + 1 - first_step, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype) * scale,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )


def _handle(variable) -> tf.Tensor:
    """Gives the resource behind a variable of Keras or of TensorFlow."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
