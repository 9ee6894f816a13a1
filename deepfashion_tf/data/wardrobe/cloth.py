"""What a garment is made of: its colour, its surface, how light falls on it."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

# Typical colours of each fabric, RGB.
_PALETTES = {
    "denim": [(58, 82, 128), (84, 112, 158), (38, 50, 84), (126, 152, 188), (48, 52, 62)],
    "chiffon": [
        (238, 208, 204),
        (208, 222, 236),
        (244, 238, 222),
        (214, 200, 230),
        (206, 226, 208),
        (60, 56, 72),
        (190, 70, 90),
        (246, 246, 246),
        (120, 160, 180),
    ],
    "cotton": [
        (240, 240, 238),
        (32, 34, 40),
        (128, 132, 138),
        (190, 50, 54),
        (44, 70, 128),
        (66, 122, 96),
        (236, 196, 92),
        (226, 142, 150),
        (128, 186, 214),
        (214, 190, 160),
        (96, 62, 100),
        (224, 122, 70),
        (92, 98, 66),
        (130, 40, 62),
    ],
    "leather": [
        (34, 30, 32),
        (28, 28, 34),
        (92, 54, 34),
        (120, 78, 48),
        (84, 28, 34),
        (50, 44, 40),
    ],
    "faux": [
        (222, 208, 190),
        (120, 88, 66),
        (60, 50, 48),
        (170, 166, 164),
        (214, 170, 178),
        (238, 234, 228),
    ],
    "knit": [
        (222, 212, 196),
        (138, 66, 60),
        (76, 92, 82),
        (188, 152, 110),
        (92, 96, 110),
        (196, 128, 110),
        (54, 62, 92),
        (232, 228, 222),
        (206, 166, 70),
    ],
}


@dataclass(frozen=True)
class Cloth:
    """A fabric with its colour and how it is shaded.

    Attributes:
        fabric: attribute of the category fabric.
        colour: RGB, 0..255.
        opacity: 1 = nothing shines through.
        fold_depth: strength of the folds' shading.
    """

    fabric: str
    colour: tuple[float, float, float]
    opacity: float
    fold_depth: float


def draw_cloth(rng: np.random.Generator, fabric: str, fit: str) -> Cloth:
    """Draws a cloth's colour, sheerness and folds."""
    palette = _PALETTES[fabric]
    colour = np.array(palette[rng.integers(len(palette))], float)
    colour = np.clip(colour * rng.uniform(0.88, 1.1) + rng.normal(0, 7, 3), 8, 250)
    depth = {"denim": 0.13, "chiffon": 0.17, "cotton": 0.14, "leather": 0.16}.get(fabric, 0.09)
    depth *= {"tight": 0.9, "loose": 2.0}.get(fit, 1.0)
    opacity = rng.uniform(0.5, 0.66) if fabric == "chiffon" else 1.0
    return Cloth(fabric, tuple(map(float, colour)), opacity, depth * rng.uniform(0.8, 1.2))


@lru_cache(maxsize=1)
def _noise_tile() -> np.ndarray:
    """A tile of white noise that all images cut their noise from: float32 [512, 512], std 1."""
    return np.random.default_rng(20210404).standard_normal((512, 512), np.float32)


def noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Cuts white noise of mean 0 and deviation 1: float32 ``[height, width]``."""
    tile = _noise_tile()
    y, x = rng.integers(512 - height), rng.integers(512 - width)
    return tile[y : y + height, x : x + width]


def soft_noise(rng: np.random.Generator, size, cell_height: float, cell_width: float) -> np.ndarray:
    """Makes smooth noise whose blobs have about the given size in pixels."""
    rows = max(2, min(400, round(size[0] / cell_height) + 2))
    columns = max(2, min(400, round(size[1] / cell_width) + 2))
    return cv2.resize(noise(rng, rows, columns), size[::-1], interpolation=cv2.INTER_CUBIC)


def fold_map(rng, size, unit: float, cloth: Cloth, fit: str) -> np.ndarray:
    """Makes the lightness of folds around 0: they hang when loose, and pull across when tight."""
    if fit == "tight":
        folds = soft_noise(rng, size, unit * 0.2, unit * 0.7)
    elif fit == "loose":
        folds = soft_noise(rng, size, unit * 2.4, unit * 0.22)
    else:
        folds = soft_noise(rng, size, unit * 1.1, unit * 0.33)
    return np.clip(folds, -2.2, 2.2) * np.float32(cloth.fold_depth)


def surface(rng, size, unit: float, cloth: Cloth, folds: np.ndarray) -> np.ndarray:
    """Makes what a fabric looks like close by: a factor on the colour, and gloss to be added.

    Returns:
        float32 ``[height, width, 2]``: factor around 1, and gloss in grey levels.
    """
    y, x = np.ogrid[: size[0], : size[1]]
    factor = np.ones(size, np.float32)
    gloss = np.zeros(size, np.float32)
    grain = noise(rng, *size)
    if cloth.fabric == "denim":
        twill = np.sin((x * 0.9 + y) * (2 * np.pi / max(3.0, unit * 0.07)))
        faded = np.maximum(soft_noise(rng, size, unit * 1.6, unit * 0.5), 0)
        factor += 0.07 * twill.astype(np.float32) + 0.09 * grain + 0.22 * faded
    elif cloth.fabric == "chiffon":
        gloss += 26.0 * np.maximum(folds / cloth.fold_depth, 0)
        factor += 0.015 * grain
    elif cloth.fabric == "cotton":
        factor += 0.022 * grain
    elif cloth.fabric == "leather":
        # Where the noise changes its sign runs a thin crease: it shines.
        creases = soft_noise(rng, size, unit * 0.42, unit * 0.3) + 0.4 * folds / cloth.fold_depth
        broad = np.clip(soft_noise(rng, size, unit * 1.3, unit * 0.4), 0, 2)
        gloss += 95.0 * np.exp(-np.square(creases * 4.0)) * np.clip(broad, 0, 1)
        gloss += 30.0 * broad
        factor -= 0.18 * np.clip(-creases, 0, 1)
    elif cloth.fabric == "faux":
        hair = cv2.blur(noise(rng, *size), (1, max(3, int(unit * 0.12))))
        tufts = soft_noise(rng, size, unit * 0.22, unit * 0.11)
        factor += 0.34 * hair + 0.13 * tufts + 0.05 * grain
    else:
        factor += _stitches(rng, x, y, unit) + 0.04 * grain
    return np.stack([factor, gloss], axis=-1)


def _stitches(rng, x, y, unit: float) -> np.ndarray:
    """Knitting: dark grooves between columns of V-shaped stitches, some swaying like cables."""
    period = unit * rng.uniform(0.11, 0.19)
    row = period * rng.uniform(0.6, 0.8)
    sway = 0.0
    if rng.random() < 0.35:
        sway = 0.22 * period * np.sin(y * (2 * np.pi / (period * 5.0)))
    across = np.abs(((x + sway) / period) % 1.0 - 0.5)
    groove = np.clip((across - 0.3) / 0.2, 0, 1)
    stitch = np.sin((y / row - 1.2 * across) * 2 * np.pi)
    return (0.08 - 0.42 * groove + 0.09 * stitch * (1.0 - groove)).astype(np.float32)
