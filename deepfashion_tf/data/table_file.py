"""Opens a table of any format, finds its columns and counts its rows."""

import glob
import math
import string
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from deepfashion_tf.data.columns import Columns
from deepfashion_tf.data.csv_rows import CsvRows
from deepfashion_tf.data.excel_rows import ExcelRows
from deepfashion_tf.data.parquet_rows import ParquetRows
from deepfashion_tf.data.row import Row, Rows
from deepfashion_tf.data.row_boxes import BoxReader, Corners, box_columns
from deepfashion_tf.data.table_options import TableOptions
from deepfashion_tf.data.text_encoding import has_invalid_bytes
from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import InputError, counted, list_some
from deepfashion_tf.files import is_file

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
BOX = ("x1", "y1", "x2", "y2")
HELP = (
    "a table has a column image (paths relative to the table), a column a category with names of "
    "attributes (empty: not labelled), and where you wish x1, y1, x2, y2 (pixels counted from 0, "
    "the end excluded), split (train, val, test) and group"
)


class Entry(NamedTuple):
    """A row of a table, read.

    Attributes:
        number: of the row or line, from 1.
        image: the text that names it, or its embedded bytes; None where there is a fault.
        box: four floats by the table's convention, or None: the whole image.
        values: one cell a wanted column, texts or None.
        fault: why the row cannot be used, without its full stop.
    """

    number: int
    image: str | bytes | None
    box: Corners | None
    values: list
    fault: str | None = None


class TableFile:
    """A table of CSV, a spreadsheet or Parquet, judged by its content, not by its name.

    Args:
        path: of the file; of Parquet also a pattern of several.
        options: names of columns and the convention of boxes.
        wanted: name -> column for each further column that is needed; None = all others.
        optional: likewise, for columns that may be missing.

    Attributes:
        path: as given.
        name: what messages call it; the path, unless somebody changes it.
        columns: of the file.
        places: name -> position of each wanted column.
        names: of these, in the order of `Entry.values`.
        boxes: reads the boxes; None where the table has none.
        rows, faulty, empty: rows counted in the last pass. Each row but the empty ones is an
            `Entry`; `faulty` of them have a fault.

    Raises:
        InputError: the file is missing or broken, or lacks a column.
    """

    def __init__(
        self,
        path: Path,
        options: TableOptions | None = None,
        wanted: Mapping[str, str] | None = None,
        optional: Mapping[str, str] | None = None,
    ) -> None:
        self.path, self.name = path, str(path)
        self._options = options or TableOptions()
        self.format = open_rows(path)
        self.columns = Columns(path, self.format.names)
        self._image, self._literals = self._name_image()
        self.boxes: BoxReader | None = box_columns(self.columns, self._options.boxes)
        self.places = self._places(wanted, optional or {})
        self.names = list(self.places)
        self.rows = self.faulty = self.empty = 0

    def place(self, number: int) -> tuple[str, int]:
        """Returns the unit and the number by which messages name a row."""
        return self.format.unit, number

    def __iter__(self) -> Iterator[Entry]:
        first = len(self._image)
        last = first + (len(self.boxes.columns) if self.boxes else 0)
        boxes = self.boxes.columns if self.boxes else []
        self.format.choose(
            [*self._image, *boxes, *self.places.values()], 0 if self._literals is None else None
        )
        self.rows = self.faulty = 0
        for row in self.format:
            self.rows += 1
            entry = self._entry(row, first, last)
            self.faulty += entry.fault is not None
            yield entry
        self.empty = self.format.empty

    def notes(self) -> list[str]:
        """Returns, after a pass, what a user should know of the file: encoding, sheets, boxes."""
        notes = list(self.format.notes)
        if spanning := getattr(self.format, "spanning", None):
            notes.append(
                f"has {counted(len(spanning), 'cell')} with line ends, first in line {spanning[0]}"
            )
        if self.empty:
            notes.append(f"has {counted(self.empty, 'empty row')}, ignored")
        if self.boxes and self.boxes.rounded:
            notes.append(f"has boxes with decimals, rounded outwards ({self.boxes.rounded})")
        if self.boxes is None and self.columns.find("bbox") is not None:
            notes.append("has a column bbox, which is not read: say --boxes coco, xywh or xyxy")
        return [f"{self.name} {note}" for note in notes]

    def _entry(self, row: Row, first: int, last: int) -> Entry:
        number, cells, fault = row
        if fault:
            return Entry(number, None, None, [], fault)
        image, fault = self._read_image(cells[:first])
        faults, box = [fault], None
        if self.boxes:
            box, fault = self.boxes.read(cells[first:last])
            faults.append(fault)
        values = [_as_text(cell) for cell in cells[last:]]
        for name, value in zip(self.names, values, strict=True):
            if value is not None and not value.isascii() and has_invalid_bytes(value):
                faults.append(f"{name} holds bytes that are no UTF-8")
        return Entry(number, image, box, values, "; ".join(filter(None, faults)) or None)

    def _read_image(self, cells: list) -> tuple[str | bytes | None, str | None]:
        if self._literals is None and isinstance(cells[0], bytes):
            return cells[0], None
        texts = [_as_text(cell) for cell in cells]
        if None in texts:
            return None, "names no image"
        if self._literals is None:
            (name,) = texts
        else:
            name = "".join(a + b for a, b in zip(self._literals, [*texts, ""], strict=True))
        if not name.isascii() and has_invalid_bytes(name):
            return None, "names an image by bytes that are no UTF-8"
        return name, None

    def _name_image(self) -> tuple[list[int], list[str] | None]:
        """Finds the columns that name an image, and what a pattern has around them."""
        pattern = self._options.image_column or "image"
        if pattern in self.format.names or not {"{", "}"} & set(pattern):
            return [self._required([pattern])[0]], None
        try:
            parts = list(string.Formatter().parse(pattern))
        except ValueError as error:
            raise InputError(f"--image-column {pattern!r} is no pattern ({error}).") from error
        fields = [name for _, name, _, _ in parts if name is not None]
        if not fields or any(spec or conversion for _, _, spec, conversion in parts):
            raise InputError(
                f"--image-column {pattern!r} names no column in plain braces: write it as in "
                f"'photos/{{id}}.jpg'."
            )
        literals = [text for text, _, _, _ in parts]
        return self._required(fields), literals + [""] * (len(literals) == len(fields))

    def _places(
        self, wanted: Mapping[str, str] | None, optional: Mapping[str, str]
    ) -> dict[str, int]:
        if wanted is None:
            taken = {*self._image, *(self.boxes.columns if self.boxes else ())}
            names = enumerate(self.format.names)
            found = {name: place for place, name in names if name and place not in taken}
        else:
            found = dict(zip(wanted, self._required(list(wanted.values())), strict=True))
        there = {name: self.columns.find(column) for name, column in optional.items()}
        return found | {name: place for name, place in there.items() if place is not None}

    def _required(self, names: Sequence[str]) -> list[int]:
        found = [self.columns.find(name) for name in names]
        missing = [name for name, place in zip(names, found, strict=True) if place is None]
        if missing and not self.format.names:
            raise InputError(f"{self.path} is empty: name a table with a header and rows.")
        if missing:
            raise InputError(
                f"{self.path} has no column {', '.join(missing)}; its columns are "
                f"{list_some([repr(name) for name in self.format.names], most=30)}. Name the "
                f"--schema whose categories are columns of this table, or the --image-column; "
                f"{HELP}."
            )
        return found


