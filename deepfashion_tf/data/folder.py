"""The files below a folder: images, by their content, what operating systems leave, and others."""

import mimetypes
import os
from collections.abc import Iterator
from typing import Literal

from deepfashion_tf.data.headers import image_kind

# Files that are images whatever is in them: a broken one is a fault, not another kind of file.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
    | {".avif", ".heic", ".heif", ".jp2", ".jxl", ".psd", ".svg"}
)
# Folders and files that operating systems put beside photographs.
_COMPANIONS = frozenset(
    {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "icon\r"}
)


def files_in(folder: str) -> Iterator[tuple[str, Literal["image", "hidden", "other"]]]:
    """Yields each file below a folder, in the order of their names, and what it is.

    An image is what begins as one or is called like one, so that a broken one is reported. Hidden
    are files whose names begin with a dot and those that operating systems put there.
    """
    for place, folders, names in os.walk(folder):
        # Where to go next.
        folders[:] = sorted(name for name in folders if not _is_companion(name))
        for name in sorted(names):
            path = os.path.join(place, name)  # noqa: PTH118
            if _is_companion(name):
                yield path, "hidden"
            else:
                yield path, "image" if _is_image(path) else "other"


def _is_companion(name: str) -> bool:
    return name.startswith(".") or name.lower() in _COMPANIONS


def _is_image(path: str) -> bool:
    """Whether a file is an image, or is called like one, so that its faults are reported."""
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122
    if suffix in IMAGE_SUFFIXES or (mimetypes.guess_type(path)[0] or "").startswith("image/"):
        return True
    return image_kind(path) is not None
