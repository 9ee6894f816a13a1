"""Body and garment outlines in body units: x from the middle, y down from the crown.

One unit is about a head's height; the feet stand at y = 7.6. A `View` maps units
to pixels. Outlines are float arrays ``[points, 2]``.
"""

from dataclasses import dataclass

import cv2
import numpy as np

SHOULDER_Y, ARMPIT_Y, WAIST_Y, HIP_Y, CROTCH_Y, KNEE_Y, ANKLE_Y = (
    1.52,
    2.1,
    3.05,
    3.9,
    4.2,
    5.7,
    7.3,
)
_BODY = (
    (1.5, 0.62),
    (1.62, 0.82),
    (2.1, 0.68),
    (2.35, 0.7),
    (3.05, 0.54),
    (3.85, 0.74),
    (4.25, 0.72),
)
_LEG = ((4.0, 0.36), (4.4, 0.33), (5.7, 0.21), (6.3, 0.19), (7.3, 0.1))


@dataclass(frozen=True)
class View:
    """An affine map from body units to pixels: scale, a small lean, and a place."""

    scale: float
    lean: float
    x: float
    y: float

    def __call__(self, points) -> np.ndarray:
        points = np.asarray(points, np.float32).reshape(-1, 2)
        cos, sin = np.cos(self.lean), np.sin(self.lean)
        turned = points @ np.array([[cos, sin], [-sin, cos]], np.float32)
        return turned * self.scale + (self.x, self.y)


@dataclass(frozen=True)
class Pose:
    """Arms as (shoulder, elbow, wrist) points, left then right, and the legs' spread."""

    arms: tuple[np.ndarray, np.ndarray]
    spread: float


def draw_pose(rng: np.random.Generator) -> Pose:
    """Draws arms that hang, swing or rest on the hips."""
    arms = []
    style = rng.choice(3, p=(0.62, 0.23, 0.15))
    for side in (-1, 1):
        upper = rng.uniform(0.14, 0.5)
        lower = upper + rng.uniform(-0.25, 0.3)
        if style == 1:
            upper = rng.uniform(0.3, 0.9)
            lower = upper + rng.uniform(-0.3, 0.9)
        if style == 2:
            upper, lower = rng.uniform(0.5, 0.75), rng.uniform(-0.75, -0.45)
        shoulder = np.array([side * 0.77, 1.72])
        elbow = shoulder + 1.25 * np.array([side * np.sin(upper), np.cos(upper)])
        wrist = elbow + 1.15 * np.array([side * np.sin(lower), np.cos(lower)])
        arms.append(np.stack([shoulder, elbow, wrist]))
    return Pose((arms[0], arms[1]), rng.uniform(0.0, 0.22))


def width_at(profile, y):
    """Interpolates a profile of (y, half width) pairs with rounded corners."""
    heights, widths = np.transpose(profile)
    fine = np.linspace(heights[0], heights[-1], 96)
    values = np.interp(fine, heights, widths).astype(np.float32)[:, None]
    smooth = cv2.blur(values, (1, 5), borderType=cv2.BORDER_REPLICATE).ravel()
    smooth[0], smooth[-1] = widths[0], widths[-1]
    return np.interp(y, fine, smooth)


def column(profile, x=0.0, sway=0.0) -> np.ndarray:
    """Outlines a shape that is symmetrical about a line from top to bottom.

    Args:
        profile: (y, half width) pairs from top to bottom.
        x: the line's place, or a function of the height that gives it.
        sway: depth of the hem's downward curve.
    """
    top, hem = profile[0][0], profile[-1][0]
    # Denser at the top, where shoulders turn within a tenth of the height.
    heights = top + (hem - top) * np.linspace(0, 1, 40) ** 1.7
    widths = width_at(profile, heights)
    middle = np.broadcast_to(x(heights) if callable(x) else x, heights.shape)
    right = np.stack([middle + widths, heights], axis=1)
    left = np.stack([middle - widths, heights], axis=1)[::-1]
    across = np.linspace(1, -1, 9)[1:-1]
    hem_line = np.stack(
        [middle[-1] + across * widths[-1], heights[-1] + sway * (1 - across**2)], axis=1
    )
    return np.concatenate([right, hem_line, left])


