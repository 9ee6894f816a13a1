"""Divides images into training, validation and test, where nobody has."""

import numpy as np

from deepfashion_tf.data.split import SPLITS
from deepfashion_tf.schema import UNLABELLED

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def divide(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Divides images so that attributes have their share in every split, and no group is cut.

    Groups are put in order by their rarest attribute and then by all of their labels, at
    random where these are equal. In that order each goes to the split that is furthest
    behind its share of the images so far, so that like groups are dealt out evenly.
    The labels of a group's first image stand for all of it. The same images are always divided
    alike.

    Args:
        labels: int ``[n, categories]``, class ids; -1 = not labelled.
        groups: ``[n]``: images with the same value stay together.

    Returns:
        int8 ``[n]``, positions in SPLITS.
    """
    _, first, group_of, sizes = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    order = _by_rarity(labels, first, np.random.default_rng(0))
    split_of = np.empty(len(order), np.int8)
    shares = [SHARES[name] for name in SPLITS]
    behind = [0.0] * len(SPLITS)
    for group, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        behind = [value + size * share for value, share in zip(behind, shares, strict=True)]
        chosen = behind.index(max(behind))
        behind[chosen] -= size
        split_of[group] = chosen
    return split_of[group_of]


def _by_rarity(labels: np.ndarray, first: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Orders groups, given by their first images, so that like ones are neighbours."""
    known = labels[first]
    frequency = np.full(known.shape, len(labels) + 1, np.int64)
    for column, values in enumerate(labels.T):
        counts = np.bincount(values - UNLABELLED)
        counts[0] = len(labels) + 1  # not labelled
        frequency[:, column] = counts[known[:, column] - UNLABELLED]
    rarest = frequency.argmin(axis=1)
    rows = np.arange(len(first))
    # lexsort sorts by its last key first: rarity, which attribute it is, all labels, chance.
    attribute = (known[rows, rarest], rarest, frequency[rows, rarest])
    return np.lexsort((rng.random(len(first)), *known.T[::-1], *attribute))
