"""Trains one run: `train` reads the data, builds, compiles and fits the model."""

from dataclasses import dataclass, replace
from itertools import pairwise

import keras
import tensorflow as tf

from deepfashion_tf.data.check import BadImages, SkippedImages, find_bad_images
from deepfashion_tf.data.pipeline import (
    evaluation_dataset,
    steps_per_epoch,
    training_dataset,
)
from deepfashion_tf.data.sources import located, open_splits
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError
from deepfashion_tf.models.attribute_model import build_model
from deepfashion_tf.models.variants import BACKBONES
from deepfashion_tf.models.weights import find_weights, load_weights
from deepfashion_tf.progress import console
from deepfashion_tf.schema import Schema
from deepfashion_tf.training.callbacks import (
    BestModel,
    EpochLines,
    HistoryFile,
    StopOnInterrupt,
    StopOnNaN,
)
from deepfashion_tf.training.config import TrainConfig
from deepfashion_tf.training.losses import FocalLoss
from deepfashion_tf.training.metrics import category_metrics
from deepfashion_tf.training.optimizers import FusedAdam
from deepfashion_tf.training.readers import open_readers
from deepfashion_tf.training.run import Run


@dataclass(frozen=True)
class Trained:
    """What `train` leaves behind.

    Attributes:
        run: the run directory, with config.json, history.csv and model.keras.
        val: the validation split that the best epoch was chosen by.
        interrupted: Ctrl-C ended the training early.
    """

    run: Run
    val: Split
    interrupted: bool


def train(config: TrainConfig) -> Trained:
    """Trains a model and keeps the best epoch by validation mean accuracy.

    Ctrl-C ends the training; what the epochs so far have given is kept, and before
    the end of the first one the weights as they are.

    Raises:
        InputError: the data cannot be used, or the loss became NaN.
        BadImages: some images cannot be read; at the start nothing is left behind.
    """
    Run.check_output(config)
    # Where every image is decoded at the start, that tells all faults at once.
    headers = config.on_bad_image == "error" and not (config.cache or config.check_images)
    splits = open_splits(config, ["train", "val"], check_images=headers)
    train_split, val_split = splits
    schema = train_split.schema
    config = check_labels(train_split, val_split, config.for_schema(schema))
    skipped = SkippedImages()
    (train_split, train_reader), (val_split, val_reader) = open_readers(splits, config, skipped)
    if skipped:
        # The last labelled image of a category may be gone.
        config = check_labels(train_split, val_split, config)
    config, model = build_initial_model(schema, replace(config, **located(config)))
    trained = [category for category in schema if category not in config.untrained]
    splits = [split.select(trained) for split in (train_split, val_split)]
    run = Run.create(config, schema)
    skipped.keep_in(run.bad_images_path)
    val_data = evaluation_dataset(
        splits[1], val_reader, run.normalization, batch_size=config.batch_size
    )
    steps = steps_per_epoch(train_split, config.batch_size)
    optimizer = build_optimizer(model, config, steps)
    best = BestModel(run, model)
    lines = EpochLines(config, steps, len(train_split), best)
    loss_weights = {category: config.loss_weights[category] for category in trained}
    history = HistoryFile(run.directory / "history.csv", schema, loss_weights)
    interrupted = False
    try:
        with StopOnInterrupt() as stop:
            for first, last in phases(config):
                model.get_layer(config.backbone).trainable = first >= config.freeze_epochs
                compile_model(splits[0].schema, model, config, optimizer).fit(
                    training_dataset(
                        splits[0],
                        train_reader,
                        run.normalization,
                        batch_size=config.batch_size,
                        first_epoch=first,
                        epochs=last,
                        seed=config.seed,
                        flip=config.flip,
                        jitter_amount=config.jitter,
                    ),
                    initial_epoch=first,
                    epochs=last,
                    steps_per_epoch=steps,
                    validation_data=val_data,
                    callbacks=[history, StopOnNaN(config), best, lines, stop],
                    shuffle=False,
                    verbose=0,
                )
    except KeyboardInterrupt:
        interrupted = True
    except tf.errors.OpError as error:
        found = [] if config.cache else find_bad_images([train_split, val_split])
        kept = f"What earlier epochs gave is kept in {run.directory}; replace them and train again"
        raise (BadImages(found, kept) if found else error) from error
    finally:
        lines.close()
    if not best.is_saved:
        best.save()
    return Trained(run, val_split, interrupted)


