"""A split: labels and boxes as arrays, and how to get an image's bytes, whatever its source."""

import hashlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from deepfashion_tf.documents import as_json
from deepfashion_tf.schema import UNLABELLED, Schema

SPLITS = ("train", "val", "test")
_SPELLINGS = {
    **{name: name for name in SPLITS},
    **dict.fromkeys(("training", "trn"), "train"),
    **dict.fromkeys(("validation", "valid", "dev"), "val"),
    **dict.fromkeys(("testing", "tst"), "test"),
}
WHOLE_IMAGE = (-1, -1, -1, -1)


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    Attributes:
        schema: the categories that the labels are of.
        name: "train", "val" or "test".
        encoded: row -> its image file's bytes, as they are.
        keys: what each image is called in messages: a path, or a name in its source.
        boxes: int32 ``[n, 4]``, x1 y1 x2 y2 in half-open pixels; all -1 = the whole image.
        labels: int32 ``[n, categories]``, class ids in the schema's order; -1 = not labelled.
        source: what the images are listed in, for messages.
        groups: int ``[n]``: images of the same number belong together, in all splits of the
            source; None = nobody has said so.
        padding: share of a box's sides by which whoever reads its image enlarges it.
        left_out: what the source lists and no split has: its place and what is wrong with it.
        rows: int ``[n]``, the place of each image among the rows of the table that lists it, from
            0; None = no table does.
        accepts_damage: uses JPEGs of which a part is missing; the decoder makes it up.
        row_name: what messages call a row of that table, given its place in it: ``line 17``.
    """

    schema: Schema
    name: str
    encoded: Callable[[int], bytes]
    keys: Sequence[str]
    boxes: np.ndarray
    labels: np.ndarray
    source: str
    groups: np.ndarray | None = None
    padding: float = 0.0
    left_out: Sequence[tuple[str, str]] = ()
    accepts_damage: bool = False
    rows: np.ndarray | None = None
    row_name: Callable[[int], str] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def without_boxes(self) -> "Split":
        """Returns the same images whole."""
        return replace(self, boxes=whole_images(len(self)))

    def select(self, categories: Sequence[str]) -> "Split":
        """Returns the same images with the labels of some categories."""
        columns = [list(self.schema).index(category) for category in categories]
        return replace(self, schema=self.schema.select(categories), labels=self.labels[:, columns])

    def take(self, rows: np.ndarray, name: str) -> "Split":
        """Returns some of the images, in the order of `rows`, as a split of their own."""
        is_files = isinstance(self.encoded, FileReader)
        return replace(
            self,
            name=name,
            encoded=self.encoded.take(rows) if is_files else lambda row: self.encoded(rows[row]),
            keys=[self.keys[row] for row in rows.tolist()],
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            groups=None if self.groups is None else self.groups[rows],
            rows=None if self.rows is None else self.rows[rows],
        )

    def place(self, row: int) -> str:
        """Returns the line or row of an image in the table that lists it, "" without one."""
        known = self.rows is not None and self.row_name is not None
        return self.row_name(self.rows[row]) if known else ""

    def stamp(self, row: int) -> str:
        """Returns what changes with an image: a file's size and time, or a digest of its bytes.

        An image that cannot be read has a stamp, too, which no readable one has.
        """
        try:
            if isinstance(self.encoded, FileReader):
                return self.encoded.stamp(row)
            return hashlib.sha256(self.encoded(row)).hexdigest()
        except (OSError, ValueError):
            return "unreadable"

    def content_hash(self, row: int) -> str:
        """Returns the SHA-256 of an image's bytes; of an unreadable image that of its key."""
        try:
            content = self.encoded(row)
        except (OSError, ValueError):
            content = str(self.keys[row]).encode("utf-8", "surrogateescape")
        return hashlib.sha256(content).hexdigest()

    def add_to(self, digest) -> None:
        """Adds what is in the split, in order, to a digest of hashlib."""
        digest.update(as_json(dict(self.schema)).encode())
        digest.update(self.boxes.tobytes() + self.labels.tobytes())
        # The data may have moved: the last two parts of a path are enough to tell images apart.
        names = ["/".join(str(key).rsplit("/", 2)[-2:]) for key in self.keys]
        digest.update("\0".join(names).encode("utf-8", "surrogateescape"))

    def labels_of(self, category: str) -> np.ndarray:
        """Returns the class ids of one category, int32 ``[n]``."""
        return self.labels[:, list(self.schema).index(category)]

    def labelled_categories(self) -> list[str]:
        """Lists the categories in which at least one image is labelled."""
        known = (self.labels != UNLABELLED).any(axis=0)
        return [category for category, is_known in zip(self.schema, known, strict=True) if is_known]


def split_id(word: str | None) -> int | None:
    """Returns the position in SPLITS of the split that a word names, None where it names none."""
    name = _SPELLINGS.get((word or "").casefold())
    return None if name is None else SPLITS.index(name)


def whole_images(count: int) -> np.ndarray:
    """Makes the boxes of images that are used whole."""
    return np.tile(np.int32(WHOLE_IMAGE), (count, 1))


class FileReader:
    """The `Split.encoded` of image files, which knows them again without reading them.

    Args:
        paths: of the files.
        faults: position -> why there is no file.
    """

    def __init__(self, paths: Sequence[str], faults: Mapping[int, str] | None = None) -> None:
        self._paths, self._faults = paths, faults or {}

    def __call__(self, row: int) -> bytes:
        if row in self._faults:
            raise OSError(self._faults[row])
        return read_file(self._paths[row])

    def take(self, rows: np.ndarray) -> "FileReader":
        """Returns the reader of some of the files."""
        chosen = rows.tolist()
        faults = {n: self._faults[row] for n, row in enumerate(chosen) if row in self._faults}
        return FileReader([self._paths[row] for row in chosen], faults)

    def stamp(self, row: int) -> str:
        """Returns a file's size in bytes and the time of its last change in nanoseconds."""
        found = os.stat(self._paths[row])  # noqa: PTH116, Path takes as long as the call itself
        return f"{found.st_size} {found.st_mtime_ns}"


def read_file(path: str) -> bytes:
    """Reads a regular file.

    Raises:
        OSError: it cannot be read, or is something else.
        ValueError: no file can have that name.
    """
    # A named pipe, opened otherwise, waits for somebody who writes into it.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no regular file")
        return file.read()
