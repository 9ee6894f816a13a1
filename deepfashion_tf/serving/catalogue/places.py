"""Where a catalogue lies: a folder of a disk, or a prefix of an object store, by fsspec."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from deepfashion_tf.data.addresses import SCHEMES, cache_folder, is_address
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import locked, remove_unfinished, whole_or_nothing
from deepfashion_tf.outputs import check_local


class Place(Protocol):
    """Holds the files of a catalogue, none of them half written; pickles go to workers."""

    def make(self) -> None:
        """Makes it, if that is needed."""

    def names(self) -> list[str]:
        """Lists its files."""

    def open(self, name: str) -> BinaryIO:
        """Opens a file for reading; raises OSError."""

    def write(self, name: str) -> AbstractContextManager[Path]:
        """Returns a local file to write to; what it holds then appears whole under its name."""

    def remove(self, name: str) -> None:
        """Removes a file."""

    def clean(self) -> None:
        """Removes what workers that were killed have left unfinished."""

    def lock(self) -> AbstractContextManager[None]:
        """Returns what one process of this machine holds at a time."""


class Disk:
    """A folder, on a disk that all workers share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._shown = str(folder)

    def __str__(self) -> str:
        return self._shown

    def make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []

    def open(self, name: str) -> BinaryIO:
        return (self.folder / name).open("rb")

    @contextmanager
    def write(self, name: str) -> Iterator[Path]:
        with whole_or_nothing(self.folder / name) as temporary:
            yield temporary

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    def clean(self) -> None:
        remove_unfinished(self.folder)

    def lock(self) -> AbstractContextManager[None]:
        return locked(self.folder / ".lock")


class Store:
    """A prefix of an object store, such as ``s3://bucket/tags``: an object appears whole.

    Its lock holds on this machine alone.

    Raises:
        InputError: the package for such addresses is missing.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        try:
            self._files()
        except (ImportError, ValueError) as error:
            raise InputError(
                f"--output {address} cannot be written ({error}): pip install "
                f"'deepfashion_tf[remote]', or name a folder."
            ) from error

    def __str__(self) -> str:
        return self.address

    def _files(self):
        import fsspec

        files, _ = fsspec.core.url_to_fs(self.address)
        return files

    def _key(self, name: str = "") -> str:
        import fsspec

        _, path = fsspec.core.url_to_fs(self.address)
        return f"{path}/{name}" if name else path

    def make(self) -> None:
        """Does nothing: an object store has no folders."""

    def names(self) -> list[str]:
        files = self._files()
        files.invalidate_cache()
        try:
            found = files.ls(self._key(), detail=False)
        except FileNotFoundError:
            return []
        return sorted(os.path.basename(path.rstrip("/")) for path in found)  # noqa: PTH119

    def open(self, name: str) -> BinaryIO:
        return self._files().open(self._key(name), "rb")

    @contextmanager
    def write(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            yield path
            self._files().put_file(str(path), self._key(name))

    def remove(self, name: str) -> None:
        self._files().rm_file(self._key(name))

    def clean(self) -> None:
        """Does nothing: nothing unfinished has a name in an object store."""

    def lock(self) -> AbstractContextManager[None]:
        digest = hashlib.sha256(self.address.encode()).hexdigest()[:24]
        folder = cache_folder().with_name("locks")
        folder.mkdir(parents=True, exist_ok=True)
        return locked(folder / digest)


def place_of(text: str) -> Disk | Store:
    """Returns the place that a folder or an address names.

    Raises:
        InputError: an address of a kind that is not written to.
    """
    if not is_address(text):
        check_local("--output", Path(text))  # file://
        return Disk(Path(text))
    scheme = text.split("://")[0].lower()
    if scheme in ("http", "https") or scheme not in SCHEMES:
        raise InputError(f"--output {text} cannot be written to: name a folder, s3:// or gs://.")
    return Store(text)
