"""Boxes of a table's rows, by the convention that its columns or the user name."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from deepfashion_tf.data.columns import Columns, read_number
from deepfashion_tf.data.table_options import BoxConvention
from deepfashion_tf.errors import InputError

Corners = tuple[float, float, float, float]
Pixels = tuple[int, int, int, int]
_CORNERS = (("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"))
_SIDES = (("x", "y", "width", "height"), ("x", "y", "w", "h"))
_LIST = ("bbox",)
_ENOUGH = 0.9  # share of the boxes that speak for another convention
_MANY = 0.3  # share of boxes outside their images that are no single mistakes
_TINY = 0.01  # of an image's area
_RULE = 10  # boxes that make a rule
# What a box would be by other conventions than the one by which it was read.
_IF_CORNERS = {
    "they were x, y, width and height: say --boxes xywh": lambda a, b, c, d: (a, b, a + c, b + d),
    "x and y were exchanged: write x before y": lambda a, b, c, d: (b, a, d, c),
    "pixels counted from 1: take 1 off x1 and y1, and off x2 and y2 where they are excluded": (
        lambda a, b, c, d: (a - 1, b - 1, c - 1, d - 1)
    ),
}
_IF_SIDES = {
    "they were x1, y1, x2, y2: say --boxes xyxy": lambda a, b, c, d: (a, b, c - a, d - b),
}
_TOLERANCE = 1e-6  # pixels, of a share times a side


class BoxReader:
    """Reads the box of a row, and notices a convention that the boxes contradict.

    Attributes:
        columns: positions of the columns: four, or one that holds a list.
        is_share: whether boxes are shares of the image's sides, not pixels.
        rounded: boxes with decimals so far, in pixels.
    """

    def __init__(
        self, names: Sequence[str], columns: list[int], convention: BoxConvention | None
    ) -> None:
        self.columns, self._names, self.rounded = columns, names, 0
        self.is_share = convention == "normalised"
        self._has_sides = convention in ("xywh", "coco") or (
            convention != "xyxy" and names in _SIDES
        )
        self._count = self._shares = self._reversed = 0

    def read(self, cells: list) -> tuple[Corners | None, str | None]:
        """Reads a box.

        Args:
            cells: of the row, one a column.

        Returns:
            x1 y1 x2 y2, in half-open pixels or as shares, or None where the cells are empty; and
            what is wrong, or None.
        """
        if len(cells) == 1 and not (cells := _listed(cells[0])):
            return None, f"{self._names[0]} holds no list of four numbers"
        # An empty cell of a column of numbers is "not a number" in Parquet.
        empty = [
            cell is None or cell != cell or (isinstance(cell, str) and not cell.strip())
            for cell in cells
        ]
        if all(empty):
            return None, None
        names = self._names
        if len(names) == 1:
            names = [f"{names[0]}[{place}]" for place in range(4)]
        if any(empty):
            return None, f"has only some of its box ({', '.join(names)})"
        numbers = [read_number(cell) for cell in cells]
        for name, cell, number in zip(names, cells, numbers, strict=True):
            if number is None:
                return None, f"{name} is {str(cell)[:40]!r}: no number"
        return self._corners(*numbers)

    def _corners(self, x: float, y: float, right: float, down: float) -> tuple[Corners, str | None]:
        self._count += 1
        self._shares += max(x, y, right, down) <= 1 and not self.is_share
        self._reversed += not self._has_sides and (right <= x or down <= y) and min(right, down) > 0
        spelled = " ".join(f"{value:g}" for value in (x, y, right, down))
        if self._has_sides:
            right, down = x + right, y + down
        box = x, y, right, down
        if self.is_share and not all(0 <= value <= 1 for value in box):
            return box, f"box {spelled} is no share of the sides: 0 to 1"
        if not (0 <= x < right and 0 <= y < down):
            rule = "width > 0, height > 0" if self._has_sides else "0 <= x1 < x2, 0 <= y1 < y2"
            return box, f"box {spelled} has no area inside an image: {rule}"
        self.rounded += not self.is_share and any(value % 1 for value in box)
        return box, None

    def pixels(self, box: Corners, size: tuple[int, int] | None) -> Pixels:
        """Rounds a box outwards to half-open pixels of an image of (width, height)."""
        if self.is_share:
            box = tuple(value * side for value, side in zip(box, (*size, *size), strict=True))
        x1, y1, x2, y2 = box
        return (
            math.floor(x1 + _TOLERANCE),
            math.floor(y1 + _TOLERANCE),
            math.ceil(x2 - _TOLERANCE),
            math.ceil(y2 - _TOLERANCE),
        )

    def contradiction(self) -> str | None:
        """Returns which convention the boxes read so far follow, if it is another one."""
        if self._count and self._shares >= _ENOUGH * self._count:
            return (
                f"{self._shares} of {self._count} boxes hold no number above 1, so they are shares "
                f"of the sides: say --boxes normalised"
            )
        # A few are faults of their rows.
        if self._reversed > max(2, 0.1 * self._count):
            return (
                f"{self._reversed} of {self._count} boxes end before they begin, so they are x, y, "
                f"width and height: say --boxes xywh"
            )
        return None

    def outside(
        self, name: str | Path, boxes: list[Pixels], sizes: list[tuple[int, int]]
    ) -> list[int]:
        """Finds the boxes that do not lie inside their images.

        Args:
            name: of the table, for the message.
            boxes: x1 y1 x2 y2 in half-open pixels.
            sizes: width and height of each box's image.

        Returns:
            The positions of the boxes that lie outside.

        Raises:
            InputError: so many boxes lie outside, or are so small, that they follow another
                convention; names the likely one.
        """
        outside = [
            n for n, (b, size) in enumerate(zip(boxes, sizes, strict=True)) if not fits(b, size)
        ]
        if len(outside) > 2 and len(outside) >= _MANY * len(boxes):
            for words, reading in (_IF_SIDES if self._has_sides else _IF_CORNERS).items():
                inside = sum(
                    fits(reading(*map(int, box)), size)
                    for box, size in zip(boxes, sizes, strict=True)
                )
                if inside >= _ENOUGH * len(boxes):
                    raise InputError(
                        f"{name}: {len(outside)} of {len(boxes)} boxes lie outside their images, "
                        f"as if {words}."
                    )
        tiny = sum(
            (x2 - x1) * (y2 - y1) < _TINY * width * height
            for (x1, y1, x2, y2), (width, height) in zip(boxes, sizes, strict=True)
        )
        if len(boxes) >= _RULE and tiny >= _ENOUGH * len(boxes):
            raise InputError(
                f"{name}: {tiny} of {len(boxes)} boxes cover less than a hundredth of their "
                f"images, so they are no pixels of these images. For shares of the sides say "
                f"--boxes normalised, for x, y, width and height --boxes xywh."
            )
        return outside


def box_columns(columns: Columns, convention: BoxConvention | None) -> BoxReader | None:
    """Finds the columns of a table's boxes.

    Args:
        columns: of the table.
        convention: of its boxes; None = as the names say.

    Returns:
        What reads them; None where there are none, or where a column ``bbox`` may mean anything.

    Raises:
        InputError: only some columns are there, or none although a convention is named.
    """
    for names in (*_CORNERS, *_SIDES):
        if (found := columns.find_all(names)) is not None:
            return BoxReader(names, found, convention)
    if convention and (place := columns.find(_LIST[0])) is not None:
        return BoxReader(_LIST, [place], convention)
    if any(columns.find(name) is not None for name in _CORNERS[0]):
        raise InputError(
            f"{columns.path} has only some of the columns x1, y1, x2, y2: give all or none."
        )
    if convention:
        raise InputError(
            f"{columns.path} has no columns of boxes for --boxes {convention}: name them x1, y1, "
            f"x2, y2, or x, y, width, height, or bbox."
        )
    return None


def fits(box: Pixels, size: tuple[int, int]) -> bool:
    """Returns whether a box has an area and lies inside an image of (width, height)."""
    x1, y1, x2, y2 = box
    return 0 <= x1 < x2 <= size[0] and 0 <= y1 < y2 <= size[1]


def _listed(cell: object) -> list | None:
    """Returns the four values of a list, of its JSON, or of an empty cell."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return [None] * 4
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            cell = cell.replace(";", " ").replace(",", " ").split()
    return list(cell) if isinstance(cell, list | tuple) and len(cell) == 4 else None
