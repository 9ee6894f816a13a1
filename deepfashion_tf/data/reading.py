"""Where the pipeline's crops come from: image files as they are asked for, or a cache in memory."""

import os
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import psutil
import tensorflow as tf

from deepfashion_tf.data.check import BadImages, find_bad_images
from deepfashion_tf.data.decode import image_fault
from deepfashion_tf.data.headers import UNREADABLE, reading_fault
from deepfashion_tf.data.plain import make_plain, plain_crop
from deepfashion_tf.data.split import WHOLE_IMAGE, Split
from deepfashion_tf.errors import InputError

# Of functions without Python's `if` and `for` over tensors: looking for them takes seconds.
as_written = tf.autograph.experimental.do_not_convert

PARALLEL = 2 * (os.cpu_count() or 1)
AT_ONCE = os.cpu_count() or 1  # batches
PREFETCH = 4  # batches
_FETCHED = 32  # images whose bytes are asked for in one call
Batching = Callable[[tf.data.Dataset], tf.data.Dataset]
_GREY = 127  # near the mean of photographs, so that it moves batch norm little


class Reader(Protocol):
    """Where crops come from.

    Attributes:
    """

    def batches(self, rows: tf.data.Dataset, batch: Batching) -> tf.data.Dataset:
        """Reads the crops of rows, batch by batch.

        Args:
            rows: ``(index, counted, *others)``, each a scalar but the others: which image, int64,
                and whether its labels count, bool.
            batch: joins the elements of a dataset to batches.

        Returns:
            Batches ``(indices, images, counted, *others)``, images uint8
            ``[batch, size, size, 3]``; what could
            not be read does not count.
        """


