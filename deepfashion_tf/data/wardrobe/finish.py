"""Cloth on a garment: its texture and surface, and the details that tell a fabric."""

from dataclasses import dataclass

import cv2
import numpy as np

from deepfashion_tf.data.wardrobe import patterns
from deepfashion_tf.data.wardrobe.canvas import Canvas, ellipse
from deepfashion_tf.data.wardrobe.cloth import Cloth, fold_map, noise, surface
from deepfashion_tf.data.wardrobe.garments import Garment
from deepfashion_tf.data.wardrobe.geometry import View, width_at

_THREADS = {"denim": (206, 158, 92), "leather": (150, 146, 140)}


@dataclass(frozen=True)
class Dyed:
    """Cloth as a picture of the whole frame, to be seen through a garment's mask.

    Attributes:
        colour: float32 RGB ``[height, width, 3]``.
        gloss: float32 ``[height, width]``, grey levels to be added.
        hair: float32 ``[height, width]`` noise that roughens the outline of fur, or None.
    """

    colour: np.ndarray
    gloss: np.ndarray
    hair: np.ndarray | None


def texture(
    rng, size, unit: float, view: View, kind: str, names: dict, garment: Garment, cloth: Cloth
) -> Dyed:
    """Makes the cloth of a garment: texture, folds and the fabric's surface."""
    make = {
        "floral": patterns.floral,
        "striped": patterns.striped,
        "lattice": patterns.lattice,
    }.get(names["texture"])
    colour = make(rng, size, cloth.colour, unit) if make else patterns.plain(size, cloth.colour)
    folds = fold_map(rng, size, unit, cloth, names["fit"])
    if make:
        # Prints follow the folds.
        colour = _warp(colour, folds * (unit * 0.3))
    if names["texture"] == "graphic":
        middle, radius = _print_place(rng, kind, garment)
        patterns.graphic(rng, colour, cloth.colour, view(middle)[0], radius * unit)
    if names["texture"] == "solid" and kind in ("top", "jacket") and rng.random() < 0.2:
        # A small logo makes no graphic.
        patterns.graphic(rng, colour, cloth.colour, view((0.42, 2.15))[0], unit * 0.075)
    if names["texture"] == "embroidered":
        for places, radius in _ornament_places(rng, kind, garment):
            pairs = np.stack([view(pair) for pair in places])
            patterns.ornament(rng, colour, cloth.colour, pairs, radius * unit)
    face = surface(rng, size, unit, cloth, folds)
    factor = face[..., 0] + folds
    if names["texture"] == "pleated":
        factor += _pleats(rng, size, view, kind, garment)
    colour = colour * np.maximum(factor, 0.15)[..., None]
    hair = None
    if cloth.fabric == "faux":
        hair = cv2.blur(noise(rng, *size), (2, 4)) * 2.4
    return Dyed(colour, face[..., 1], hair)


def cover(canvas: Canvas, mask, dyed: Dyed, cloth: Cloth, unit: float, depth=0.36) -> np.ndarray:
    """Paints cloth where the mask says; fur frays it.

    Returns:
        The mask that was painted, uint8.
    """
    if dyed.hair is not None:
        reach = 2 * max(1, int(unit * 0.07)) + 1
        soft = cv2.blur(mask, (reach, reach)).astype(np.float32) / 255
        mask = cv2.convertScaleAbs(np.clip((soft - 0.4 + 0.3 * dyed.hair) * 3, 0, 1) * 255)
        mask[soft < 0.06] = 0
    opacity = cloth.opacity
    canvas.paint(mask, dyed.colour, rim=unit * 0.2, depth=depth, opacity=opacity, gloss=dyed.gloss)
    return mask


