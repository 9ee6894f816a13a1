"""Headers of image files: how large an image is, and whether this project can read it.

Nothing here needs TensorFlow, and no pixel is decoded. The headers are read here
instead of by Pillow because Pillow does not tell what `decode` has to refuse (how a
BMP packs its pixels, where a GIF's first frame lies), and raises whatever its plugins
like on a broken file.
"""

import functools
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAX_PIXELS = 89_478_485  # Pillow's limit: a quarter of a GiB in RGB
MAX_PARTS = 100_000  # segments, chunks or blocks that are walked before giving up
EXIF_BYTES = 2**16  # what a JPEG has room for

SAVE_AS = "save it as JPEG or PNG"
MISSING = "is missing"
UNREADABLE = "is not a readable image"
OTHER_KIND = f"is no JPEG, PNG, GIF, BMP or WebP image: {SAVE_AS}"
TOO_LARGE = f"has more than {MAX_PIXELS // 10**6} million pixels: make it smaller"
BARE_CMYK = "is a CMYK JPEG image without an Adobe marker, its colours are unsure: save it as RGB"
PARTIAL_GIF = f"is a GIF image whose first frame does not fill it: {SAVE_AS}"
PACKED_BMP = f"is a BMP image of another kind than plain 24 or 32 bits: {SAVE_AS}"
ANIMATED_WEBP = f"is an animated WebP image: {SAVE_AS}"

