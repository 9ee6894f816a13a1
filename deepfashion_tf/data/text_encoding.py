"""Encodings of text tables: UTF-8, UTF-16, UTF-32 and, of what is neither, Windows-1252."""

import codecs
from dataclasses import dataclass
from pathlib import Path

from deepfashion_tf.errors import InputError

_BLOCK = 2**20
_MARKS = (
    # UTF-16's mark is the beginning of UTF-32's.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Encoding:
    """How to open a text file, and what a user should know of it.

    Attributes:
        name: as `open` takes it.
        errors: as `open` takes it; "surrogateescape" marks the bytes that are no UTF-8.
        note: a sentence part such as "is read as Windows-1252"; empty for UTF-8.
    """

    name: str
    errors: str = "strict"
    note: str = ""


def detect_encoding(path: Path) -> Encoding:
    """Detects a text file's encoding from all of its bytes.

    A byte order mark decides. A file with a zero byte in every other place is UTF-16. A file
    that is mostly valid UTF-8 is read as UTF-8; its few other bytes become surrogates, so that
    only their rows are faulty. Everything else is Windows-1252.

    Raises:
        InputError: the file is none of these.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    for mark, name in _MARKS:
        if head.startswith(mark):
            note = "" if name == "utf-8-sig" else f"is read as {name.upper()}"
            return Encoding(name, "surrogateescape" if name == "utf-8-sig" else "replace", note)
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = head[start::2].count(0)
        if len(head) >= 4 and zeros > 0.4 * len(head[start::2]) > 4 * head[1 - start :: 2].count(0):
            return Encoding(name, "replace", "is read as UTF-16")
    if b"\0" in head:
        raise InputError(f"{path} is no text: save the table as CSV, .xlsx or .parquet.")
    wide, invalid = _count_wide(path)
    if invalid == 0 or wide > invalid:
        return Encoding("utf-8", "surrogateescape")
    _check_windows(path)
    return Encoding("cp1252", note="is no UTF-8 and is read as Windows-1252")


def has_invalid_bytes(text: str) -> bool:
    """Returns whether a text holds bytes that are no UTF-8, as surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _count_wide(path: Path) -> tuple[int, int]:
    """Counts the characters beyond ASCII that are UTF-8, and the bytes that are not."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    wide = invalid = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            if block.isascii():
                continue
            text = decoder.decode(block)
            escaped = sum(1 for c in text if "\udc80" <= c <= "\udcff")
            wide += sum(1 for c in text if c > "\x7f") - escaped
            invalid += escaped
    invalid += len(decoder.getstate()[0])
    return wide, invalid


def _check_windows(path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            try:
                block.decode("cp1252")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path} is neither UTF-8, UTF-16 nor Windows-1252: save the table as UTF-8."
                ) from error
