"""Crops on disk: decoded once, into shards that later runs read by memory map."""

import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import tensorflow as tf

from deepfashion_tf.data.reading import Batching, as_written, crop_batches
from deepfashion_tf.data.split import Split
from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import is_disk_full, remove_unfinished, whole_or_nothing

_VERSION = 2  # to be raised when the same image gets other pixels
_SHARD_BYTES = 2**26  # what a decoding that is interrupted has to do again, at most
_AT_ONCE = os.cpu_count() or 1  # batches


class DiskReader:
    """Answers from crops in memory-mapped files.

    Args:
        shards: uint8 ``[n, side, side, 3]`` each, all but the last of the same length.
    """

    def __init__(self, shards: Sequence[np.ndarray]) -> None:
        self._shards = shards

    def batches(self, rows: tf.data.Dataset, batch: Batching) -> tf.data.Dataset:
        @as_written
        def read(indices: tf.Tensor, *others: tf.Tensor) -> tuple:
            crops = tf.numpy_function(self._gather, [indices], tf.uint8, stateful=False)
            shape = (*indices.shape, *self._shards[0].shape[1:])
            return indices, tf.ensure_shape(crops, shape), *others

        return batch(rows).map(read, num_parallel_calls=_AT_ONCE)

    def _gather(self, indices: np.ndarray) -> np.ndarray:
        # In the order in which they are asked for: sorted, they came no faster from the disk.
        crops = np.empty((len(indices), *self._shards[0].shape[1:]), np.uint8)
        for place, row in enumerate(indices.tolist()):
            shard, own = divmod(row, len(self._shards[0]))
            crops[place] = self._shards[shard][own]
        return crops


def disk_reader(
    split: Split,
    image_size: int,
    folder: Path,
    on_progress: Callable[[int, int], None] | None = None,
) -> DiskReader:
    """Decodes every image once, unless that was done before, and makes a reader of the files.

    A shard is named by a digest of what decides its pixels, so that images that have changed
    get a new one; nobody removes the old one. Crops are kept as uint8, side² × 3 bytes an
    image: of photographs at 224 pixels PNG would leave a half and WebP a third of that, but
    take forty and thirty times as long to read, and WebP forty milliseconds a crop to write.

    Args:
        split: the images.
        image_size: side of the crops.
        folder: of the shards; made if it is not there. Processes may share it.
        on_progress: is told how many of how many images are there.

    Raises:
        InputError: the crops do not fit onto the disk, or images change meanwhile.
        BadImages: some images cannot be decoded. Shards without any of them are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = _shards_of(split, image_size, folder)
    if any(shard.open() is None for shard in shards):
        # Who comes second waits, and reads what the first has decoded.
        with filelock.FileLock(folder / ".lock"):
            remove_unfinished(folder)
            missing = [shard for shard in shards if shard.open() is None]
            _check_room(missing, folder)
            try:
                _decode(split, image_size, missing, on_progress)
            except OSError as error:
                if not is_disk_full(error):
                    raise
                raise InputError(
                    f"The disk is full: --cache {folder} keeps the crops that were decoded "
                    f"so far. Free some space, and the same command goes on."
                ) from error
    if on_progress:
        on_progress(len(split), len(split))
    return DiskReader([shard.open() for shard in shards])


@dataclass(frozen=True)
class _Shard:
    """Crops of some rows that follow each other, in one file."""

    path: Path
    rows: range
    side: int

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.rows), self.side, self.side, 3

    def open(self) -> np.ndarray | None:
        """Maps the file into memory; None = it is not there, or not whole."""
        try:
            crops = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (FileNotFoundError, ValueError, EOFError):
            return None
        is_sound = (crops.shape, crops.dtype) == (self.shape, np.uint8)
        # A plain array of the same memory is indexed in less time.
        return np.asarray(crops) if is_sound else None


def _shards_of(split: Split, image_size: int, folder: Path) -> list[_Shard]:
    length = max(1, _SHARD_BYTES // (image_size**2 * 3))
    starts = range(0, len(split), length)
    parts = [range(start, min(start + length, len(split))) for start in starts]
    return [_Shard(folder / _name(split, image_size, rows), rows, image_size) for rows in parts]


def _name(split: Split, image_size: int, rows: range) -> str:
    """Names the file of some crops by all that decides their pixels."""
    settings = [_VERSION, tf.__version__, image_size, split.padding]
    digest = hashlib.sha256(as_json(settings).encode())
    boxes = split.boxes.tolist()
    for row in rows:
        image = [str(split.keys[row]), boxes[row], split.stamp(row)]
        digest.update(as_json(image).encode())
    return f"crops-{image_size}-{digest.hexdigest()[:32]}.npy"


def _check_room(missing: Sequence[_Shard], folder: Path) -> None:
    count = sum(len(shard.rows) for shard in missing)
    needed = sum(int(np.prod(shard.shape)) for shard in missing)
    free = shutil.disk_usage(folder).free
    if needed > 0.95 * free:
        raise InputError(
            f"Keeping {count} crops of {missing[0].side} pixels takes "
            f"{needed / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB are free in --cache "
            f"{folder}: free some space, name another folder, or pass a smaller --image-size."
        )


def _decode(
    split: Split,
    image_size: int,
    missing: Sequence[_Shard],
    on_progress: Callable[[int, int], None] | None,
) -> None:
    """Writes shards, one after the other, each of which is there when it is whole."""
    if not missing:
        return
    rows = np.concatenate([np.array(shard.rows) for shard in missing])
    done = len(split) - len(rows)
    # One pipeline for all of them: it takes a moment to get going.
    crops = itertools.chain.from_iterable(crop_batches(split, image_size, rows=rows))
    for shard in missing:
        with whole_or_nothing(shard.path) as temporary, temporary.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shard.shape}
            np.lib.format.write_array_header_1_0(file, header)
            for crop in itertools.islice(crops, len(shard.rows)):
                file.write(crop.data)
                done += 1
                if on_progress:
                    on_progress(done, len(split))
            file.flush()
            os.fsync(file.fileno())  # a machine that fails must not leave a name without contents
            if _name(split, image_size, shard.rows) != shard.path.name:
                raise InputError(
                    f"Images listed in {split.source} have changed while they were decoded: start "
                    f"again when they no longer do."
                )
