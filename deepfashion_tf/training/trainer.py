"""The Keras model that is trained, on one device, on several, or on several machines."""

import tensorflow as tf

from deepfashion_tf.keras_private import PrivateTrainer

LOSS, STOP = "loss", "stop"


class Trainer(PrivateTrainer):
    """A functional model whose `fit` works under every strategy of tf.distribute.

    Losses, metrics, optimizer and callbacks are Keras' own. Three things are not, since
    Keras 3's own fail under ``MultiWorkerMirroredStrategy`` (keras-team/keras issue
    20585): the variables of metrics are made from the model's own inputs instead of
    from a batch that is spread over machines; a step's logs are the loss of that step,
    in the shape in which Keras reduces it over workers; and an epoch's metrics are read
    outside the steps, where tf.distribute sums their totals and counts over all replicas.
    """

    def watch_stops(self) -> None:
        """Makes each step tell whether `ask_to_stop` was called on any worker.

        All workers must leave the training after the same step: one that is alone in a
        reduction waits forever.
        """
        # In a list, Keras takes it for no part of the model.
        self._asked = [tf.Variable(0.0, trainable=False)]

    @property
    def watches_stops(self) -> bool:
        """Whether `watch_stops` was called."""
        return hasattr(self, "_asked")

    def ask_to_stop(self) -> None:
        """Makes the logs of the next step say ``stop`` on every worker that watches."""
        if self.watches_stops:
            self._asked[0].assign(1.0)

    def train_step(self, data) -> dict[str, tf.Tensor]:
        images, labels = data
        with tf.GradientTape() as tape:
            outputs = self(images, training=True)
            # This replica's part of the loss of the whole batch: see `FocalLoss`.
            loss = self.compute_loss(images, labels, outputs, training=True)
            scaled = self.optimizer.scale_loss(loss)
        gradients = [
            # A bias before batch norm has no gradient in bfloat16: see `Conv2D`.
            tf.zeros(weight.shape) if gradient is None and weight.name == "bias" else gradient
            for gradient, weight in zip(
                tape.gradient(scaled, self.trainable_weights), self.trainable_weights, strict=True
            )
        ]
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        # Keras will take the mean over replicas, which makes it the sum of the parts.
        loss *= self.distribute_strategy.num_replicas_in_sync
        self.count_loss(loss, images)
        self.compute_metrics(images, labels, outputs)
        return self._logs({LOSS: loss})

    def test_step(self, data) -> dict[str, tf.Tensor]:
        super().test_step(data)
        # Keras wants at least one number.
        return self._logs({"done": tf.constant(1.0)})

    def _logs(self, values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        if self.watches_stops:
            values[STOP] = self._asked[0].read_value()
        return {name: tf.reshape(value, [1]) for name, value in values.items()}
