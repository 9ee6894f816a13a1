"""Options for tables and images as people have them: columns, boxes, bad rows, damage."""

from dataclasses import dataclass
from typing import Literal

BoxConvention = Literal["xyxy", "xywh", "normalised", "coco"]


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a table names its images and boxes."""

    image_column: str | None = None
    """Column of a table that names the images. None: image."""
    image_pattern: str | None = None
    """Names of the images, made from columns of the row: 'photos/{id}.jpg'."""
    boxes: BoxConvention | None = None
    """What a table's boxes mean. xyxy: corners in pixels, the end excluded. xywh: corner, width and
    height. normalised: corners as shares of the sides. coco: xywh in one column bbox. None: as the
    columns are named."""


@dataclass(frozen=True, kw_only=True)
class ImageOptions(TableOptions):
    """Table options of commands that answer for images one by one."""

    accept_damaged: bool = False
    """Use JPEGs of which a part is missing: grey takes its place."""


@dataclass(frozen=True, kw_only=True)
class RowOptions(ImageOptions):
    """Table options of commands that use a whole table or nothing."""

    group_column: str | None = None
    """Column whose equal values stay in one split, such as a product's number. None: group."""
    split_column: str | None = None
    """Column that holds train, val or test. None: split."""
    on_bad_row: Literal["error", "skip"] = "error"
    """Whether a row of a table that cannot be used ends the command, or is left out and listed."""
