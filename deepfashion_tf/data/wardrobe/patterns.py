"""The six printed or worked textures, as images of the whole frame.

Each takes the frame's size, the cloth's colour and the garment's scale, and gives
uint8 RGB ``[height, width, 3]`` before folds and light. OpenCV smooths the edges of
what it draws on 8-bit pictures only.
"""

import cv2
import numpy as np

Colour = tuple[float, float, float]


def plain(size: tuple[int, int], colour: Colour) -> np.ndarray:
    return np.full((*size, 3), np.round(colour), np.uint8)


def contrasting(rng: np.random.Generator, colour: Colour) -> Colour:
    """Draws a colour that can be told from another by its lightness or its hue."""
    base = np.array(colour)
    for _ in range(20):
        other = _PRINT_COLOURS[rng.integers(len(_PRINT_COLOURS))]
        if np.abs(other - base).sum() > 190:
            return tuple(np.clip(other + rng.normal(0, 10, 3), 0, 255))
    return (245.0, 245.0, 240.0) if base.mean() < 128 else (25.0, 25.0, 35.0)


_PRINT_COLOURS = np.array(
    [
        (245, 243, 236),
        (25, 28, 40),
        (196, 44, 52),
        (232, 108, 132),
        (242, 190, 66),
        (38, 88, 160),
        (52, 140, 110),
        (236, 132, 70),
        (110, 60, 130),
        (126, 190, 220),
        (150, 30, 60),
        (90, 110, 60),
    ],
    float,
)


def floral(rng, size, colour: Colour, unit: float) -> np.ndarray:
    """Flowers of five or six petals with leaves, scattered without an order."""
    image = plain(size, colour)
    blossom, second, leaf = (contrasting(rng, colour) for _ in range(3))
    if rng.random() < 0.75:
        leaf = (60 + 50 * rng.random(), 110 + 50 * rng.random(), 60 + 30 * rng.random())
    eye = contrasting(rng, blossom)
    radius = unit * rng.uniform(0.13, 0.3)
    step = radius * rng.uniform(2.0, 2.7)
    height, width = size
    for row, y in enumerate(np.arange(-step / 2, height + step, step)):
        for x in np.arange(-step / 2 + (row % 2) * step / 2, width + step, step):
            if rng.random() < 0.12:
                continue
            middle = np.array((x, y)) + rng.normal(0, step * 0.17, 2)
            _flower(
                image,
                middle,
                radius * rng.uniform(0.65, 1.25),
                rng.uniform(0, 2 * np.pi),
                (blossom if rng.random() < 0.65 else second, eye, leaf),
            )
    return image


def _flower(image, middle, radius: float, turn: float, colours) -> None:
    blossom, eye, leaf = colours
    for angle in (turn + 0.5, turn + 2.6):
        tip = middle + 1.15 * radius * np.array((np.cos(angle), np.sin(angle)))
        _ellipse(image, tip, (radius * 0.62, radius * 0.26), angle, leaf)
    dark = tuple(channel * 0.8 for channel in blossom)
    for petal in range(5):
        angle = turn + petal * 2 * np.pi / 5
        place = middle + 0.52 * radius * np.array((np.cos(angle), np.sin(angle)))
        _ellipse(image, place, (radius * 0.52, radius * 0.4), angle, dark if petal % 2 else blossom)
    _ellipse(image, middle, (radius * 0.24, radius * 0.24), 0.0, eye)


def _ellipse(image, middle, axes, angle: float, colour: Colour) -> None:
    cv2.ellipse(
        image,
        _fixed(middle),
        _fixed(axes),
        np.degrees(angle),
        0,
        360,
        colour,
        -1,
        cv2.LINE_AA,
        4,
    )


def _fixed(point) -> tuple[int, int]:
    """Returns a point in sixteenths of a pixel, as OpenCV's ``shift=4`` wants it."""
    return int(point[0] * 16), int(point[1] * 16)


def striped(rng, size, colour: Colour, unit: float) -> np.ndarray:
    """Stripes across, along or aslant, of one or two colours."""
    other = contrasting(rng, colour)
    angle = rng.choice((0.0, np.pi / 2, rng.uniform(0.4, 1.2)), p=(0.58, 0.27, 0.15))
    period = unit * rng.uniform(0.2, 0.55)
    share = rng.uniform(0.3, 0.55)
    across = _along(size, angle) / period % 1.0
    image = np.full((*size, 3), colour, np.float32)
    _paint(image, other, _soft_step(share / 2 - np.abs(across - 0.5), period))
    if rng.random() < 0.3:
        third = contrasting(rng, other)
        _paint(image, third, _soft_step(share / 5 - np.abs(across - 0.5), period))
    return image.astype(np.uint8)


