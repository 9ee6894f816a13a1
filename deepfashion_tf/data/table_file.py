"""Reads the columns of a CSV or Parquet file as texts, and tells what is wrong with the file."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from deepfashion_tf.data.faults import Faults
from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.escaping import read_cells
from deepfashion_tf.files import is_file

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
BOX = ("x1", "y1", "x2", "y2")
# Columns that are no categories.
OWN = ("image", *BOX, "split", "group")
_HELP = (
    "a table has a column image (paths relative to the table), a column a category with names of "
    "attributes (empty: not labelled), and where you wish x1, y1, x2, y2 (pixels counted from 0, "
    "the end excluded), split (train, val, test) and group"
)


@dataclass(frozen=True)
class Table:
    """The columns of a file as texts, and how its rows are called in messages."""

    path: Path
    columns: dict[str, pa.Array]
    rows: int
    has_lines: bool

    def place(self, row: int) -> tuple[str, int]:
        """Gives a row's unit and number: the file's line where that is known."""
        return ("line", row + 2) if self.has_lines else ("row", row + 1)


def read_columns(path: Path, categories: Sequence[str] | None) -> Table:
    """Reads a table's columns.

    Args:
        path: ``.csv`` (separated by commas, semicolons or tabs) or ``.parquet``.
        categories: columns that have to be there, beside ``image``, and those of OWN that may be;
            None = all columns, whatever they are.

    Raises:
        InputError: the file is missing or broken, or lacks a column.
    """
    if not is_file(path):
        raise InputError(f"There is no table {path}: {_HELP}.")
    reader = _read_parquet if path.suffix.lower() == ".parquet" else _read_csv
    try:
        table, has_lines = reader(path, categories)
    except (pa.ArrowException, ValueError, OSError, csv.Error) as error:
        if isinstance(error, OSError) and error.filename:
            raise
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} cannot be read as a {path.suffix.lstrip('.')} table ({reason}): save it anew, "
            f"CSV as UTF-8; {_HELP}."
        ) from error
    if not table.num_rows:
        raise InputError(f"{path} has no row below its header: {_HELP}.")
    columns = {
        name: _as_text(table.column(name).combine_chunks(), path, name)
        for name in table.column_names
    }
    if reader is _read_csv:
        columns = {name: read_cells(column) for name, column in columns.items()}
    return Table(path, columns, table.num_rows, has_lines)


def _choose(path: Path, found: list[str], categories: Sequence[str] | None) -> list[str]:
    """Picks the columns that are read, and refuses a table that lacks some of them."""
    wanted = found if categories is None else [*OWN, *categories]
    twice = sorted({name for name in found if found.count(name) > 1 and name in wanted})
    if twice:
        raise InputError(f"{path} has several columns {', '.join(twice)}: keep one of each.")
    missing = [name for name in ("image", *(categories or ())) if name not in found]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}; its columns are "
            f"{list_some([repr(name) for name in found], most=30)}. Name the --schema whose "
            f"categories are columns of this table; {_HELP}."
        )
    if any(name in found for name in BOX) and not all(name in found for name in BOX):
        raise InputError(f"{path} has only some of the columns x1, y1, x2, y2: give all or none.")
    return [name for name in found if name in wanted]


def _read_parquet(path: Path, categories: Sequence[str] | None) -> tuple[pa.Table, bool]:
    with pa.parquet.ParquetFile(path) as file:
        return file.read(columns=_choose(path, file.schema_arrow.names, categories)), False


def _read_csv(path: Path, categories: Sequence[str] | None) -> tuple[pa.Table, bool]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline(1_000_000)
    delimiter = max(",;\t|", key=first.count)
    names = next(csv.reader([first], delimiter=delimiter), [])
    chosen = _choose(path, names, categories)
    lines = _count_lines(path)
    bad: list[tuple[int, int]] = []

    def skip(row: pa.csv.InvalidRow) -> str:
        bad.append((row.number, row.actual_columns))
        return "skip"

    table = pa.csv.read_csv(
        path,
        # Rows have numbers where one thread reads them.
        read_options=pa.csv.ReadOptions(use_threads=False),
        parse_options=pa.csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
        ),
        convert_options=pa.csv.ConvertOptions(
            check_utf8=True,
            column_types=dict.fromkeys(chosen, pa.string()),
            include_columns=chosen,
        ),
    )
    if bad:
        faults = Faults()
        for number, columns in bad:
            text = f"has {columns} values where the header has {len(names)}"
            faults.add(path, number, text)
        faults.raise_if_any(f"{path} cannot be used")
    return table, lines in (table.num_rows, table.num_rows + 1)


def _count_lines(path: Path) -> int:
    """Counts the lines of a file, all of which has to be UTF-8: pyarrow looks at some columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return sum(block.count("\n") for block in iter(lambda: file.read(2**20), ""))


def _as_text(column: pa.Array, path: Path, name: str) -> pa.Array:
    """Gives a column as trimmed texts, null where it is empty."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    try:
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    except pa.ArrowException as error:
        raise InputError(
            f"{path} has values of type {column.type} in the column {name}: give texts or numbers."
        ) from error
    return pc.if_else(pc.equal(text, ""), None, text)
