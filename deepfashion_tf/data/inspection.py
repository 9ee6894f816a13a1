"""Inspects the images that a data set lists: are they there, are they images, how large."""

import os
from collections.abc import Sequence

from deepfashion_tf.data.headers import MISSING, image_size
from deepfashion_tf.files import is_file
from deepfashion_tf.progress import progress_bar

# Of more files than this only the names are looked up; a cold disk would take minutes.
HEADERS = 200_000
_SLOW = 20_000


def inspect_images(
    paths: Sequence[str], always: bool = False
) -> list[tuple[int, int] | str | None]:
    """Reads the sizes of image files off their headers.

    A file that is listed several times is looked at once.

    Args:
        paths: of the files.
        always: looks into more than HEADERS files, too.

    Returns:
        For each path (width, height), what is wrong with the file in words, or None if it is
        there and was not looked into, since there are more than HEADERS files.
    """
    unique = list(dict.fromkeys(paths))
    if len(unique) > HEADERS and not always:
        found = dict(zip(unique, _look_up(unique), strict=True))
    elif len(unique) > _SLOW:
        with progress_bar("checking images", len(unique)) as on_progress:
            found = _read_sizes(unique, on_progress)
    else:
        found = _read_sizes(unique, lambda done, total: None)
    return [found[path] for path in paths]


def find_missing(paths: Sequence[str]) -> list[int]:
    """Returns the positions of the files that are not there."""
    unique = list(dict.fromkeys(paths))
    missing = {path for path, answer in zip(unique, _look_up(unique), strict=True) if answer}
    return [place for place, path in enumerate(paths) if path in missing] if missing else []


def _read_sizes(paths: list[str], on_progress) -> dict[str, tuple[int, int] | str]:
    # In one thread: more of them wait for each other, some 50,000 files a second as it is.
    found = {}
    for path in paths:
        found[path] = image_size(path)
        if len(found) % 500 == 0:
            on_progress(len(found), len(paths))
    return found


def _look_up(paths: list[str]) -> list[str | None]:
    """Finds files in lists of their folders: one system call a file would take minutes."""
    listed: dict[str, set[str]] = {}
    answers = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in listed:
            listed[folder] = _list_folder(folder)
        # A name that stands there otherwise, such as one with .. in it, is asked for itself.
        is_there = name in listed[folder] or is_file(path)
        answers.append(None if is_there else MISSING)
    return answers


def _list_folder(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except (OSError, ValueError):
        return set()
