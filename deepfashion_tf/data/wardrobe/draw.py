"""Draws one garment of given attributes, worn, on a hanger or laid flat."""

from dataclasses import dataclass

import numpy as np

from deepfashion_tf.data.wardrobe import cloth as cloths
from deepfashion_tf.data.wardrobe import patterns, scene
from deepfashion_tf.data.wardrobe.canvas import Canvas
from deepfashion_tf.data.wardrobe.finish import cover, finish, texture
from deepfashion_tf.data.wardrobe.garments import Garment, build_bottom, build_upper
from deepfashion_tf.data.wardrobe.geometry import Pose, View, column, draw_pose
from deepfashion_tf.data.wardrobe.sampling import BOTTOMS, sample_kind
from deepfashion_tf.schema import builtin_schema

LANDMARKS = (
    "left collar",
    "right collar",
    "left sleeve",
    "right sleeve",
    "left waist",
    "right waist",
    "left hem",
    "right hem",
)


@dataclass(frozen=True)
class Drawing:
    """A picture of a garment, and where its parts are.

    Attributes:
        image: uint8 RGB ``[height, width, 3]``, long side 300.
        box: x1, y1, x2, y2 of the garment in half-open pixels, with a little slack.
        landmarks: int ``[8, 2]`` in the order of LANDMARKS, x y in pixels; -1 -1 = absent.
        regions: "garment", "sleeve", "neckline" -> bool ``[height, width]``.
        kind: one of KINDS of `sampling`.
    """

    image: np.ndarray
    box: tuple[int, int, int, int]
    landmarks: np.ndarray
    regions: dict[str, np.ndarray]
    kind: str


def draw_garment(labels, rng: np.random.Generator, second_fabric: str | None = None) -> Drawing:
    """Draws a garment that has the given attributes, all else at random.

    Args:
        labels: six class ids in the order of the built-in schema.
        rng: where the randomness comes from.
        second_fabric: of the sleeves and of the lower part; None = all is of one fabric.

    Raises:
        ValueError: no garment has these attributes at once.
    """
    kind = sample_kind(rng, labels)
    names = {
        category: attributes[label]
        for (category, attributes), label in zip(builtin_schema().items(), labels, strict=True)
    }
    pose = draw_pose(rng)
    if kind in BOTTOMS:
        garment = build_bottom(kind, names["fit"], pose, rng)
    else:
        garment = build_upper(
            kind, names["sleeve"], names["length"], names["neckline"], names["fit"], pose, rng
        )
    if names["texture"] == "graphic" and garment.open_front:
        garment.open_front = False
        garment.holes, garment.edges = garment.holes[:-1], []
    cloth = cloths.draw_cloth(rng, names["fabric"], names["fit"])
    size = (
        (300, int(rng.uniform(180, 301)))
        if rng.random() < 0.85
        else (int(rng.uniform(230, 300)), 300)
    )
    view = _view(rng, garment, size)
    worn = rng.random() < 0.84
    place = str(rng.choice(["white", "studio", "street"], p=[0.4, 0.3, 0.3]))
    canvas = Canvas(
        scene.background(rng, size, place if worn else "studio"), scene.light_map(rng, size)
    )
    mask = canvas.mask([view(outline) for outline in garment.outlines])
    box = _box(rng, mask)
    scene.add_clutter(rng, canvas, box)
    skin = scene.draw_skin(rng) if worn else None
    if not worn:
        _shadow(canvas, view, garment)
    masks = _dress(rng, canvas, view, pose, skin, (kind, names, garment, cloth))
    if second_fabric:
        names |= {"fabric": second_fabric, "texture": "solid"}
        other = cloths.draw_cloth(rng, second_fabric, names["fit"])
        _add_second_cloth(rng, canvas, view, masks, (kind, names, garment, other))
    image = scene.photograph(rng, canvas.image)
    regions = {name: part > 127 for name, part in masks.items()}
    return Drawing(image, box, _landmarks(view, garment, size), regions, kind)


def _view(rng, garment: Garment, size: tuple[int, int]) -> View:
    """Places the camera, so that the garment fills a good part of the picture and lies inside."""
    points = np.concatenate(garment.outlines)
    low, high = points.min(axis=0), points.max(axis=0)
    extent = high - low
    fill = rng.uniform(0.55, 0.9)
    scale = min(fill * size[0] / extent[1], 0.86 * size[1] / extent[0])
    room = (np.array(size[::-1]) - extent * scale) / 2 - 6
    shift = rng.uniform(-0.8, 0.8, 2) * np.maximum(room, 0)
    lean = rng.normal(0, 0.035)
    middle = np.array(size[::-1]) / 2 + shift
    place = View(scale, lean, 0.0, 0.0)((low + high) / 2)[0]
    x, y = middle - place
    # Python floats: a NumPy scalar of 64 bits would widen every array it touches.
    return View(float(scale), lean, float(x), float(y))


def _box(rng, mask: np.ndarray) -> tuple[int, int, int, int]:
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.max(axis=1) > 64), np.flatnonzero(mask.max(axis=0) > 64)
    slack = rng.integers(0, 6, 4)
    return (
        int(max(0, columns[0] - slack[0])),
        int(max(0, rows[0] - slack[1])),
        int(min(width, columns[-1] + 1 + slack[2])),
        int(min(height, rows[-1] + 1 + slack[3])),
    )


def _shadow(canvas: Canvas, view: View, garment: Garment) -> None:
    """Lets a garment that nobody wears throw a soft shadow on what it lies on."""
    fallen = canvas.mask([view(outline) + (5, 7) for outline in garment.outlines])
    canvas.paint(fallen, canvas.image * 0.72, rim=8, depth=0.0, opacity=0.8)


