"""A sheet of all 26 attributes, one column each: what the wardrobe shows, for people."""

import cv2
import numpy as np

from deepfashion_tf.data.wardrobe.draw import draw_garment
from deepfashion_tf.data.wardrobe.sampling import sample_labels
from deepfashion_tf.schema import builtin_schema

_HEADERS = {
    "texture": (0, 114, 178),
    "sleeve": (200, 130, 0),
    "length": (0, 138, 100),
    "neckline": (184, 100, 148),
    "fabric": (196, 84, 0),
    "fit": (62, 150, 200),
}


def draw_contact_sheet(seed: int, rows: int = 3, cell: tuple[int, int] = (124, 158)) -> np.ndarray:
    """Draws crops of garments, each column showing one attribute, in two bands of 13.

    Args:
        seed: which garments.
        rows: garments an attribute.
        cell: width and height of one crop in pixels.

    Returns:
        uint8 RGB.
    """
    rng = np.random.default_rng(seed)
    pool = sample_labels(rng, 60_000)
    columns = []
    for axis, (category, attributes) in enumerate(builtin_schema().items()):
        for index, attribute in enumerate(attributes):
            having = pool[pool[:, axis] == index]
            chosen = having[rng.permutation(len(having))[:rows]]
            crops = [_crop(labels, rng, cell) for labels in chosen]
            columns.append(np.concatenate([_header(category, attribute, cell[0]), *crops]))
    half = len(columns) // 2
    bands = [np.concatenate(columns[:half], axis=1), np.concatenate(columns[half:], axis=1)]
    return np.concatenate(bands)


def _crop(labels, rng: np.random.Generator, cell: tuple[int, int]) -> np.ndarray:
    """Cuts a garment out with its box, fitted into a cell without changing its shape."""
    drawing = draw_garment(labels, rng)
    x1, y1, x2, y2 = drawing.box
    crop = drawing.image[y1:y2, x1:x2]
    inner = (cell[0] - 4, cell[1] - 4)
    scale = min(inner[0] / crop.shape[1], inner[1] / crop.shape[0])
    size = [max(1, round(side * scale)) for side in crop.shape[1::-1]]
    crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    sheet = np.full((cell[1], cell[0], 3), 255, np.uint8)
    x, y = (cell[0] - size[0]) // 2, (cell[1] - size[1]) // 2
    sheet[y : y + size[1], x : x + size[0]] = crop
    return sheet


def _header(category: str, attribute: str, width: int) -> np.ndarray:
    header = np.full((36, width, 3), 255, np.uint8)
    header[2:18, 1:-1] = _HEADERS[category]
    white, black = (255, 255, 255), (40, 40, 40)
    for text, y, colour, size in ((category, 14, white, 0.4), (attribute, 31, black, 0.4)):
        (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        at = ((width - wide) // 2, y)
        cv2.putText(header, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
    return header
