"""Options for tables and images as people have them: columns, boxes, bad rows, damage."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

CsvDialect = Literal["comma", "excel-de"]
BoxConvention = Literal["xyxy", "xywh", "normalised", "coco"]


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a table names its images and boxes."""

    image_column: Annotated[str | None, tyro.conf.arg(aliases=("--image-pattern",))] = None
    """Table column that names the images, or a pattern filled from columns of the row:
    'photos/{id}.jpg'. None: image."""
    boxes: BoxConvention | None = None
    """Box convention of a table: xyxy (corners, half-open pixels), xywh, normalised (corners as
    shares of the sides) or coco (xywh in one column bbox). None: by the column names."""


@dataclass(frozen=True, kw_only=True)
class ImageOptions(TableOptions):
    """Table options of commands that answer for images one by one."""

    accept_damaged: bool = False
    """Use truncated JPEG files; gray replaces the missing part."""


@dataclass(frozen=True, kw_only=True)
class KeptOptions:
    """Which columns of a table an output has, too."""

    keep_columns: tuple[str, ...] = ()
    """Table columns to copy to the output, by name; all: every column."""


@dataclass(frozen=True, kw_only=True)
class RowOptions(ImageOptions):
    """Table options of commands that use a whole table or nothing."""

    group_column: str | None = None
    """Column whose equal values stay in one split, such as a product number. None: group."""
    split_column: str | None = None
    """Column with train, val or test. None: split."""
    on_bad_row: Literal["error", "skip"] = "error"
    """Unusable table rows: error ends the command; skip leaves them out and lists them."""
