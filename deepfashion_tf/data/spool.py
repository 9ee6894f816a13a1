"""Byte strings in a temporary file: the images of a source that reads in its own order alone."""

import os
import tempfile


class Spool:
    """Byte strings in a temporary file, which goes when nobody reads it any more."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115, lives as long as the split
        self._ends = [0]

    def append(self, encoded: bytes) -> int:
        """Puts one byte string at the end, and returns its place."""
        self._file.write(encoded)
        self._ends.append(self._ends[-1] + len(encoded))
        return len(self._ends) - 2

    def flush(self) -> None:
        """Has to be called before the first byte string is read."""
        self._file.flush()

    def read(self, row: int) -> bytes:
        """Returns one back; threads may do so at the same time."""
        start, end = self._ends[row], self._ends[row + 1]
        return os.pread(self._file.fileno(), end - start, start)
