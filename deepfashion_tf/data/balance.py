"""How many images each attribute has. No TensorFlow."""

import numpy as np

from deepfashion_tf.data.split import Split


def count_classes(split: Split) -> dict[str, np.ndarray]:
    """Counts the images of each attribute: category -> int ``[attributes]``."""
    return {
        category: np.bincount(labels[labels >= 0], minlength=len(attributes))
        for (category, attributes), labels in zip(split.schema.items(), split.labels.T, strict=True)
    }
