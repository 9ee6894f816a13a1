"""One annotated garment, whatever program annotated it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from deepfashion_tf.documents import as_json

Corners = tuple[float, float, float, float]


@dataclass
class Record:
    """A row of the table to be.

    Attributes:
        image: path or address, as the program names it.
        values: column -> words; several words are several answers to one question.
        box: x1 y1 x2 y2 in half-open pixels, which may lie between pixels; None = whole image.
        split: "train", "val" or "test"; None = unknown.
        group: what stays in one split, such as the picture that several garments are in.
    """

    image: str
    values: dict[str, list[str]] = field(default_factory=dict)
    box: Corners | None = None
    split: str | None = None
    group: str | None = None


@dataclass
class Records:
    """What a file or folder holds.

    Attributes:
        records: rows of the table to be.
        left_out: what is no row: its place, and the reason.
    """

    records: list[Record] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def reading(self, place: str) -> Iterator[None]:
        """Leaves out a place where something of another kind stands, with the reason."""
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            self.left_out.append((place, f"cannot be read ({type(error).__name__}: {reason})"))


def text_of(value: object) -> str:
    """Returns a name.

    Raises:
        TypeError: it is neither a text nor a number.
    """
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"{as_json(value, default=str)} is no name")


def words_of(value: object) -> list[str]:
    """Returns the words of a value: one, several of a list, none of nothing."""
    values = value if isinstance(value, list) else [value]
    words = [one if isinstance(one, str) else as_json(one, default=str) for one in values]
    return [word for one, word in zip(values, words, strict=True) if one is not None and word]


def checked_box(
    box: Corners, degrees: float = 0.0, pivot: tuple[float, float] | None = None
) -> Corners:
    """Returns a box, or what encloses it where it is turned.

    Args:
        box: x1 y1 x2 y2.
        degrees: by which it is turned clockwise.
        pivot: around which point; None = its centre.

    Raises:
        ValueError: a number is not finite.
    """
    if not all(map(math.isfinite, (*box, degrees))):
        raise ValueError(f"a box of {' '.join(f'{value:g}' for value in box)}")
    x1, y1, x2, y2 = box
    if not degrees:
        return box
    x, y = pivot or ((x1 + x2) / 2, (y1 + y2) / 2)
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    corners = [(a - x, b - y) for a in (x1, x2) for b in (y1, y2)]
    across = [round(x + a * cosine - b * sine, 6) for a, b in corners]
    down = [round(y + a * sine + b * cosine, 6) for a, b in corners]
    return min(across), min(down), max(across), max(down)
