"""Adam through TensorFlow's fused kernel."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("deepfashion_tf")
class FusedAdam(keras.optimizers.Adam):
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
        self._scales |= dict.fromkeys(map(self._get_variable_index, variables), scale)

    def apply(self, grads, trainable_variables=None) -> None:
        self._factors = {}  # those of before may be another graph's
        super().apply(grads, trainable_variables)
        self._factors = {}

    def _apply_weight_decay(self, variables) -> None:
        if self.weight_decay is None:
            return
        for variable in filter(self._use_weight_decay, variables):
            scale = self._scales.get(self._get_variable_index(variable), 1.0)
            share = tf.cast(self.learning_rate * self.weight_decay * scale, variable.dtype)
            variable.assign(variable - variable * share)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # One replica has nothing to add up, and TensorFlow keeps the graph of every all_reduce
        # for good, since that has a custom gradient: 350 MB with each training of a process.
        replicas = tf.distribute.get_replica_context()
        if replicas is not None and replicas.num_replicas_in_sync == 1:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)

    def update_step(self, gradient, variable, learning_rate) -> None:
        index = self._get_variable_index(variable)
        rate, first_power, second_power = self._factors_of(index, variable, learning_rate)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=first_power,
            beta2_power=second_power,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )

    def _factors_of(self, index: int, variable, learning_rate) -> tuple[tf.Tensor, ...]:
        """Gives learning rate and powers of the betas: once for all variables that share them."""
        scale = self._scales.get(index, 1.0)
        key = scale, variable.device, variable.dtype
        if key not in self._factors:
            step = tf.cast(self.iterations + 1, variable.dtype)
            betas = (tf.cast(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
            rate = tf.cast(learning_rate, variable.dtype) * scale
            self._factors[key] = rate, *(tf.pow(beta, step) for beta in betas)
        return self._factors[key]


def _handle(variable) -> tf.Tensor:
    """Gives the resource behind a variable of Keras or of TensorFlow."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