def lattice(rng, size, colour: Colour, unit: float) -> np.ndarray:
    """Checks, plaids and diamonds: bands that cross."""
    other = contrasting(rng, colour)
    period = unit * rng.uniform(0.34, 0.62)
    turn = rng.choice((0.0, np.pi / 4), p=(0.65, 0.35))
    image = np.full((*size, 3), colour, np.float32)
    thin = rng.random() < 0.35
    for angle in (turn, turn + np.pi / 2):
        place = _along(size, angle) / period % 1.0
        share = 0.16 if thin else 0.45
        band = _soft_step(share / 2 - np.abs(place - 0.5), period)
        _paint(image, other, band * (1.0 if thin else 0.55))
        if not thin:
            line = _soft_step(0.045 - np.abs(place - 0.02), period)
            _paint(image, contrasting(rng, other), line * 0.8)
    return image.astype(np.uint8)


def _along(size, angle: float) -> np.ndarray:
    y, x = np.ogrid[: size[0], : size[1]]
    return (y * np.cos(angle) + x * np.sin(angle)).astype(np.float32)


def _soft_step(distance, period: float) -> np.ndarray:
    """Returns 0..1 across an edge one pixel wide; `distance` is in periods."""
    return np.clip(distance * period + 0.5, 0.0, 1.0)


def _paint(image, colour: Colour, amount) -> None:
    image += (np.float32(colour) - image) * amount[..., None].astype(np.float32)


def graphic(rng, image: np.ndarray, colour: Colour, middle, radius: float) -> None:
    """Prints one large motif on the cloth: a sign, letters, a face or a picture.

    Args:
        rng: where the randomness comes from.
        image: uint8 RGB, drawn upon.
        colour: the cloth's.
        middle: the motif's place in pixels.
        radius: its half size in pixels.
    """
    ink = contrasting(rng, colour)
    second = contrasting(rng, ink)
    motif = rng.integers(5)
    middle = np.asarray(middle, float)
    if motif == 0:
        turn = rng.uniform(0, 2 * np.pi)
        star = [
            middle
            + radius
            * (1.0 if i % 2 == 0 else 0.45)
            * np.array((np.sin(turn + i * np.pi / 5), -np.cos(turn + i * np.pi / 5)))
            for i in range(10)
        ]
        _ellipse(image, middle, (radius * 1.05, radius * 1.05), 0.0, second)
        _polygon(image, star, ink)
    elif motif == 1:
        _heart(image, middle, radius, ink)
        _letters(rng, image, middle - (0, radius * 0.1), radius * 0.6, second, 2)
    elif motif == 2:
        _face(image, middle, radius, ink, second)
    elif motif == 3:
        _picture(rng, image, middle, radius)
    else:
        _letters(rng, image, middle - (0, radius * 0.35), radius, ink, int(rng.integers(3, 6)))
        if rng.random() < 0.6:
            _letters(rng, image, middle + (0, radius * 0.5), radius * 0.8, ink, 5)


def _polygon(image, points, colour: Colour) -> None:
    cv2.fillPoly(image, [np.int32(np.asarray(points) * 16)], colour, cv2.LINE_AA, 4)


def _heart(image, middle, radius: float, colour: Colour) -> None:
    t = np.linspace(0, 2 * np.pi, 40)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    _polygon(image, middle + np.stack([x, y], axis=1) * radius / 16, colour)


def _face(image, middle, radius: float, ink: Colour, second: Colour) -> None:
    """A cat: head, two ears, eyes and a mouth."""
    for side in (-1, 1):
        ear = np.array([(0.2, -0.7), (0.95, -1.25), (0.85, -0.2)]) * (side, 1)
        _polygon(image, middle + ear * radius, ink)
    _ellipse(image, middle, (radius * 0.95, radius * 0.85), 0.0, ink)
    for side in (-1, 1):
        eye = middle + radius * np.array((0.4 * side, -0.15))
        _ellipse(image, eye, (radius * 0.2, radius * 0.26), 0.0, second)
    mouth = middle + radius * np.array((0.0, 0.3))
    cv2.ellipse(
        image,
        _fixed(mouth),
        _fixed((radius * 0.38, radius * 0.2)),
        0,
        10,
        170,
        second,
        max(1, int(radius * 0.12)),
        cv2.LINE_AA,
        4,
    )


