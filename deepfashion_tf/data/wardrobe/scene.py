"""Everything that is no garment: rooms, streets, clutter, people, light, the camera."""

import cv2
import numpy as np

from deepfashion_tf.data.wardrobe import patterns
from deepfashion_tf.data.wardrobe.canvas import Canvas, ellipse
from deepfashion_tf.data.wardrobe.cloth import noise, soft_noise
from deepfashion_tf.data.wardrobe.geometry import Pose, View, leg_outline, limb, torso_outline

_SKINS = np.array(
    [
        (248, 216, 194),
        (236, 196, 168),
        (218, 170, 136),
        (188, 136, 102),
        (140, 94, 68),
        (96, 64, 48),
    ],
    float,
)
_HAIRS = np.array(
    [(38, 28, 26), (74, 48, 34), (124, 84, 52), (196, 158, 104), (150, 66, 40), (120, 116, 114)],
    float,
)
_WALLS = np.array(
    [(246, 246, 246), (236, 234, 230), (222, 226, 230), (232, 220, 208), (206, 214, 206)], float
)


def background(rng, size: tuple[int, int], place: str) -> np.ndarray:
    """Paints white, a studio or a blurred street: float32 RGB ``[height, width, 3]``."""
    height, width = size
    if place == "white":
        return np.full((height, width, 3), rng.uniform(238, 254), np.float32)
    if place == "studio":
        wall = _WALLS[rng.integers(len(_WALLS))] * rng.uniform(0.7, 1.0)
        y, x = np.ogrid[:height, :width]
        middle = rng.uniform(0.3, 0.7, 2) * (height, width)
        away = np.hypot(y - middle[0], x - middle[1]) / height
        image = wall * (1.05 - 0.28 * away[..., None] ** 1.5)
        floor = int(height * rng.uniform(0.78, 0.95))
        image[floor:] *= rng.uniform(0.8, 0.93)
        return np.clip(image, 0, 255).astype(np.float32)
    return _street(rng, size)


def _street(rng, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    # A quarter of the size: it will be blurred anyway.
    rows, columns = height // 4, width // 4
    sky = rng.uniform(150, 235, 3)
    image = np.full((rows, columns, 3), sky, np.float32)
    x = -5
    while x < columns:
        wide = int(rng.integers(8, 26))
        front = rng.uniform(60, 205) + rng.normal(0, 14, 3)
        top = int(rng.uniform(0, 0.35) * rows)
        cv2.rectangle(image, (x, top), (x + wide, rows), tuple(front), -1)
        for y in range(top + 3, rows, 7):
            for window in range(x + 2, x + wide - 2, 6):
                cv2.rectangle(image, (window, y), (window + 2, y + 3), tuple(front * 0.6), -1)
        x += wide
    for _ in range(int(rng.integers(0, 4))):
        leaf = (50 + 40 * rng.random(), 90 + 50 * rng.random(), 45.0)
        at = (int(rng.uniform(0, columns)), int(rng.uniform(0.1, 0.6) * rows))
        cv2.circle(image, at, int(rng.uniform(5, 13)), leaf, -1, cv2.LINE_AA)
    ground = int(rows * rng.uniform(0.74, 0.9))
    image[ground:] = rng.uniform(90, 190) + rng.normal(0, 6, 3)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 1.8))
    return np.clip(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), 0, 255)


def light_map(rng, size: tuple[int, int]) -> np.ndarray:
    """Makes the light: brighter from one side, with a soft unevenness."""
    slope = rng.uniform(-0.22, 0.22)
    across = np.linspace(-1, 1, size[1], dtype=np.float32)[None, :] * np.float32(slope)
    down = np.linspace(0.06, -0.06, size[0], dtype=np.float32)[:, None]
    return 1.0 + across + down + 0.03 * np.clip(soft_noise(rng, size, 90, 90), -2, 2)


def add_clutter(rng, canvas: Canvas, box) -> None:
    """Puts posters, racks, plants, bags and passers-by beside the box, never into it."""
    width = canvas.size[1]
    for left, right in ((0, box[0] - 3), (box[2] + 3, width)):
        if right - left < 16 or rng.random() < 0.3:
            continue
        draw = (_poster, _rack, _plant, _passer_by)[rng.integers(4)]
        draw(rng, canvas.image[:, left:right])