def limb(points: np.ndarray, widths) -> np.ndarray:
    """Outlines a bent tube along a polyline, with a half width at each of its points."""
    fine = np.linspace(0, len(points) - 1, 17)
    axis = np.stack([np.interp(fine, range(len(points)), points[:, i]) for i in (0, 1)], axis=1)
    axis = cv2.blur(axis.astype(np.float32), (1, 5), borderType=cv2.BORDER_REPLICATE)
    axis[0], axis[-1] = points[0], points[-1]
    radius = np.interp(fine, np.linspace(0, len(points) - 1, len(widths)), widths)
    along = np.gradient(axis, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6
    offset = normal * radius[:, None]
    return np.concatenate([axis + offset, (axis - offset)[::-1]])


def cut_limb(points: np.ndarray, begin: float, end: float) -> np.ndarray:
    """Takes a polyline from one share of its length to another."""
    fine = np.linspace((len(points) - 1) * begin, (len(points) - 1) * end, 9)
    return np.stack([np.interp(fine, range(len(points)), points[:, i]) for i in (0, 1)], axis=1)


def torso_outline() -> np.ndarray:
    return column(_BODY)


def leg_outline(side: int, spread: float) -> np.ndarray:
    return column(_LEG, lambda y: side * leg_x(y, spread))


def leg_x(heights, spread: float):
    """Returns how far a leg's middle is from the body's at given heights."""
    return 0.37 + (np.asarray(heights) - 4.0) * (spread - 0.04) / 2


def bodice_profile(fit: str, hem: float, rng: np.random.Generator) -> list:
    """Returns the half widths of a garment's body from the armpits to the hem.

    Tight follows bust, waist and hip; conventional hints at the waist; loose hangs
    from the shoulders, boxy or as a tent.
    """
    if fit == "tight":
        skirt = rng.uniform(0.62, 0.7) if hem < 5.6 else rng.uniform(0.52, 0.6)
        full = [*_ease(_BODY[2:6], 0.03), (4.4, 0.75), (max(hem, 4.5) + 0.1, skirt)]
    elif fit == "loose":
        wide = rng.uniform(1.08, 1.3)
        tent = rng.uniform(0.05, 0.22) * max(0.0, hem - 2.5)
        full = [(2.1, wide), (hem + 0.1, wide + tent)]
    else:
        waist = rng.uniform(0.75, 0.81)
        flare = rng.uniform(0.02, 0.13) * max(0.0, hem - 3.9)
        full = [(2.1, 0.76), (3.05, waist), (3.9, 0.84), (max(hem, 4.0) + 0.1, 0.86 + flare)]
    return _between(full, 2.1, hem)


def bottom_profile(kind_of_fit: str, hem: float, rng: np.random.Generator) -> list:
    """Returns the half widths of a skirt from the waist down."""
    length = hem - 3.0
    if kind_of_fit == "tight":
        flare = 0.74 if length < 2.2 else 0.64
    elif kind_of_fit == "loose":
        flare = 0.8 + rng.uniform(0.42, 0.6) * length
    else:
        flare = 0.78 + rng.uniform(0.06, 0.16) * length
    hip = {"tight": 0.77, "conventional": 0.86, "loose": 1.0}[kind_of_fit]
    return _between([(3.0, 0.57), (3.75, hip), (max(hem, 4.0), flare)], 3.0, hem)


def leg_garment_profile(fit: str, hem: float, rng: np.random.Generator) -> list:
    """Returns the half widths of a trouser leg, from the crotch down."""
    if fit == "tight":
        full = [*_ease(_LEG, 0.025)]
    elif fit == "loose":
        wide = rng.uniform(0.5, 0.62)
        full = [(4.0, 0.42), (4.6, wide - 0.04), (7.4, wide + rng.uniform(0.0, 0.14))]
    else:
        full = [(4.0, 0.39), (4.6, 0.38), (5.7, 0.31), (7.4, rng.uniform(0.25, 0.31))]
    return _between(full, 4.0, hem)


def _ease(profile, ease: float) -> list:
    return [(y, width + ease) for y, width in profile]


def _between(profile, top: float, hem: float) -> list:
    inner = [(y, width) for y, width in profile if top < y < hem]
    heights, widths = np.transpose(profile)
    return [
        (top, float(np.interp(top, heights, widths))),
        *inner,
        (hem, float(np.interp(hem, heights, widths))),
    ]
