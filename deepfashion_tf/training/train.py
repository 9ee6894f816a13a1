"""Trains one run: `train` reads the data, builds, compiles and fits the model."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import filelock
import numpy as np
import tensorflow as tf

from deepfashion_tf.data.check import BadImages, SkippedImages, find_bad_images
from deepfashion_tf.data.pipeline import steps_per_epoch
from deepfashion_tf.data.reading import Reader
from deepfashion_tf.data.sources import located, open_splits
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import absolute
from deepfashion_tf.interrupts import Termination
from deepfashion_tf.models.attribute_model import copy_values
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import CONFIG_FILE, TrainConfig
from deepfashion_tf.runs.run import BAD_IMAGES_FILE, Run, read_rows
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.schema import Schema
from deepfashion_tf.training import head_start
from deepfashion_tf.training.building import (
    build_initial_model,
    build_optimizer,
)
from deepfashion_tf.training.checkpointing import how_to_go_on
from deepfashion_tf.training.fitting import Job, fit
from deepfashion_tf.training.readers import open_readers, plain_reader
from deepfashion_tf.training.runtime import Runtime, make_runtime
from deepfashion_tf.training.start import prepare
from deepfashion_tf.training.state import (
    METRICS,
    Checkpoints,
    Position,
    RunState,
    fingerprint_of,
    has_checkpoints,
    remove_checkpoints,
)
from deepfashion_tf.training.teacher import taught_labels


@dataclass(frozen=True)
class Trained:
    """What `train` leaves behind.

    Attributes:
        run: the run directory, with config.json, history.csv and model.keras.
        val: the validation split that the best epoch was chosen by.
        interrupted: Ctrl-C ended the training early.
        is_chief: this process has written the run directory.
    """

    run: Run
    val: Split
    interrupted: bool
    is_chief: bool = True


def train(
    config: TrainConfig,
    options: RuntimeOptions | None = None,
    termination: Termination | None = None,
) -> Trained:
    """Trains a model and keeps the best epoch, by validation mean accuracy unless told otherwise.

    After each epoch, and as often as `options` tells, all that the run needs to go on
    is saved. Ctrl-C ends the training; what the epochs so far have given is kept, and
    before the end of the first one the weights as they are.

    Args:
        config: what is computed; of the run itself where ``options.resume`` names one.
        options: how it is carried out; None = the defaults.
        termination: whether SIGTERM came; None = it is not listened to.

    Raises:
        InputError: the data cannot be used, the loss became NaN, or the disk is full.
        BadImages: some images cannot be read; at the start nothing is left behind.
        Terminated: SIGTERM came, and the state is saved.
    """
    options, termination = options or RuntimeOptions(), termination or Termination()
    runtime = make_runtime(options)
    termination.listen()
    runtime.check_batch_size(config.batch_size)
    if runtime.replicas > 1:
        console.print(f"{runtime.describe()}", style="dim")
    # The chief says it for all.
    before = console.quiet
    console.quiet = before or not runtime.is_chief
    try:
        return _train(config, runtime, options, termination)
    except tf.errors.OpError as error:
        raise runtime.explain_loss(error) or error from error
    finally:
        console.quiet = before


def _train_head_start(wanted: TrainConfig, runtime: Runtime, termination: Termination) -> None:
    """Trains on drawings what the run is to begin with, where nobody has done so yet.

    Who is stopped here goes on where it was; who comes second waits.

    Raises:
        InputError: several machines would have to do it together.
        KeyboardInterrupt: Ctrl-C ended it.
    """
    directory = wanted.output_dir
    if head_start.is_ready(wanted):
        return
    if runtime.workers > 1:
        raise InputError(
            f"--weights {head_start.SOURCE} has to be trained first, by one process: start the "
            f"same command once without workers, with another --output-dir, until its own first "
            f"epoch begins, and let all workers see {directory}."
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(directory.with_name(f".{directory.name}.lock")):
        if head_start.is_ready(wanted):
            return
        console.print(
            f"Drawings first: {wanted.wardrobe_images[0]} of them, {wanted.epochs} epochs at "
            f"{wanted.image_size} px. What comes out is kept for all later runs, in {directory}.",
            soft_wrap=True,
        )
        options = RuntimeOptions()
        if (directory / CONFIG_FILE).is_file():
            options = replace(options, resume=directory)
            wanted = replace(TrainConfig.load(directory / CONFIG_FILE), output_dir=directory)
        # Any number of replicas must have a part of each batch.
        replicas = runtime.replicas
        wanted = replace(wanted, batch_size=-(-wanted.batch_size // replicas) * replicas)
        how = "What the drawings have taught is saved: the same command goes on."
        if _train(wanted, runtime, options, termination, how).interrupted:
            raise KeyboardInterrupt
        termination.sentence = Termination().sentence
        remove_checkpoints(directory)
        head_start.keep(wanted)


def _train(
    config: TrainConfig,
    runtime: Runtime,
    options: RuntimeOptions,
    termination: Termination,
    how_on: str | None = None,
) -> Trained:
    """Does what `train` says; `how_on` = how to go on after SIGTERM, if not by ``--resume``."""
    if not options.resume:
        Run.check_output(config)
    known = Run.schema_of(options.resume) if options.resume else None
    # Every image is decoded at the start, which tells all faults at once.
    splits = open_splits(config, ["train", "val"], known, check_images=False)
    schema = splits[0].schema
    config = check_labels(*splits, config.for_schema(schema))
    skipped = SkippedImages(options.resume and options.resume / BAD_IMAGES_FILE)
    for place, fault in splits[0].left_out:
        skipped.note(place, fault)
    (train_split, train_reader), (val_split, val_reader) = open_readers(splits, config, skipped)
    if skipped:
        # The last labelled image of a category may be gone.
        config = check_labels(train_split, val_split, config)
    trained = [category for category in schema if category not in config.untrained]
    splits = [split.select(trained) for split in (train_split, val_split)]
    if config.teacher:
        config = replace(config, teacher=absolute(config.teacher))
    if folder := config.cache_folder:
        config = replace(config, cache=str(absolute(folder)))
    targets = None
    if config.teacher:

        def plain(image_size: int) -> Reader:
            return plain_reader(splits[0], train_reader, config, skipped, image_size)

        targets = taught_labels(config, splits[0], plain)
    config = replace(config, data=located(config))
    if config.weights == head_start.SOURCE and not _is_begun(schema, config, options):
        _train_head_start(head_start.head_start_config(config), runtime, termination)
    readers = [train_reader, val_reader]
    with _begin(schema, config, runtime, options, splits, readers, skipped, targets) as job:
        if runtime.is_chief:
            skipped.keep_in(job.run.bad_images_path)
        termination.sentence = how_on or how_to_go_on(job.start, job.run.directory)
        if job.start.epoch == config.epochs:
            return Trained(job.run, val_split, False, runtime.is_chief)
        try:
            interrupted = fit(job, splits, options, termination, targets)
        except tf.errors.OpError as error:
            if runtime.is_loss(error):
                raise
            found = [] if config.cache != "none" else find_bad_images([train_split, val_split])
            kept = (
                f"What was computed is kept. Replace them, and go on with "
                f"--resume {job.run.directory}"
            )
            raise (BadImages(found, kept) if found else error) from error
    return Trained(job.run, val_split, interrupted, runtime.is_chief)


def _is_begun(schema: Schema, config: TrainConfig, options: RuntimeOptions) -> bool:
    """Whether a run has trained weights of its own, so that it needs no others to begin with.

    Raises:
        InputError: it has lost its checkpoints.
    """
    if not options.resume:
        return False
    if _goes_beyond(config, options):
        return True
    run = Run(options.resume, config, schema)
    return has_checkpoints(options.resume) or run.complete_epochs() > 0


def _goes_beyond(config: TrainConfig, options: RuntimeOptions) -> bool:
    """Whether a run that has ended goes on, and none of the added epochs is done."""
    if not options.resume or not config.first_epochs or has_checkpoints(options.resume):
        return False
    return len(read_rows(options.resume)) == config.first_epochs


def _end_of(run: Run) -> Position:
    """Returns how far a run that has ended has come."""
    rows = read_rows(run.directory)
    values = [row["val_mean_accuracy"] for row in rows]
    best = int(np.nanargmax(values))
    return Position(len(rows), 0, rows, best + 1, values[best])


@contextmanager
def _begin(
    schema: Schema,
    config: TrainConfig,
    runtime: Runtime,
    options: RuntimeOptions,
    splits: list[Split],
    readers: list[Reader],
    skipped: SkippedImages,
    targets: dict[str, np.ndarray] | None,
) -> Iterator[Job]:
    """Makes the run directory, or finds the last checkpoint of the one that is to go on.

    Raises:
        InputError: the directory is taken, another process is training it, or it cannot go on.
    """
    goes_on = options.resume is not None and has_checkpoints(options.resume)
    steps = steps_per_epoch(splits[0], config.batch_size)
    with runtime.scope():
        is_begun = _is_begun(schema, config, options)
        config, model = build_initial_model(schema, config, with_weights=not is_begun)
        goes_beyond = _goes_beyond(config, options)
        if goes_beyond:
            copy_values(Run(options.resume, config, schema).load_model(), model)
    run = Run(config.output_dir or Path(), config, schema)
    # On one device: what it computes is little, and the same in every process.
    config, readers = prepare(
        model, config, run.normalization, splits, readers, skipped, targets, is_begun
    )
    with runtime.scope():
        optimizer = build_optimizer(model, config, steps)
    if not runtime.is_chief:
        run = replace(run, config=config)
    elif options.resume:
        run = Run.reopen(config, schema)
    else:
        run = Run.create(config, schema)
    state = RunState(model, optimizer)
    checkpoints = Checkpoints(run.directory, fingerprint_of(config, splits))
    with checkpoints.locked() if runtime.is_chief else nullcontext():
        if goes_on:
            start, metrics = _restore(run, state, checkpoints)
        elif goes_beyond:
            start, metrics = _end_of(run), {}
            if runtime.is_chief:
                config.save(run.directory / CONFIG_FILE)
        else:
            start, metrics = Position(run.complete_epochs() if options.resume else 0), {}
        runtime.check_agreement(
            {"options or data": checkpoints.fingerprint, "checkpoints": str(start)}
        )
        network = (model, readers, optimizer, steps)
        yield Job(run, runtime, *network, state, checkpoints, start, metrics)


def _restore(
    run: Run, state: RunState, checkpoints: Checkpoints
) -> tuple[Position, dict[str, np.ndarray]]:
    """Puts the last usable checkpoint into the variables.

    Returns:
        Its position, and the metrics of an epoch that it stands in the middle of.

    Raises:
        InputError: no checkpoint is usable, or the best model is gone.
    """
    found = checkpoints.load(state.arrays())
    if not found:
        raise InputError(
            f"None of the checkpoints in {checkpoints.directory} can be used, so {run.directory} "
            f"cannot go on: train anew, with another --output-dir."
        )
    arrays, position = found
    if position.best_epoch is not None and not run.model_path.is_file():
        raise InputError(
            f"{run.model_path}, the best epoch so far, is missing, so {run.directory} cannot go "
            f"on: put it back, or train anew, with another --output-dir."
        )
    state.assign(arrays)
    console.print(f"{run.directory} goes on after {position}.", soft_wrap=True)
    return position, {k: v for k, v in arrays.items() if k.startswith(METRICS)}


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
            f"epoch can be scored: add labels."
        )
    if not any(config.loss_weights[category] for category in known):
        raise InputError(
            f"The loss weights of {', '.join(known)} are all 0, so nothing would be learnt: give "
            f"one of them a weight above 0 with --loss-weights or in the schema."
        )
    untrained = tuple(category for category in train.schema if category not in known)
    if untrained:
        console.print(
            f"No training image is labelled in {', '.join(untrained)}: left out of the "
            f"loss and of the scores; its answers will say that nothing is known.",
            style="yellow",
            soft_wrap=True,
        )
    return replace(config, untrained=untrained)
