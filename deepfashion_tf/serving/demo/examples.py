"""Garments of the wardrobe that the page offers to try: drawings, always the same."""

from dataclasses import dataclass

import cv2
import numpy as np

from deepfashion_tf.data.wardrobe.draw import draw_garment
from deepfashion_tf.data.wardrobe.sampling import sample_labels
from deepfashion_tf.inference.items import Box
from deepfashion_tf.schema import builtin_schema

SEEDS = (26, 3, 27, 35, 18, 9)  # garments that are unlike each other


@dataclass(frozen=True)
class Example:
    """A drawing to try.

    Attributes:
        encoded: a JPEG file.
        box: of the garment, x1 y1 x2 y2 in half-open pixels.
        drawn: category -> the attribute that it was drawn with.
    """

    encoded: bytes
    box: Box
    drawn: dict[str, str]


def draw_example(seed: int) -> Example:
    """Draws a garment as the wardrobe's are."""
    rng = np.random.default_rng(seed)
    (labels,) = sample_labels(rng, 1)
    drawing = draw_garment(labels, rng)
    bgr = cv2.cvtColor(drawing.image, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])
    drawn = {
        category: attributes[label]
        for (category, attributes), label in zip(builtin_schema().items(), labels, strict=True)
    }
    return Example(encoded.tobytes(), tuple(map(int, drawing.box)), drawn)