# Where it stands, what stands there, what it is. The first five are read here, some by Pillow.
_KINDS = (
    (0, b"\xff\xd8\xff", "a JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG"),
    (0, b"GIF8", "a GIF"),
    (8, b"WEBP", "a WebP"),
    (0, b"BM", "a BMP"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (4, b"ftypavif", "an AVIF"),
    (4, b"ftypavis", "an AVIF"),
    (4, b"ftyphei", "a HEIC"),
    (4, b"ftyphev", "a HEIC"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (4, b"ftypmif1", "a HEIC"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (4, b"JXL ", "a JPEG XL"),
    (4, b"jP  ", "a JPEG 2000"),
    (0, b"8BPS", "a Photoshop"),
    (0, b"\0\0\1\0", "an icon"),
    (0, b"\x01\xda", "an SGI"),
    *((0, b"P%d" % kind, "a PNM") for kind in range(1, 7)),
)

CONVERTED = ("a TIFF", "an AVIF", "a HEIC", "a JPEG 2000")  # by Pillow, into a PNG
_STRAY = 2**16  # bytes between two markers of a JPEG that decoders skip

# Gives the bytes from a position on, fewer where the file ends.
_Read = Callable[[int, int], bytes]


class _Header(NamedTuple):
    """What a header says: the size as it is stored, the EXIF orientation, and the coding.

    Attributes:
        is_baseline: a JPEG that can be decoded at an eighth without holding all of it.
    """

    width: int
    height: int
    orientation: int = 1
    is_baseline: bool = False


class _HeaderFault(ValueError):
    """Returns why an image cannot be used."""


def image_size(image: str | os.PathLike | bytes) -> tuple[int, int] | str:
    """Reads how large an image is as people see it, or says why it cannot be used.

    Args:
        image: the path of a file, or a file's contents.

    Returns:
        Width and height after the EXIF orientation, or what follows on the file's
        name in a sentence: "is missing".
    """
    try:
        with _open(image) as file:
            width, height, orientation, is_baseline = _read_header(file)
    except _HeaderFault as fault:
        return str(fault)
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except ValueError as error:  # NUL, or half a surrogate pair, in the name
        return f"has a name that no file can have ({error})"
    if width < 1 or height < 1:
        return UNREADABLE
    if width * height > MAX_PIXELS and not is_baseline:
        return TOO_LARGE
    return (height, width) if orientation >= 5 else (width, height)


def reading_fault(error: OSError | ValueError) -> str:
    """Returns what is wrong with a file that could not even be read."""
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror or error})"
    return f"has a name that no file can have ({error})"


def image_kind(path: str | os.PathLike) -> str | None:
    """Returns what kind of image a file is by its first bytes, None where it is none."""
    try:
        with _open(path) as file:
            return kind_of(file.read(64))
    except (OSError, ValueError):
        return None


def kind_of(head: bytes) -> str | None:
    """Returns the kind of an image, such as "a TIFF", by its first 64 bytes."""
    return next((kind for place, text, kind in _KINDS if head.startswith(text, place)), None)


def _open(image: str | os.PathLike | bytes) -> BinaryIO:
    if isinstance(image, bytes):
        return io.BytesIO(image)
    path = Path(image)
    # To open a named pipe is to wait for somebody who writes into it.
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise _HeaderFault("is a folder" if stat.S_ISDIR(mode) else "is no regular file")
    return path.open("rb")


def exif_orientation(encoded: bytes) -> int:
    """Returns the EXIF orientation, 1 to 8, of an image that `image_size` accepts."""
    return _read_header(io.BytesIO(encoded)).orientation


def _read_header(file: BinaryIO) -> _Header:
    def read(position: int, count: int) -> bytes:
        file.seek(position)
        return file.read(count)

    head = read(0, 64)
    if head.startswith(b"\xff\xd8\xff"):
        return _read_jpeg(read)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _read_png(read, head)
    if head.startswith((b"GIF87a", b"GIF89a")):
        return _read_gif(read, head)
    if head.startswith(b"BM"):
        return _read_bmp(head)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _read_webp(read, head)
    kind = kind_of(head)
    if kind in CONVERTED:
        return _read_by_pillow(file, kind)
    raise _HeaderFault(f"is {kind} image: {SAVE_AS}" if kind else UNREADABLE)


def _read_by_pillow(file: BinaryIO, kind: str) -> _Header:
    from PIL import Image

    if kind == "a HEIC" and not register_heic():
        raise _HeaderFault(f"is a HEIC image: {SAVE_AS}, or pip install 'deepfashion_tf[heic]'")
    file.seek(0)
    try:
        with Image.open(file) as image:
            # Of a TIFF it gives the size as people see it, of the others as it is stored.
            turned = 1 if kind == "a TIFF" else image.getexif().get(0x0112, 1)
            return _Header(*image.size, turned)
    except Image.DecompressionBombError:
        raise _HeaderFault(TOO_LARGE) from None
    except Exception:  # the plugins raise what they like on broken files
        raise _HeaderFault(UNREADABLE) from None


@functools.cache
def register_heic() -> bool:
    """Teaches Pillow to read HEIC files; returns whether the package for it is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _read_jpeg(read: _Read) -> _Header:
    position, size, orientation, adobe, is_baseline = 2, None, None, False, False
    for _ in range(MAX_PARTS):
        head = read(position, 10)
        if head and head[0] != 0xFF:  # decoders skip what stands between segments
            stray = read(position, _STRAY).find(b"\xff")
            if stray < 0:
                break
            position += stray
            continue
        if len(head) < 10:
            break
        marker, length = head[1], int.from_bytes(head[2:4], "big")
        if marker == 0xFF or marker == 0x00:  # a fill byte, or no marker
            position += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # nothing follows on these
            position += 2
            continue
        if marker == 0xDA:  # the pixels begin
            if size is None:
                break
            if size[2] == 4 and not adobe:
                raise _HeaderFault(BARE_CMYK)
            return _Header(size[0], size[1], orientation or 1, is_baseline)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            size = int.from_bytes(head[7:9], "big"), int.from_bytes(head[5:7], "big"), head[9]
            is_baseline = marker in (0xC0, 0xC1)
        elif marker == 0xE1 and head[4:10] == b"Exif\0\0" and length >= 8 and orientation is None:
            orientation = tiff_orientation(read(position + 10, length - 8))
        elif marker == 0xEE and head[4:9] == b"Adobe" and length >= 14:
            adobe = True
        position += 2 + length
    raise _HeaderFault(UNREADABLE)


def _read_png(read: _Read, head: bytes) -> _Header:
    if len(head) < 33 or head[8:16] != b"\0\0\0\x0dIHDR":
        raise _HeaderFault(UNREADABLE)
    orientation, position = 1, 33
    for _ in range(MAX_PARTS):
        chunk = read(position, 8)
        if len(chunk) < 8 or chunk[4:] == b"IEND":
            break
        length = int.from_bytes(chunk[:4], "big")
        if chunk[4:] == b"eXIf":
            orientation = tiff_orientation(read(position + 8, min(length, EXIF_BYTES)))
            break
        position += 12 + length
    sides = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    return _Header(*sides, orientation)


def _read_gif(read: _Read, head: bytes) -> _Header:
    if len(head) < 13:
        raise _HeaderFault(UNREADABLE)
    position = 13 + _colour_table_bytes(head[10])
    inside = False  # an extension's blocks, each with its length before it
    for _ in range(MAX_PARTS):
        block = read(position, 9)
        if inside:
            length = block[0] if block else 0
            inside, position = length > 0, position + length + 1
        elif block[:1] == b"!":
            inside, position = True, position + 2
        elif block[:1] == b"," and len(block) == 9:
            if block[1:] != b"\0\0\0\0" + head[6:10]:
                raise _HeaderFault(PARTIAL_GIF)
            return _Header(*(int.from_bytes(head[n : n + 2], "little") for n in (6, 8)))
        else:
            break
    raise _HeaderFault(UNREADABLE)


def _colour_table_bytes(flags: int) -> int:
    """Returns how long the colour table is that a GIF's flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _read_bmp(head: bytes) -> _Header:
    def number(start: int, stop: int, signed: bool = False) -> int:
        return int.from_bytes(head[start:stop], "little", signed=signed)

    if len(head) < 54:
        raise _HeaderFault(UNREADABLE)
    if number(14, 18) < 40 or number(28, 30) not in (24, 32) or number(30, 34) != 0:
        raise _HeaderFault(PACKED_BMP)
    if number(10, 14) < 14 + number(14, 18):  # pixels inside the header
        raise _HeaderFault(UNREADABLE)
    # A negative height: the rows go from top to bottom.
    return _Header(number(18, 22, signed=True), abs(number(22, 26, signed=True)))


def _read_webp(read: _Read, head: bytes) -> _Header:
    def number(start: int, stop: int) -> int:
        return int.from_bytes(head[start:stop], "little")

    kind = head[12:16]
    if len(head) < 30:
        raise _HeaderFault(UNREADABLE)
    if kind == b"VP8 ":
        return _Header(number(26, 28) & 0x3FFF, number(28, 30) & 0x3FFF)
    if kind == b"VP8L":
        bits = number(21, 25)
        return _Header(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind != b"VP8X":
        raise _HeaderFault(UNREADABLE)
    if head[20] & 0x02:
        raise _HeaderFault(ANIMATED_WEBP)
    orientation, position = 1, 12
    for _ in range(MAX_PARTS if head[20] & 0x08 else 0):
        chunk = read(position, 8)
        if len(chunk) < 8:
            break
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"EXIF":
            exif = read(position + 8, min(length, EXIF_BYTES))
            orientation = tiff_orientation(exif.removeprefix(b"Exif\0\0"))
            break
        position += 8 + length + length % 2
    return _Header(1 + number(24, 27), 1 + number(27, 30), orientation)


def tiff_orientation(tiff: bytes) -> int:
    """Reads the orientation, 1 to 8, from EXIF data; 1 where it is broken or says nothing."""
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(tiff[:4])
    if order is None:
        return 1

    def number(start: int, stop: int) -> int:
        return int.from_bytes(tiff[start:stop], order)

    start = number(4, 8)
    count = min(number(start, start + 2), (len(tiff) - start - 2) // 12)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = number(entry, entry + 2), number(entry + 2, entry + 4)
        # One short or one long. Of two entries the first one counts.
        if tag == 0x0112 and number(entry + 4, entry + 8) == 1 and kind in (3, 4):
            orientation = number(entry + 8, entry + (10 if kind == 3 else 12))
            return orientation if 1 <= orientation <= 8 else 1
    return 1
