"""The long tail: weights and frequencies for attributes that few images have. No TensorFlow."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from deepfashion_tf.data.split import Split

CAP = 10.0  # times the commonest attribute's weight, at most
BETA = 0.999  # of the effective number: images beyond some thousand add little
ClassBalance = Literal["none", "inverse", "effective"]
Counts = Mapping[str, np.ndarray]


def count_classes(split: Split) -> dict[str, np.ndarray]:
    """Counts the images of each attribute: category -> int ``[attributes]``."""
    return {
        category: np.bincount(labels[labels >= 0], minlength=len(attributes))
        for (category, attributes), labels in zip(split.schema.items(), split.labels.T, strict=True)
    }


def class_weights(counts: np.ndarray, method: ClassBalance) -> np.ndarray:
    """Gives the weight of each class in the loss; over the images its mean is 1.

    inverse: 1 / n_c (no class more than ten times the commonest one's weight).
    effective: (1 − β) / (1 − β^n_c) with β = 0.999; 1 / n_c for few images, and the same for
    all classes of many.

    Args:
        counts: int ``[classes]``, n_c; a class without images has the weight of one with 1.
        method: of these; none = 1 for all.

    Reference:
        Cui et al. 2019, Class-Balanced Loss Based on Effective Number of Samples, eqs. 2 and 6.
    """
    known = np.maximum(1, counts).astype(float)
    if method == "none":
        return np.ones(len(counts))
    if method == "inverse":
        weights = 1 / known
        weights = np.minimum(weights, CAP * weights.min())
    else:
        weights = (1 - BETA) / (1 - BETA**known)
    total = (weights * counts).sum()
    return weights * counts.sum() / total if total else weights / weights.mean()


def log_priors(counts: np.ndarray) -> np.ndarray:
    """Gives log π_c, the logarithms of the classes' shares; each class has one image more.

    Args:
        counts: int ``[classes]``.
    """
    known = counts + 1.0
    return np.log(known / known.sum())


def sampling_weights(split: Split) -> np.ndarray:
    """Tells how often each image is shown, relative to the others: its rarest label decides.

    An image of class c, which has the share f_c of its category's labels, is shown
    max(1, √(1 / (K f_c))) times as often as one of a common class, K being the number of
    the category's classes; of several labels the highest counts.

    Returns:
        float ``[n]``, of mean 1.

    Reference:
        Gupta et al. 2019, LVIS: A Dataset for Large Vocabulary Instance Segmentation,
        section 4.2 (repeat factor sampling, there with one threshold for all classes).
    """
    factors = np.ones(len(split))
    for labels, counts in zip(split.labels.T, count_classes(split).values(), strict=True):
        shares = counts / max(1, counts.sum())
        wanted = np.sqrt(1 / (len(counts) * np.maximum(shares, 1e-12)))
        of_image = np.where(labels >= 0, wanted[labels], 1.0)
        factors = np.maximum(factors, of_image)
    return factors / factors.mean()
