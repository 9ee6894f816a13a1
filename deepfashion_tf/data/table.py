"""A table of images: CSV or Parquet, a column a category, attributes by their names."""

import csv
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from deepfashion_tf.data.division import divide
from deepfashion_tf.data.faults import Faults
from deepfashion_tf.data.inspection import inspect_images
from deepfashion_tf.data.split import SPLITS, WHOLE_IMAGE, Split, file_reader
from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.files import is_file
from deepfashion_tf.progress import console
from deepfashion_tf.schema import UNLABELLED, Schema, builtin_schema

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
BOX = ("x1", "y1", "x2", "y2")
_OWN = ("image", *BOX, "split", "group")
_SPELLINGS = {
    **{name: name for name in SPLITS},
    **dict.fromkeys(("training", "trn"), "train"),
    **dict.fromkeys(("validation", "valid", "dev"), "val"),
    **dict.fromkeys(("testing", "tst"), "test"),
}
_HELP = (
    "a table has a column image (paths relative to the table), a column a category with names of "
    "attributes (empty: not labelled), and where you wish x1, y1, x2, y2 (pixels counted from 0, "
    "the end excluded), split (train, val, test) and group"
)


@dataclass(frozen=True)
class _Table:
    """The columns of a file as texts, and how its rows are called in messages."""

    path: Path
    columns: dict[str, pa.Array]
    rows: int
    has_lines: bool

    def place(self, row: int) -> tuple[str, int]:
        """Gives a row's unit and number: the file's line where that is known."""
        return ("line", row + 2) if self.has_lines else ("row", row + 1)


def read_table(
    path: Path, names: Sequence[str], schema: Schema | None = None, split_seed: int = 0
) -> list[Split]:
    """Reads splits of a table.

    Args:
        path: ``.csv`` (separated by commas, semicolons or tabs) or ``.parquet``.
        names: "train", "val", "test".
        schema: the categories; None = the built-in ones.
        split_seed: seeds the division of a table without a column ``split``.

    Returns:
        The splits. Without boxes an image is used whole.

    Raises:
        InputError: names every fault by file and line: the first ten and a count.
    """
    schema = schema or builtin_schema()
    table = _read(path, schema)
    faults = Faults()
    images = _read_images(table, faults)
    labels = _read_labels(table, schema, faults)
    boxes = _read_boxes(table, faults)
    split_of = _read_splits(table, faults)
    faults.raise_if_any(f"{path} cannot be used")
    _check_images(table, images, boxes, faults)
    faults.raise_if_any(f"{path} cannot be used")
    if split_of is None:
        split_of = divide(labels, _groups(table), split_seed)
    else:
        _warn_of_cut_groups(table, split_of)
    return [_split(path, name, schema, images, boxes, labels, split_of) for name in names]


def _split(path: Path, name: str, schema: Schema, images, boxes, labels, split_of) -> Split:
    rows = np.flatnonzero(split_of == SPLITS.index(name))
    if not len(rows):
        raise InputError(
            f"No image of {path} is in the split {name!r}: add some to the column split, or to "
            f"the table if it has none."
        )
    keys = images if len(rows) == len(images) else [images[row] for row in rows.tolist()]
    return Split(schema, name, file_reader(keys), keys, boxes[rows], labels[rows], str(path))


# --- the file -----------------------------------------------------------------------------


def _read(path: Path, schema: Schema) -> _Table:
    if not is_file(path):
        raise InputError(f"There is no table {path}: {_HELP}.")
    reader = _read_parquet if path.suffix.lower() == ".parquet" else _read_csv
    try:
        table, has_lines = reader(path, {*_OWN, *schema})
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
    return _Table(path, columns, table.num_rows, has_lines)


def _choose(path: Path, found: list[str], wanted: set[str]) -> list[str]:
    """Picks the columns that are read, and refuses a table that lacks some of them."""
    twice = sorted({name for name in found if found.count(name) > 1 and name in wanted})
    if twice:
        raise InputError(f"{path} has several columns {', '.join(twice)}: keep one of each.")
    missing = [name for name in sorted(wanted - {*_OWN[1:]}) if name not in found]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}; its columns are "
            f"{list_some([repr(name) for name in found], most=30)}. Name the --schema whose "
            f"categories are columns of this table; {_HELP}."
        )
    if any(name in found for name in BOX) and not all(name in found for name in BOX):
        raise InputError(f"{path} has only some of the columns x1, y1, x2, y2: give all or none.")
    return [name for name in found if name in wanted]


def _read_parquet(path: Path, wanted: set[str]) -> tuple[pa.Table, bool]:
    with pa.parquet.ParquetFile(path) as file:
        return file.read(columns=_choose(path, file.schema_arrow.names, wanted)), False


def _read_csv(path: Path, wanted: set[str]) -> tuple[pa.Table, bool]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline(1_000_000)
    delimiter = max(",;\t|", key=first.count)
    names = next(csv.reader([first], delimiter=delimiter), [])
    chosen = _choose(path, names, wanted)
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
    return table, _count_lines(path) in (table.num_rows, table.num_rows + 1)


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))


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


# --- columns ------------------------------------------------------------------------------


def _rows_where(mask: pa.Array) -> np.ndarray:
    return np.flatnonzero(pc.fill_null(mask, False).to_numpy(zero_copy_only=False))


