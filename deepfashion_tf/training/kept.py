"""Arrays that are computed once for each image and kept on disk."""

import hashlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import tensorflow as tf

from deepfashion_tf.data.images import normalize
from deepfashion_tf.data.normalization import Normalization
from deepfashion_tf.data.reading import Reader
from deepfashion_tf.data.split import Split
from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import is_disk_full, remove_unfinished, whole_or_nothing
from deepfashion_tf.progress import progress_bar

_SHARD = 512  # images: what an interruption loses, at most
_BATCH = 32


@dataclass(frozen=True)
class Kept:
    """A folder with one array for each image.

    Attributes:
        folder: its name holds the hash of all that decides the arrays, but for the images.
        shape: of one image's array, float32.
        what: the arrays, in words.
    """

    folder: Path
    shape: tuple[int, ...]
    what: str

    def arrays(
        self, split: Split, compute: Callable[[np.ndarray], Iterator[np.ndarray]]
    ) -> np.ndarray:
        """Returns the arrays of a split's images, float32 ``[n, *shape]``.

        An image whose file and box are the same as before is not computed again.

        Args:
            split: the images.
            compute: yields the arrays of some rows, int ``[rows]``, in order.

        Raises:
            InputError: the disk is full.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        names = _names(split)
        # Who comes second waits, and reads what the first has computed.
        with filelock.FileLock(self.folder / ".lock"):
            remove_unfinished(self.folder)
            known = self._known()
            missing = np.array([row for row, name in enumerate(names) if name not in known], int)
            done = len(names) - len(missing)
            doing = f"{'computing' if len(missing) else 'reading'} {split.name} {self.what}"
            with progress_bar(doing, len(names)) as on_progress:
                on_progress(done, len(names))
                computed = compute(missing) if len(missing) else iter(())
                for start in range(0, len(missing), _SHARD):
                    rows = missing[start : start + _SHARD]
                    shard = np.empty((len(rows), *self.shape), np.float32)
                    for place in range(len(rows)):
                        shard[place] = next(computed)
                        done += 1
                        on_progress(done, len(names))
                    shard_names = [names[row] for row in rows]
                    self._keep(shard_names, shard)
                    known |= dict(zip(shard_names, shard, strict=True))
        return np.stack([known[name] for name in names])

    def _known(self) -> dict[str, np.ndarray]:
        """Reads what is kept: name -> array. Files that are damaged are left out."""
        found = {}
        for path in sorted(self.folder.glob("*.npz")):
            try:
                with np.load(path, allow_pickle=False) as shard:
                    names, arrays = shard["names"].tolist(), shard["features"]
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                continue
            if arrays.shape == (len(names), *self.shape) and np.isfinite(arrays).all():
                found |= dict(zip(names, arrays, strict=True))
        return found

    def _keep(self, names: Sequence[str], arrays: np.ndarray) -> None:
        name = hashlib.sha256("".join(names).encode()).hexdigest()[:32]
        try:
            with (
                whole_or_nothing(self.folder / f"{name}.npz") as temporary,
                temporary.open("wb") as file,
            ):
                np.savez(file, names=np.array(names), features=arrays)
        except OSError as error:
            if not is_disk_full(error):
                raise
            raise InputError(
                f"The disk is full: {self.folder} keeps the {self.what} that were computed so "
                f"far. Free some space, or name another folder with --cache; the same command "
                f"goes on."
            ) from error


def normalized_batches(
    reader: Reader, rows: np.ndarray, normalization: Normalization
) -> Iterator[tf.Tensor]:
    """Yields the normalized crops of some rows, in order, batch by batch.

    Args:
        reader: of the crops.
        rows: int ``[n]``.
        normalization: of the network.
    """
    data = tf.data.Dataset.from_tensor_slices((rows.astype(np.int64), np.ones(len(rows), bool)))
    batches = reader.batches(data, lambda items: items.batch(_BATCH))
    return (normalize(images, normalization) for _, images, _ in batches.prefetch(2))


def _names(split: Split) -> list[str]:
    """Names each image by the hash of all that decides its crop, wherever its file lies."""
    return [
        hashlib.sha256(as_json([split.content_hash(row), box, split.padding]).encode()).hexdigest()[
            :32
        ]
        for row, box in enumerate(split.boxes.tolist())
    ]
