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

from deepfashion_tf.data.decode import image_fault
from deepfashion_tf.data.images import (
    JITTERS,
    Normalization,
    flip_where,
    jitter,
    normalize,
    squash_resize,
)
from deepfashion_tf.data.plain import decode_plain, make_plain
from deepfashion_tf.data.shares import Plan, Share, evaluation_plan, training_plan
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.schema import UNLABELLED

PARALLEL = 2 * (os.cpu_count() or 1)
_PREFETCH = 4  # batches
_TOLD = 10  # faults, after which no more are looked for
ALONE = Share()
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
        InputError: the crops do not fit into the memory that is free, or an image
            cannot be decoded.
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
        InputError: names the images that cannot be decoded.
    """
    rows = np.arange(len(split))
    crops = _crops(DirectReader(split, image_size), rows, rows >= 0)
    crops = crops.map(lambda index, crop, counted: crop)
    crops = on_own_threads(crops.batch(batch_size).prefetch(_PREFETCH))
    try:
        yield from crops.as_numpy_iterator()
    except tf.errors.OpError as error:
        raise explain_unreadable(split) or error from error


def explain_unreadable(split: Split) -> InputError | None:
    """Finds the images of a split that cannot be decoded, and says so in an InputError."""
    broken = []
    for row, (key, box) in enumerate(zip(split.keys, split.boxes, strict=True)):
        try:
            fault = image_fault(split.encoded(row), box)
        except OSError as error:
            fault = f"cannot be read ({error.strerror or error})"
        if fault:
            broken.append(f"{key} {fault}")
        if len(broken) == _TOLD:
            break
    if not broken:
        return None
    count = f"{len(broken)}{' or more' if len(broken) == _TOLD else ''}"
    return InputError(
        f"{count} of the {len(split)} images listed in {split.source} cannot be used: "
        f"{list_some(broken)}. Replace them, or take their rows out of the lists."
    )


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
    first_step: int = 0,
    share: Share = ALONE,
) -> tf.data.Dataset:
    """Builds all epochs as one stream of shuffled, flipped, jittered, normalized batches.

    Order, flips and jitter of epoch e depend on (seed, e) alone: the same seed gives the
    same batches, and a stream that starts at `first_step` of `first_epoch` goes on as if
    it had never been away.

    Args:
        split: the images.
        reader: where their crops come from.
        normalization: of the network.
        batch_size: of all replicas together.
        epochs: where the stream ends.
        seed: of order, flips and jitter.
        flip: mirror images at random.
        jitter_amount: 0 to 1, in units of `jitter`.
        first_epoch: where the stream begins.
        first_step: steps of that epoch to leave out.
        share: the replicas to feed; the same order is divided among them, so that they
            see together what one device would.

    Returns:
        ``steps_per_epoch(split, batch_size)`` batches an epoch and replica of ``(images, labels)``:
        float32 ``[batch, size, size, 3]`` and a dict category -> int32 ``[batch]``.
    """
    count = len(split)
    plan = training_plan(count, batch_size, share)
    done = first_step * share.count  # batches of the first epoch

    def draw_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        key = _epoch_key(seed, epoch)
        order = tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), key)
        # A key each: with one key, what is drawn would follow from the order.
        flips = tf.random.stateless_uniform([count], key + [0, 2**41]) < (0.5 if flip else 0.0)
        amounts = tf.random.stateless_uniform([count, len(JITTERS)], key + [0, 2**40], -1.0, 1.0)
        drawn = [tf.gather(values, plan.places) for values in (order, flips, amounts)]
        rows = tf.data.Dataset.from_tensor_slices((*drawn, plan.counted))
        return rows.skip(tf.where(epoch == first_epoch, np.int64(plan.places_before(done)), 0))

    def read(index: tf.Tensor, fetched: tf.Tensor, flip: tf.Tensor, amounts: tf.Tensor, counted):
        return index, flip_where(reader.crop(index, fetched), flip), amounts, counted

    def change(indices: tf.Tensor, images: tf.Tensor, amounts: tf.Tensor, counted: tf.Tensor):
        changed = jitter(images, amounts * jitter_amount) if jitter_amount else images
        return indices, changed, counted

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        images = reader.fetch(draw_epoch(epoch)).map(read, num_parallel_calls=PARALLEL)
        sizes = tf.constant(plan.sizes)[tf.where(epoch == first_epoch, done, 0) :]
        return _batched(images, plan, sizes).map(change)

    batches = tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch)
    return _with_labels(batches, split, normalization)


def batch_rows(split: Split, *, batch_size: int, seed: int, epoch: int, step: int) -> np.ndarray:
    """Tells which rows of a split `training_dataset` puts into a batch: int64 ``[<= batch]``."""
    rows = tf.range(len(split), dtype=tf.int64)
    key = _epoch_key(seed, tf.constant(epoch, tf.int64))
    order = tf.random.experimental.stateless_shuffle(rows, key)
    return order[step * batch_size : (step + 1) * batch_size].numpy()


def _epoch_key(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(seed, tf.int64), epoch])


def evaluation_dataset(
    split: Split,
    reader: Reader,
    normalization: Normalization,
    *,
    batch_size: int,
    share: Share = ALONE,
) -> tf.data.Dataset:
    """Builds one pass over a split, in order: batches as in `training_dataset`."""
    plan = evaluation_plan(len(split), batch_size, share)
    images = _crops(reader, plan.places, plan.counted)
    return _with_labels(_batched(images, plan, plan.sizes), split, normalization)


def _crops(reader: Reader, rows: np.ndarray, counted: np.ndarray) -> tf.data.Dataset:
    items = reader.fetch(tf.data.Dataset.from_tensor_slices((rows, counted)))
    return items.map(
        lambda index, fetched, counted: (index, reader.crop(index, fetched), counted),
        num_parallel_calls=PARALLEL,
    )


def _batched(images: tf.data.Dataset, plan: Plan, sizes: tf.Tensor | None) -> tf.data.Dataset:
    batches = images.batch(int(plan.sizes[0]))
    return batches if plan.is_even else batches.rebatch(sizes)


def _with_labels(
    batches: tf.data.Dataset, split: Split, normalization: Normalization
) -> tf.data.Dataset:
    labels = {category: tf.constant(split.labels_of(category)) for category in split.schema}

    def finish(indices: tf.Tensor, images: tf.Tensor, counted: tf.Tensor):
        # On whole batches: one op an epoch step instead of one an image.
        of_batch = {
            category: tf.where(counted, tf.gather(values, indices), UNLABELLED)
            for category, values in labels.items()
        }
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
