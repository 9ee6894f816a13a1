"""Published weights: where they are, how they are read, which network they belong to."""

from deepfashion_tf.models.weights.check import check_hdf5, check_values
from deepfashion_tf.models.weights.network import (
    Weights,
    build_with_weights,
    convert_weights,
    load_weights,
    read_weights,
)
from deepfashion_tf.models.weights.sources import find_weights

__all__ = [
    "Weights",
    "build_with_weights",
    "check_hdf5",
    "check_values",
    "convert_weights",
    "find_weights",
    "load_weights",
    "read_weights",
]
