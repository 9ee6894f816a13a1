"""Where a table lies: in a file, or at an address from which each command fetches it anew."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deepfashion_tf.data.addresses import AddressFault, fetch_table, is_address
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import is_file


@dataclass(frozen=True)
class TablePlace:
    """A table, and what its images are relative to.

    Attributes:
        path: the file.
        name: what messages call it: the path or the address.
        base: address of the folder that its images are relative to; None = the file's own folder.
    """

    path: Path
    name: str
    base: str | None = None

    @classmethod
    def of(cls, text: str | Path, offline: bool = False) -> "TablePlace":
        """Finds a table, and fetches it where it has an address.

        Args:
            text: a path, a pattern of Parquet files, or an address.
            offline: fetch nothing from a network.

        Raises:
            InputError: it cannot be fetched.
        """
        name = str(text)
        if not is_address(name) or is_file(name):
            return cls(Path(text), name)
        try:
            return cls(Path(fetch_table(name, offline)), name, name.rsplit("/", 1)[0])
        except AddressFault as fault:
            raise InputError(f"The table {name} {fault}.") from fault

    def image(self, text: str) -> str:
        """Completes the name of an image by the address of the table's folder."""
        return text if self.base is None or is_address(text) else f"{self.base}/{text}"

    @contextmanager
    def named(self) -> Iterator[None]:
        """Puts the address in the place of the file's path in what an InputError says."""
        try:
            yield
        except InputError as error:
            if self.base is not None:
                error.args = (str(error).replace(str(self.path), self.name), *error.args[1:])
            raise
