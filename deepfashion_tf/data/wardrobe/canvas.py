"""Painting outlines on a picture: anti-aliased masks, rounded shading, blending."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass
class Canvas:
    """A picture in the making.

    Attributes:
        image: float32 RGB ``[height, width, 3]``, 0..255.
        light: float32 ``[height, width]``, factor of the light that falls on things.
    """

    image: np.ndarray
    light: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[:2]

    def mask(self, outlines, holes=()) -> np.ndarray:
        """Draws outlines in pixels, less holes: uint8 ``[height, width]``, 0..255."""
        drawn = np.zeros(self.size, np.uint8)
        for outline in outlines:
            cv2.fillPoly(drawn, [_fixed(outline)], 255, cv2.LINE_AA, 4)
        for hole in holes:
            cv2.fillPoly(drawn, [_fixed(hole)], 0, cv2.LINE_AA, 4)
        return drawn

    def paint(self, mask, colour, *, rim: float, depth=0.3, opacity=1.0, gloss=None) -> None:
        """Blends a colour or a picture of cloth in where the mask says, round at its rim.

        Args:
            mask: uint8 ``[height, width]``.
            colour: RGB, or float32 ``[height, width, 3]``.
            rim: how far the shading of the rim reaches inwards, in pixels.
            depth: how dark the rim gets, 0..1.
            opacity: 0..1.
            gloss: float32 ``[height, width]``, added after shading; None = matt.
        """
        x, y, width, height = cv2.boundingRect(mask)
        if not width or not height:
            return
        window = (slice(y, y + height), slice(x, x + width))
        part = mask[window]
        reach = 2 * max(1, int(rim)) + 1
        inner = cv2.blur(part, (reach, reach), borderType=cv2.BORDER_CONSTANT)
        shade = (1.0 - depth) + inner * np.float32(1.4 * depth / 255)
        shade = np.minimum(shade, 1.0) * self.light[window]
        painted = np.asarray(colour, np.float32)
        painted = (painted[window] if painted.ndim == 3 else painted) * shade[..., None]
        if gloss is not None:
            painted += (gloss[window] * self.light[window])[..., None]
        weight = part[..., None] * np.float32(opacity / 255)
        under = self.image[window]
        under += (painted - under) * weight

    def shape(self, outline, colour, *, rim=3.0, depth=0.25, opacity=1.0) -> np.ndarray:
        """Paints one outline in one colour and returns its mask."""
        mask = self.mask([outline])
        self.paint(mask, colour, rim=rim, depth=depth, opacity=opacity)
        return mask

    def line(self, points, colour, width: float, within=None, dashed: float = 0.0) -> None:
        """Draws a line, only where the mask `within` lets it, dashed if a length is given."""
        points = np.asarray(points, np.float32)
        if dashed:
            points = _resample(points, dashed)
            pieces = [points[i : i + 2] for i in range(0, len(points) - 1, 2)]
        else:
            pieces = [points]
        # OpenCV smooths lines on 8-bit pictures only: draw a mask, then blend.
        drawn = np.zeros(self.size, np.uint8)
        for piece in pieces:
            cv2.polylines(drawn, [_fixed(piece)], False, 255, max(1, round(width)), cv2.LINE_AA, 4)
        if within is not None:
            drawn = np.minimum(drawn, within)
        x, y, wide, high = cv2.boundingRect(drawn)
        window = (slice(y, y + high), slice(x, x + wide))
        under = self.image[window]
        under += (np.float32(colour) - under) * (drawn[window] * np.float32(1 / 255))[..., None]


def _fixed(points) -> np.ndarray:
    return np.int32(np.round(np.asarray(points) * 16))


def _resample(points: np.ndarray, step: float) -> np.ndarray:
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.arange(0, length[-1], step)
    return np.stack([np.interp(at, length, points[:, i]) for i in (0, 1)], axis=1)


def ellipse(x: float, y: float, radius_x: float, radius_y: float) -> np.ndarray:
    """Outlines an ellipse with 24 points."""
    t = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([x + radius_x * np.cos(t), y + radius_y * np.sin(t)], axis=1)


def mirrored(outline) -> np.ndarray:
    """Mirrors an outline about x = 0."""
    return np.asarray(outline, float) * (-1.0, 1.0)
