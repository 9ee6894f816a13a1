"""One row of a table, as every reader of tables hands it on."""

from typing import NamedTuple, Protocol


class Row(NamedTuple):
    """A row, or what is wrong with it.

    Attributes:
        number: of its line, or of the row itself where a file has no lines; from 1.
        cells: one value a column of the header: texts, and of typed files also numbers or bytes.
        fault: why the row cannot be read; its cells are empty then.
    """

    number: int
    cells: list
    fault: str | None = None


class Rows(Protocol):
    """A table of any format: iterating reads it row by row, from the start each time.

    Attributes:
        names: of the columns.
        unit: "line" or "row", what numbers count.
        notes: sentence parts that a user should know, such as "is read as UTF-16".
        empty: rows of the last pass that hold nothing; they are counted and not handed on.
    """

    names: list[str]
    unit: str
    notes: list[str]
    empty: int

    def __iter__(self): ...

    def choose(self, columns: list[int], image: int | None) -> None:
        """Restricts cells to some columns; `image` is the position of the images' among them."""