class DirectReader:
    """Decodes an image each time it is asked.

    Bytes are fetched for many images in one call, since each call waits for Python's lock.
    """

    def __init__(self, split: Split, image_size: int) -> None:
        self._split, self._size = split, image_size

    def batches(self, rows: tf.data.Dataset, batch: Batching) -> tf.data.Dataset:
        @as_written
        def read(index: tf.Tensor, fetched: tuple, counted: tf.Tensor, *others: tf.Tensor) -> tuple:
            image, is_read = self.crop(index, fetched)
            return index, image, counted & is_read, *others

        return batch(self.fetch(rows).map(read, num_parallel_calls=PARALLEL))

    def fetch(self, rows: tf.data.Dataset) -> tf.data.Dataset:
        """Turns ``(index, *others)`` into ``(index, fetched, *others)``."""

        @as_written
        def read(indices: tf.Tensor, *others: tf.Tensor) -> tuple:
            types = [tf.string, tf.int32]
            encoded, boxes = tf.numpy_function(self._read, [indices], types, stateful=False)
            encoded = tf.ensure_shape(encoded, indices.shape)
            boxes = tf.ensure_shape(boxes, (None, 4))
            return indices, (encoded, boxes), *others

        return rows.batch(_FETCHED).map(read, num_parallel_calls=2).unbatch()

    def _read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        encoded, boxes = zip(*map(self._read_one, indices), strict=True)
        return np.array(encoded, object), np.array(boxes, np.int32)

    def _read_one(self, row: int) -> tuple[bytes, tuple[int, ...]]:
        return self._plain(row, self._split.encoded(row))

    def _plain(self, row: int, encoded: bytes) -> tuple[bytes, tuple[int, ...]]:
        split, box = self._split, tuple(self._split.boxes[row])
        return make_plain(encoded, box, split.padding, self._size)

    def crop(self, index: tf.Tensor, fetched: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
        """Makes a crop, uint8 ``[side, side, 3]``, and tells whether its labels count."""
        return self._make(*fetched), tf.constant(True)

    def _make(self, encoded: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
        return plain_crop(encoded, boxes, self._size)


class SkippingReader(DirectReader):
    """A DirectReader that has a grey image in the place of one that cannot be read.

    Only Python can catch what the decoder raises, so that an image costs one more call.

    Args:
        split: the images.
        image_size: side of the crops.
        on_bad: is told the key and the fault of each image that cannot be read, once.

    Attributes:
        bad: the rows that could not be read when they were last asked for.
    """

    def __init__(self, split: Split, image_size: int, on_bad: Callable[[str, str], None]) -> None:
        super().__init__(split, image_size)
        self.bad: set[int] = set()
        self._on_bad = on_bad
        self._blank = np.full((image_size, image_size, 3), _GREY, np.uint8)
        # Traced here: the threads that first call it at once would trace it each.
        self._make_crop = tf.function(
            self._make,
            autograph=False,
            input_signature=[
                tf.TensorSpec([], tf.string),
                tf.TensorSpec([4], tf.int32),
            ],
        ).get_concrete_function()

    def _read_one(self, row: int) -> tuple[bytes, tuple[int, ...]]:
        encoded = b""
        try:
            encoded = self._split.encoded(row)
            return self._plain(row, encoded)
        except (OSError, ValueError, tf.errors.OpError) as error:
            split, box = self._split, self._split.boxes[row]
            fault = image_fault(encoded, box, split.padding) if encoded else None
            self._note(row, fault or (UNREADABLE if encoded else reading_fault(error)))
        return b"", WHOLE_IMAGE

    def crop(self, index: tf.Tensor, fetched: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
        image, counted = tf.numpy_function(
            self._crop_one, [index, *fetched], [tf.uint8, tf.bool], stateful=False
        )
        return tf.ensure_shape(image, self._blank.shape), tf.ensure_shape(counted, ())

    def _crop_one(self, row: int, encoded: bytes, boxes: np.ndarray) -> tuple[np.ndarray, bool]:
        if encoded:
            try:
                image = self._make_crop(tf.constant(encoded), tf.constant(boxes))
                self.bad.discard(int(row))
                return image.numpy(), True
            except tf.errors.OpError:
                self._note(row, image_fault(encoded, boxes[:4]) or UNREADABLE)
        return self._blank, False

    def _note(self, row: int, fault: str) -> None:
        self.bad.add(int(row))
        self._on_bad(self._split.keys[row], fault)
        if len(self.bad) == len(self._split):
            raise ValueError(f"no image of {self._split.name} is left")


class CachedReader:
    """Answers from crops in memory, uint8 ``[n, side, side, 3]``."""

    def __init__(self, crops: np.ndarray) -> None:
        # A tensor outside the graph is captured by reference; a constant inside would be copied.
        self._crops = tf.convert_to_tensor(crops)

    def batches(self, rows: tf.data.Dataset, batch: Batching) -> tf.data.Dataset:
        @as_written
        def read(indices: tf.Tensor, *others: tf.Tensor) -> tuple:
            return indices, tf.gather(self._crops, indices), *others

        return batch(rows).map(read, num_parallel_calls=AT_ONCE)


def cached_reader(
    split: Split, image_size: int, on_progress: Callable[[int, int], None] | None = None
) -> CachedReader:
    """Decodes every image once and makes a reader that answers from memory.

    Crops are kept as uint8: size² × 3 bytes an image.

    Raises:
        InputError: the crops do not fit into the memory that is free.
        BadImages: some images cannot be decoded.
    """
    count = len(split)
    needed = count * image_size**2 * 3
    free = psutil.virtual_memory().available
    if needed > 0.8 * free:
        raise InputError(
            f"Caching {count} crops of {image_size} pixels takes {needed / 2**30:.1f} GiB, "
            f"but {free / 2**30:.1f} GiB of memory are free: keep them on disk by --cache "
            f"FOLDER, or pass --cache none or a smaller --image-size."
        )
    crops = np.empty((count, image_size, image_size, 3), np.uint8)
    done = 0
    for batch in crop_batches(split, image_size):
        crops[done : done + len(batch)] = batch
        done += len(batch)
        if on_progress:
            on_progress(done, count)
    return CachedReader(crops)


def crop_batches(
    split: Split, image_size: int, batch_size: int = 64, rows: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Yields the crops of a split in order, as uint8 arrays ``[<= batch_size, size, size, 3]``.


    Args:
        split: the images.
        image_size: side of the crops.
        batch_size: of all arrays but the last.
        rows: int64, those that are wanted; None = all.

    Raises:
        BadImages: names the images of the split that cannot be decoded, all of them.
    """
    rows = np.arange(len(split)) if rows is None else rows
    data = tf.data.Dataset.from_tensor_slices((rows, rows >= 0))
    found = DirectReader(split, image_size).batches(data, lambda items: items.batch(batch_size))
    crops = found.map(as_written(lambda indices, images, counted: images))
    crops = on_own_threads(crops.prefetch(PREFETCH))
    try:
        yield from crops.as_numpy_iterator()
    except tf.errors.OpError as error:
        found = find_bad_images([split])
        raise (BadImages(found) if found else error) from error


def on_own_threads(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a dataset `PARALLEL` threads, its ops one each, and no tuning while it runs.

    In TensorFlow's shared pool, one thread a core, and with AUTOTUNE, most passes over a
    few hundred images on two cores decoded on one core alone, from beginning to end.
    """
    options = tf.data.Options()
    options.threading.private_threadpool_size = PARALLEL
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return dataset.with_options(options)
