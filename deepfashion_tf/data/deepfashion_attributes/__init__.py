"""DeepFashion's attributes as a data set of TensorFlow Datasets; importing it registers it.

Example:
    import deepfashion_tf.data.deepfashion_attributes
    import tensorflow_datasets as tfds

    tfds.load("deepfashion_attributes/wardrobe", split="train")
"""

from deepfashion_tf.data.deepfashion_attributes.deepfashion_attributes_dataset_builder import (
    Builder,
    DeepFashionConfig,
)

__all__ = ["Builder", "DeepFashionConfig"]
