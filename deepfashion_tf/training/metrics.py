"""Keras metrics that count labelled examples only."""

from collections.abc import Callable

import keras
from keras import ops

from deepfashion_tf.schema import Schema
from deepfashion_tf.training.losses import FocalLoss, class_shares, labelled_share


class LabelledMean(keras.metrics.Metric):
    """Means a value over the labelled examples of all batches; NaN where none is labelled.

    Total and count are summed over replicas and workers where they are read. They
    have 64 bits, so that the order of summation is seen in no digit that is printed.

    Args:
        value: ``(labels, probabilities [batch, classes]) -> [batch]``, 0 where nothing is
            labelled, and of what is partly labelled that part. Labels as `class_shares` takes them.
        name: the metric's name; Keras puts the category before it.
    """

    def __init__(self, value: Callable, name: str) -> None:
        super().__init__(name=name, dtype="float64")
        self.value = value
        self.total = self.add_weight(name="total", initializer="zeros")
        self.count = self.add_weight(name="count", initializer="zeros")

    def update_state(self, labels, probabilities, sample_weight=None) -> None:
        values = ops.cast(self.value(labels, probabilities), "float64")
        self.total.assign_add(ops.sum(values))
        known = labelled_share(labels, probabilities.shape[-1])
        self.count.assign_add(ops.sum(ops.cast(known, "float64")))

    def result(self):
        return self.total / self.count


class ClassRecall(keras.metrics.Metric):
    """Means the recalls of those classes that an example of the batches is labelled with.

    NaN where no example is labelled.

    Args:
        classes: how many there are.
        name: the metric's name; Keras puts the category before it.
    """

    def __init__(self, classes: int, name: str = "class_recall") -> None:
        super().__init__(name=name, dtype="float64")
        self.right = self.add_weight(name="right", shape=(classes,), initializer="zeros")
        self.count = self.add_weight(name="count", shape=(classes,), initializer="zeros")

    def update_state(self, labels, probabilities, sample_weight=None) -> None:
        shares = class_shares(labels, self.count.shape[0], "float64")
        answered = ops.one_hot(
            ops.argmax(probabilities, axis=-1), shares.shape[-1], dtype="float64"
        )
        self.right.assign_add(ops.sum(shares * answered, axis=0))
        self.count.assign_add(ops.sum(shares, axis=0))

    def result(self):
        seen = ops.cast(self.count > 0, "float64")
        # Of a class that was not seen both are 0.
        return ops.sum(self.right / (self.count + (1 - seen))) / ops.sum(seen)


class ClassesSeen(ClassRecall):
    """Counts the classes that an example is labelled with: what `ClassRecall` is a mean over."""

    def __init__(self, classes: int, name: str = "classes_seen") -> None:
        super().__init__(classes, name)

    def update_state(self, labels, probabilities, sample_weight=None) -> None:
        self.count.assign_add(ops.sum(class_shares(labels, self.count.shape[0], "float64"), axis=0))

    def result(self):
        return ops.sum(ops.cast(self.count > 0, "float64"))


def is_right(labels, probabilities):
    """Returns for each example whether the likeliest class is the labelled one, 0.0 or 1.0.

    Of soft labels, which share of them it is.
    """
    classes = probabilities.shape[-1]
    answered = ops.one_hot(ops.argmax(probabilities, axis=-1), classes)
    return ops.sum(class_shares(labels, classes) * answered, axis=-1)


def category_metrics(
    losses: dict[str, FocalLoss], schema: Schema
) -> dict[str, list[keras.metrics.Metric]]:
    """Makes each category's accuracy and recalls, and its loss averaged over labelled examples.

    Keras' own log of an output's loss averages over batches, however many labelled
    examples each of them has.
    """
    return {
        category: [
            LabelledMean(is_right, "accuracy"),
            LabelledMean(losses[category].per_example, "labelled_loss"),
            ClassRecall(len(schema[category])),
            ClassesSeen(len(schema[category])),
        ]
        for category in losses
    }
