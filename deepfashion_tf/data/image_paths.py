"""Finds the file that a table means where its text is not exactly the file's path."""

import os
import re
import unicodedata
from collections import defaultdict
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from deepfashion_tf.errors import list_some
from deepfashion_tf.files import is_file

_DRIVE = re.compile(r"[A-Za-z]:/")


def joined(folder: Path, text: str) -> str:
    """Returns a path as a table writes it: absolute, or relative to the table's folder."""
    return os.path.join(folder, text)  # noqa: PTH118, Path takes ten times as long


def find_image(folder: Path, text: str) -> tuple[str, str | None]:
    """Finds an image file that a table names.

    Where there is no such file, its spelling is repaired: backslashes, a drive or folder of another
    machine, another case, another Unicode form.

    Args:
        folder: of the table.
        text: what the table says.

    Returns:
        The path, and why it cannot be used: no file or several files fit. The path of a file
        that is missing is as the table says.
    """
    plain = joined(folder, text)
    if is_file(plain):
        return plain, None
    for candidate in _candidates(folder, text):
        found = _matches(candidate)
        if len(found) == 1:
            return found[0], None
        if found:
            return plain, f"is missing, and several files fit: {list_some(found, most=4)}"
    return plain, "is a folder" if os.path.isdir(plain) else "is missing"  # noqa: PTH112


def _candidates(folder: Path, text: str) -> list[str]:
    """Lists the paths that a text may mean, the likeliest first."""
    if "\0" in text:
        return []
    text = text.strip(" \t'\"").removeprefix("file://").replace("\\", "/")
    is_foreign = bool(_DRIVE.match(text)) or text.startswith("/")
    text = _DRIVE.sub("", text)
    found = [f"/{text.lstrip('/')}", joined(folder, text.lstrip("/"))] if is_foreign else []
    found = found or [joined(folder, text)]
    parts = [part for part in text.split("/") if part]
    if is_foreign:
        # What stands on another machine's disk often lies beside the table here.
        found += [joined(folder, "/".join(parts[start:])) for start in range(1, len(parts))]
    return found


def _matches(path: str) -> list[str]:
    """Lists the files whose path differs from one by case or Unicode form alone."""
    parts = [part for part in path.split("/") if part]
    places = ["/"]
    for number, part in enumerate(parts):
        if part in (".", ".."):
            places = [os.path.normpath(joined(Path(place), part)) for place in places]
            continue
        places = [
            joined(Path(place), name)
            for place in places
            for name in _listed(place).get(_common(part), [])
        ]
        if number == len(parts) - 1:
            places = [place for place in places if is_file(place)]
    return places


def _listed(folder: str) -> dict[str, list[str]]:
    """Returns the names in a folder by what their spellings have in common."""
    try:
        changed = os.stat(folder).st_mtime_ns  # noqa: PTH116
    except (OSError, ValueError):
        return {}
    return _list(folder, changed)


@lru_cache(maxsize=256)
def _list(folder: str, changed: int) -> dict[str, list[str]]:
    found = defaultdict(list)
    with suppress(OSError), os.scandir(folder) as entries:
        for name in sorted(entry.name for entry in entries):
            found[_common(name)].append(name)
    return found


def _common(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
