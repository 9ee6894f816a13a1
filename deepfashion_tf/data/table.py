"""A table of images: CSV or Parquet, a column a category, attributes by their names."""

import csv
import difflib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfashion_tf.data.division import divide
from deepfashion_tf.data.faults import Faults
from deepfashion_tf.data.inspection import inspect_images
from deepfashion_tf.data.split import SPLITS, WHOLE_IMAGE, FileReader, Split
from deepfashion_tf.data.table_file import BOX, OWN, Table, read_columns
from deepfashion_tf.errors import InputError, MissingSplit, list_some
from deepfashion_tf.escaping import cell_text
from deepfashion_tf.files import write_atomically
from deepfashion_tf.progress import console
from deepfashion_tf.schema import UNLABELLED, Category, Schema, builtin_schema, faults_of

_SPELLINGS = {
    **{name: name for name in SPLITS},
    **dict.fromkeys(("training", "trn"), "train"),
    **dict.fromkeys(("validation", "valid", "dev"), "val"),
    **dict.fromkeys(("testing", "tst"), "test"),
}


def read_table(
    path: Path,
    names: Sequence[str],
    schema: Schema | None = None,
    split_seed: int = 0,
    check_images: bool = True,
) -> list[Split]:
    """Reads splits of a table.

    Args:
        path: ``.csv`` (separated by commas, semicolons or tabs) or ``.parquet``.
        names: "train", "val", "test".
        schema: the categories; None = the built-in ones.
        split_seed: seeds the division of a table without a column ``split``.
        check_images: also looks at every image's header.

    Returns:
        The splits. Without boxes an image is used whole.

    Raises:
        InputError: names every fault by file and line: the first ten and a count.
    """
    schema = schema or builtin_schema()
    table = read_columns(path, [*schema])
    faults = Faults()
    images = _read_images(table, faults)
    labels = _read_labels(table, schema, faults)
    boxes = _read_boxes(table, faults)
    split_of = _read_splits(table, faults)
    faults.raise_if_any(f"{path} cannot be used")
    if check_images:
        _check_images(table, images, boxes, faults)
    faults.raise_if_any(f"{path} cannot be used")
    groups = _groups(table)
    is_given = split_of is not None
    if not is_given:
        split_of = divide(labels, groups, split_seed)
    whole = Split(schema, "", FileReader(images), images, boxes, labels, str(path), groups)
    found = [_split(whole, name, split_of) for name in names]
    if is_given:
        _warn_of_cut_groups(table, groups, split_of)
    return found


def write_table(path: Path, splits: Sequence[Split]) -> None:
    """Writes splits of image files as a table that `read_table` reads.

    A single split is written without a column ``split``. Images in the table's folder or below
    it are named from there on, so that all may move together; others by their whole path.

    Raises:
        InputError: the images are no files.
    """
    if not all(Path(split.keys[0]).is_absolute() for split in splits):
        raise InputError(
            f"The images of {splits[0].source} are no files of their own, which a table could name."
        )
    folder = path.resolve().parent
    several = len(splits) > 1
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", *BOX, *(["split"] * several), *splits[0].schema])
    for split in splits:
        for key, box, labels in zip(split.keys, split.boxes, split.labels, strict=True):
            names = [
                cell_text(attributes[label]) if label != UNLABELLED else ""
                for label, attributes in zip(labels, split.schema.values(), strict=True)
            ]
            corners = ["" if value < 0 else value for value in box]
            image = Path(key)
            image = image.relative_to(folder) if image.is_relative_to(folder) else image
            writer.writerow([cell_text(image), *corners, *([split.name] * several), *names])
    write_atomically(path, text.getvalue())


def infer_schema(path: Path, columns: Sequence[str] = ()) -> tuple[Schema, dict[str, str]]:
    """Proposes a schema for a table: categories whose attributes are the values found.

    Args:
        path: as in `read_table`; labels of any kind.
        columns: those that are categories; none = all with 2 to 60 values that repeat.

    Returns:
        The schema, attributes by falling frequency, and why each other column was left out.

    Raises:
        InputError: a column is missing, or none looks like a category.
    """
    table = read_columns(path, columns or None)
    categories, left_out = {}, {}
    for name in columns or [name for name in table.columns if name not in OWN]:
        counts = Counter(pc.drop_null(table.columns[name]).to_pylist())
        values = [value for value, _ in counts.most_common()]
        if columns:
            categories[name] = values
        elif not 2 <= len(counts) <= min(60, sum(counts.values()) // 2):
            left_out[name] = f"{len(counts)} different values in {sum(counts.values())} rows"
        else:
            fault = next(faults_of((Category(name, tuple(values)),)), None)
            if fault:
                left_out[name] = fault[1]
            else:
                categories[name] = values
    if not categories:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InputError(f"No column of {path} looks like a category ({reasons or 'no others'}).")
    return Schema.of(categories), left_out


def _split(whole: Split, name: str, split_of: np.ndarray) -> Split:
    rows = np.flatnonzero(split_of == SPLITS.index(name))
    if not len(rows):
        raise MissingSplit(
            name,
            f"No image of {whole.source} is in the split {name!r}: add some to the column split, "
            f"or to the table if it has none.",
        )
    if len(rows) == len(whole):
        return replace(whole, name=name)
    return whole.take(rows, name)


# --- columns ------------------------------------------------------------------------------


def _rows_where(mask: pa.Array) -> np.ndarray:
    return np.flatnonzero(pc.fill_null(mask, False).to_numpy(zero_copy_only=False))


def _read_images(table: Table, faults: Faults) -> list[str]:
    column = table.columns["image"]
    for row in _rows_where(pc.is_null(column)):
        faults.add_at(table.path, table.place(row), "names no image")
    folder = f"{table.path.resolve().parent}/"
    texts = pc.fill_null(column, "")
    is_relative = pc.invert(pc.starts_with(texts, "/"))
    return pc.binary_join_element_wise(pc.if_else(is_relative, folder, ""), texts, "").to_pylist()


def _read_labels(table: Table, schema: Schema, faults: Faults) -> np.ndarray:
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


def _read_boxes(table: Table, faults: Faults) -> np.ndarray:
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


def _read_splits(table: Table, faults: Faults) -> np.ndarray | None:
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


def _groups(table: Table) -> np.ndarray:
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
    return images.dictionary_encode().indices.to_numpy().astype(np.int64)


def _warn_of_cut_groups(table: Table, groups: np.ndarray, split_of: np.ndarray) -> None:
    pairs = np.unique(groups * len(SPLITS) + split_of)
    cut = int((np.bincount(pairs // len(SPLITS)) > 1).sum())
    if cut:
        what = "groups" if "group" in table.columns else "images"
        console.print(
            f"{cut} {what} of {table.path} stand in several splits: scores will be too "
            f"good, since the model is asked what it was taught.",
            style="yellow",
            soft_wrap=True,
        )


def _check_images(table: Table, images: list[str], boxes: np.ndarray, faults: Faults) -> None:
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
