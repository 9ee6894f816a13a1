"""Keras metrics that count labelled examples only."""

from collections.abc import Callable

import keras
from keras import ops

from deepfashion_tf.training.losses import FocalLoss


class LabelledMean(keras.metrics.Metric):
    """Means a value over the labelled examples of all batches; NaN where none is labelled.

    Total and count are summed over replicas and workers where they are read. They
    have 64 bits, so that the order of summation is seen in no digit that is printed.

    Args:
        value: ``(labels [batch], probabilities [batch, classes]) -> [batch]``.
        name: the metric's name; Keras puts the category before it.
    """

    def __init__(self, value: Callable, name: str) -> None:
        super().__init__(name=name, dtype="float64")
        self.value = value
        self.total = self.add_weight(name="total", initializer="zeros")
        self.count = self.add_weight(name="count", initializer="zeros")

    def update_state(self, labels, probabilities, sample_weight=None) -> None:
        labelled = ops.cast(ops.cast(labels, "int32") >= 0, "float64")
        values = ops.cast(self.value(labels, probabilities), "float64")
        self.total.assign_add(ops.sum(labelled * values))
        self.count.assign_add(ops.sum(labelled))

    def result(self):
        return self.total / self.count


def is_right(labels, probabilities):
    """Says for each example whether the likeliest class is the labelled one, 0.0 or 1.0."""
    answers = ops.argmax(probabilities, axis=-1)
    return ops.cast(ops.cast(labels, "int32") == ops.cast(answers, "int32"), "float32")


def category_metrics(losses: dict[str, FocalLoss]) -> dict[str, list[keras.metrics.Metric]]:
    """Makes each category's accuracy, and its loss averaged over all labelled examples.

    Keras' own log of an output's loss averages over batches, however many labelled
    examples each of them has.
    """
    return {
        category: [
            LabelledMean(is_right, "accuracy"),
            LabelledMean(losses[category].per_example, "labelled_loss"),
        ]
        for category in losses
    }
