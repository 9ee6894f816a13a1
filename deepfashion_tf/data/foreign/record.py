"""One annotated garment, whatever program annotated it."""

from dataclasses import dataclass, field


@dataclass
class Record:
    """A row of the table to be.

    Attributes:
        image: path or address, as the program names it.
        values: column -> words; several words are several answers to one question.
        box: x1 y1 x2 y2 in half-open pixels, which may lie between pixels; None = whole image.
        split: "train", "val" or "test"; None = unknown.
        group: what stays in one split, such as the picture that several garments are in.
    """

    image: str
    values: dict[str, list[str]] = field(default_factory=dict)
    box: tuple[float, float, float, float] | None = None
    split: str | None = None
    group: str | None = None


@dataclass
class Records:
    """What a file or folder holds.

    Attributes:
        records: rows of the table to be.
        left_out: what is no row: its place, and the reason.
    """

    records: list[Record] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
