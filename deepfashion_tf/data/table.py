"""A table of images: CSV, spreadsheet or Parquet, a column a category, attributes by name."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from deepfashion_tf.category import NOT_APPLICABLE
from deepfashion_tf.data.addresses import has_scheme, is_address
from deepfashion_tf.data.division import divide
from deepfashion_tf.data.labels import join_attributes
from deepfashion_tf.data.split import SPLITS, Split
from deepfashion_tf.data.table_file import BOX
from deepfashion_tf.data.table_options import RowOptions
from deepfashion_tf.data.table_place import TablePlace
from deepfashion_tf.data.table_rows import TableRows
from deepfashion_tf.errors import InputError, MissingSplit
from deepfashion_tf.escaping import cell_text
from deepfashion_tf.files import write_atomically
from deepfashion_tf.progress import console
from deepfashion_tf.schema import UNLABELLED, Schema, builtin_schema


def read_table(
    path: str | Path,
    names: Sequence[str],
    schema: Schema | None = None,
    check_images: bool = True,
    options: RowOptions | None = None,
    offline: bool = False,
) -> list[Split]:
    """Reads splits of a table, and prints how many rows it has and how many are read.

    Args:
        path: CSV, a spreadsheet, or Parquet, of which a pattern may name several files; or its
            address.
        names: "train", "val", "test".
        schema: the categories; None = the built-in ones.
        check_images: also looks at every image's header.
        options: names of columns, convention of boxes, and what becomes of bad rows.
        offline: fetch no image from a network.

    Returns:
        The splits. Without boxes an image is used whole. Rows that were left out are in the
        ``left_out`` of each.

    Raises:
        InputError: names every fault by file and line: the first ten and a count.
    """
    place = TablePlace.of(path, offline)
    with place.named():
        rows = TableRows(place, schema or builtin_schema(), options or RowOptions(), offline)
        whole, split_of = _read(rows, options or RowOptions(), check_images)
    if rows.has_splits:
        what = "groups" if rows.has_groups else "images"
        _warn_of_cut_groups(place.name, what, whole.groups, split_of)
    else:
        split_of = divide(whole.labels, whole.groups)
    return [_split(whole, name, split_of) for name in names]


def _read(rows: TableRows, options: RowOptions, check_images: bool) -> tuple[Split, np.ndarray]:
    """Returns the sound rows of a table as one split, and the split that each is in."""
    skips = options.on_bad_row == "skip"
    if not skips:
        rows.raise_if_faulty()
    rows.find_images()
    rows.check_convention()
    if check_images or skips or rows.needs_sizes:
        rows.check_images(reports=check_images)
        if not skips:
            rows.raise_if_faulty()
    sound = rows.sound()
    if not len(sound):
        rows.raise_if_faulty()
    rows.report(len(sound))
    whole = Split(
        rows.schema,
        "",
        rows.encoded(),
        rows.keys,
        rows.boxes(),
        rows.labels(),
        rows.name,
        rows.groups(),
        left_out=rows.left_out(),
        rows=np.arange(len(rows)),
        row_name=rows.row_name(),
    )
    split_of = rows.split_ids()
    if len(sound) < len(whole):
        whole, split_of = whole.take(sound, ""), split_of[sound]
    return whole, split_of


def write_table(
    path: Path, splits: Sequence[Split], kept: Mapping[str, Sequence[str | None]] | None = None
) -> None:
    """Writes splits of image files as a table that `read_table` reads.

    A single split is written without a column ``split``. Images in the table's folder or below
    it are named from there on, so that all may move together; others by their whole path.

    Args:
        path: of the table.
        splits: what it lists.
        kept: further columns -> one cell a row of the table that the splits are of.

    Raises:
        InputError: the images are neither files nor at addresses.
    """
    if not all(is_address(k := str(split.keys[0])) or Path(k).is_absolute() for split in splits):
        raise InputError(
            f"The images of {splits[0].source} are no files of their own, which a table could name."
        )
    folder = path.resolve().parent
    several = len(splits) > 1
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = ["image", *BOX, *(["split"] * several), *splits[0].schema.groups]
    kept = {name: cells for name, cells in (kept or {}).items() if name not in header}
    writer.writerow([*header, *map(cell_text, kept)])
    for split in splits:
        for number, (key, box, labels) in enumerate(
            zip(split.keys, split.boxes, split.labels, strict=True)
        ):
            names = map(cell_text, label_cells(split.schema, labels))
            corners = ["" if value < 0 else value for value in box]
            image = Path(key).absolute()
            image = image.relative_to(folder) if image.is_relative_to(folder) else image
            image = key if has_scheme(str(key)) else image
            others = [cell_text(cells[split.rows[number]] or "") for cells in kept.values()]
            row = [cell_text(image), *corners, *([split.name] * several), *names, *others]
            writer.writerow(row)
    write_atomically(path, text.getvalue())


def label_cells(schema: Schema, labels: np.ndarray) -> list[str]:
    """Returns the cells of an image's labels, one a category as a user knows it.

    Args:
        schema: the categories.
        labels: int ``[categories]``, class ids; -1 = not labelled, an empty cell.
    """
    ids, cells = dict(zip(schema, labels.tolist(), strict=True)), []
    for parts in schema.groups.values():
        found = [ids[part.name] for part in parts]
        if parts[-1].is_optional and found[-1] == len(parts[-1].attributes) - 1:
            cells.append(NOT_APPLICABLE)
        elif UNLABELLED in found:
            cells.append("")
        elif parts[0].part_of is None:
            cells.append(parts[0].attributes[found[0]])
        else:
            found_words = [p.attributes[1] for p in parts if ids[p.name] == 1]
            cells.append(join_attributes(found_words, [p.attributes[1] for p in parts]))
    return cells


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


def _warn_of_cut_groups(table: str, what: str, groups: np.ndarray, split_of: np.ndarray) -> None:
    pairs = np.unique(groups * len(SPLITS) + split_of)
    cut = int((np.bincount(pairs // len(SPLITS)) > 1).sum())
    if cut:
        console.print(
            f"{cut} {what} of {table} stand in several splits: scores will be too good, since the "
            f"model is asked what it was taught.",
            style="yellow",
            soft_wrap=True,
        )
