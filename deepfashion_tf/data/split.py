"""A split: labels and boxes as arrays, and how to get an image's bytes, whatever its source."""

import json
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from deepfashion_tf.schema import UNLABELLED, Schema

SPLITS = ("train", "val", "test")
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
        margin: share of the enlarged box's sides that readers keep around it besides, for boxes
            that move; only training images have one.
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
    margin: float = 0.0

    def __len__(self) -> int:
        return len(self.keys)

    def without_boxes(self) -> "Split":
        """Gives the same images whole."""
        return replace(self, boxes=whole_images(len(self)))

    def select(self, categories: Sequence[str]) -> "Split":
        """Gives the same images with the labels of some categories."""
        columns = [list(self.schema).index(category) for category in categories]
        return replace(self, schema=self.schema.select(categories), labels=self.labels[:, columns])

    def take(self, rows: np.ndarray, name: str) -> "Split":
        """Gives some of the images, in the order of `rows`, as a split of their own."""
        return replace(
            self,
            name=name,
            encoded=lambda row: self.encoded(rows[row]),
            keys=[self.keys[row] for row in rows.tolist()],
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            groups=None if self.groups is None else self.groups[rows],
        )

    def add_to(self, digest) -> None:
        """Adds what is in the split, in order, to a digest of hashlib."""
        digest.update(json.dumps(dict(self.schema)).encode())
        digest.update(self.boxes.tobytes() + self.labels.tobytes())
        # The data may have moved: the last two parts of a path are enough to tell images apart.
        names = ["/".join(str(key).rsplit("/", 2)[-2:]) for key in self.keys]
        digest.update("\0".join(names).encode("utf-8", "surrogateescape"))

    def labels_of(self, category: str) -> np.ndarray:
        """Gives the class ids of one category, int32 ``[n]``."""
        return self.labels[:, list(self.schema).index(category)]

    def labelled_categories(self) -> list[str]:
        """Lists the categories in which at least one image is labelled."""
        known = (self.labels != UNLABELLED).any(axis=0)
        return [category for category, is_known in zip(self.schema, known, strict=True) if is_known]


def whole_images(count: int) -> np.ndarray:
    """Makes the boxes of images that are used whole."""
    return np.tile(np.int32(WHOLE_IMAGE), (count, 1))


def file_reader(paths: Sequence[str]) -> Callable[[int], bytes]:
    """Makes the `Split.encoded` of image files."""
    return lambda row: read_file(paths[row])


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