def _dress(rng, canvas: Canvas, view: View, pose: Pose, skin, labelled) -> dict[str, np.ndarray]:
    """Paints the person, what else they wear, and the garment over it.

    Returns:
        The masks of the garment, its sleeves and its neckline, uint8.
    """
    kind, names, garment, cloth = labelled
    unit = view.scale
    plain = garment.behind and canvas.mask([view(o) for o in garment.behind])
    dyed = texture(rng, canvas.size, unit, view, kind, names, garment, cloth)
    if len(garment.behind):
        cover(canvas, plain, dyed, cloth, unit, depth=0.5)
    if skin is not None:
        scene.paint_body(rng, canvas, view, pose, skin)
        _other_garment(rng, canvas, view, pose, kind, skin)
    if kind not in BOTTOMS:
        _lining(rng, canvas, view, garment, cloth, skin)
    body = canvas.mask(
        [view(outline) for outline in garment.body], [view(hole) for hole in garment.holes]
    )
    body = cover(canvas, body, dyed, cloth, unit)
    if skin is not None and kind not in BOTTOMS:
        scene.paint_arms(canvas, view, pose, skin)
    sleeves = canvas.mask([view(outline) for outline in garment.sleeves])
    for outline in garment.sleeves:
        cover(canvas, canvas.mask([view(outline)]), dyed, cloth, unit)
    finish(rng, canvas, view, kind, names, garment, cloth, np.maximum(body, sleeves))
    collar = canvas.mask([view(outline) for outline in garment.collar])
    for outline in garment.collar:
        cover(canvas, canvas.mask([view(outline)]), dyed, cloth, unit * 0.5, depth=0.45)
        edge = np.concatenate([outline, outline[:1]])
        canvas.line(view(edge), np.array(cloth.colour) * 0.55, 1)
    neck = canvas.mask([view(o) for o in [*garment.holes[:1], *garment.collar]])
    whole = np.maximum.reduce([body, sleeves, collar])
    return {"garment": whole, "sleeve": sleeves, "neckline": neck}


def _add_second_cloth(rng, canvas: Canvas, view: View, masks: dict, labelled) -> None:
    """Covers the sleeves and the lower part of a garment with another cloth."""
    kind, names, garment, cloth = labelled
    top = garment.profile[0][0]
    edge = int(view((0.0, garment.hem - rng.uniform(0.3, 0.45) * (garment.hem - top)))[0][1])
    mask = masks["garment"].copy()
    mask[: max(0, edge)] = 0
    mask = np.maximum(mask, masks["sleeve"])
    dyed = texture(rng, canvas.size, view.scale, view, kind, names, garment, cloth)
    cover(canvas, mask, dyed, cloth, view.scale)


def _other_garment(rng, canvas: Canvas, view: View, pose: Pose, kind: str, skin) -> None:
    """Puts on what is worn beside the labelled garment: it has attributes of its own."""
    if kind == "dress":
        return
    fit = str(rng.choice(["tight", "conventional", "loose"], p=[0.45, 0.45, 0.1]))
    colour = rng.uniform(25, 235, 3)
    arms = kind in BOTTOMS
    if kind in ("top", "jacket"):
        worn = build_bottom(str(rng.choice(BOTTOMS)), fit, pose, rng)
        _paint_plain(rng, canvas, view, worn, colour)
    if kind == "jacket" or arms:
        sleeve = (
            str(rng.choice(["long_sleeve", "short_sleeve", "sleeveless"])) if arms else "sleeveless"
        )
        worn = build_upper(
            "top", sleeve, "no_dress", "crew_neckline", "tight" if not arms else fit, pose, rng
        )
        colour = rng.uniform(25, 245, 3)
        body = [view(outline) for outline in worn.body]
        mask = canvas.mask(body, [view(hole) for hole in worn.holes])
        canvas.paint(mask, _maybe_printed(rng, canvas, view, colour), rim=view.scale * 0.2)
        if arms:
            scene.paint_arms(canvas, view, pose, skin)
            for outline in worn.sleeves:
                canvas.shape(view(outline), colour, rim=view.scale * 0.14)


def _paint_plain(rng, canvas: Canvas, view: View, worn: Garment, colour) -> None:
    printed = _maybe_printed(rng, canvas, view, colour)
    mask = canvas.mask([view(outline) for outline in worn.outlines])
    canvas.paint(mask, printed, rim=view.scale * 0.2)


def _maybe_printed(rng, canvas: Canvas, view: View, colour):
    if rng.random() < 0.75:
        return colour
    make = (patterns.floral, patterns.striped, patterns.lattice)[rng.integers(3)]
    return make(rng, canvas.size, tuple(colour), view.scale)


def _lining(rng, canvas: Canvas, view: View, garment: Garment, cloth, skin) -> None:
    """Paints what shows inside the neck of an empty garment, and what is worn under chiffon."""
    colour = np.array(cloth.colour)
    if skin is None and garment.holes:
        canvas.paint(canvas.mask([view(outline) for outline in garment.body]), colour * 0.55, rim=3)
    elif cloth.opacity < 1 and skin is not None:
        under = column([(1.98, 0.6), (3.05, 0.58), (min(garment.hem - 0.2, 4.5), 0.72)])
        slip = colour * 0.75 + 45 if rng.random() < 0.7 else rng.uniform(20, 235, 3)
        canvas.shape(view(under), slip, rim=view.scale * 0.16)


def _landmarks(view: View, garment: Garment, size: tuple[int, int]) -> np.ndarray:
    found = np.full((len(LANDMARKS), 2), -1)
    for row, name in enumerate(LANDMARKS):
        if name in garment.landmarks:
            x, y = np.round(view(garment.landmarks[name])[0]).astype(int)
            if 0 <= x < size[1] and 0 <= y < size[0]:
                found[row] = x, y
    return found
