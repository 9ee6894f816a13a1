"""Turns annotations of other programs into a table and a schema."""

import csv
import io
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from deepfashion_tf.data.addresses import is_address
from deepfashion_tf.data.foreign.class_folders import read_class_folders
from deepfashion_tf.data.foreign.coco import read_coco
from deepfashion_tf.data.foreign.cvat import read_cvat
from deepfashion_tf.data.foreign.label_studio import read_label_studio
from deepfashion_tf.data.foreign.record import Record, Records
from deepfashion_tf.data.labels import join_attributes
from deepfashion_tf.data.table_file import BOX
from deepfashion_tf.errors import InputError
from deepfashion_tf.escaping import cell_text
from deepfashion_tf.files import is_file, is_folder, write_atomically

_MULTI = 0.1  # of the rows have several words in a category of kind multi
_TAKEN = ("image", "split", "group", "bbox", *BOX, "x", "y", "width", "height")
_KINDS = "a folder per class, COCO's .json, CVAT's .xml or Label Studio's .json"


def read_annotations(path: Path, levels: Sequence[str] = ()) -> Records:
    """Reads annotations of any kind, told apart by what is in them.

    Args:
        path: a folder per class, or a file.
        levels: of folders, as `read_class_folders` takes them.

    Raises:
        InputError: it is missing, broken or of another kind.
    """
    found = read_class_folders(path, levels) if is_folder(path) else _read_file(path)
    odd = [record.image for record in found.records if not _is_text(record)]
    if odd:
        found.records = [record for record in found.records if _is_text(record)]
        found.left_out += [(image, "has a name that is no UTF-8: rename it") for image in odd]
    if not found.records:
        first = next((f" ({place} {why})" for place, why in found.left_out), "")
        raise InputError(f"{path} holds no annotated image{first}: name {_KINDS}.")
    return found


def _is_text(record: Record) -> bool:
    """Whether a table, which is UTF-8, can hold what a record says."""
    words = (word for column, found in record.values.items() for word in (column, *found))
    try:
        "".join([record.image, record.split or "", record.group or "", *words]).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _read_file(path: Path) -> Records:
    if path.exists() and not is_file(path):
        raise InputError(f"{path} is neither a file nor a folder: name {_KINDS}.")
    try:
        if path.suffix.lower() == ".xml":
            return read_cvat(path)
        content = json.loads(path.read_bytes())
        return read_label_studio(content) if isinstance(content, list) else read_coco(content)
    except FileNotFoundError as error:
        raise InputError(f"There is no {path}: name {_KINDS}.") from error
    except (
        *(ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError),
        *(ElementTree.ParseError, OSError),
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} cannot be read ({type(error).__name__}: {reason}): name {_KINDS}."
        ) from error


def write_records(path: Path, found: Records, images: Path | None = None) -> Counter:
    """Writes rows as a table, with columns ordered by how often they are filled.

    Args:
        path: of the table (.csv).
        found: the rows.
        images: folder that their paths are relative to; None = the table's own.

    Returns:
        column -> rows that have several words there, of which none is taken. Where a tenth of the
        rows has several, the column is of kind multi, and all words are taken.
    """
    several: Counter = Counter()
    counts = Counter(column for record in found.records for column in record.values)
    columns = [column for column, _ in counts.most_common()]
    every = [(column, set(words)) for r in found.records for column, words in r.values.items()]
    often = Counter(column for column, words in every if len(words) > 1)
    multi = {column for column, count in often.items() if count >= _MULTI * counts[column]}
    has = {
        "box": any(record.box for record in found.records),
        "split": any(record.split for record in found.records),
        "group": any(record.group for record in found.records),
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    extras = [name for name in ("split", "group") if has[name]]
    own = ["image", *(BOX if has["box"] else ()), *extras]
    writer.writerow([*own, *(cell_text(_column(name)) for name in columns)])
    for record in found.records:
        words = []
        for column in columns:
            found_words = list(dict.fromkeys(record.values.get(column, ())))
            if column in multi:
                words.append(cell_text(join_attributes(found_words)) if found_words else "")
                continue
            several[column] += len(found_words) > 1
            words.append(cell_text(found_words[0]) if len(found_words) == 1 else "")
        box = _rounded(record) if has["box"] else []
        others = [cell_text(getattr(record, name) or "") for name in extras]
        writer.writerow([cell_text(_named(record.image, path, images)), *box, *others, *words])
    write_atomically(path, text.getvalue())
    return +several


def _column(name: str) -> str:
    """Returns what a column is called whose own name the table has for something else."""
    name = name.strip() or "label"
    while name.casefold() in _TAKEN:
        name += "_label"
    return name


def _rounded(record: Record) -> list[int | str]:
    """Returns a box in whole pixels, rounded outwards."""
    if not record.box:
        return [""] * 4
    x1, y1, x2, y2 = record.box
    return [max(0, math.floor(x1)), max(0, math.floor(y1)), math.ceil(x2), math.ceil(y2)]


def _named(image: str, table: Path, images: Path | None) -> str:
    """Names an image from the table's folder on."""
    if is_address(image):
        return image
    path = Path(image) if images is None else images / image
    folder = table.resolve().parent
    absolute = path if path.is_absolute() else Path(os.path.abspath(path))  # noqa: PTH100
    if images is None and not path.is_absolute() and not absolute.exists():
        return image  # relative to the table, or to be found there
    return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else str(absolute)