def check_labels(train: Split, val: Split, config: TrainConfig) -> TrainConfig:
    """Finds out what can be learnt, and says which categories nobody has labelled.

    Returns:
        The config, now with the categories that no training image is labelled in.

    Raises:
        InputError: nothing can be learnt, or nothing of it could be measured.
    """
    known = train.labelled_categories()
    if not known:
        raise InputError(
            f"No image of {train.name} ({train.source}) is labelled in any category, so there is "
            f"nothing to learn: add labels."
        )
    if not set(known) & set(val.labelled_categories()):
        raise InputError(
            f"No image of {val.name} ({val.source}) is labelled in {', '.join(known)}, so no "
            f"epoch can be told from another: add labels."
        )
    if not any(config.loss_weights[category] for category in known):
        raise InputError(
            f"The loss weights of {', '.join(known)} are all 0, so nothing would be learnt: give "
            f"one of them a weight above 0 with --loss-weights or in the schema."
        )
    untrained = tuple(category for category in train.schema if category not in known)
    if untrained:
        console.print(
            f"[yellow]No training image is labelled in {', '.join(untrained)}: left out of the "
            f"loss and of the scores; its answers will say that nothing is known.[/yellow]",
            soft_wrap=True,
        )
    return replace(config, untrained=untrained)


def build_initial_model(schema: Schema, config: TrainConfig) -> tuple[TrainConfig, keras.Model]:
    """Builds the model and loads the weights that the config names; the rest is drawn by seed.

    Returns:
        The config, now with the weights' source, variant and hash, and the model.

    Raises:
        InputError: the weights cannot be found, read or fitted, or have another hash.
    """
    source = config.weights
    if source is None:
        source = "none" if config.is_wardrobe else "imagenet"
    weights = None
    if source != "none":
        weights = find_weights(
            source, config.backbone, variant=config.variant, offline=config.offline
        )
        sha256 = weights.file.sha256
        if config.weights_sha256 not in (None, sha256):
            raise InputError(
                f"{weights.file.path} has the SHA-256 {sha256}, but --weights-sha256 is "
                f"{config.weights_sha256}: this is another file than the one that was meant."
            )
        config = replace(config, variant=weights.variant, weights_sha256=sha256)
    config = replace(config, weights=source, variant=config.variant or BACKBONES[config.backbone])
    keras.utils.set_random_seed(config.seed)
    model = build_model(
        schema,
        config.backbone,
        image_size=config.image_size,
        representation=config.representation,
        fc_layers=config.fc_layers,
        dropout=config.dropout,
        variant=config.variant,
        freeze_batch_norm=config.freeze_batch_norm,
        untrained=config.untrained,
    )
    if weights:
        load_weights(weights, model.get_layer(config.backbone))
        console.print(
            f"[dim]weights: {weights.file.path} for {config.variant}[/dim]", soft_wrap=True
        )
    return config, model


def phases(config: TrainConfig) -> list[tuple[int, int]]:
    """Splits the epochs ``[first, last)`` where the backbone begins to be trained."""
    edges = sorted({0, config.freeze_epochs, config.epochs})
    return list(pairwise(edges))


def build_optimizer(model: keras.Model, config: TrainConfig, steps: int) -> FusedAdam:
    """Builds Adam for all weights of a model, those that are frozen at first included.

    Args:
        model: has a layer named as the backbone.
        config: learning rate, schedule, and how the backbone is treated.
        steps: steps of one epoch.
    """
    learning_rate = config.learning_rate
    if config.schedule == "cosine":
        learning_rate = keras.optimizers.schedules.CosineDecay(
            config.learning_rate, decay_steps=config.epochs * steps
        )
    optimizer = FusedAdam(learning_rate)
    # Built outside the traced step, its variables are not initialized inside it.
    optimizer.build(model.trainable_variables)
    optimizer.treat(
        model.get_layer(config.backbone).trainable_variables,
        scale=config.backbone_lr_scale,
        first_step=config.freeze_epochs * steps,
    )
    return optimizer


def compile_model(
    schema: Schema, model: keras.Model, config: TrainConfig, optimizer: keras.optimizers.Optimizer
) -> keras.Model:
    """Compiles a model for training: one loss, one weight, two metrics a category.

    Args:
        schema: the categories to train.
        model: has outputs named by category. It stays uncompiled, so that saving
            it leaves the optimizer's state out.
        config: losses and their weights.
        optimizer: built for all weights; those that are trainable now are trained.

    Returns:
        A compiled model that shares all layers with `model`.
    """
    gamma = config.gamma if config.loss == "focal" else 0.0
    losses = {category: FocalLoss(gamma, config.alpha_of(schema, category)) for category in schema}
    outputs = {category: model.get_layer(category).output for category in schema}
    trainer = keras.Model(model.inputs, outputs)
    schema.check("the model's outputs", dict.fromkeys(trainer.output_names))
    trainer.compile(
        optimizer=optimizer,
        loss=losses,
        loss_weights={category: config.loss_weights[category] for category in schema},
        metrics=category_metrics(losses),
    )
    return trainer
