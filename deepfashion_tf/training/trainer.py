"""The Keras model that is trained, on one device, on several, or on several machines."""

import keras
import tensorflow as tf

LOSS = "loss"


class Trainer(keras.Model):
    """A functional model whose `fit` works under every strategy of tf.distribute.

    Losses, metrics, optimizer and callbacks are Keras' own. Three things are not, since
    Keras 3's own fail under ``MultiWorkerMirroredStrategy`` (keras-team/keras issue
    20585): the variables of metrics are made from the model's own inputs instead of
    from a batch that is spread over machines; a step's log is the loss, of the shape
    in which Keras reduces it over workers; and an epoch's metrics are read outside the
    steps, where tf.distribute sums their totals and counts over all replicas.
    """

    def train_step(self, data) -> dict[str, tf.Tensor]:
        return _of_one_step(super().train_step(data))

    def test_step(self, data) -> dict[str, tf.Tensor]:
        return _of_one_step(super().test_step(data))

    def _maybe_symbolic_build(self, iterator=None, data_batch=None) -> None:
        with self.distribute_strategy.scope():
            images = tf.TensorSpec(self.inputs[0].shape, tf.float32)
            labels = {name: tf.TensorSpec([None], tf.int32) for name in self.output_names}
            self._symbolic_build(data_batch=(images, labels))

    def _get_metrics_result_or_logs(self, logs) -> dict:
        return self.get_metrics_result()


def _of_one_step(logs: dict) -> dict[str, tf.Tensor]:
    return {LOSS: tf.reshape(logs[LOSS], [1])}
