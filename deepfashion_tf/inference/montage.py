"""One picture of a photograph's answers: what the model was given, and where it looked."""

import functools

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from deepfashion_tf.errors import printable
from deepfashion_tf.inference.explanations import overlay

TILE = 224  # pixels
_GAP = 12
_LINE = 20
_FONT = 15


def draw_montage(
    crop: np.ndarray,
    heats: dict[str, np.ndarray],
    answers: dict[str, tuple[str, float]],
    colours: dict[str, str],
    looks: dict[str, np.ndarray] | None = None,
) -> Image.Image:
    """Draws the crop and, beside it, each category's map over it with its answer.

    Args:
        crop: uint8 ``[size, size, 3]``, RGB, what the network was given.
        heats: category -> float ``[rows, columns]``, 0 to 1.
        answers: category -> what is told of it, and its probability, 0 to 1.
        colours: category -> the colour of its name, as in all other figures.
        looks: category -> what its head looks at, drawn below its map; as `heats`. None or
            empty = the heads look at nothing of their own.

    Returns:
        An image of two rows, or of more where there are many categories.
    """
    size = (TILE, TILE)
    large = np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BICUBIC))
    tiles = [("what the model sees", "black", "yellow: what speaks for it", [large])]
    for category, heat in heats.items():
        text, probability = answers[category]
        told = f"{printable(text)} {probability:.0%}"
        maps = [heat, looks[category]] if looks else [heat]
        tiles.append((category, colours[category], told, [overlay(large, one) for one in maps]))
    columns = min(4, len(tiles)) if len(tiles) <= 12 else 6
    rows = -(-len(tiles) // columns)
    height = (2 if looks else 1) * (TILE + _GAP) + 2 * _LINE
    picture = Image.new("RGB", (columns * (TILE + _GAP) + _GAP, rows * height + _GAP), "white")
    pen = ImageDraw.Draw(picture)
    for number, (name, colour, told, parts) in enumerate(tiles):
        x = _GAP + number % columns * (TILE + _GAP)
        y = _GAP + number // columns * height
        pen.text((x, y), printable(name), fill=colour, font=font("bold"))
        pen.text((x, y + _LINE), told, fill="black", font=font("normal"))
        for part, tile in enumerate(parts):
            picture.paste(Image.fromarray(tile), (x, y + 2 * _LINE + part * (TILE + _GAP // 2)))
    if looks:
        below = (_GAP, 3 * _GAP + 2 * _LINE + TILE)
        pen.text(
            below, "below: attention of each head,\nyellow is highest", "black", font("normal")
        )
    return picture


@functools.cache
def font(weight: str) -> ImageFont.FreeTypeFont:
    """Finds the font that matplotlib brings along, so that every machine draws the same."""
    path = font_manager.findfont(font_manager.FontProperties("DejaVu Sans", weight=weight))
    return ImageFont.truetype(path, _FONT)
