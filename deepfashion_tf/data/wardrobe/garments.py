"""Garments as outlines in body units, cut by their attributes."""

from dataclasses import dataclass, field

import numpy as np

from deepfashion_tf.data.wardrobe.canvas import ellipse, mirrored
from deepfashion_tf.data.wardrobe.geometry import (
    Pose,
    bodice_profile,
    bottom_profile,
    column,
    cut_limb,
    leg_garment_profile,
    leg_x,
    limb,
    width_at,
)


@dataclass
class Garment:
    """The parts of a garment, in body units.

    Attributes:
        body: outlines of its body.
        profile: (y, half width) pairs of the body, from top to hem.
        holes: outlines cut out of the body: the neck, an open front.
        sleeves: outlines, left then right; none if sleeveless.
        cuffs: lines across the sleeves' ends.
        collar: outlines drawn on top.
        behind: outlines drawn behind the head.
        lines: seams, plackets, edges; lines of points.
        edges: the neckline's edge, drawn broader.
        buttons: points.
        hem: y of the hem.
        open_front: the body is open and shows what is worn under it.
        landmarks: name -> point, those that the garment has.
    """

    body: list
    profile: list
    hem: float
    holes: list = field(default_factory=list)
    sleeves: list = field(default_factory=list)
    cuffs: list = field(default_factory=list)
    collar: list = field(default_factory=list)
    behind: list = field(default_factory=list)
    lines: list = field(default_factory=list)
    edges: list = field(default_factory=list)
    buttons: list = field(default_factory=list)
    open_front: bool = False
    landmarks: dict = field(default_factory=dict)

    @property
    def outlines(self) -> list:
        return [*self.body, *self.sleeves, *self.collar, *self.behind]


_SHOULDERS = {
    "tight": [(1.4, 0.28), (1.5, 0.58), (1.62, 0.8), (1.8, 0.76)],
    "conventional": [(1.4, 0.28), (1.5, 0.6), (1.62, 0.84), (1.8, 0.83)],
    "loose": [(1.4, 0.28), (1.52, 0.66), (1.68, 1.0), (1.8, 1.06)],
}
_BARE_SHOULDERS = [(1.4, 0.28), (1.47, 0.5), (1.6, 0.57), (1.85, 0.55), (2.0, 0.62)]
_SLEEVE_WIDTHS = {
    "tight": (0.15, 0.2, 0.19, 0.17, 0.15, 0.13, 0.12),
    "conventional": (0.16, 0.26, 0.28, 0.27, 0.25, 0.23, 0.21),
    "loose": (0.2, 0.36, 0.42, 0.44, 0.46, 0.48, 0.5),
}


def build_upper(
    kind: str, sleeve: str, length: str, neckline: str, fit: str, pose: Pose, rng
) -> Garment:
    """Cuts a top, a jacket or a dress."""
    hem = _upper_hem(kind, length, fit, rng)
    style = _neck_style(kind, neckline, rng)
    lower = bodice_profile(fit, hem, rng)
    if style == "off_shoulder":
        profile = [(1.98, lower[0][1] - 0.02), *lower]
    elif sleeve == "sleeveless":
        profile = [*_BARE_SHOULDERS, *lower]
    else:
        profile = [*_SHOULDERS[fit], *lower]
    garment = Garment([column(profile, sway=0.07)], profile, hem)
    _cut_neck(garment, style, rng)
    if kind == "jacket":
        _open_front(garment, style, rng)
    if sleeve != "sleeveless":
        _add_sleeves(garment, sleeve, fit, style, pose, rng)
    if kind == "dress" and fit != "loose" and rng.random() < 0.6:
        waist = width_at(profile, 3.05)
        garment.lines.append([(-waist, 3.05), (0, 3.1), (waist, 3.05)])
    side = width_at(profile, 3.05)
    garment.landmarks |= {"left waist": (-side, 3.05), "right waist": (side, 3.05)}
    garment.landmarks |= {"left hem": (-profile[-1][1], hem), "right hem": (profile[-1][1], hem)}
    return garment


