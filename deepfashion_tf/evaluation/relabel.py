"""A table of labels in doubt, which people correct, and splits with the corrected labels."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError, printable
from deepfashion_tf.escaping import cell_text, read_cell
from deepfashion_tf.files import is_file, write_atomically
from deepfashion_tf.schema import UNLABELLED

_COLUMNS = ("image", "row", "category", "label", "answer", "belief", "correct")


@dataclass(frozen=True)
class Doubt:
    """A label that is disbelieved.

    Attributes:
        row: of the images that were looked at.
        category: of the label.
        label: what it says.
        answer: what the model says.
        belief: probability of the label by the model.
        is_issue: whether confident learning counts it among the wrong ones.
    """

    row: int
    category: str
    label: str
    answer: str
    belief: float
    is_issue: bool = True


def write_doubts(path: Path, images: Split, doubts: Sequence[Doubt]) -> None:
    """Writes a table to be corrected by hand: a row a doubt, to be read back by `read_doubts`.

    The column ``correct`` holds the label as it is: whoever knows better changes it, or empties
    it where nobody can tell.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for doubt in doubts:
        image, label, answer = map(
            cell_text, (_image(images.keys[doubt.row]), doubt.label, doubt.answer)
        )
        place, belief = images.place(doubt.row), f"{doubt.belief:.4f}"
        writer.writerow([image, place, doubt.category, label, answer, belief, label])
    write_atomically(path, text.getvalue())


def read_doubts(path: Path, splits: Sequence[Split]) -> list[Split]:
    """Returns splits with the labels that a corrected table of `write_doubts` has.

    A line that names a row of a table changes that row alone, others all rows of their image.

    Raises:
        InputError: the table cannot be read, or nothing in it is of these splits.
    """
    corrected = {
        (row["image"], row.get("row", ""), row["category"]): row["correct"] for row in _read(path)
    }
    images, found, is_used = {image for image, _, _ in corrected}, [], not corrected
    for split in splits:
        labels = split.labels.copy()
        for row, key in enumerate(map(_image, split.keys)):
            if key not in images:
                continue
            place = split.place(row)
            for column, (category, attributes) in enumerate(split.schema.items()):
                of_image = corrected.get((key, "", category))
                change = corrected.get((key, place, category), of_image)
                if change is not None:
                    labels[row, column] = _corrected(path, key, attributes, change)
                    is_used = True
        found.append(replace(split, labels=labels))
    if not is_used:
        raise InputError(
            f"No line of {path} is of an image and a category of {splits[0].source}: name the data "
            f"and the --schema that it was written from."
        )
    return found


def is_corrected(path: Path) -> bool:
    """Whether somebody has corrected a table of `write_doubts`, or it is no such table."""
    try:
        return is_file(path) and any(row["label"] != row["correct"] for row in _read(path))
    except (InputError, KeyError):
        return True


def _read(path: Path) -> list[dict[str, str]]:
    if not is_file(path):
        raise InputError(f"There is no table of corrected labels {path}.")
    try:
        table = pa.csv.read_csv(
            path,
            convert_options=pa.csv.ConvertOptions(
                strings_can_be_null=False, column_types=dict.fromkeys(_COLUMNS, pa.string())
            ),
        )
        rows = table.select([name for name in _COLUMNS if name in table.column_names]).to_pylist()
        rows = [{name: read_cell(cell) for name, cell in row.items()} for row in rows]
        return [row | {"image": _image(row["image"]), "correct": row["correct"]} for row in rows]
    except (OSError, KeyError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} cannot be read as a table of corrected labels ({reason}): it needs the "
            f"columns image, category, label and correct, as --export writes them."
        ) from error


def _image(key: object) -> str:
    """Returns what an image is called in a table: a file by its whole path."""
    name = printable(key)
    is_relative = not os.path.isabs(name) and os.path.lexists(name)  # noqa: PTH117, many images
    return os.path.abspath(name) if is_relative else name  # noqa: PTH100


def _corrected(path: Path, key: str, attributes: Sequence[str], value: str) -> int:
    if not value:
        return UNLABELLED
    if value not in attributes:
        raise InputError(
            f"{path}: {key} is corrected to {value!r}, but the attributes are "
            f"{', '.join(attributes)}."
        )
    return attributes.index(value)
