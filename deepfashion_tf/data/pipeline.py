"""The tf.data pipeline: encoded images and boxes in, normalized batches with their labels out.

Training and evaluation differ in the order, the flip and the jitter, and nothing else: compare
`training_dataset` with `evaluation_dataset`.
"""

import os
from collections.abc import Callable
from typing import Protocol

import numpy as np
import psutil
import tensorflow as tf

from deepfashion_tf.data.check import BadImages, find_bad_images
from deepfashion_tf.data.images import (
    JITTERS,
    Normalization,
    flip_where,
    jitter,
    normalize,
    squash_resize,
)
from deepfashion_tf.data.plain import decode_plain, make_plain
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError

PARALLEL = 2 * (os.cpu_count() or 1)
_PREFETCH = 4  # batches
_FETCHED = 32  # images whose bytes are asked for in one call


class Reader(Protocol):
    """Where crops come from: fetches what they are made of, and makes them."""

    def fetch(self, rows: tf.data.Dataset) -> tf.data.Dataset:
        """Turns ``(index, *others)``, index scalar int64, into ``(index, fetched, *others)``."""

    def crop(self, index: tf.Tensor, fetched: tf.Tensor | tuple[tf.Tensor, ...]) -> tf.Tensor:
        """Makes a crop, uint8 ``[size, size, 3]``."""


class DirectReader:
    """Decodes an image each time it is asked.

    Bytes are fetched for many images in one call, since each call waits for Python's lock.
    """

    def __init__(self, split: Split, image_size: int) -> None:
        self._split, self._size = split, image_size

    def fetch(self, rows: tf.data.Dataset) -> tf.data.Dataset:
        def read(indices: tf.Tensor, *others: tf.Tensor) -> tuple:
            types = [tf.string, tf.int32]
            encoded, boxes = tf.numpy_function(self._read, [indices], types, stateful=False)
            encoded = tf.ensure_shape(encoded, indices.shape)
            return indices, (encoded, tf.ensure_shape(boxes, (None, 4))), *others

        return rows.batch(_FETCHED).map(read, num_parallel_calls=2).unbatch()

    def _read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        split = self._split
        images = [make_plain(split.encoded(row), tuple(split.boxes[row])) for row in indices]
        encoded, boxes = zip(*images, strict=True)
        return np.array(encoded, object), np.array(boxes, np.int32)

    def crop(self, index: tf.Tensor, fetched: tuple[tf.Tensor, ...]) -> tf.Tensor:
        return squash_resize(decode_plain(*fetched), self._size)


class CachedReader:
    """Answers from crops in memory, uint8 ``[n, size, size, 3]``."""

    def __init__(self, crops: np.ndarray) -> None:
        # A tensor outside the graph is captured by reference; a constant inside would be copied.
        self._crops = tf.convert_to_tensor(crops)

    def fetch(self, rows: tf.data.Dataset) -> tf.data.Dataset:
        return rows.map(lambda index, *others: (index, index, *others))

    def crop(self, index: tf.Tensor, fetched: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._crops, index)


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
            f"but {free / 2**30:.1f} GiB of memory are free: pass --no-cache or a smaller "
            f"--image-size."
        )
    crops = np.empty((count, image_size, image_size, 3), np.uint8)
    done = 0
    for batch in crop_batches(split, image_size):
        crops[done : done + len(batch)] = batch
        done += len(batch)
        if on_progress:
            on_progress(done, count)
    return CachedReader(crops)


def crop_batches(split: Split, image_size: int, batch_size: int = 64):
    """Yields the crops of a split in order, as uint8 arrays ``[<= batch_size, size, size, 3]``.

    Raises:
        BadImages: names the images that cannot be decoded, all of them.
    """
    crops = _crops_in_order(split, DirectReader(split, image_size)).map(lambda index, crop: crop)
    crops = on_own_threads(crops.batch(batch_size).prefetch(_PREFETCH))
    try:
        yield from crops.as_numpy_iterator()
    except tf.errors.OpError as error:
        found = find_bad_images([split])
        raise (BadImages(found) if found else error) from error


def training_dataset(
    split: Split,
    reader: Reader,
    normalization: Normalization,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    flip: bool = True,
    jitter_amount: float = 0.0,
    first_epoch: int = 0,
) -> tf.data.Dataset:
    """Builds all epochs as one stream of shuffled, flipped, jittered, normalized batches.

    Order, flips and jitter of epoch e depend on (seed, e) alone: the same seed gives the
    same batches, and a stream that starts at `first_epoch` goes on as if it had
    never been away.

    Returns:
        ``steps_per_epoch(split, batch_size)`` batches an epoch of ``(images, labels)``:
        float32 ``[batch, size, size, 3]`` and a dict category -> int32 ``[batch]``.
    """
    count = len(split)

    def draw_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        order = tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), key)
        # A key each: with one key, what is drawn would follow from the order.
        flips = tf.random.stateless_uniform([count], key + [0, 2**41]) < (0.5 if flip else 0.0)
        amounts = tf.random.stateless_uniform([count, len(JITTERS)], key + [0, 2**40], -1.0, 1.0)
        return tf.data.Dataset.from_tensor_slices((order, flips, amounts * jitter_amount))

    def read(index: tf.Tensor, fetched: tf.Tensor, flip: tf.Tensor, amounts: tf.Tensor):
        return index, flip_where(reader.crop(index, fetched), flip), amounts

    def change(indices: tf.Tensor, images: tf.Tensor, amounts: tf.Tensor):
        return indices, jitter(images, amounts) if jitter_amount else images

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        images = reader.fetch(draw_epoch(epoch)).map(read, num_parallel_calls=PARALLEL)
        return images.batch(batch_size).map(change)

    batches = tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch)
    return _with_labels(batches, split, normalization)


def evaluation_dataset(
    split: Split, reader: Reader, normalization: Normalization, *, batch_size: int
) -> tf.data.Dataset:
    """Builds one pass over a split, in order: batches as in `training_dataset`."""
    images = _crops_in_order(split, reader)
    return _with_labels(images.batch(batch_size), split, normalization)


def _crops_in_order(split: Split, reader: Reader) -> tf.data.Dataset:
    rows = reader.fetch(tf.data.Dataset.range(len(split)).map(lambda index: (index,)))
    return rows.map(lambda i, fetched: (i, reader.crop(i, fetched)), num_parallel_calls=PARALLEL)


def _with_labels(
    batches: tf.data.Dataset, split: Split, normalization: Normalization
) -> tf.data.Dataset:
    labels = {category: tf.constant(split.labels_of(category)) for category in split.schema}

    def finish(indices: tf.Tensor, images: tf.Tensor):
        # On whole batches: one op an epoch step instead of one an image.
        of_batch = {category: tf.gather(values, indices) for category, values in labels.items()}
        return normalize(images, normalization), of_batch

    return on_own_threads(batches.map(finish, num_parallel_calls=1).prefetch(_PREFETCH))


def on_own_threads(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Gives a dataset `PARALLEL` threads, its ops one each, and no tuning while it runs.

    In TensorFlow's shared pool, one thread a core, and with AUTOTUNE, most passes over a
    few hundred images on two cores decoded on one core alone, from beginning to end.
    """
    options = tf.data.Options()
    options.threading.private_threadpool_size = PARALLEL
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return dataset.with_options(options)


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Counts the batches of one epoch; the last one may be smaller."""
    return -(-len(split) // batch_size)