def _upper_hem(kind: str, length: str, fit: str, rng) -> float:
    if length == "maxi_length":
        return rng.uniform(6.7, 7.3)
    if length == "mini_length":
        return rng.uniform(4.75, 5.35)
    if kind == "jacket" and rng.random() < 0.35:
        return rng.uniform(4.9, 5.9)
    low = {"tight": 3.45, "conventional": 3.75, "loose": 3.8}[fit]
    return rng.uniform(low, low + 0.55)


def _neck_style(kind: str, neckline: str, rng) -> str:
    if neckline != "no_neckline":
        return neckline.removesuffix("_neckline")
    if kind == "jacket":
        return str(rng.choice(["lapel", "collar", "hood", "stand"], p=[0.4, 0.2, 0.25, 0.15]))
    return str(
        rng.choice(
            ["collar", "stand", "boat", "off_shoulder", "hood"], p=[0.36, 0.2, 0.12, 0.2, 0.12]
        )
    )


def _cut_neck(garment: Garment, style: str, rng) -> None:
    """Cuts the neck and puts on what stands around it."""
    if style == "crew":
        depth = rng.uniform(0.17, 0.3)
        garment.holes = [ellipse(0, 1.4, rng.uniform(0.27, 0.34), depth)]
    elif style == "v":
        depth, half = rng.uniform(1.95, 2.5), rng.uniform(0.26, 0.36)
        garment.holes = [
            np.array([(-half, 1.3), (half, 1.3), (half * 0.5, 1.6), (0, depth), (-half * 0.5, 1.6)])
        ]
        garment.holes[0][2:5:2, 1] = 1.3 + (depth - 1.3) * 0.5
    elif style == "square":
        half, depth = rng.uniform(0.4, 0.46), rng.uniform(1.85, 2.05)
        garment.holes = [np.array([(-half, 1.2), (half, 1.2), (half, depth), (-half, depth)])]
    elif style == "boat":
        garment.holes = [ellipse(0, 1.42, 0.66, 0.13)]
    elif style == "stand":
        garment.collar = [np.array([(-0.25, 1.08), (0.25, 1.08), (0.34, 1.52), (-0.34, 1.52)])]
        garment.lines = [[(-0.27, 1.2), (0, 1.24), (0.27, 1.2)]]
    elif style == "hood":
        garment.holes = [ellipse(0, 1.4, 0.26, 0.3)]
        garment.behind = [ellipse(0, 1.12, 0.62, 0.56)]
        rim = np.array([(-0.62, 1.2), (-0.3, 1.42), (0, 1.82), (-0.16, 1.86), (-0.62, 1.6)])
        garment.collar = [rim, mirrored(rim)]
        garment.lines = [[(-0.1, 1.84), (-0.13, 2.5)], [(0.1, 1.84), (0.13, 2.45)]]
    elif style in ("collar", "lapel"):
        wide, long = (0.42, 1.9) if style == "collar" else (0.56, rng.uniform(2.2, 2.6))
        flap = np.array([(0, long - 0.25), (-0.2, 1.34), (-wide, 1.55), (-wide * 0.8, long - 0.1)])
        if style == "lapel":
            flap = np.array(
                [(0, long), (-0.24, 1.34), (-wide, 1.62), (-wide - 0.02, 1.95), (-0.36, 2.0)]
            )
        garment.holes = [np.array([(-0.2, 1.3), (0.2, 1.3), (0, long - 0.25)])]
        garment.collar = [flap, mirrored(flap)]
        garment.lines = [[(0, long - 0.2), (0, garment.hem)]]
        steps = np.arange(long, garment.hem - 0.15, 0.42 if style == "collar" else 0.6)
        garment.buttons = [(0.0, y) for y in steps]
    if style in ("crew", "v", "square", "boat"):
        garment.edges = [np.concatenate([garment.holes[0], garment.holes[0][:1]])]
    top = garment.holes[0] if garment.holes else np.array([(-0.3, 1.5), (0.3, 1.5)])
    left, right = top[top[:, 0].argmin()], top[top[:, 0].argmax()]
    garment.landmarks |= {"left collar": tuple(left), "right collar": tuple(right)}