def open_rows(path: Path) -> Rows:
    """Opens a table by what is in it, whatever its name ends in.

    Raises:
        InputError: it is missing, or is no table.
    """
    if not is_file(path):
        paths = [Path(found) for found in sorted(glob.glob(str(path)))]  # noqa: PTH207
        if not paths or not all(one.suffix.lower() == ".parquet" for one in paths):
            raise InputError(f"There is no table {path}: {HELP}.")
        return ParquetRows(paths)
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"PAR1") or path.suffix.lower() == ".parquet":
        return ParquetRows([path])
    if head.startswith((b"PK\3\4", b"\xd0\xcf\x11\xe0")):
        return ExcelRows(path)
    return CsvRows(path)


def _as_text(cell: object) -> str | None:
    """Returns a cell as trimmed text, None where it is empty or holds no text or number."""
    if isinstance(cell, str):
        return cell.strip() or None
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, float | Decimal) and abs(cell) < 1e15 and cell == int(cell):
        return str(int(cell))
    if isinstance(cell, bool):
        return str(cell).lower()
    is_short = isinstance(cell, list) and not any(isinstance(one, float) for one in cell)
    if is_short or isinstance(cell, dict):
        return as_json(cell, ensure_ascii=False, default=_kind_of)
    # Neither bytes nor a list of numbers, such as features, is shown.
    return _kind_of(cell) if isinstance(cell, bytes | list) else str(cell)


def _kind_of(cell: object) -> str:
    return f"<{type(cell).__name__}>" if isinstance(cell, bytes | list) else str(cell)