def _poster(rng, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    inset = int(width * rng.uniform(0.03, 0.15))
    top = int(height * rng.uniform(0.02, 0.5))
    bottom = min(height - 2, top + int(width * rng.uniform(1.0, 2.2)))
    size = (bottom - top, width - 2 * inset)
    if min(size) < 8:
        return
    colour = tuple(rng.uniform(40, 240, 3))
    make = (patterns.floral, patterns.striped, patterns.lattice)[rng.integers(3)]
    unit = max(size) * rng.uniform(0.4, 0.9)
    image[top:bottom, inset : inset + size[1]] = make(rng, size, colour, unit)


def _rack(rng, image: np.ndarray) -> None:
    """A clothes rail with garments that hang edge on."""
    height, width = image.shape[:2]
    top = int(height * rng.uniform(0.08, 0.3))
    cv2.line(image, (0, top), (width, top), (90.0, 90.0, 96.0), 2, cv2.LINE_AA)
    x = 2.0
    while x < width - 5:
        wide = rng.uniform(5, 12)
        bottom = top + int(height * rng.uniform(0.25, 0.5))
        colour = rng.uniform(30, 235, 3)
        corners = (int(x), top + 5), (int(min(x + wide, width - 1)), bottom)
        cv2.rectangle(image, *corners, tuple(colour), -1)
        edge = (int(x), top + 5), (int(x + 1), bottom)
        cv2.rectangle(image, *edge, tuple(colour * 0.7), -1)
        x += wide + rng.uniform(0, 3)


def _plant(rng, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    middle = width / 2
    base = height * rng.uniform(0.8, 0.97)
    pot = rng.uniform(70, 220, 3)
    half = min(width * 0.3, 18)
    corners = [(middle - half, base - 2 * half), (middle + half, base - 2 * half)]
    corners += [(middle + half * 0.7, base), (middle - half * 0.7, base)]
    for _ in range(14):
        angle = rng.uniform(-1.3, 1.3)
        reach = rng.uniform(0.5, 1.0) * min(height * 0.35, width * 1.6)
        tip = (
            middle + np.sin(angle) * min(reach, width * 0.45),
            base - 2 * half - np.cos(angle) * reach,
        )
        at = ((middle + tip[0]) / 2, (base - 2 * half + tip[1]) / 2)
        axes = (int(reach / 2), max(2, int(reach * 0.09)))
        turn = np.degrees(np.arctan2(tip[1] - base + 2 * half, tip[0] - middle))
        leaf = (40 + 50 * rng.random(), 95 + 60 * rng.random(), 50 + 30 * rng.random())
        cv2.ellipse(image, (int(at[0]), int(at[1])), axes, turn, 0, 360, leaf, -1, cv2.LINE_AA)
    cv2.fillPoly(image, [np.int32(corners)], tuple(pot), cv2.LINE_AA)


def _passer_by(rng, image: np.ndarray) -> None:
    """Somebody else, out of focus, in clothes of their own."""
    height, width = image.shape[:2]
    scale = min(width * 0.42, height / 9)
    at = View(scale, 0.0, width / 2, height * rng.uniform(0.08, 0.3))
    layer = image.copy()
    skin = _SKINS[rng.integers(len(_SKINS))]
    upper, lower = rng.uniform(25, 235, 3), rng.uniform(25, 200, 3)
    body = torso_outline()
    for outline, colour in (
        (leg_outline(-1, 0.1), lower),
        (leg_outline(1, 0.1), lower),
        (body, upper),
        (ellipse(0, 0.75, 0.36, 0.48), skin),
        (ellipse(0, 0.55, 0.4, 0.36), _HAIRS[rng.integers(len(_HAIRS))]),
    ):
        cv2.fillPoly(layer, [np.int32(at(outline) * 16)], tuple(colour), cv2.LINE_AA, 4)
    image[:] = cv2.GaussianBlur(layer, (0, 0), 1.6)


def draw_skin(rng) -> np.ndarray:
    """Draws a skin colour; now and then that of a mannequin."""
    if rng.random() < 0.08:
        return np.full(3, rng.uniform(190, 235))
    skin = _SKINS[rng.integers(len(_SKINS))]
    return np.clip(skin * rng.uniform(0.93, 1.05), 0, 255)


def paint_body(rng, canvas: Canvas, view: View, pose: Pose, skin: np.ndarray) -> None:
    """Paints hair, legs, torso, neck and head of a person; the arms come later."""
    unit = view.scale
    hair = _HAIRS[rng.integers(len(_HAIRS))] * rng.uniform(0.8, 1.15)
    long_hair = rng.random() < 0.55
    if long_hair:
        fall = rng.uniform(1.5, 2.0)
        back = [(-0.4, 0.5), (0, 0.05), (0.4, 0.5), (0.5, fall), (0.2, fall + 0.1), (-0.5, fall)]
        canvas.shape(view(back), hair * 0.8, rim=unit * 0.1)
    shoe_colour = rng.uniform(20, 220, 3)
    for side in (-1, 1):
        canvas.shape(view(leg_outline(side, pose.spread)), skin, rim=unit * 0.12)
        foot = side * (0.37 + 1.65 * (pose.spread - 0.04))
        shoe = ellipse(foot + side * 0.05, 7.45, 0.16, 0.22)
        canvas.shape(view(shoe), shoe_colour, rim=2)
    canvas.shape(view(torso_outline()), skin, rim=unit * 0.16)
    neck = [(-0.17, 0.9), (0.17, 0.9), (0.21, 1.4), (0.4, 1.56), (-0.4, 1.56), (-0.21, 1.4)]
    canvas.shape(view(neck), skin * 0.93, rim=unit * 0.1)
    canvas.shape(view(ellipse(0, 0.66, 0.34, 0.47)), skin, rim=unit * 0.12)
    _paint_face(canvas, view, skin, hair)
    parting = rng.uniform(-0.2, 0.2)
    cap = [(-0.38, 0.75), (-0.42, 0.4), (-0.22, 0.1), (0.05, 0.04), (0.26, 0.12), (0.42, 0.42)]
    cap += [(0.38, 0.78), (0.29, 0.48), (parting, 0.3), (-0.28, 0.5)]
    canvas.shape(view(cap), hair, rim=unit * 0.1, depth=0.35)


def _paint_face(canvas: Canvas, view: View, skin: np.ndarray, hair: np.ndarray) -> None:
    if view.scale < 22:
        return
    for side in (-1, 1):
        canvas.shape(view(ellipse(side * 0.14, 0.66, 0.05, 0.028)), skin * 0.3, rim=1)
        brow = [(side * 0.07, 0.575), (side * 0.21, 0.565)]
        canvas.line(view(brow), hair * 0.8 + skin * 0.1, view.scale * 0.025)
    canvas.line(view([(0.0, 0.68), (0.035, 0.81), (-0.01, 0.83)]), skin * 0.8, 1)
    lips = np.clip(skin * (0.9, 0.62, 0.62), 0, 255)
    canvas.shape(view(ellipse(0, 0.93, 0.09, 0.03)), lips, rim=1)


def paint_arms(canvas: Canvas, view: View, pose: Pose, skin: np.ndarray) -> None:
    """Paints both arms with their hands."""
    for arm in pose.arms:
        canvas.shape(
            view(limb(arm, (0.1, 0.18, 0.17, 0.15, 0.13, 0.1, 0.08))), skin, rim=view.scale * 0.09
        )
        along = (arm[2] - arm[1]) / np.linalg.norm(arm[2] - arm[1])
        hand = arm[2] + 0.12 * along
        canvas.shape(view(ellipse(*hand, 0.1, 0.15)), skin, rim=view.scale * 0.06)


def photograph(rng, image: np.ndarray) -> np.ndarray:
    """Takes the picture: exposure, colour of the light, blur and noise of a camera.

    Returns:
        uint8 RGB, same size.
    """
    gain = rng.uniform(0.86, 1.1) * (1.0 + rng.normal(0, 0.025, 3))
    image = image * np.float32(gain)
    if rng.random() < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.8))
    grain = noise(rng, *image.shape[:2]) * np.float32(rng.uniform(1.0, 4.5))
    image += grain[..., None]
    return cv2.convertScaleAbs(np.maximum(image, 0))
