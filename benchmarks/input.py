"""How fast images get from JPEG files into normalized batches, beside torchvision."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.rates import Rate, race
from benchmarks.worker import open_peers
from deepfashion_tf.data.crops_on_disk import disk_reader
from deepfashion_tf.data.images import squash_resize
from deepfashion_tf.data.normalization import NORMALIZATIONS
from deepfashion_tf.data.pipeline import evaluation_dataset, training_dataset
from deepfashion_tf.data.reading import PARALLEL, DirectReader, cached_reader, on_own_threads
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError

PEER, PEER_TENSORS = "torchvision, Pillow", "torchvision, v2 on bytes"
LIMIT = "bare decoding"
BATCH_SIZE = 16
PASSES = 4  # a measurement: training is one stream of epochs, which begins but once
_NORMALIZATION = NORMALIZATIONS["torch"]


def benchmark_input(
    split: Split, image_size: int = 224, rounds: int = 5, peer_python: Path | None = None
) -> Iterator[list[Rate]]:
    """Measures the pipeline from files and from both caches, its limits, and the peer.

    The limits are decoding alone, and decoding with the resize: without these nobody can do.
    The peers are torchvision with a DataLoader of two workers, by Pillow and by version 2 on
    tensors, doing the same: crop, antialiased resize, flip, normalize, batch. Each runs in a
    process of its own.

    Args:
        split: JPEG files with boxes.
        image_size: side of the crops.
        rounds: how often each is measured.
        peer_python: interpreter that has torchvision; None = this one.

    Yields:
        After each round all rates so far.
    """
    job = {
        "what": "input",
        "passes": PASSES,
        "images": list(split.keys),
        "boxes": split.boxes.tolist(),
        "image_size": image_size,
        "batch_size": BATCH_SIZE,
        "tensors": False,
    }
    jobs = {PEER: job, PEER_TENSORS: {**job, "tensors": True}}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        readers = {
            "files": DirectReader(split, image_size),
            "cache": cached_reader(split, image_size),
            "cache on disk": disk_reader(split, image_size, Path(folder)),
        }
        contestants = {
            LIMIT: _run(_bare(split), PASSES * len(split)),
            "decoding, resizing": _run(_bare(split, image_size), PASSES * len(split)),
        }
        for name, reader in readers.items():
            training = training_dataset(
                split, reader, _NORMALIZATION, batch_size=BATCH_SIZE, epochs=PASSES, seed=0
            )
            contestants[f"training, {name}"] = _run(training, PASSES * len(split))
        evaluation = evaluation_dataset(
            split, readers["files"], _NORMALIZATION, batch_size=BATCH_SIZE
        )
        contestants["evaluation, files"] = _run(evaluation.repeat(PASSES), PASSES * len(split))
        peers = open_peers(stack, jobs, peer_python, ["torchvision"])
        yield from race(contestants | {name: peer.work for name, peer in peers.items()}, rounds)


def _run(dataset: Iterable, images: int) -> Callable[[], int]:
    def run() -> int:
        for _ in dataset:
            pass
        return images

    return run


def _bare(split: Split, size: int | None = None) -> tf.data.Dataset:
    """Decodes the boxes of JPEG files, resizes them if told to, and nothing else: the limit."""
    x1, y1, x2, y2 = np.transpose(split.boxes)
    windows = np.stack([y1, x1, y2 - y1, x2 - x1], axis=1)
    files = tf.data.Dataset.from_tensor_slices((list(split.keys), windows)).repeat(PASSES)

    def decode(path: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_and_crop_jpeg(
            tf.io.read_file(path), window, channels=3, dct_method="INTEGER_ACCURATE"
        )
        return (squash_resize(image, size) if size else image)[0, 0]

    return on_own_threads(files.map(decode, num_parallel_calls=PARALLEL))


def check_boxes(split: Split, source: str) -> None:
    """Raises an InputError unless every image has a box and is a JPEG."""
    if (split.boxes < 0).any() or not all(
        name.lower().endswith((".jpg", ".jpeg")) for name in split.keys
    ):
        raise InputError(f"{source} has images without a box, or other than JPEG: name another.")
