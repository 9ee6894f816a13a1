"""Features of a frozen backbone, computed once for each image and kept on disk."""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from deepfashion_tf.data.normalization import Normalization
from deepfashion_tf.data.reading import AT_ONCE, Batching, Reader, as_written
from deepfashion_tf.data.split import Split
from deepfashion_tf.documents import as_json
from deepfashion_tf.models.attribute_model import backbone_of, feature_extractor
from deepfashion_tf.models.folding import fold_model
from deepfashion_tf.models.variants import layer_name
from deepfashion_tf.models.weights.sources import keras_cache
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.training.kept import Kept, normalized_batches

_VERSION = 2  # raise it when the same image gets other features
VIEWS = 2  # the image and its mirror image


class FeatureReader:
    """Answers with features instead of crops, float32 ``[batch, views, width]``."""

    def __init__(self, features: np.ndarray) -> None:
        self._features = tf.convert_to_tensor(features)

    def batches(self, rows: tf.data.Dataset, batch: Batching) -> tf.data.Dataset:
        @as_written
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
            reader: of their crops.

        Raises:
            InputError: the disk is full.
        """
        extract, width = self._extract
        kept = Kept(self._folder(), (VIEWS, width), "features")

        def compute(rows: np.ndarray) -> Iterator[np.ndarray]:
            batches = normalized_batches(reader, rows, self.normalization)
            return itertools.chain.from_iterable(extract(images).numpy() for images in batches)

        return kept.arrays(split, compute)

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
            *(config.image_size, config.precision),
        ]
        digest = hashlib.sha256(as_json(settings).encode())
        for array in backbone_of(self.model).get_weights():
            digest.update(np.ascontiguousarray(array))
        base = config.cache_folder or keras_cache() / "deepfashion_tf-features"
        return base / f"features-{layer_name(config.backbone)}-{digest.hexdigest()[:24]}"
