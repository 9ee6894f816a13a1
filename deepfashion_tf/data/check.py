"""Finds the images of a split that cannot be decoded, on all cores, and names them."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from deepfashion_tf.data.boxes import Box, enlarged_box
from deepfashion_tf.data.damage import jpeg_damage
from deepfashion_tf.data.decode import image_fault
from deepfashion_tf.data.headers import image_size, reading_fault
from deepfashion_tf.data.plain import decode_plain, is_plain
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError, printable

_THREADS = 2 * (os.cpu_count() or 1)
_LATER = "while training: "  # begins the faults of images that were sound at the start
_AT_ONCE = 16  # images that one call of the decoder gets


def bad_images(
    split: Split, on_progress: Callable[[int, int], None] | None = None
) -> dict[int, str]:
    """Finds all images of a split that training could not decode.

    Plain images, nearly all, are decoded by the training's own graph, some in a call: a call
    an image costs more than the decoding. What fails there, and what is not plain,
    is judged by `image_fault`.

    Returns:
        row -> what is wrong, which follows on the image's name in a sentence; rows ascend.
    """
    parts = [
        range(start, min(start + _AT_ONCE, len(split))) for start in range(0, len(split), _AT_ONCE)
    ]
    found: dict[int, str] = {}
    pool = ThreadPoolExecutor(_THREADS)
    try:
        judged = pool.map(lambda rows: _judge(split, rows), parts)
        for rows, faults in zip(parts, judged, strict=True):
            found |= faults
            if on_progress:
                on_progress(rows.stop, len(split))
    finally:
        # Ctrl-C does not wait for the images that nobody has begun with.
        pool.shutdown(cancel_futures=True)
    return found


def _judge(split: Split, rows: Sequence[int]) -> dict[int, str]:
    faults: dict[int, str] = {}
    damaged: dict[int, str | None] = {}
    plain: dict[int, tuple[bytes, Box]] = {}
    for row in rows:
        try:
            encoded = split.encoded(row)
        except (OSError, ValueError) as error:
            faults[row] = reading_fault(error)
            continue
        # `is_plain` may be asked only of what has a sound header.
        size = image_size(encoded)
        if isinstance(size, tuple) and not split.accepts_damage:
            damaged[row] = jpeg_damage(encoded)
        if isinstance(size, tuple) and is_plain(encoded):
            box = enlarged_box(split.boxes[row], size, split.padding)
            plain[row] = encoded, box
        elif fault := image_fault(encoded, split.boxes[row], split.padding):
            faults[row] = fault
    if plain:
        images, boxes = zip(*plain.values(), strict=True)
        try:
            _decode_some(tf.constant(images), tf.constant(np.array(boxes, np.int32)))
        except tf.errors.OpError:
            judged = {
                row: image_fault(encoded, split.boxes[row], split.padding)
                for row, (encoded, _) in plain.items()
            }
            faults |= {row: fault for row, fault in judged.items() if fault}
    # What cannot be decoded at all is told as that.
    faults = {row: fault for row, fault in damaged.items() if fault} | faults
    return dict(sorted(faults.items()))


@tf.function(
    autograph=False,
    input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None, 4], tf.int32)],
)
def _decode_some(encoded: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """Decodes images one after the other and gives their heights."""
    return tf.map_fn(
        lambda image: tf.shape(decode_plain(*image))[0],
        (encoded, boxes),
        fn_output_signature=tf.int32,
        parallel_iterations=1,
    )


class BadImages(InputError):
    """Names every image that cannot be used, one a line.

    Attributes:
        found: the splits that have some, each with row -> fault.
    """

    def __init__(
        self,
        found: Sequence[tuple[Split, dict[int, str]]],
        advice: str = "Replace them, or take their rows out of the lists",
    ) -> None:
        self.found = list(found)
        counts = " and ".join(
            f"{len(faults)} of the {len(split)} {split.name} images listed in {split.source}"
            for split, faults in self.found
        )
        lines = [
            f"\n  {printable(str(split.keys[row]))} {printable(fault)}"
            for split, faults in self.found
            for row, fault in faults.items()
        ]
        super().__init__(f"{counts} cannot be used. {advice}:{''.join(lines)}")


def find_bad_images(splits: Sequence[Split]) -> list[tuple[Split, dict[int, str]]]:
    """Returns the splits that have bad images, each with row -> fault."""
    return [(split, faults) for split in splits if (faults := bad_images(split))]


class SkippedImages:
    """The images that a run leaves out, each noted once with the first fault it had.

    Threads may note some. Where there is a file, each is a line of it: key, tab, fault.

    Args:
        path: the file of a run that goes on, which may not exist; None = of a new run.

    Attributes:
        faults: key -> fault.
        dropped_before: the keys that the run has left out from its beginning.
        goes_on: whether it is a run that goes on.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        self.faults = _read_faults(path) if path else {}
        # A run that goes on leaves out the same images as before, and no others.
        self.dropped_before = {k for k, v in self.faults.items() if not v.startswith(_LATER)}
        self.goes_on = path is not None

    def __len__(self) -> int:
        return len(self.faults)

    def note(self, key: str, fault: str) -> None:
        """Adds an image, unless it is there."""
        key, fault = printable(str(key)), printable(fault)
        with self._lock:
            if key not in self.faults:
                self.faults[key] = fault
                self._append({key: fault})

    def note_later(self, key: str, fault: str) -> None:
        """Adds an image that was sound when the training began."""
        self.note(key, f"{_LATER}{fault}")

    def keep_in(self, path: Path) -> None:
        """Writes down what has been noted, and from now on each as it comes."""
        with self._lock:
            self._path = path
            known = _read_faults(path)
            self._append({key: fault for key, fault in self.faults.items() if key not in known})

    def drop(self, split: Split, faults: dict[int, str]) -> Split:
        """Notes the images of some rows, and gives the split without them."""
        for row, fault in faults.items():
            self.note(split.keys[row], fault)
        return split.take(np.setdiff1d(np.arange(len(split)), list(faults)), split.name)

    def drop_again(self, split: Split) -> Split:
        """Returns the split without the images that the run has left out before."""
        keys = [printable(str(key)) for key in split.keys]
        kept = [row for row, key in enumerate(keys) if key not in self.dropped_before]
        return split if len(kept) == len(split) else split.take(np.array(kept), split.name)

    def _append(self, faults: dict[str, str]) -> None:
        if self._path and faults:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(f"{key}\t{fault}\n" for key, fault in faults.items())


def _read_faults(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines if "\t" in line)
