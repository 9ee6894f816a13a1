"""What is wrong with a data set: what spoils training or scores, and what one should know.

No TensorFlow beyond the looking itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from deepfashion_tf.data.split import WHOLE_IMAGE, Split
from deepfashion_tf.doctor.duplicates import find_pairs, group
from deepfashion_tf.doctor.looks import Looks
from deepfashion_tf.schema import UNLABELLED, Schema

MIN_SIDE = 32  # pixels: of a smaller image nobody tells an attribute
MIN_SHARE = 0.01  # of the image that a box has to cover
OVERLAP = 0.5  # intersection over union, from which on two boxes are around the same garment
RARE = 30  # images: of fewer, nothing is learnt, and a recall is known to +-18 points at best


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        title: what was found, behind a number.
        advice: what to do.
        spoils: whether training or scores are spoilt by it.
    """

    title: str
    advice: str
    spoils: bool


KINDS = {
    "unreadable": Kind("images cannot be read", "replace them, or take their rows out", True),
    "outside": Kind("boxes lie outside their images", "correct them", True),
    "leak": Kind(
        "pictures stand in several splits, so that scores are too good",
        "keep each in one split only",
        True,
    ),
    "cut group": Kind(
        "groups stand in several splits, so that scores are too good",
        "move each to one split",
        True,
    ),
    "conflict": Kind(
        "pictures occur several times with different labels", "look which label is right", False
    ),
    "repeated": Kind(
        "pictures occur several times in a split", "keep one of each: they count double", False
    ),
    "tiny": Kind(f"images are smaller than {MIN_SIDE} pixels", "find larger ones", False),
    "tiny box": Kind(
        f"boxes have a side below {MIN_SIDE} pixels or cover less than {MIN_SHARE:.0%}",
        "look whether they are right",
        False,
    ),
    "cmyk": Kind(
        "images are CMYK, made for print", "their colours are converted without a profile", False
    ),
}


@dataclass(frozen=True)
class Rows:
    """All splits of a data set, one after the other; `n` rows.

    Attributes:
        schema: of the labels.
        splits: those that there are.
        split_of: int ``[n]``, a number among `splits`.
        boxes: int32 ``[n, 4]``.
        labels: int32 ``[n, categories]``.
        groups: int ``[n]``, or None.
    """

    schema: Schema
    splits: Sequence[Split]
    split_of: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None

    @classmethod
    def of(cls, splits: Sequence[Split]) -> "Rows":
        grouped = all(split.groups is not None for split in splits)
        return cls(
            splits[0].schema,
            splits,
            np.repeat(np.arange(len(splits)), [len(split) for split in splits]),
            np.concatenate([split.boxes for split in splits]),
            np.concatenate([split.labels for split in splits]),
            np.concatenate([split.groups for split in splits]) if grouped else None,
        )

    def __len__(self) -> int:
        return len(self.split_of)

    def place(self, row: int) -> tuple[Split, int]:
        """Returns the split of a row, and its number there."""
        number = int(self.split_of[row])
        return self.splits[number], row - sum(len(split) for split in self.splits[:number])

    def key(self, row: int) -> str:
        """Returns what a row's image is called."""
        split, own = self.place(row)
        return str(split.keys[own])

    def split_name(self, row: int) -> str:
        return self.splits[self.split_of[row]].name

    def attribute(self, row: int, category: str) -> str:
        """Returns a row's label in words."""
        label = self.labels[row, list(self.schema).index(category)]
        return self.schema[category][label] if label != UNLABELLED else "not labelled"


@dataclass(frozen=True)
class Finding:
    """Something wrong.

    Attributes:
        kind: a key of `KINDS`.
        rows: that it concerns.
        text: what follows on the first row's name, or on the names of all.
    """

    kind: str
    rows: tuple[int, ...]
    text: str


def find_all(rows: Rows, looks: Looks) -> list[Finding]:
    """Finds everything of every kind, in the order of `KINDS`."""
    found = [
        *_faulty(rows, looks),
        *_of_boxes(rows, looks),
        *_of_duplicates(rows, looks),
        *_cut_groups(rows),
        *_of_images(looks),
    ]
    order = list(KINDS)
    return sorted(found, key=lambda finding: (order.index(finding.kind), finding.rows))


def _faulty(rows: Rows, looks: Looks) -> list[Finding]:
    return [
        Finding("unreadable", (row,), looks.faults[image])
        for row, image in enumerate(looks.image_of.tolist())
        if image in looks.faults
    ]


def _of_images(looks: Looks) -> list[Finding]:
    found = []
    small = looks.is_readable & (looks.sizes.min(axis=1) < MIN_SIDE)
    for row, image in enumerate(looks.image_of.tolist()):
        if small[image]:
            found.append(Finding("tiny", (row,), "is {} x {} pixels".format(*looks.sizes[image])))
        if looks.is_cmyk[image]:
            found.append(Finding("cmyk", (row,), "is a CMYK image"))
    return found


# --- boxes --------------------------------------------------------------------------------


def _of_boxes(rows: Rows, looks: Looks) -> list[Finding]:
    known = looks.is_readable[looks.image_of] & (rows.boxes != WHOLE_IMAGE[0]).any(axis=1)
    boxes, sizes = rows.boxes.astype(np.int64), looks.sizes[looks.image_of].astype(np.int64)
    sides = boxes[:, 2:] - boxes[:, :2]
    outside = known & (
        (boxes[:, :2] < 0).any(axis=1)
        | (boxes[:, 2:] > sizes).any(axis=1)
        | (sides <= 0).any(axis=1)
    )
    # A small image has small boxes: it is told once.
    large = sizes.min(axis=1) >= MIN_SIDE
    share = sides.prod(axis=1) / np.maximum(1, sizes.prod(axis=1))
    tiny = known & ~outside & large & ((sides < MIN_SIDE).any(axis=1) | (share < MIN_SHARE))
    spelled = "is {} x {} pixels, its box {},{},{},{}"
    return [
        Finding(kind, (int(row),), spelled.format(*sizes[row], *boxes[row]))
        for kind, mask in (("outside", outside), ("tiny box", tiny))
        for row in np.flatnonzero(mask)
    ]


