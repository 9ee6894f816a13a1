"""The tf.data pipeline: crops from a reader in, normalized batches with their labels out.

Training and evaluation differ in the order and the augmentation, and nothing else: compare
`training_dataset` with `evaluation_dataset`.
"""

import functools
import itertools
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from deepfashion_tf.data.augment import Augmentation
from deepfashion_tf.data.images import normalize
from deepfashion_tf.data.normalization import Normalization
from deepfashion_tf.data.reading import AT_ONCE, PREFETCH, Reader, as_written, on_own_threads
from deepfashion_tf.data.shares import Plan, Share, evaluation_plan, training_plan
from deepfashion_tf.data.split import Split
from deepfashion_tf.schema import UNLABELLED

ALONE = Share()
FLIP, UNCHANGED = Augmentation(), Augmentation(flip=False)


def training_dataset(
    split: Split,
    reader: Reader,
    normalization: Normalization,
    *,
    batch_size: int,
    epochs: int | None,
    seed: int,
    augmentation: Augmentation = FLIP,
    start: tuple[int, int] = (0, 0),
    share: Share = ALONE,
    targets: Mapping[str, np.ndarray] | None = None,
) -> tf.data.Dataset:
    """Builds all epochs as one stream of shuffled, changed, normalized batches.

    Order and changes of epoch e depend on (seed, e) alone: the same seed gives the
    same batches, and a stream that starts in the middle goes on as if
    it had never been away.

    Args:
        split: the images.
        reader: where their crops come from.
        normalization: of the network.
        batch_size: of all replicas together.
        epochs: where the stream ends; None = each pass over the dataset is one epoch, the next
            one each time.
        seed: of order and changes.
        augmentation: how images are changed.
        start: epoch and step of it at which the stream begins.
        share: the replicas to feed; the same order is divided among them, so that they
            see together what one device would.
        targets: category -> float32 ``[n, classes]``, soft labels instead of the split's.

    Returns:
        ``steps_per_epoch(split, batch_size)`` batches an epoch and replica of ``(images, labels)``:
        float32 ``[batch, size, size, 3]`` and a dict category -> int32 ``[batch]``, or, of soft
        labels, float32 ``[batch, classes]``.
    """
    first_epoch, first_step = start
    count = len(split)
    plan = training_plan(count, batch_size, share)
    done = first_step * share.count  # batches of the first epoch

    @as_written
    def draw_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        key = _epoch_key(seed, epoch)
        order = _draw_order(count, key)
        drawn = augmentation.draw(count, key)
        order, drawn = tf.nest.map_structure(lambda v: tf.gather(v, plan.places), (order, drawn))
        rows = tf.data.Dataset.from_tensor_slices((order, plan.counted, drawn))
        return rows.skip(tf.where(epoch == first_epoch, np.int64(plan.places_before(done)), 0))

    passes = _epochs_from(first_epoch, epochs)
    # One stream of images, so that readers never wait for an epoch's end.
    sizes = np.roll(plan.sizes, -done)  # `rebatch` begins again at their end
    rows = passes.flat_map(draw_epoch)
    batches = reader.batches(rows, lambda items: items.batch(int(sizes[0])).rebatch(sizes))
    return _finished(batches, split, normalization, augmentation, targets)


def _epochs_from(first: int, epochs: int | None) -> tf.data.Dataset:
    """Makes a dataset of the numbers of epochs, or of one number, the next one in each pass."""
    if epochs is not None:
        return tf.data.Dataset.range(first, epochs)
    numbers = itertools.count(first)
    number = functools.partial(
        tf.numpy_function, lambda: np.int64(next(numbers)), [], tf.int64, stateful=True
    )
    return tf.data.Dataset.range(1).map(as_written(lambda _: tf.ensure_shape(number(), [])))


def batch_rows(
    split: Split,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    step: int,
) -> np.ndarray:
    """Returns which rows of a split `training_dataset` puts into a batch: int64 ``[<= batch]``."""
    key = _epoch_key(seed, tf.constant(epoch, tf.int64))
    order = _draw_order(len(split), key)
    return order[step * batch_size : (step + 1) * batch_size].numpy()


def _draw_order(count: int, key: tf.Tensor) -> tf.Tensor:
    """Draws which image stands in each of an epoch's places: int64 ``[count]``."""
    return tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), key)


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
    rows = tf.data.Dataset.from_tensor_slices((plan.places, plan.counted, {}))
    batches = reader.batches(rows, lambda items: _batched(items, plan))
    return _finished(batches, split, normalization, UNCHANGED)


def _batched(items: tf.data.Dataset, plan: Plan) -> tf.data.Dataset:
    batches = items.batch(int(plan.sizes[0]))
    return batches if plan.is_even else batches.rebatch(plan.sizes)


def _finished(
    batches: tf.data.Dataset,
    split: Split,
    normalization: Normalization,
    augmentation: Augmentation,
    targets: Mapping[str, np.ndarray] | None = None,
) -> tf.data.Dataset:
    """Changes, normalizes and labels whole batches: an op an image would cost more than it does."""
    labels = {
        category: tf.constant(targets[category] if targets else split.labels_of(category))
        for category in split.schema
    }

    @as_written
    def finish(indices: tf.Tensor, images: tf.Tensor, counted: tf.Tensor, drawn: dict):
        of_batch = {}
        for category, values in labels.items():
            known, none = (counted[:, None], 0.0) if targets else (counted, UNLABELLED)
            of_batch[category] = tf.where(known, tf.gather(values, indices), none)
        if images.shape.rank == 3:  # features of the image and of its mirror image
            views = tf.cast(drawn.get("flips", tf.zeros_like(counted)), tf.int32)
            return tf.gather(images, views, batch_dims=1), of_batch
        images = augmentation.change(images, drawn)
        return normalize(images, normalization), of_batch

    return on_own_threads(batches.map(finish, num_parallel_calls=AT_ONCE).prefetch(PREFETCH))


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Counts the batches of one epoch; the last one may be smaller."""
    return -(-len(split) // batch_size)
