"""What is to be answered: images, and boxes where there are some, one after the other.

Images are looked for on the way, so that a list of ten million images takes no more memory than
one of ten. No TensorFlow.
"""

import csv
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from deepfashion_tf.data.split import WHOLE_IMAGE, Split, read_file
from deepfashion_tf.data.table_file import BOX
from deepfashion_tf.errors import InputError
from deepfashion_tf.escaping import read_cell
from deepfashion_tf.files import is_file, is_folder

Box = tuple[int, int, int, int]
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"})
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})


@dataclass(frozen=True)
class Item:
    """An image to be answered.

    Attributes:
        image: what it is called: a path as it was given, or a name in its source.
        box: x1 y1 x2 y2 in half-open pixels; all -1 = the whole image.
        path: the file; None = `encoded` has it.
        encoded: the file's bytes, where there is no file.
        fault: why it cannot be answered, known before anybody has looked at the image.
    """

    image: str
    box: Box = WHOLE_IMAGE
    path: str | None = None
    encoded: bytes | None = None
    fault: str | None = None

    def read(self) -> bytes:
        """Reads the image's bytes.

        Raises:
            OSError: the file cannot be read.
            ValueError: no file can have that name.
        """
        return self.encoded if self.path is None else read_file(self.path)


class Found(Iterable[Item]):
    """The images that some inputs stand for, looked for anew whenever they are asked for."""

    def __init__(self, inputs: Sequence[str], box: Box | None) -> None:
        self._inputs, self._box = inputs, box

    def __iter__(self) -> Iterator[Item]:
        return _find(self._inputs, self._box)


def find_items(inputs: Sequence[str], box: Box | None = None) -> Found:
    """Finds the images that inputs stand for, in their order.

    Args:
        inputs: image files; folders, with all images below them, in the order of their names;
            patterns with ``*``, ``?`` or ``**``; and tables (.csv, .tsv, .parquet) with a column
            ``image`` (paths relative to the table) and, where one wishes, x1, y1, x2, y2.
        box: of every image that has none of its own; None = the whole image.

    Raises:
        InputError: nothing is named; later, on the way: a table cannot be read.
    """
    if not inputs:
        raise InputError("No image is named: give images, folders, patterns or tables of them.")
    return Found(inputs, box)


def _find(inputs: Sequence[str], box: Box | None) -> Iterator[Item]:
    for text in inputs:
        if is_folder(text):
            yield from _with_box(_in_folder(text), box)
        elif Path(text).suffix.lower() in TABLE_SUFFIXES:
            yield from _with_box(_in_table(Path(text)), box)
        elif not is_file(text) and glob.has_magic(text):
            paths = sorted(glob.iglob(text, recursive=True))  # noqa: PTH207
            files = [path for path in paths if is_file(path)]
            missing = [Item(text, fault="is a pattern that no file fits")]
            found = [Item(path, path=path) for path in files] or missing
            yield from _with_box(found, box)
        else:
            yield from _with_box([Item(text, path=text)], box)


def items_of(split: Split) -> Iterator[Item]:
    """Gives the images of a split with its boxes."""
    for row, key in enumerate(split.keys):
        box = tuple(int(value) for value in split.boxes[row])
        try:
            yield Item(str(key), box, encoded=split.encoded(row))
        except (OSError, ValueError) as error:
            yield Item(str(key), box, fault=f"cannot be read ({error})")


def has_boxes(inputs: Sequence[str]) -> bool:
    """Whether some input is a table, whose images may have boxes of their own."""
    return any(Path(text).suffix.lower() in TABLE_SUFFIXES for text in inputs)


def _with_box(items: Iterable[Item], box: Box | None) -> Iterator[Item]:
    for item in items:
        own = item.box != WHOLE_IMAGE or box is None
        yield item if own else Item(item.image, box, item.path, item.encoded, item.fault)


def _in_folder(folder: str) -> Iterator[Item]:
    empty = True
    for place, folders, names in os.walk(folder):
        folders.sort()  # where to go next
        for name in sorted(names):
            if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                empty = False
                path = os.path.join(place, name)  # noqa: PTH118
                yield Item(path, path=path)
    if empty:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        yield Item(folder, fault=f"is a folder without an image ({kinds})")


def _in_table(path: Path) -> Iterator[Item]:
    if not is_file(path):
        yield Item(str(path), fault="is missing")
        return
    rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _csv_rows(path)
    try:
        for place, row in rows:
            yield _item_of(path, place, row)
    except (csv.Error, pa.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.filename:
            raise
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} cannot be read as a table ({reason}): save it anew, CSV as UTF-8."
        ) from error


def _item_of(path: Path, place: str, row: dict[str, str | None]) -> Item:
    image = row["image"]
    if not image:
        return Item(f"{path}, {place}", fault="names no image")
    file = os.path.join(path.parent, image)  # noqa: PTH118, an absolute one stays as it is
    texts = [row.get(name) for name in BOX]
    if not any(texts):
        return Item(image, path=file)
    try:
        box = tuple(_whole_number(text or "") for text in texts)
    except ValueError:
        spelled = ",".join(text or "" for text in texts)
        return Item(image, path=file, fault=f"has the box {spelled}: give four whole numbers")
    return Item(image, box, file)


def _whole_number(text: str) -> int:
    number = float(text)
    if number != int(number) or abs(number) >= 2**31:
        raise ValueError(text)
    return int(number)


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, str | None]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline(1_000_000)
        delimiter = max(",;\t|", key=first.count)
        file.seek(0)
        reader = csv.DictReader(file, delimiter=delimiter)
        _require_image(path, reader.fieldnames or [])
        for row in reader:
            values = {
                name: (row[name] or "").strip() or None for name in ("image", *BOX) if name in row
            }
            values["image"] = read_cell(values["image"] or "") or None
            yield f"line {reader.line_num}", values


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, str | None]]]:
    with pa.parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        _require_image(path, names)
        chosen = [name for name in ("image", *BOX) if name in names]
        number = 0
        for batch in file.iter_batches(batch_size=4096, columns=chosen):
            for row in batch.to_pylist():
                number += 1
                texts = {
                    name: None if value is None or value != value else str(value)
                    for name, value in row.items()
                }
                yield f"row {number}", texts


def _require_image(path: Path, names: Sequence[str]) -> None:
    if "image" not in names:
        raise InputError(
            f"{path} has no column image; its columns are {', '.join(map(repr, names))}: name the "
            f"column of the paths image."
        )
