"""Which precision this machine trains fastest in."""

import os

import tensorflow as tf

from deepfashion_tf.processor import bfloat16_units

_AMPERE = (8, 0)  # compute capability of the first GPUs with bfloat16


def choose_precision(asked: str) -> tuple[str, str]:
    """Decides what the network computes in.

    Args:
        asked: a precision of `TrainConfig`, or auto.

    Returns:
        The name of a Keras dtype policy, and why it is that; empty where it was asked for.
    """
    if asked != "auto":
        return asked, ""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        if all(found.get("compute_capability", (0, 0)) >= _AMPERE for found in details):
            return "mixed_bfloat16", "which these GPUs have units for"
        return "float32", "since not all of these GPUs have units for bfloat16"
    # Without oneDNN, TensorFlow computes bfloat16 number by number.
    units = bfloat16_units() if os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0" else None
    if units:
        return "mixed_bfloat16", f"which this processor has units for ({units})"
    return "float32", "since this processor has no units for bfloat16"
