"""What happens between the weights and the first step: features, their statistics, first heads."""

from collections.abc import Mapping
from dataclasses import replace

import keras
import numpy as np

from deepfashion_tf.data.augment import Augmentation
from deepfashion_tf.data.check import SkippedImages
from deepfashion_tf.data.normalization import Normalization
from deepfashion_tf.data.reading import Reader
from deepfashion_tf.data.split import Split
from deepfashion_tf.models.attribute_model import WHOLE_BACKBONE
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.schema import UNLABELLED
from deepfashion_tf.training.features import Extractor, FeatureReader
from deepfashion_tf.training.fitting import augmentation_of
from deepfashion_tf.training.probe import Heads, search_heads
from deepfashion_tf.training.readers import plain_reader

# Of the search, where the run itself trains more than the heads.
_EPOCHS, _BATCH_SIZE, _LEARNING_RATE = 30, 32, 1e-2


def prepare(
    model: keras.Model,
    config: TrainConfig,
    normalization: Normalization,
    splits: list[Split],
    readers: list[Reader],
    skipped: SkippedImages,
    targets: Mapping[str, np.ndarray] | None,
    is_begun: bool,
) -> tuple[TrainConfig, list[Reader]]:
    """Measures the features' statistics, finds the first heads, and keeps features if it can.

    Args:
        model: with its weights.
        config: of the run.
        normalization: of the network.
        splits: of training and validation, with the categories that are trained.
        readers: of their crops.
        skipped: what is left out of them.
        targets: soft labels of the training images instead of the split's, if there are some.
        is_begun: a checkpoint holds statistics and heads already.

    Returns:
        The config, with the settings that the search chose where only heads are trained, and
        readers that answer with features there.
    """
    is_probe = config.freeze_stages == WHOLE_BACKBONE and _only_flips(config)
    standardizes = "standardization" in [layer.name for layer in model.layers]
    if not is_probe and (is_begun or not standardizes):
        return config, readers
    extractor = Extractor(model, config, normalization)
    plain = [plain_reader(splits[0], readers[0], config, skipped), readers[1]]
    needs_val = is_probe or config.search_heads
    found = [
        extractor.features(split, reader)
        for split, reader in list(zip(splits, plain, strict=True))[: 1 + needs_val]
    ]
    if standardizes and not is_begun:
        layer = model.get_layer("standardization")
        views = found[0] if config.flip else found[0][:, :1]
        layer.adapt(views.reshape(-1, views.shape[-1]))
        if config.search_heads:
            config = _search(model, config, layer, splits, found, targets, is_probe)
    return config, [FeatureReader(each) for each in found] if is_probe else readers


def _search(
    model: keras.Model,
    config: TrainConfig,
    layer: keras.Layer,
    splits: list[Split],
    features: list[np.ndarray],
    targets: Mapping[str, np.ndarray] | None,
    is_probe: bool,
) -> TrainConfig:
    """Finds weight decay and dropout on the validation images, and reports them."""
    train, val = ((each - layer.mean.numpy()) / layer.deviation.numpy() for each in features)
    schema = splits[0].schema
    found = search_heads(
        schema,
        (train, targets or {category: _shares(splits[0], category) for category in schema}),
        (val, {category: splits[1].labels_of(category) for category in schema}),
        loss_weights={category: config.loss_weights[category] for category in schema},
        epochs=config.epochs if is_probe else _EPOCHS,
        batch_size=config.batch_size if is_probe else _BATCH_SIZE,
        learning_rate=config.learning_rate if is_probe else _LEARNING_RATE,
        flip=config.flip,
        seed=config.seed,
    )
    _report(found, len(splits[1]))
    best = found[0]
    if is_probe:
        for category in schema:
            model.get_layer(f"{category}_dropout").rate = best.dropout
        return replace(config, weight_decay=best.weight_decay, dropout=best.dropout)
    for category in schema:
        model.get_layer(category).set_weights([best.kernels[category], best.biases[category]])
    return config


def _report(found: list[Heads], images: int) -> None:
    best, worst = found[0], found[-1]
    console.print(
        f"Heads on frozen features: {len(found)} settings, validation accuracy "
        f"{worst.mean_accuracy:.4f} to {best.mean_accuracy:.4f} ({images} images). Chosen by it: "
        f"weight decay {best.weight_decay:g}, dropout {best.dropout:g}.",
        soft_wrap=True,
    )


def _shares(split: Split, category: str) -> np.ndarray:
    """Returns labels as shares of the classes, float32 ``[n, classes]``; unlabelled = all 0."""
    labels = split.labels_of(category)
    shares = np.eye(len(split.schema[category]), dtype=np.float32)[np.maximum(labels, 0)]
    shares[labels == UNLABELLED] = 0.0
    return shares


def _only_flips(config: TrainConfig) -> bool:
    plain = replace(augmentation_of(config), flip=True, grow_epochs=0)
    return plain == Augmentation()
