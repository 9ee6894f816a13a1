"""What a predictor gives: some images and their answers. No TensorFlow."""

from dataclasses import dataclass

import numpy as np

from deepfashion_tf.inference.items import Item

Probabilities = dict[str, np.ndarray]


@dataclass(frozen=True)
class Batch:
    """Some images and what was answered.

    Attributes:
        items: the images, in the order in which they came.
        faults: one an image: None, or why it could not be answered.
        crops: uint8 ``[images that have no fault, size, size, 3]``, what the network was given.
        probabilities: category -> float32 ``[images that have no fault, classes]``.
    """

    items: list[Item]
    faults: list[str | None]
    crops: np.ndarray
    probabilities: Probabilities

    @property
    def answered(self) -> list[Item]:
        return [item for item, fault in zip(self.items, self.faults, strict=True) if not fault]
