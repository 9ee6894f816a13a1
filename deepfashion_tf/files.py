"""Files that are there whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepfashion_tf.errors import InputError


@contextmanager
def whole_or_nothing(path: Path) -> Iterator[Path]:
    """Gives a temporary name beside `path` to write to, and renames it at the end.

    A file or a folder may be written. If the block raises, what it wrote is removed
    and what stood at `path` before stays; an OSError bears the name `path`.
    """
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        # The suffix stays: writers choose their format by it.
        temporary = folder / path.name
        yield temporary
        if path.is_dir():
            path.replace(folder / f"{path.name}.old")
        temporary.replace(path)
    except OSError as error:
        # A full disk is told without a name, others with one that is gone by now.
        if not error.filename or str(folder) in str(error.filename):
            error.filename = str(path)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file under a temporary name and renames it."""
    with whole_or_nothing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def expand_user(path: Path, option: str) -> Path:
    """Puts the home folder in the place of ``~``.

    Raises:
        InputError: ``~name`` of a user who does not exist.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise InputError(f"{option} {path}: there is no such user's home folder.") from error


def absolute(path: Path) -> Path:
    """Makes a path absolute, links resolved where that is possible."""
    return Path(os.path.realpath(path))