def boxes_that_cover_all(rows: Rows, looks: Looks) -> int:
    """Counts boxes that cover 99 % of their image or more, and so say nothing."""
    known = looks.is_readable[looks.image_of] & (rows.boxes != WHOLE_IMAGE[0]).any(axis=1)
    sides = (rows.boxes[:, 2:] - rows.boxes[:, :2]).astype(np.int64)
    areas = looks.sizes[looks.image_of].astype(np.int64).prod(axis=1)
    return int((known & (sides.prod(axis=1) >= 0.99 * areas)).sum())


# --- duplicates ---------------------------------------------------------------------------


def _of_duplicates(rows: Rows, looks: Looks) -> list[Finding]:
    found = []
    for cluster in same_garments(rows, looks):
        members = tuple(cluster.tolist())
        where = [rows.split_name(row) for row in members]
        text = f"are one picture ({', '.join(where)})"
        kind = "leak" if len(set(where)) > 1 else "repeated"
        found.append(Finding(kind, members, text))
        for category in conflicts(rows, cluster):
            found.append(Finding("conflict", members, _different(rows, cluster, category)))
    return found


def conflicts(rows: Rows, cluster: np.ndarray) -> list[str]:
    """Lists the categories in which some rows have different labels."""
    labels = rows.labels[cluster]
    return [
        category
        for category, values in zip(rows.schema, labels.T, strict=True)
        if len(np.unique(values[values != UNLABELLED])) > 1
    ]


def _different(rows: Rows, cluster: np.ndarray, category: str) -> str:
    values = [rows.attribute(row, category) for row in cluster]
    return f"are one picture, but their {category} is {', '.join(values)}"


def same_garments(rows: Rows, looks: Looks) -> list[np.ndarray]:
    """Gathers rows that show the same garment in the same picture, by two and more.

    Two boxes around different parts of a picture are two garments.
    """
    groups = group(find_pairs(looks), len(looks.sizes))
    picture = np.arange(len(looks.sizes))
    for images in groups:
        picture[images] = images[0]
    picture_of = picture[looks.image_of]
    order = np.argsort(picture_of, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(picture_of[order])) + 1)
    found = [
        part for together in parts if len(together) > 1 for part in _divide(rows, looks, together)
    ]
    return sorted(found, key=lambda part: part[0])


def _divide(rows: Rows, looks: Looks, together: np.ndarray) -> list[np.ndarray]:
    """Divides rows of one picture by their boxes."""
    sizes = np.tile(np.maximum(1, looks.sizes[looks.image_of[together]]), 2)
    boxes = rows.boxes[together]
    whole = (boxes == WHOLE_IMAGE[0]).all(axis=1)
    shares = np.where(whole[:, None], np.array([0, 0, 1, 1]), np.clip(boxes / sizes, 0, 1))
    mirrored = np.stack([1 - shares[:, 2], shares[:, 1], 1 - shares[:, 0], shares[:, 3]], axis=1)
    near = (_overlaps(shares, shares) >= OVERLAP) | (_overlaps(shares, mirrored) >= OVERLAP)
    near |= whole[:, None] | whole  # a picture without a box may be of any garment in it
    _, names = connected_components(coo_array(near), directed=False)
    parts = [together[names == name] for name in range(names.max() + 1)]
    return [part for part in parts if len(part) > 1]


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns each box's intersection over union with each other one."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.maximum(0, high - low).prod(axis=2)
    areas, other_areas = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, others))
    total = areas[:, None] + other_areas[None] - common
    return np.divide(common, total, out=np.zeros_like(common), where=total > 0)


def _cut_groups(rows: Rows) -> list[Finding]:
    if rows.groups is None:
        return []
    order = np.argsort(rows.groups, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(rows.groups[order])) + 1)
    return [
        Finding("cut group", tuple(part.tolist()), f"are one group ({_where(rows, part)})")
        for part in parts
        if len(np.unique(rows.split_of[part])) > 1
    ]


def _where(rows: Rows, part: np.ndarray) -> str:
    names, counts = np.unique(rows.split_of[part], return_counts=True)
    return ", ".join(f"{n} in {rows.splits[i].name}" for i, n in zip(names, counts, strict=True))


# --- labels -------------------------------------------------------------------------------


def count_labels(rows: Rows, category: str) -> np.ndarray:
    """Counts a category's labels: int ``[splits, attributes + 1]``; the last are not labelled."""
    column = rows.labels[:, list(rows.schema).index(category)]
    attributes = len(rows.schema[category])
    return np.stack(
        [
            np.bincount(
                column[rows.split_of == number] % (attributes + 1), minlength=attributes + 1
            )
            for number in range(len(rows.splits))
        ]
    )


@cache
def recall_interval(count: int) -> tuple[float, float]:
    """Returns the 95 % interval of a recall of one half that was measured on so many images.

    Reference:
        Clopper and Pearson 1934, The use of confidence or fiducial limits illustrated in the
        case of the binomial.
    """
    if not count:
        return 0.0, 1.0
    found = stats.binomtest(count // 2, count).proportion_ci()
    return float(found.low), float(found.high)
