"""Finds a table's columns by name, whatever their case, and reads numbers from its cells."""

import math
import re
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from deepfashion_tf.errors import InputError

_NUMBER = re.compile(r"[+-]?(\d{1,15}([.,]\d*)?|[.,]\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_MOST = 2**31 - 1


class Columns:
    """The columns of a table by name.

    A name is found exactly, else without regard to case, spaces, hyphens and underscores.

    Args:
        path: of the table, for messages.
        names: of its columns.
    """

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path, self.names = path, names
        self._exact, self._folded = defaultdict(list), defaultdict(list)
        for place, name in enumerate(names):
            self._exact[name].append(place)
            self._folded[_folded(name)].append(place)

    def find(self, name: str) -> int | None:
        """Returns the position of a column, None where there is none.

        Raises:
            InputError: several columns fit.
        """
        found = self._exact.get(name) or self._folded.get(_folded(name)) or []
        if len(found) > 1:
            several = ", ".join(repr(self.names[place]) for place in found)
            raise InputError(
                f"{self.path} has several columns {name} ({several}): keep one, or rename one."
            )
        return found[0] if found else None

    def find_all(self, names: tuple[str, ...]) -> list[int] | None:
        """Returns the positions of several columns, None where one of them is missing."""
        found = [self.find(name) for name in names]
        return None if None in found else found


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold())


def read_number(cell: object) -> float | None:
    """Reads the number of a cell, whose decimals may follow a point or a comma.

    Returns:
        A finite number of at most 2**31 - 1 either way, or None where the cell holds none.
    """
    if isinstance(cell, str):
        cell = cell.strip()
        if not _NUMBER.fullmatch(cell):
            return None
        number = float(cell.replace(",", "."))
    elif isinstance(cell, int | float | Decimal) and not isinstance(cell, bool):
        number = cell
    else:
        return None
    return float(number) if abs(number) <= _MOST and math.isfinite(number) else None