def _warp(colour: np.ndarray, shift: np.ndarray) -> np.ndarray:
    height, width = shift.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return cv2.remap(colour, x + shift, y + shift, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _print_place(rng, kind: str, garment: Garment) -> tuple[tuple[float, float], float]:
    if kind == "skirt":
        return (0.0, (3.1 + garment.hem) / 2 + 0.1), 0.42
    if kind in ("shorts", "trousers"):
        return (rng.choice((-1, 1)) * 0.4, 4.45), 0.27
    return (0.0, rng.uniform(2.5, 2.7)), rng.uniform(0.4, 0.55)


def _ornament_places(rng, kind: str, garment: Garment) -> list:
    """Finds where embroidery sits: around the neck, down the front, along the hem."""
    width = garment.profile[-1][1]
    places = []
    if kind in ("shorts", "trousers"):
        sides = [((x, 4.55), (x, 4.0)) for x in (-0.42, 0.42)]
        return [(sides, 0.26), ([((x, 3.75), (x, 3.0)) for x in (-0.5, 0.5)], 0.17)]
    hem = garment.hem - 0.24
    count = max(3, round(2 * width / 0.36))
    along = np.linspace(-width * 0.86, width * 0.86, count)
    places.append(([((x, hem), (x, hem - 1)) for x in along], 0.17))
    if kind == "skirt":
        return [*places, ([((x, hem - 0.7), (x, hem - 1.5)) for x in along[::2]], 0.2)]
    low = max((hole[:, 1].max() for hole in garment.holes[:1]), default=1.5)
    yoke = [((x, low + 0.3 - 0.25 * abs(x)), (0.0, 1.3)) for x in (-0.4, 0.0, 0.4)]
    if garment.open_front or kind == "jacket":
        yoke = [((side * 0.46, y), (side * 0.46, 1.0)) for side in (-1, 1) for y in (2.1, 2.65)]
    places.append((yoke, 0.25))
    if rng.random() < 0.5:
        places.append(([((0.0, low + 0.85), (0.0, 1.3))], 0.3))
    return places


def _pleats(rng, size, view: View, kind: str, garment: Garment) -> np.ndarray:
    """Makes pressed folds that fan out with the garment: a ramp of light, then a dark edge."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    across = (x - view.x) / view.scale
    down = (y - view.y) / view.scale
    # The lean, undone to first order.
    across, down = across + down * view.lean, down - across * view.lean
    rows = np.linspace(down.min(), down.max(), 128)
    half = np.interp(down, rows, width_at(garment.profile, rows)) if kind != "trousers" else 0.8
    count = rng.integers(6, 10)
    ramp = (across / half * count) % 1.0
    start = {"dress": 3.05, "skirt": 3.15, "shorts": 3.3, "trousers": 3.3}.get(kind, 1.9)
    edge = np.clip((ramp - 0.86) / 0.08, 0, 1) * np.clip((1.0 - ramp) / 0.05, 0, 1)
    return (0.42 * (ramp - 0.5) - 0.5 * edge) * np.clip((down - start) * 6, 0, 1)


def finish(
    rng, canvas: Canvas, view: View, kind: str, names: dict, garment: Garment, cloth: Cloth, mask
) -> None:
    """Adds edges, seams, cuffs, buttons, zips, topstitching and ribbing."""
    unit, fabric = view.scale, names["fabric"]
    colour = np.array(cloth.colour)
    dark = colour * 0.55
    if fabric == "faux":
        return
    for line in garment.lines:
        canvas.line(view(line), dark, max(1, unit * 0.02), mask)
    near = cv2.dilate(mask, np.ones((3, 3), np.uint8))
    for line in garment.edges:
        canvas.line(view(line), colour * 0.72, unit * 0.05, near)
    for line in garment.cuffs:
        canvas.line(view(line), dark, unit * 0.03)
    for cuff in garment.cuffs if fabric == "knit" else ():
        canvas.line(view(cuff), colour * 0.78, unit * 0.16, mask)
    if fabric == "knit":
        for edge in garment.edges:
            canvas.line(view(edge), colour * 0.78, unit * 0.12, mask)
    if fabric in _THREADS:
        _topstitch(rng, canvas, view, kind, fabric, garment, mask)
    metal = (205, 200, 190) if fabric in ("denim", "leather") else dark
    for button in garment.buttons:
        canvas.shape(view(ellipse(*button, 0.04, 0.04)), metal, rim=1)


def _topstitch(rng, canvas: Canvas, view: View, kind: str, fabric: str, garment, mask) -> None:
    """Sews bright double seams, pockets and zips on denim and leather."""
    unit, thread = view.scale, np.array(_THREADS[fabric])
    inset = 2 * max(1, round(unit * 0.055)) + 1
    inner = cv2.erode(mask, np.ones((inset, inset), np.uint8))
    ring, _ = cv2.findContours(
        (inner > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    for contour in ring:
        points = contour[:, 0, :]
        if len(points) > 20:
            canvas.line(points, thread, unit * 0.018, mask, dashed=max(2.0, unit * 0.06))
    if kind in ("top", "jacket", "dress"):
        pockets = [
            [
                (s * 0.2, 2.25),
                (s * 0.62, 2.2),
                (s * 0.6, 2.62),
                (s * 0.4, 2.7),
                (s * 0.22, 2.64),
                (s * 0.2, 2.25),
            ]
            for s in (-1, 1)
        ]
    else:
        pockets = [[(s * 0.22, 3.2), (s * 0.3, 3.5), (s * 0.72, 3.6)] for s in (-1, 1)]
    for pocket in pockets:
        canvas.line(view(pocket), thread, unit * 0.025, mask)
    if fabric == "leather":
        zips = [[(-0.3, 1.9), (0.12, 4.3)]] if kind == "jacket" else [[(0.28, 3.2), (0.5, 3.6)]]
        for line in zips:
            canvas.line(
                view(line), (214, 212, 206), unit * 0.045, mask, dashed=max(2.0, unit * 0.03)
            )
    elif kind in ("shorts", "trousers"):
        canvas.line(view([(0.0, 3.2), (0.1, 3.75), (0.02, 4.1)]), thread, unit * 0.02, mask)
