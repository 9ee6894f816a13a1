"""All of Keras' private names that this project uses, in one file.

pyproject.toml pins the range of Keras in which they are what they are here; tests run at its end.
"""

from collections.abc import Callable

import keras
import tensorflow as tf
from keras.src.applications import resnet
from keras.src.utils import file_utils

RESNET50 = "resnet50_weights_tf_dim_ordering_tf_kernels.h5"


class PrivateAdam(keras.optimizers.Adam):
    """Adam whose state and whose decay of each variable a subclass can reach."""

    def index_of(self, variable) -> int:
        """Returns a variable's place in the optimizer's lists."""
        return self._get_variable_index(variable)

    def moments_of(self, index: int) -> tuple[keras.Variable, keras.Variable]:
        """Returns the first and the second moment of the variable at a place."""
        return self._momentums[index], self._velocities[index]

    def decay_of(self, variable) -> tf.Tensor:
        """Returns the share of a variable that a step takes away."""
        return tf.cast(self.learning_rate * self.weight_decay, variable.dtype)

    def _apply_weight_decay(self, variables) -> None:
        if self.weight_decay is not None:
            for variable in filter(self._use_weight_decay, variables):
                variable.assign(variable - variable * self.decay_of(variable))

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # One replica has nothing to add up, and TensorFlow keeps the graph of every all_reduce
        # for good, since that has a custom gradient: 350 MB with each training of a process.
        replicas = tf.distribute.get_replica_context()
        if replicas is not None and replicas.num_replicas_in_sync == 1:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)


class PrivateTrainer(keras.Model):
    """A model whose metrics are built without a batch, and which counts its own loss."""

    def build_metrics(self) -> None:
        """Makes the variables of metrics from the model's own inputs, unless they are there."""
        if self._compile_metrics.built:
            return
        given = [keras.KerasTensor(each.shape, "float32") for each in self.inputs]
        labels = {name: keras.KerasTensor([None], "int32") for name in self.output_names}
        # Keras would trace network, losses and metrics, which takes a second or more.
        outputs = self.compute_output_spec(given if len(given) > 1 else given[0])
        with self.distribute_strategy.scope():
            self._compile_metrics.build(labels, outputs)
            self._compile_loss.build(labels, outputs)

    def count_loss(self, loss, images) -> None:
        """Adds a batch's loss to the mean of the epoch."""
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(tf.nest.flatten(images)[0])[0])

    def _maybe_symbolic_build(self, iterator=None, data_batch=None) -> None:
        self.build_metrics()

    def _get_metrics_result_or_logs(self, logs) -> dict:
        return self.get_metrics_result()


def nodes_by_depth(network: keras.Model) -> dict[int, list]:
    """Returns the calls of a functional model; the last ones have the depth 0."""
    return network._nodes_by_depth


def resnet50_weights() -> tuple[str, str]:
    """Returns the address and the MD5 of the ImageNet weights of keras.applications' ResNet50."""
    return resnet.BASE_WEIGHTS_PATH + RESNET50, resnet.WEIGHTS_HASHES["resnet50"][0]


def file_asked_for(build: Callable[[], object]) -> tuple[str, str, str | None] | None:
    """Returns name, address and hash of the file that a function would fetch; fetches nothing."""

    class Asked(Exception):
        pass

    def stop(fname: str, origin: str, file_hash: str | None = None, **options) -> None:
        raise Asked(fname, origin, file_hash)

    get_file = file_utils.get_file
    file_utils.get_file = stop
    try:
        build()
    except Asked as asked:
        return asked.args
    finally:
        file_utils.get_file = get_file
    return None