def _open_front(garment: Garment, style: str, rng) -> None:
    """Opens a jacket's front, or closes it with a zip or buttons."""
    middle = [(0, 1.6), (0, garment.hem)]
    garment.open_front = rng.random() < 0.55
    if garment.open_front:
        gap = rng.uniform(0.1, 0.3)
        top = gap if style in ("crew", "v") else gap * 0.6
        front = [(-0.2, 1.3), (0.2, 1.3), (top, 1.9), (gap, garment.hem + 0.3)]
        front += [(-gap, garment.hem + 0.3), (-top, 1.9)]
        garment.holes = [*garment.holes, np.array(front)]
        garment.edges = [
            [(side * 0.2, 1.4), (side * top, 1.9), (side * gap, garment.hem)] for side in (-1, 1)
        ]
        garment.buttons, garment.lines = [], []
    elif middle not in garment.lines:
        garment.lines.append(middle)
        if style in ("crew", "v") or rng.random() < 0.4:
            garment.buttons = [(0.0, y) for y in np.arange(2.5, garment.hem - 0.1, 0.4)]


def _add_sleeves(garment: Garment, sleeve: str, fit: str, style: str, pose: Pose, rng) -> None:
    begin = 0.16 if style == "off_shoulder" else 0.0
    end = rng.uniform(0.9, 1.0) if sleeve == "long_sleeve" else rng.uniform(0.24, 0.42)
    widths = np.array(_SLEEVE_WIDTHS[fit]) * rng.uniform(0.95, 1.1)
    if sleeve == "short_sleeve":
        widths = widths[:3] * (1.0, 1.0, 1.06)
    for name, arm in zip(("left sleeve", "right sleeve"), pose.arms, strict=True):
        axis = cut_limb(arm, begin, end)
        if not begin:
            # The cap of the sleeve starts inside the shoulder, so that no gap shows.
            axis[0] -= (np.sign(arm[0, 0]) * 0.08, 0.02)
        outline = limb(axis, widths)
        garment.sleeves.append(outline)
        points = len(outline) // 2
        garment.cuffs.append([outline[points - 1], outline[points]])
        garment.landmarks[name] = tuple(axis[-1])


def build_bottom(kind: str, fit: str, pose: Pose, rng) -> Garment:
    """Cuts a skirt, shorts or trousers."""
    if kind == "skirt":
        hem = float(
            rng.choice([rng.uniform(4.6, 5.3), rng.uniform(5.3, 6.2), rng.uniform(6.4, 7.1)])
        )
        profile = bottom_profile(fit, hem, rng)
        garment = Garment([column(profile, sway=0.09)], profile, hem)
        width = profile[-1][1]
    else:
        hem = rng.uniform(4.65, 5.3) if kind == "shorts" else rng.uniform(6.9, 7.35)
        leg = leg_garment_profile(fit, hem, rng)
        hip = {"tight": 0.75, "conventional": 0.8, "loose": 0.92}[fit]
        profile = [(3.0, 0.57), (3.75, hip), (4.3, hip)]
        legs = [column(leg, lambda y, side=side: side * leg_x(y, pose.spread)) for side in (-1, 1)]
        garment = Garment([column(profile), *legs], [*profile, (hem, hip)], hem)
        garment.lines = [
            [(0, 3.2), (0.02, 4.3)],
            [(-0.5, 3.25), (-0.72, 3.6)],
            [(0.5, 3.25), (0.72, 3.6)],
        ]
        for side in (-1, 1):
            middle = side * leg_x(hem, pose.spread)
            garment.cuffs.append([(middle - leg[-1][1], hem), (middle + leg[-1][1], hem)])
        width = leg_x(hem, pose.spread) + leg[-1][1]
    garment.edges = [[(-0.58, 3.14), (0, 3.2), (0.58, 3.14)]]
    garment.landmarks = {"left waist": (-0.57, 3.0), "right waist": (0.57, 3.0)}
    garment.landmarks |= {"left hem": (-width, hem), "right hem": (width, hem)}
    return garment
