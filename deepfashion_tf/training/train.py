"""Trains one run: `train` reads the data, builds, compiles and fits the model."""

from dataclasses import dataclass

import keras
import tensorflow as tf

from deepfashion_tf.categories import CATEGORIES
from deepfashion_tf.data.annotations import Split
from deepfashion_tf.data.pipeline import (
    Reader,
    cached_reader,
    evaluation_dataset,
    explain_unreadable,
    file_reader,
    steps_per_epoch,
    training_dataset,
)
from deepfashion_tf.data.sources import read_source
from deepfashion_tf.models.attribute_model import build_model
from deepfashion_tf.progress import progress_bar
from deepfashion_tf.training.callbacks import BestModel, EpochLines, HistoryFile, StopOnNaN
from deepfashion_tf.training.config import TrainConfig
from deepfashion_tf.training.losses import FocalLoss, check_categories
from deepfashion_tf.training.metrics import category_metrics
from deepfashion_tf.training.optimizers import FusedAdam
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
    """
    keras.utils.set_random_seed(config.seed)
    train_split, val_split = (read_source(config, split) for split in ("train", "val"))
    train_reader, val_reader = (_reader(split, config) for split in (train_split, val_split))
    run = Run.create(config)
    train_data = training_dataset(
        train_split,
        train_reader,
        run.normalization,
        batch_size=config.batch_size,
        epochs=config.epochs,
        seed=config.seed,
        flip=config.flip,
        jitter_amount=config.jitter,
    )
    val_data = evaluation_dataset(
        val_split, val_reader, run.normalization, batch_size=config.batch_size
    )
    steps = steps_per_epoch(train_split, config.batch_size)
    model = build_model(
        config.backbone,
        image_size=config.image_size,
        representation=config.representation,
        fc_layers=config.fc_layers,
        dropout=config.dropout,
    )
    trainer = compile_model(model, config, steps)
    best = BestModel(run, model)
    callbacks = [
        StopOnNaN(config),
        HistoryFile(run.directory / "history.csv", config.loss_weights),
        best,
        EpochLines(config.epochs, steps, len(train_split), best),
    ]
    interrupted = False
    try:
        trainer.fit(
            train_data,
            epochs=config.epochs,
            steps_per_epoch=steps,
            validation_data=val_data,
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
    except KeyboardInterrupt:
        interrupted = True
        callbacks[-1].close()
    except tf.errors.OpError as error:
        callbacks[-1].close()
        raise explain_unreadable(train_split) or explain_unreadable(val_split) or error from error
    if not best.is_saved:
        best.save()
    return Trained(run, val_split, interrupted)


def compile_model(model: keras.Model, config: TrainConfig, steps: int) -> keras.Model:
    """Compiles a model for training: one loss, one weight, two metrics a category.

    Args:
        model: six outputs named by category. It stays uncompiled, so that saving
            it leaves the optimizer's state out.
        config: loss, weights, learning rate and schedule.
        steps: steps of one epoch, for the schedule.

    Returns:
        A compiled model that shares all layers with `model`.
    """
    gamma = config.gamma if config.loss == "focal" else 0.0
    losses = {category: FocalLoss(gamma, config.alpha_of(category)) for category in CATEGORIES}
    check_categories("the model's outputs", dict.fromkeys(model.output_names))
    check_categories("loss_weights", config.loss_weights)
    learning_rate = config.learning_rate
    if config.schedule == "cosine":
        learning_rate = keras.optimizers.schedules.CosineDecay(
            config.learning_rate, decay_steps=config.epochs * steps
        )
    optimizer = FusedAdam(learning_rate)
    # Built outside the traced step, its variables are not initialized inside it.
    optimizer.build(model.trainable_variables)
    outputs = {category: model.get_layer(category).output for category in CATEGORIES}
    trainer = keras.Model(model.inputs, outputs)
    trainer.compile(
        optimizer=optimizer,
        loss=losses,
        loss_weights={category: config.loss_weights[category] for category in CATEGORIES},
        metrics=category_metrics(losses),
    )
    return trainer


def _reader(split: Split, config: TrainConfig) -> Reader:
    if not config.cache:
        return file_reader(split, config.image_size)
    with progress_bar(f"reading {split.name} images", len(split)) as on_progress:
        return cached_reader(split, config.image_size, on_progress)
