"""Features of a frozen backbone, computed once for each image and kept on disk."""

import hashlib
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import filelock
import keras
import numpy as np
import tensorflow as tf

from deepfashion_tf.data.images import Normalization, normalize
from deepfashion_tf.data.reading import AT_ONCE, Batching, Reader
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import is_disk_full, remove_unfinished, whole_or_nothing
from deepfashion_tf.models.attribute_model import backbone_of, feature_extractor
from deepfashion_tf.models.folding import fold_model
from deepfashion_tf.models.variants import layer_name
from deepfashion_tf.models.weights.sources import keras_cache
from deepfashion_tf.progress import progress_bar
from deepfashion_tf.training.config import TrainConfig

_VERSION = 1  # raise it when the same image gets other features
_SHARD = 512  # images: what an interruption loses, at most
_BATCH = 32
VIEWS = 2  # the image and its mirror image


class FeatureReader:
    """Answers with features instead of crops, float32 ``[batch, views, width]``."""

    margin = 0

    def __init__(self, features: np.ndarray) -> None:
        self._features = tf.convert_to_tensor(features)

    def batches(self, rows: tf.data.Dataset, batch: Batching) -> tf.data.Dataset:
        def read(indices: tf.Tensor, *others: tf.Tensor) -> tuple:
            return indices, tf.gather(self._features, indices), *others

        return batch(rows).map(read, num_parallel_calls=AT_ONCE)


@dataclass(frozen=True)
class Extractor:
    """Computes what the heads of a model read, and keeps it on disk.

    Attributes:
        model: as `build_model` makes it, with its weights.
        config: of the run.
        normalization: of the network.
    """

    model: keras.Model
    config: TrainConfig
    normalization: Normalization

    def features(self, split: Split, reader: Reader) -> np.ndarray:
        """Returns the features of a split's images, float32 ``[n, 2, width]``.

        The second view is the mirror image. An image whose file, box and network are the same
        as before is not computed again.

        Args:
            split: the images.
            reader: of their crops, without a margin.

        Raises:
            InputError: the disk is full.
        """
        extract, width = self._extract
        folder = self._folder()
        folder.mkdir(parents=True, exist_ok=True)
        names = _names(split)
        # Who comes second waits, and reads what the first has computed.
        with filelock.FileLock(folder / ".lock"):
            remove_unfinished(folder)
            known = _known(folder, width)
            missing = np.array([row for row, name in enumerate(names) if name not in known], int)
            done = len(names) - len(missing)
            doing = f"{'computing' if done < len(names) else 'reading'} {split.name} features"
            with progress_bar(doing, len(names)) as on_progress:
                on_progress(done, len(names))
                views = None
                if len(missing):
                    views = _views_of(extract, split, reader, missing, self.normalization)
                for start in range(0, len(missing), _SHARD):
                    rows = missing[start : start + _SHARD]
                    shard = np.empty((len(rows), VIEWS, width), np.float32)
                    for place in range(len(rows)):
                        shard[place] = next(views)
                        done += 1
                        on_progress(done, len(names))
                    _keep(folder, [names[row] for row in rows], shard)
            known = _known(folder, width)
        return np.stack([known[name] for name in names])

    @cached_property
    def _extract(self) -> tuple[Callable[[tf.Tensor], tf.Tensor], int]:
        """Compiles the function from images to features of both views; with their width."""
        extractor = fold_model(feature_extractor(self.model))
        shape = tf.TensorSpec((None, *extractor.input_shape[1:]), tf.float32)

        @tf.function(autograph=False, input_signature=[shape])
        def extract(images: tf.Tensor) -> tf.Tensor:
            both = tf.concat([images, tf.reverse(images, axis=[2])], axis=0)
            found = tf.cast(extractor(both, training=False), tf.float32)
            return tf.stack(tf.split(found, VIEWS), axis=1)

        return extract, extractor.output_shape[-1]

    def _folder(self) -> Path:
        """Names the folder by the hash of the network and its settings."""
        config = self.config
        settings = [
            *(_VERSION, tf.__version__, keras.__version__, config.variant, config.heads),
            *(config.representation, config.image_size, config.precision),
        ]
        digest = hashlib.sha256(json.dumps(settings).encode())
        for array in backbone_of(self.model).get_weights():
            digest.update(np.ascontiguousarray(array))
        base = config.cache_dir or keras_cache() / "deepfashion_tf-features"
        return base / f"features-{layer_name(config.backbone)}-{digest.hexdigest()[:24]}"


def _names(split: Split) -> list[str]:
    """Names each image by the hash of all that decides its crop, wherever its file lies."""
    return [
        hashlib.sha256(
            json.dumps([split.content_hash(row), box, split.padding]).encode()
        ).hexdigest()[:32]
        for row, box in enumerate(split.boxes.tolist())
    ]


def _known(folder: Path, width: int) -> dict[str, np.ndarray]:
    """Reads what is kept: name -> float32 ``[2, width]``. Files that are damaged are left out."""
    found = {}
    for path in sorted(folder.glob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as shard:
                names, features = shard["names"].tolist(), shard["features"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            continue
        if features.shape == (len(names), VIEWS, width) and np.isfinite(features).all():
            found |= dict(zip(names, features, strict=True))
    return found


def _keep(folder: Path, names: Sequence[str], features: np.ndarray) -> None:
    path = folder / f"{hashlib.sha256(''.join(names).encode()).hexdigest()[:32]}.npz"
    try:
        with whole_or_nothing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, names=np.array(names), features=features)
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise InputError(
            f"The disk is full: {folder} keeps the features that were computed so far. Free some "
            f"space, or name another folder with --cache-dir; the same command goes on."
        ) from error


def _views_of(
    extract, split: Split, reader: Reader, rows: np.ndarray, normalization: Normalization
) -> Iterator[np.ndarray]:
    """Yields the features of some rows in order."""
    data = tf.data.Dataset.from_tensor_slices((rows.astype(np.int64), np.ones(len(rows), bool)))
    batches = reader.batches(data, lambda items: items.batch(_BATCH))
    found = (
        extract(normalize(images, normalization)).numpy() for _, images, _ in batches.prefetch(2)
    )
    return itertools.chain.from_iterable(found)
