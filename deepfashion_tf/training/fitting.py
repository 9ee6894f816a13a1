"""Fits the model of a run that `train` has begun: its phases, its callbacks, its last epoch."""

from dataclasses import dataclass, fields
from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf

from deepfashion_tf.data.augment import Augmentation
from deepfashion_tf.data.pipeline import (
    batch_rows,
    evaluation_dataset,
    steps_per_epoch,
    training_dataset,
)
from deepfashion_tf.data.reading import Reader
from deepfashion_tf.data.split import Split
from deepfashion_tf.interrupts import Interrupt, Termination
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.run import HISTORY_FILE, Run
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.training.building import compile_model
from deepfashion_tf.training.callbacks import (
    BestModel,
    EpochLines,
    HistoryFile,
    StepCounter,
    StopOnNaN,
)
from deepfashion_tf.training.checkpointing import Checkpointing
from deepfashion_tf.training.features import FeatureReader
from deepfashion_tf.training.runtime import Runtime
from deepfashion_tf.training.state import Checkpoints, Position, RunState


@dataclass(frozen=True)
class Job:
    """A run that is about to be trained, from the beginning or from a checkpoint."""

    run: Run
    runtime: Runtime
    model: keras.Model
    readers: list[Reader]
    optimizer: keras.optimizers.Optimizer
    steps: int
    state: RunState
    checkpoints: Checkpoints
    start: Position
    metrics: dict[str, np.ndarray]


def fit(
    job: Job,
    splits: list[Split],
    options: RuntimeOptions,
    termination: Termination,
    targets: dict[str, np.ndarray] | None,
) -> bool:
    """Trains what is left of the epochs.

    Returns:
        Whether Ctrl-C has ended it.
    """
    config, start = job.run.config, job.start
    readers, share, batch_size = job.readers, job.runtime.share, config.batch_size
    val_data = job.runtime.distribute(
        evaluation_dataset(
            splits[1], readers[1], job.run.normalization, batch_size=batch_size, share=share
        )
    )
    val_steps = steps_per_epoch(splits[1], batch_size)
    with Interrupt() as interrupt:
        callbacks, lines, best = _callbacks(job, splits, options, interrupt, termination)
        try:
            with job.runtime.scope():
                trainer = compile_model(
                    splits[0].schema,
                    job.model,
                    config,
                    job.optimizer,
                    from_features=isinstance(readers[0], FeatureReader),
                )
            if job.runtime.workers > 1:
                trainer.watch_stops()
            for first, last in phases(config, start):
                done = start.step if first == start.epoch else 0
                if done == job.steps:
                    _end_epoch(trainer, first, val_data, val_steps, callbacks)
                    continue
                train_data = _training_data(job, splits[0], (first, done), last, targets)
                trainer.fit(
                    train_data,
                    initial_epoch=first,
                    epochs=last,
                    steps_per_epoch=job.steps - done,
                    validation_data=val_data,
                    validation_steps=val_steps,
                    callbacks=callbacks,
                    shuffle=False,
                    verbose=0,
                )
        except KeyboardInterrupt:
            if not best.is_saved:
                best.save()
            return True
        finally:
            lines.close()
    return False


def _training_data(
    job: Job,
    split: Split,
    start: tuple[int, int],
    epochs: int,
    targets: dict[str, np.ndarray] | None,
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    config = job.run.config
    return job.runtime.distribute(
        training_dataset(
            split,
            job.readers[0],
            job.run.normalization,
            batch_size=config.batch_size,
            start=start,
            epochs=epochs,
            seed=config.seed,
            augmentation=augmentation_of(config),
            targets=targets,
            share=job.runtime.share,
        )
    )


def augmentation_of(config: TrainConfig) -> Augmentation:
    """Returns how a config changes training images; its options have the same names."""
    return Augmentation(
        **{field.name: getattr(config, field.name) for field in fields(Augmentation)}
    )


def _callbacks(
    job: Job,
    splits: list[Split],
    options: RuntimeOptions,
    interrupt: Interrupt,
    termination: Termination,
) -> tuple[list[keras.callbacks.Callback], EpochLines, BestModel]:
    """Makes the callbacks, in the order in which each needs what those before it did."""
    run, config, start = job.run, job.run.config, job.start

    def files_of(epoch: int, step: int) -> list[str]:
        rows = batch_rows(
            splits[0],
            batch_size=config.batch_size,
            seed=config.seed,
            epoch=epoch,
            step=step,
        )
        return [str(splits[0].keys[row]) for row in rows]

    loss_weights = {category: config.loss_weights[category] for category in splits[0].schema}
    counter = StepCounter(start, job.metrics)
    is_chief = job.runtime.is_chief
    path = run.directory / HISTORY_FILE if is_chief else None
    history = HistoryFile(path, run.schema, loss_weights, start, options)
    best = BestModel(run if is_chief else None, job.model, start, options)
    lines = EpochLines(config, job.steps, len(splits[0]), best, start)
    saving = Checkpointing(
        counter,
        job.state,
        job.checkpoints,
        history,
        best,
        options,
        interrupt,
        termination,
        is_chief,
    )
    nan = StopOnNaN(
        config, counter, files_of, run.directory / "nan_batch.txt" if is_chief else None
    )
    return [counter, history, nan, best, lines, saving], lines, best


def _end_epoch(
    trainer: keras.Model,
    epoch: int,
    val_data: tf.data.Dataset | tf.distribute.DistributedDataset,
    val_steps: int,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Does what `fit` does after the last step of an epoch."""
    together = keras.callbacks.CallbackList(callbacks, model=trainer)
    trainer.build_metrics()
    together.on_train_begin()
    together.on_epoch_begin(epoch)
    logs = dict(trainer.get_metrics_result())
    scores = trainer.evaluate(
        val_data, steps=val_steps, callbacks=together, return_dict=True, verbose=0
    )
    together.on_epoch_end(epoch, logs | {f"val_{name}": value for name, value in scores.items()})


def phases(config: TrainConfig, start: Position) -> list[tuple[int, int]]:
    """Splits the epochs ``[first, last)`` that are left into what one `fit` can do.

    The rest of an epoch that `start` stands in the middle of has fewer steps than the others.
    """
    edges = {start.epoch, config.epochs}
    if start.step:
        edges.add(start.epoch + 1)
    return list(pairwise(sorted(edges)))
