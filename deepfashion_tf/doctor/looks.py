"""Examines every image of a data set once: can it be read, its properties, its duplicates."""

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import imagehash
import numpy as np
import tensorflow as tf
from PIL import Image

from deepfashion_tf.data.damage import jpeg_damage
from deepfashion_tf.data.decode import image_fault
from deepfashion_tf.data.headers import UNREADABLE, image_size, reading_fault
from deepfashion_tf.data.plain import decode_any
from deepfashion_tf.data.split import Split

SIDE = 32  # of a thumbnail, in pixels
_HASHED = 64  # pixels a side that a hash is made from
_THREADS = 2 * (os.cpu_count() or 1)
_AT_ONCE = 16  # images that a thread takes


@dataclass(frozen=True)
class Looks:
    """What was seen; ``n`` images, each file once, however many rows name it.

    Attributes:
        image_of: int ``[rows]``, the image that each row of the splits names, one split after
            the other.
        faults: image -> why it cannot be read.
        sizes: int32 ``[n, 2]``, width and height in pixels; 0 where it cannot be read.
        digests: uint64 ``[n]``, of the files' bytes.
        hashes: uint64 ``[n, 2]``, perceptual hashes: as it is, and mirrored.
        thumbnails: uint8 ``[n, 32, 32, 3]``, squashed, in a file that takes no memory.
        is_cmyk: bool ``[n]``.
    """

    image_of: np.ndarray
    faults: dict[int, str]
    sizes: np.ndarray
    digests: np.ndarray
    hashes: np.ndarray
    thumbnails: np.ndarray
    is_cmyk: np.ndarray

    @property
    def is_readable(self) -> np.ndarray:
        """bool ``[n]``."""
        readable = np.ones(len(self.sizes), bool)
        readable[list(self.faults)] = False
        return readable


def look_at(
    splits: Sequence[Split], on_progress: Callable[[int, int], None] | None = None
) -> Looks:
    """Reads and decodes every image of some splits, on all cores.

    Memory stays flat but for some 30 bytes an image.

    Args:
        splits: of one data set.
        on_progress: is told ``(done, total)``.
    """
    numbers: dict[str, int] = {}
    image_of = np.array(
        [numbers.setdefault(str(key), len(numbers)) for split in splits for key in split.keys],
        np.int64,
    )
    _, first_rows = np.unique(image_of, return_index=True)
    count = len(first_rows)
    starts = np.cumsum([0, *(len(split) for split in splits)])
    found = Looks(
        image_of=image_of,
        faults={},
        sizes=np.zeros((count, 2), np.int32),
        digests=np.zeros(count, np.uint64),
        hashes=np.zeros((count, 2), np.uint64),
        thumbnails=_on_disk((count, SIDE, SIDE, 3)),
        is_cmyk=np.zeros(count, bool),
    )

    def look_at_some(images: range) -> None:
        for image in images:
            row = first_rows[image]
            number = int(np.searchsorted(starts, row, side="right")) - 1
            fault = _look_at_one(splits[number], int(row - starts[number]), image, found)
            if fault:
                found.faults[image] = fault

    parts = [range(at, min(at + _AT_ONCE, count)) for at in range(0, count, _AT_ONCE)]
    pool = ThreadPoolExecutor(_THREADS)
    try:
        for part, _ in zip(parts, pool.map(look_at_some, parts), strict=True):
            if on_progress:
                on_progress(part.stop, count)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for what nobody has begun
    return found


def _on_disk(shape: tuple[int, ...]) -> np.ndarray:
    """Makes an array in a file without a name, which ends with the process."""
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)


def _look_at_one(split: Split, row: int, image: int, found: Looks) -> str | None:
    """Fills an image's place, or says what is wrong with it."""
    try:
        encoded = split.encoded(row)
    except (OSError, ValueError) as error:
        return reading_fault(error)
    found.digests[image] = int.from_bytes(hashlib.sha256(encoded).digest()[:8], "big")
    size = image_size(encoded)
    if isinstance(size, str):
        return size
    if not split.accepts_damage and (damage := jpeg_damage(encoded)):
        return image_fault(encoded) or damage
    try:
        pixels = decode_any(encoded)
    except (tf.errors.OpError, ValueError):
        return image_fault(encoded) or UNREADABLE
    found.sizes[image] = size
    found.is_cmyk[image] = _is_cmyk(encoded)
    small = cv2.resize(pixels, (_HASHED, _HASHED), interpolation=cv2.INTER_AREA)
    found.thumbnails[image] = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    found.hashes[image] = [_hash(small), _hash(small[:, ::-1])]
    return None


def _hash(pixels: np.ndarray) -> int:
    bits = imagehash.phash(Image.fromarray(pixels)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _is_cmyk(encoded: bytes) -> bool:
    if not encoded.startswith(b"\xff\xd8"):
        return False
    try:
        with Image.open(io.BytesIO(encoded)) as opened:
            return opened.mode == "CMYK"
    except (OSError, ValueError, SyntaxError):  # what TensorFlow can read, and Pillow cannot
        return False
