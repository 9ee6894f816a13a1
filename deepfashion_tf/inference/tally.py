"""Accounts for images: how many there were, how many were left out and why. No TensorFlow."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace

from deepfashion_tf.errors import counted, list_some, printable

_MOST = 20  # reasons that are told apart


@dataclass
class Tally:
    """What one pass over inputs has come by.

    Attributes:
        rows, files: of tables, and of folders, patterns and names.
        hidden: files of operating systems, which are no images.
        empty: rows of tables that hold nothing.
        others: files in folders that are no images.
        other: the first of these.
        notes: what a user should know of the tables.
    """

    rows: int = 0
    files: int = 0
    hidden: int = 0
    empty: int = 0
    others: int = 0
    other: str = ""
    notes: list[str] = field(default_factory=list)
    faults: Counter = field(default_factory=Counter)
    answered: int = 0

    def add(self, faults: list[str | None]) -> None:
        """Counts images by what is wrong with them; None = answered."""
        for fault in faults:
            if fault is None:
                self.answered += 1
            else:
                reason = reason_of(fault)
                known = reason in self.faults or len(self.faults) < _MOST
                self.faults[reason if known else "other reasons"] += 1

    def with_answers(self, other: "Tally") -> "Tally":
        """Returns what came in here with what became of it there."""
        return replace(self, faults=other.faults, answered=other.answered)

    def lines(self) -> list[str]:
        """Returns what came in and what became of it; the sums agree."""
        came = [
            counted(count, noun)
            for count, noun in ((self.rows, "row"), (self.files, "file"))
            if count
        ]
        left_out = sum(self.faults.values())
        parts = [f"{self.answered} answered", f"{left_out} left out"]
        if left_out:
            reasons = [f"{count} {reason}" for reason, count in self.faults.most_common()]
            parts[-1] += f" ({list_some(reasons, most=5)})"
        ignored = []
        if self.hidden:
            ignored.append(counted(self.hidden, "hidden file"))
        if self.others:
            names = printable(self.other) + ", …" * (self.others > 1)
            ignored.append(f"{counted(self.others, 'other file')} ({names})")
        if self.empty:
            ignored.append(counted(self.empty, "empty row"))
        if ignored:
            parts.append(f"ignored: {', '.join(ignored)}")
        return [*self.notes, f"{' and '.join(came) or 'no images'}: {'; '.join(parts)}"]


def reason_of(fault: str) -> str:
    """Returns what faults of one kind have in common: the sentence without its particulars."""
    # The place in a table stands before it.
    fault = re.sub(r"^\([^()]*\) ", "", fault)
    return re.sub(r"'[^']*'|\d[\d.,]*", "…", re.split(r"[:(]", fault)[0]).strip()
