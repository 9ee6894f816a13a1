"""Focal loss and cross-entropy on partial labels."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import ops


def class_shares(labels, classes: int, dtype: str = "float32"):
    """Returns labels as shares of the classes.

    Args:
        labels: class ids ``[batch]`` or ``[batch, 1]``, -1 = not labelled; or shares ``[batch,
            classes]`` already. Of one class alone, ``[batch, 1]`` holds ids.
        classes: how many.
        dtype: of the result.

    Returns:
        ``[batch, classes]``, all zero where nothing is labelled.

    Raises:
        ValueError: labels of another shape.
    """
    labels = ops.convert_to_tensor(labels)
    if hold_ids(labels, classes):
        # one_hot of -1 is all zero.
        return ops.one_hot(_ids_of(labels), classes, dtype=dtype)
    if labels.shape[-1] is None:
        # Only the batch itself knows what its labels are.
        width = ops.shape(labels)[-1]
        known = tf.debugging.Assert(
            (width == 1) | (width == classes), [_shape_fault("of this width", classes), width]
        )
        with tf.control_dependencies([known] if known is not None else []):
            return tf.cond(
                width == 1,
                lambda: ops.one_hot(_ids_of(labels[:, :1]), classes, dtype=dtype),
                lambda: ops.cast(labels, dtype),
            )
    return ops.cast(labels, dtype)


def labelled_share(labels, classes: int):
    """Returns how much of each example is labelled, 0 to 1: float32 ``[batch]``.

    Args:
        labels: as `class_shares` takes them.
        classes: how many.
    """
    labels = ops.convert_to_tensor(labels)
    if hold_ids(labels, classes):
        return ops.cast(_ids_of(labels) >= 0, "float32")
    return ops.sum(class_shares(labels, classes), axis=-1)


def hold_ids(labels, classes: int) -> bool:
    """Whether labels are known to be class ids, not shares of the classes.

    Raises:
        ValueError: labels of a shape that neither has.
    """
    shape = labels.shape
    if classes is None:
        raise ValueError("The number of classes is not known: give answers of a known last axis.")
    if shape.rank is None:
        raise ValueError(_shape_fault("of unknown rank", classes))
    if shape.rank == 1 or (shape.rank == 2 and shape[1] == 1):
        return True
    if shape.rank != 2 or shape[1] not in (None, classes):
        raise ValueError(_shape_fault(f"of shape {tuple(shape)}", classes))
    return False


def _ids_of(labels):
    return ops.cast(ops.reshape(labels, (-1,)), "int32")


def _shape_fault(found: str, classes: int) -> str:
    return (
        f"Labels {found} do not fit {classes} classes: give class ids of shape [n] or [n, 1], or "
        f"shares of the classes of shape [n, {classes}]."
    )


def sum_over_replicas(value):
    """Adds up what all replicas have: itself where there is one.

    TensorFlow keeps the graph of every all_reduce for good, so that one too many costs memory
    with each training of a process.
    """
    replicas = tf.distribute.get_replica_context()
    if replicas is None or replicas.num_replicas_in_sync == 1:
        return value
    return replicas.all_reduce(tf.distribute.ReduceOp.SUM, value)


def focal_loss(labels, logits, gamma: float = 2.0, alpha: float | Sequence[float] = 1.0):
    """Computes the focal loss of each example, ``-alpha (1 - p_t)^gamma log(p_t)``.

    p_t is the softmax probability of the labelled class. It is computed from
    log-softmax, so that an example with p_t = 0 still has the gradient of
    cross-entropy. gamma = 0 is cross-entropy (the report's eq. 6).

    Of soft labels, shares y_c of each class, it is ``-sum_c y_c alpha_c (1 - p_c)^gamma log(p_c)``.

    Args:
        labels: class ids ``[batch]`` or ``[batch, 1]``; -1 = not labelled, whose loss is 0, and
            the loss of an id that is no class is NaN. Or float ``[batch, classes]``, shares of
            the classes, of sum 0 to 1.
        logits: float ``[batch, classes]``; log-probabilities are logits too.
        gamma: focusing parameter, >= 0.
        alpha: weight of all classes, or one a class.

    Returns:
        float32 ``[batch]``, never reduced.

    Raises:
        ValueError: labels or answers of another shape, or labels of another batch.

    Reference:
        Lin et al. 2017, Focal Loss for Dense Object Detection, eq. 5.
    """
    labels, logits = ops.convert_to_tensor(labels), ops.convert_to_tensor(logits)
    if logits.shape.rank != 2:
        raise ValueError(
            f"Answers of shape {tuple(logits.shape)} are none of a classifier: give [n, classes]."
        )
    classes = logits.shape[-1]
    if not labels.shape[:1].is_compatible_with(logits.shape[:1]):
        raise ValueError(
            f"Labels of {labels.shape[0]} examples do not fit the answers for {logits.shape[0]}."
        )
    are_ids = hold_ids(labels, classes)
    # Where nothing is labelled all is zero; log p_t = 0 there, and every factor stays finite.
    shares = class_shares(labels, classes)
    weights = shares * ops.convert_to_tensor(alpha, "float32")
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"))
    if are_ids:
        # Of one class alone, powers are those of one number an example.
        weights = ops.sum(weights, axis=-1)
        log_probabilities = ops.sum(log_probabilities * shares, axis=-1)
        # Such as ids that count from 1: their one_hot is as empty as that of -1.
        is_class = _ids_of(labels) < classes
        log_probabilities = ops.where(is_class, log_probabilities, math.nan)
    if gamma:
        # The slope of x^gamma has a pole at 0 for gamma < 1: stay a hair above.
        wrongness = ops.maximum(-ops.expm1(log_probabilities), 1e-12)
        weights = weights * ops.power(wrongness, gamma)
    losses = -weights * log_probabilities
    return losses if are_ids else ops.sum(losses, axis=-1)


def logits_of(probabilities):
    """Finds the logits behind softmax probabilities.

    Keras' softmax remembers its input on its output, and Keras' own losses use it;
    for other tensors the logarithm serves as well, down to the smallest float.

    Args:
        probabilities: float ``[..., classes]``.
    """
    logits = getattr(probabilities, "_keras_logits", None)
    if logits is not None:
        return logits
    return ops.log(ops.maximum(probabilities, 1.2e-38))


@keras.saving.register_keras_serializable("deepfashion_tf")
class FocalLoss(keras.losses.Loss):
    """Focal loss of softmax probabilities, the mean over the *labelled* examples of a batch.

    The batch is that of all replicas together: each replica's part of the mean is divided
    by the number of labelled examples on all of them. A batch in which nobody is
    labelled has the loss 0.

    Args:
        gamma: focusing parameter, >= 0; 0 is cross-entropy.
        alpha: weight of all classes, or one a class.
        smoothing: share of each label that is spread over all classes (Szegedy et al. 2016,
            Rethinking the Inception Architecture, section 7).
        from_logits: whether what is compared with the labels are logits, not probabilities.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | Sequence[float] = 1.0,
        name: str = "focal",
        reduction: str = "sum_over_batch_size",
        smoothing: float = 0.0,
        from_logits: bool = False,
    ):
        super().__init__(name=name, reduction=reduction)
        weights = alpha if isinstance(alpha, Sequence) else [alpha]
        if not all(0 <= value < math.inf for value in (gamma, *weights)) or not 0 <= smoothing < 1:
            raise ValueError(
                f"FocalLoss takes gamma >= 0, alpha >= 0 and a smoothing from 0 to below 1, not "
                f"{gamma}, {alpha} and {smoothing}."
            )
        self.gamma = gamma
        self.alpha = alpha
        self.smoothing = smoothing
        self.from_logits = from_logits

    def per_example(self, labels, probabilities):
        """Returns one loss an example, 0 for those not labelled: float32 ``[batch]``."""
        logits = ops.convert_to_tensor(probabilities)
        if not self.from_logits:
            logits = logits_of(probabilities)
        if self.smoothing:
            classes = logits.shape[-1]
            even = labelled_share(labels, classes)[:, None] / classes
            labels = class_shares(labels, classes) * (1 - self.smoothing) + even * self.smoothing
        return focal_loss(labels, logits, self.gamma, self.alpha)

    def __call__(self, y_true, y_pred, sample_weight=None):
        # Keras takes a list of numbers for a structure of tensors.
        y_true, y_pred = (np.asarray(y) if isinstance(y, list) else y for y in (y_true, y_pred))
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        # Keras will divide by this replica's batch size and by the number of replicas, and
        # add up: make all that the number of labelled ones.
        labelled = sum_over_replicas(ops.sum(labelled_share(y_true, y_pred.shape[-1])))
        count = ops.cast(ops.shape(y_true)[0], "float32")
        replicas = tf.distribute.get_replica_context()
        if replicas is not None and replicas.num_replicas_in_sync > 1:
            count *= replicas.num_replicas_in_sync
        scale = count / ops.maximum(labelled, 1.0)
        return scale * self.per_example(y_true, y_pred)

    def get_config(self) -> dict:
        names = ("gamma", "alpha", "smoothing", "from_logits")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
