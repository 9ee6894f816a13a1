"""A data set, looked at and judged; and what is to be said of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepfashion_tf.data.sources import open_splits
from deepfashion_tf.data.split import SPLITS, Split
from deepfashion_tf.doctor.findings import (
    KINDS,
    RARE,
    Finding,
    Rows,
    boxes_that_cover_all,
    count_labels,
    find_all,
    recall_interval,
)
from deepfashion_tf.doctor.looks import Looks, look_at
from deepfashion_tf.errors import MissingSplit, list_some, printable
from deepfashion_tf.progress import progress_bar
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.schema import UNLABELLED, Schema


@dataclass(frozen=True)
class Examined:
    """A data set and what is wrong with it.

    Attributes:
        name: as it was given.
        rows: all of its splits.
        looks: at its images.
        findings: in the order of `KINDS`.
    """

    name: str
    rows: Rows
    looks: Looks
    findings: list[Finding]

    @property
    def is_spoilt(self) -> bool:
        """Whether something was found that spoils training or scores."""
        return any(KINDS[finding.kind].spoils for finding in self.findings)

    def sound_splits(self) -> list[Split]:
        """Returns the splits without images that cannot be read and boxes that lie outside."""
        rows = self.rows
        spoilt = [
            finding.rows[0] for kind in ("unreadable", "outside") for finding in self.of_kind(kind)
        ]
        is_sound = np.ones(len(rows), bool)
        is_sound[spoilt] = False
        return [
            split.take(np.flatnonzero(is_sound[rows.split_of == number]), split.name)
            for number, split in enumerate(rows.splits)
        ]

    def together(self) -> tuple[Split, np.ndarray]:
        """Returns the sound images of all splits as one, and groups that must not be divided.

        Returns:
            The split, and int ``[n]``: copies of a picture have the same number, and so have
            images that the data set itself puts into one group.
        """
        parts = self.sound_splits()
        starts = np.cumsum([0, *(len(part) for part in parts)])

        def encoded(row: int) -> bytes:
            number = int(np.searchsorted(starts, row, side="right")) - 1
            return parts[number].encoded(row - int(starts[number]))

        keys = [str(key) for part in parts for key in part.keys]
        whole = Split(
            self.rows.schema,
            "all",
            encoded,
            keys,
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.labels for part in parts]),
            self.name,
            padding=parts[0].padding,
            rows=None if parts[0].rows is None else np.concatenate([part.rows for part in parts]),
            row_name=parts[0].row_name,
        )
        names: dict = {}
        copies = {
            self.rows.key(row): finding.rows[0]
            for kind in ("cut group", "repeated", "leak")
            for finding in self.of_kind(kind)
            for row in finding.rows
        }
        groups = [names.setdefault(copies.get(key, key), len(names)) for key in keys]
        return whole, np.array(groups, np.int64)

    def of_kind(self, kind: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind == kind]


def existing_splits(config: TrainConfig, schema: Schema | None = None) -> list[Split]:
    """Opens those splits of a data set that have an image, whatever their images are like.

    Args:
        config: names the data set.
        schema: its categories; None = as the config and the data tell.

    Raises:
        InputError: the data set cannot be used, or has no split at all.
    """
    names = list(SPLITS)
    while True:
        try:
            return open_splits(config, names, schema, check_images=False)
        except MissingSplit as missing:
            names.remove(missing.split)
            if not names:
                raise


def examine(name: str, splits: Sequence[Split]) -> Examined:
    """Examines every image of some splits."""
    rows = Rows.of(splits)
    with progress_bar("looking at", len(rows)) as on_progress:
        looks = look_at(splits, on_progress)
    return Examined(name, rows, looks, find_all(rows, looks))


def describe(rows: Rows, finding: Finding) -> str:
    """Returns what was found in a sentence without its full stop."""
    names = [printable(rows.key(row)) for row in finding.rows[:6]]
    return f"{list_some(names, most=4)} {finding.text}"


def notes(examined: Examined) -> list[str]:
    """Returns what one should know of a data set that has no fault."""
    rows = examined.rows
    found = [*_rare(rows)]
    unlabelled = (rows.labels == UNLABELLED).mean(axis=0)
    missing = [
        f"{c} {share:.0%}" for c, share in zip(rows.schema, unlabelled, strict=True) if share
    ]
    if missing:
        found.append(
            f"Labels are missing: {', '.join(missing)} of the images. They take no part in that "
            f"category's loss and scores."
        )
    covering = boxes_that_cover_all(rows, examined.looks)
    if covering:
        found.append(f"{covering} boxes cover all of their image, and so say nothing.")
    return found


def _rare(rows: Rows) -> list[str]:
    found = []
    counted = {category: count_labels(rows, category)[:, :-1] for category in rows.schema}
    for number, split in enumerate(rows.splits):
        rare = [
            (int(count), attribute)
            for category, attributes in rows.schema.items()
            if counted[category][number].any()
            for attribute, count in zip(attributes, counted[category][number], strict=True)
            if count < RARE
        ]
        if not rare:
            continue
        rare.sort()
        if split.name == "train":
            names = list_some([f"{attribute} ({count})" for count, attribute in rare])
            found.append(f"Too rare to be learnt, fewer than {RARE} training images: {names}.")
        else:
            names = list_some(
                [
                    f"{attribute} ({count}, a recall of one half lies between "
                    f"{recall_interval(count)[0]:.2f} and {recall_interval(count)[1]:.2f})"
                    if count
                    else f"{attribute} (0)"
                    for count, attribute in rare
                ],
                most=4,
            )
            found.append(f"Too rare to be scored in {split.name}: {names}.")
    return found