def _read_images(table: _Table, faults: Faults) -> list[str]:
    column = table.columns["image"]
    for row in _rows_where(pc.is_null(column)):
        faults.add_at(table.path, table.place(row), "names no image")
    folder = f"{table.path.resolve().parent}/"
    texts = pc.fill_null(column, "")
    is_relative = pc.invert(pc.starts_with(texts, "/"))
    return pc.binary_join_element_wise(pc.if_else(is_relative, folder, ""), texts, "").to_pylist()


def _read_labels(table: _Table, schema: Schema, faults: Faults) -> np.ndarray:
    labels = np.empty((table.rows, len(schema)), np.int32)
    for number, (category, attributes) in enumerate(schema.items()):
        column = table.columns[category]
        ids = pc.index_in(column, pa.array(attributes, pa.string()))
        labels[:, number] = pc.fill_null(ids, UNLABELLED).to_numpy()
        unknown = _rows_where(pc.and_(pc.is_null(ids), pc.is_valid(column)))
        for value, rows in _group_by_value(column, unknown).items():
            near = difflib.get_close_matches(value, attributes, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
            faults.add_at(
                table.path,
                table.place(rows[0]),
                f"{category} is {value!r}{hint}{more}, but the attributes are "
                f"{list_some(list(attributes), most=20)} (empty: not labelled)",
            )
    return labels


def _group_by_value(column: pa.Array, rows: np.ndarray) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row, value in zip(rows.tolist(), column.take(pa.array(rows)).to_pylist(), strict=True):
        found.setdefault(value, []).append(row)
    return found


def _read_boxes(table: _Table, faults: Faults) -> np.ndarray:
    """Reads half-open boxes; a row without any of the four values is a whole image."""
    boxes = np.tile(np.int32(WHOLE_IMAGE), (table.rows, 1))
    if BOX[0] not in table.columns:
        return boxes
    texts = [table.columns[name] for name in BOX]
    given = np.stack([pc.is_valid(text).to_numpy(zero_copy_only=False) for text in texts], axis=1)
    for row in np.flatnonzero(given.any(axis=1) & ~given.all(axis=1)):
        faults.add_at(table.path, table.place(row), "has only some of x1, y1, x2, y2")
    is_number = [pc.match_substring_regex(text, r"^-?[0-9]{1,9}(\.0*)?$") for text in texts]
    for name, text, good in zip(BOX, texts, is_number, strict=True):
        for row in _rows_where(pc.invert(good)):
            value = text[row].as_py()
            faults.add_at(table.path, table.place(row), f"{name} is {value!r}: no whole number")
    values = [
        pc.if_else(good, text, None).cast(pa.float64()).to_numpy(zero_copy_only=False)
        for text, good in zip(texts, is_number, strict=True)
    ]
    whole = given.all(axis=1) & ~np.isnan(values).any(axis=0)
    boxes[whole] = np.stack(values, axis=1)[whole].astype(np.int32)
    wrong = whole & (
        (boxes[:, :2] < 0).any(axis=1) | (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    )
    for row in np.flatnonzero(wrong):
        faults.add_at(
            table.path,
            table.place(row),
            f"box {_spell(boxes[row])} has no area inside an image: 0 <= x1 < x2, 0 <= y1 < y2",
        )
    return boxes


def _spell(box: np.ndarray) -> str:
    return " ".join(map(str, box.tolist()))


def _read_splits(table: _Table, faults: Faults) -> np.ndarray | None:
    """Reads positions in SPLITS; None without the column."""
    column = table.columns.get("split")
    if column is None:
        return None
    lower = pc.utf8_lower(column)
    ids = pc.index_in(lower, pa.array(_SPELLINGS))
    for row in _rows_where(pc.is_null(ids)):
        value = column[row].as_py()
        faults.add_at(
            table.path, table.place(row), f"split is {value or 'empty'!r}: train, val or test"
        )
    positions = np.array([SPLITS.index(name) for name in _SPELLINGS.values()], np.int8)
    return positions[pc.fill_null(ids, 0).to_numpy()]


def _groups(table: _Table) -> np.ndarray:
    """Numbers the groups; what has none stays together with rows of the same image."""
    images = table.columns["image"]
    group = table.columns.get("group")
    if group is not None:
        # A prefix each, since a group may be called as an image is.
        images = pc.if_else(
            pc.is_valid(group),
            pc.binary_join_element_wise("g", group, ""),
            pc.binary_join_element_wise("i", images, ""),
        )
    return images.dictionary_encode().indices.to_numpy()


def _warn_of_cut_groups(table: _Table, split_of: np.ndarray) -> None:
    groups = _groups(table).astype(np.int64)
    pairs = np.unique(groups * len(SPLITS) + split_of)
    cut = int((np.bincount(pairs // len(SPLITS)) > 1).sum())
    if cut:
        what = "groups" if "group" in table.columns else "images"
        console.print(
            f"[yellow]{cut} {what} of {table.path} stand in several splits: scores will be too "
            f"good, since the model is asked what it was taught.[/yellow]",
            soft_wrap=True,
        )


def _check_images(table: _Table, images: list[str], boxes: np.ndarray, faults: Faults) -> None:
    for row, (path, size) in enumerate(zip(images, inspect_images(images), strict=True)):
        if isinstance(size, str):
            faults.add_at(table.path, table.place(row), f"{path} {size}")
        elif size and (boxes[row, 2] > size[0] or boxes[row, 3] > size[1]):
            faults.add_at(
                table.path,
                table.place(row),
                f"box {_spell(boxes[row])} lies outside {Path(path).name}, "
                f"which is {size[0]} x {size[1]} pixels",
            )
