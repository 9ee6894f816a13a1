"""Collects what is wrong with a data set, so that it is all told at once."""

from pathlib import Path

from deepfashion_tf.errors import InputError, list_some, printable


class Faults:
    """A list of faults, each with its file and line; raises one InputError for all.

    Example:
        faults = Faults()
        faults.add(path, 12, "fit is 9, but runs from 0 to 2")
        faults.raise_if_any("The split 'train' cannot be used")
    """

    def __init__(self) -> None:
        self._faults: list[str] = []

    def add(self, path: Path, line: int | None, text: str) -> None:
        """Adds one fault; `line` counts from 1, None = the file as a whole."""
        if line is None:
            self._faults.append(printable(f"{path} {text}"))
        else:
            self.add_at(path, ("line", line), text)

    def add_at(self, path: Path | str, place: tuple[str, int], text: str) -> None:
        """Adds one fault at a place such as ``("row", 7)``."""
        self._faults.append(printable(f"{path}, {place[0]} {place[1]}: {text}"))

    def raise_if_any(self, summary: str) -> None:
        """Raises InputError with the first ten faults and a count, if there is one."""
        if not self._faults:
            return
        if len(self._faults) == 1:
            raise InputError(f"{summary}: {self._faults[0]}.")
        shown = list_some(self._faults, separator="\n  ")
        raise InputError(f"{summary}; {len(self._faults)} faults to mend:\n  {shown}")
