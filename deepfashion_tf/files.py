"""Files that are there whole or not at all."""

import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from deepfashion_tf.errors import InputError

_UNFINISHED = ".unfinished-"
_looked_at: set[Path] = set()


@contextmanager
def whole_or_nothing(path: Path) -> Iterator[Path]:
    """Returns a temporary name beside `path` to write to, and renames it at the end.

    A file or a folder may be written. If the block raises, what it wrote is removed
    and what stood at `path` before stays; an OSError bears the name `path`.

    Raises:
        InputError: a file would take the place of a folder, or a folder that of a file.
    """
    _remove_stale(path.parent)
    folder, lock = _make_locked(path)
    try:
        # The suffix stays: writers choose their format by it.
        temporary = folder / path.name
        yield temporary
        if os.path.lexists(path) and path.is_dir() != temporary.is_dir():
            kinds = ("folder", "file") if path.is_dir() else ("file", "folder")
            raise InputError(
                f"{path} is a {kinds[0]}, and a {kinds[1]} was to be written there: nothing was "
                f"changed; name another, or move it away."
            )
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
        os.close(lock)


def _make_locked(path: Path) -> tuple[Path, int]:
    """Makes the folder of something unfinished, locked as long as its process lives."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{_UNFINISHED}{path.name[:50]}-", dir=path.parent))
        lock = os.open(folder, os.O_RDONLY)
        # A file system without locks: nobody will remove it, whatever becomes of this process.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Somebody may have taken it for a stale one before it was locked.
        if folder.is_dir():
            return folder, lock
        os.close(lock)


def _remove_stale(folder: Path) -> None:
    """Removes what killed processes were writing into a folder; looks once in a process."""
    if absolute(folder) in _looked_at:
        return
    _looked_at.add(absolute(folder))
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_UNFINISHED) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_unlocked(Path(entry.path))


def _remove_if_unlocked(path: Path) -> None:
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Killed between two renamings: what stood there before goes back.
        for old in path.glob("*.old"):
            if not os.path.lexists(target := path.parent / old.name.removesuffix(".old")):
                old.replace(target)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock file, without waiting for others, and removes it at the end.

    Raises:
        filelock.Timeout: another process holds it.
    """
    with filelock.FileLock(path, timeout=0):
        try:
            yield
        finally:
            # While it is held: filelock drops a lock whose file is gone, and tries again.
            path.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Removes what a killed process was writing into a folder by `whole_or_nothing`."""
    for path in folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def is_disk_full(error: OSError) -> bool:
    """Whether an error says that no space, or no quota, is left."""
    # HDF5 names the error in its text alone.
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)


def write_atomically(path: Path, text: str, only_new: bool = False) -> None:
    """Writes a text file under a temporary name and renames it.

    Raises:
        FileExistsError: `only_new`, and the file is there, if only since this moment.
    """
    with whole_or_nothing(path) as temporary:
        # File names may hold bytes that are no text.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        if only_new:
            # Unlike renaming, linking fails where a file is.
            try:
                os.link(temporary, path)
            except PermissionError:
                # A file system without links.
                path.touch(exist_ok=False)


def read_small_text(path: Path, most: int = 2**20) -> str:
    """Reads a text file that a person has written, such as a schema.

    Raises:
        OSError: it cannot be read, or is no regular file: a pipe would wait for its writer.
        ValueError: it is no UTF-8, or larger than `most` bytes.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most // 2**10} KiB")
    return content.decode("utf-8-sig")


def is_folder(path: str | Path) -> bool:
    """Whether a folder is there; no also for what can be no name, such as 300 letters."""
    return os.path.isdir(path)  # noqa: PTH112, Path.is_dir fails there


def is_file(path: str | Path) -> bool:
    """As `is_folder`, for files."""
    return os.path.isfile(path)  # noqa: PTH113


def expand_user(path: Path, option: str) -> Path:
    """Puts the home folder in the place of ``~``.

    Raises:
        InputError: ``~name`` of a user who does not exist.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise InputError(f"{option} {path}: there is no such user's home folder.") from error


def check_utf8(path: Path, option: str) -> None:
    """Refuses a folder that TensorFlow cannot write into.

    Raises:
        InputError: its name is no UTF-8.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{option} {path} holds bytes that are no UTF-8, and TensorFlow writes into no such "
            f"folder: name another."
        ) from error


def absolute(path: Path) -> Path:
    """Makes a path absolute, links resolved where that is possible."""
    return Path(os.path.realpath(path))