def _picture(rng, image, middle, radius: float) -> None:
    """A printed square: sky, sun and hills."""
    x1, y1 = np.int32(middle - radius * 0.95)
    x2, y2 = np.int32(middle + radius * 0.95)
    colours = [_PRINT_COLOURS[i] for i in rng.permutation(len(_PRINT_COLOURS))[:3]]
    cv2.rectangle(image, (x1, y1), (x2, y2), tuple(colours[0]), -1)
    sun = middle + radius * np.array((rng.uniform(-0.4, 0.4), -0.25))
    _ellipse(image, sun, (radius * 0.4, radius * 0.4), 0.0, tuple(colours[1]))
    hills = [(x1, y2), (x1, middle[1] + radius * 0.2), (middle[0] - radius * 0.2, middle[1])]
    hills += [(middle[0] + radius * 0.2, middle[1] + radius * 0.45), (x2, middle[1]), (x2, y2)]
    _polygon(image, hills, tuple(colours[2]))


def _letters(rng, image, middle, radius: float, colour: Colour, count: int) -> None:
    text = "".join(rng.choice(list("ABCDEGHKLMNORSTUVXYZ0123456789"), count))
    font = cv2.FONT_HERSHEY_DUPLEX if rng.random() < 0.6 else cv2.FONT_HERSHEY_TRIPLEX
    (width, height), _ = cv2.getTextSize(text, font, 1.0, 2)
    scale = min(2.0 * radius / width, 1.1 * radius / height)
    thickness = max(1, round(2.6 * scale))
    corner = (int(middle[0] - width * scale / 2), int(middle[1] + height * scale / 2))
    cv2.putText(image, text, corner, font, scale, colour, thickness, cv2.LINE_AA)


def ornament(rng, image: np.ndarray, colour: Colour, places, radius: float) -> None:
    """Embroiders mirrored scrolls, leaves and dots in raised thread.

    Args:
        rng: where the randomness comes from.
        image: uint8 RGB, drawn upon.
        colour: the cloth's.
        places: float ``[n, 2, 2]``: the motif's middle and a point that its top shows to.
        radius: half size of a motif in pixels.
    """
    thread, second = contrasting(rng, colour), contrasting(rng, colour)
    scrolls = int(rng.integers(2, 4))
    bend, petals = rng.uniform(0.5, 0.9), int(rng.integers(4, 7))
    thickness = max(1, round(radius * 0.15))
    for shadow in (True, False):
        for middle, top in np.asarray(places, float):
            up = (top - middle) / (np.linalg.norm(top - middle) + 1e-6)
            # Columns: the motif's right and its down; mirrored for the other half.
            frame = np.stack([(-up[1], up[0]), -up])
            middle = middle + (1.0 if shadow else 0.0)
            inks = [tuple(c * 0.45 for c in colour)] * 2 if shadow else [thread, second]
            _motif(image, middle, frame * radius, inks, (scrolls, bend, petals, thickness))


def _motif(image, middle, frame, inks, shape) -> None:
    scrolls, bend, petals, thickness = shape
    t = np.linspace(0, 1, 9)
    for side in (-1, 1):
        for scroll in range(scrolls):
            height = 0.75 - 1.5 * scroll / max(1, scrolls - 1)
            curl = np.stack([side * t * bend, height - 0.5 * np.sin(t * 3.6) * (0.9 - t)], axis=1)
            points = middle + curl @ frame
            cv2.polylines(image, [np.int32(points * 16)], False, inks[0], thickness, cv2.LINE_AA, 4)
            _ellipse(image, points[-1], (0.17 * frame_size(frame),) * 2, 0.0, inks[1])
    for petal in range(petals):
        angle = petal * 2 * np.pi / petals
        place = middle + 0.26 * np.array((np.cos(angle), np.sin(angle))) @ frame
        _ellipse(image, place, (0.2 * frame_size(frame), 0.11 * frame_size(frame)), angle, inks[1])
    _ellipse(image, middle, (0.12 * frame_size(frame),) * 2, 0.0, inks[0])


def frame_size(frame) -> float:
    return float(np.linalg.norm(frame[0]))
