"""Leaves out of a data set what would spoil training or scores."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deepfashion_tf.data.split import Split
from deepfashion_tf.doctor.findings import Finding, Rows, conflicts
from deepfashion_tf.errors import InputError
from deepfashion_tf.schema import UNLABELLED

_RANK = {"test": 0, "val": 1, "train": 2}  # who keeps a picture that several splits have


def mend(rows: Rows, findings: Sequence[Finding]) -> list[Split]:
    """Returns the splits without what is wrong.

    Images that cannot be read and boxes that lie outside are left out. Of a picture that occurs
    several times one row stays, in the test split rather than in validation, and there rather
    than in training; in a category in which its rows have different labels it has none. Of a
    group that stands in several splits those rows stay that are in the first of these.

    Raises:
        InputError: nothing is left of a split.
    """
    keep = np.ones(len(rows), bool)
    labels = rows.labels.copy()
    for finding in findings:
        members = np.array(finding.rows)
        if finding.kind in ("unreadable", "outside"):
            keep[members] = False
    rank = np.array([_RANK[split.name] for split in rows.splits])[rows.split_of]
    for finding in findings:
        members = np.array([row for row in finding.rows if keep[row]])
        if not len(members):
            continue
        if finding.kind == "cut group":
            keep[members[rank[members] > rank[members].min()]] = False
        elif finding.kind in ("leak", "repeated"):
            chosen = members[np.argmin(rank[members])]
            keep[members] = False
            keep[chosen] = True
            for category in conflicts(rows, np.array(finding.rows)):
                labels[chosen, list(rows.schema).index(category)] = UNLABELLED
    found = []
    for number, split in enumerate(rows.splits):
        mine = np.flatnonzero(rows.split_of == number)
        own = np.flatnonzero(keep[mine])
        if not len(own):
            raise InputError(
                f"Nothing sound is left of the {split.name} images: mend them by hand."
            )
        found.append(replace(split.take(own, split.name), labels=labels[mine[own]]))
    return found
