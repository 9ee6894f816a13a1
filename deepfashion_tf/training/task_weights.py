"""Weights of the categories' losses that are found while training, instead of set by hand.

Categories learn at different speeds. Each method gives a factor for every category's loss, on
top of its ``loss_weights`` entry; the factors start at 1.
"""

from collections.abc import Callable, Sequence
from typing import get_args

import keras
import numpy as np
import tensorflow as tf

from deepfashion_tf.runs.config import TaskBalance

STEP = 0.025  # of the factors, in a step: GradNorm's
ALPHA = 1.5  # GradNorm's restoring force; the paper's 0.5 to 3, 1.5 for tasks that differ
TEMPERATURE = 2.0  # DWA's
METHODS = get_args(TaskBalance)


class TaskWeights:
    """The factors of the categories' losses, and how they change.

    - ``uncertainty``: factor ``exp(-s)``, where ``exp(-s) L + s / 2`` is made small by
      gradient descent on s, the logarithm of the category's noise (Kendall et al. 2018,
      Multi-Task Learning Using Uncertainty to Weigh Losses, eq. 10).
    - ``dwa``: once an epoch, ``K softmax(r / T)`` over the K categories, where r is the ratio of
      the losses of the last two epochs: what learns slowly counts more (Liu et al. 2019,
      End-to-End Multi-Task Learning with Attention, eq. 7).
    - ``gradnorm``: gradient descent on ``sum |G - mean(G) r^a|``, where G is the norm of the
      gradient of a category's weighted loss, and r its loss over its first one, divided by the
      mean of these (Chen et al. 2018, GradNorm, algorithm 1). The gradients are those of the
      features that all heads share, not of the last shared weights: that takes a pass back
      through the heads alone.

    A batch in which nobody is labelled in a category says nothing of it, and changes nothing.

    Args:
        method: one of METHODS but "fixed".
        categories: their names.
        loss_weights: of each, which the factors multiply.
    """

    def __init__(
        self, method: TaskBalance, categories: Sequence[str], loss_weights: Sequence[float]
    ) -> None:
        self.method, self.categories = method, list(categories)
        self.loss_weights = tf.constant(loss_weights, tf.float32)
        count = len(self.categories)
        start = np.zeros(count) if method == "uncertainty" else np.ones(count)
        self._state = _variable(start, "state")
        self._first = _variable(np.zeros(count), "first")  # losses; 0 = not known yet

    @property
    def variables(self) -> list[keras.Variable]:
        """All that has to be kept for the training to go on."""
        return [self._state, self._first]

    def factors(self) -> tf.Tensor:
        """Gives the factors as they are: float32 ``[categories]``."""
        state = tf.convert_to_tensor(self._state)
        return tf.exp(-state) if self.method == "uncertainty" else state

    def weights(self) -> tf.Tensor:
        """Gives what each loss is multiplied by: float32 ``[categories]``."""
        return self.loss_weights * self.factors()

    def update(self, losses: tf.Tensor, known: tf.Tensor, norms: Callable[[], tf.Tensor]) -> None:
        """Changes the factors after a step.

        Args:
            losses: float32 ``[categories]``, of the whole batch, without weights.
            known: bool ``[categories]``, whether anybody in it is labelled.
            norms: gives the norms of the gradients of these losses, float32 ``[categories]``.
        """
        if self.method == "uncertainty":
            slopes = 0.5 - self.factors() * losses
            self._state.assign(self._state - STEP * tf.where(known, slopes, 0.0))
        elif self.method == "gradnorm":
            self._follow_gradients(losses, known, norms())

    def _follow_gradients(self, losses: tf.Tensor, known: tf.Tensor, norms: tf.Tensor) -> None:
        first = tf.convert_to_tensor(self._first)
        first = tf.where(known & (first == 0.0), losses, first)
        self._first.assign(first)
        factors = self.factors()
        count = tf.maximum(tf.reduce_sum(tf.cast(known, tf.float32)), 1.0)

        def mean(values: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(tf.where(known, values, 0.0)) / count

        own = self.loss_weights * norms
        ratios = tf.math.divide_no_nan(losses, first)
        rates = tf.math.divide_no_nan(ratios, mean(ratios))
        target = mean(own * factors) * tf.pow(rates, ALPHA)
        # The slope of |w own - target|, whose target counts as a constant. In units of the mean
        # norm: the losses have no scale of their own.
        slopes = tf.sign(own * factors - target) * tf.math.divide_no_nan(own, mean(own))
        changed = tf.maximum(factors - STEP * slopes, 1e-3)
        scale = tf.math.divide_no_nan(mean(factors), mean(changed))
        self._state.assign(tf.where(known, changed * scale, factors))

    def begin_epoch(self, rows: Sequence[dict[str, float]]) -> None:
        """Sets the factors of an epoch.

        Args:
            rows: what history.csv holds of the epochs before it.
        """
        if self.method != "dwa" or len(rows) < 2:
            return
        losses = np.array([[row[f"{c}_loss"] for c in self.categories] for row in rows[-2:]])
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = losses[1] / losses[0]
        powers = np.exp(np.where(np.isfinite(ratios), ratios, 1.0) / TEMPERATURE)
        self._state.assign(len(powers) * powers / powers.sum())


def _variable(value: np.ndarray, name: str) -> keras.Variable:
    return keras.Variable(
        value.astype("float32"), trainable=False, aggregation="only_first_replica", name=name
    )
