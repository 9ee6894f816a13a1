"""The Keras callback that saves a run's state, and ends the training when it is asked to."""

from pathlib import Path

import keras
import numpy as np

from deepfashion_tf.errors import InputError
from deepfashion_tf.interrupts import Interrupt, Terminated, Termination
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.training.callbacks import (
    BestModel,
    HistoryFile,
    StepCounter,
)
from deepfashion_tf.training.disk_full import unless_disk_full
from deepfashion_tf.training.state import (
    Checkpoints,
    Position,
    RunState,
    metric_arrays,
)
from deepfashion_tf.training.trainer import STOP
from deepfashion_tf.usage import command


class Checkpointing(keras.callbacks.Callback):
    """Saves a checkpoint after each epoch, every so many steps, and when the run is to end.

    It stands last in the list: what the others write of an epoch is written when its
    checkpoint is.

    Args:
        counter: the step.
        state: the run's variables.
        checkpoints: where they are saved.
        history: the rows so far.
        best: the best epoch so far.
        options: how often, and what to do when the disk is full.
        interrupt: whether Ctrl-C came.
        termination: whether SIGTERM came.
        is_chief: whether this process is the one that writes.
    """

    def __init__(
        self,
        counter: StepCounter,
        state: RunState,
        checkpoints: Checkpoints,
        history: HistoryFile,
        best: BestModel,
        options: RuntimeOptions,
        interrupt: Interrupt,
        termination: Termination,
        is_chief: bool,
    ) -> None:
        super().__init__()
        self.is_chief = is_chief
        self.counter, self.state, self.checkpoints = counter, state, checkpoints
        self.history, self.best, self.options = history, best, options
        self.interrupt, self.termination = interrupt, termination
        self._metrics: dict[str, np.ndarray] = {}

    def on_train_begin(self, logs=None) -> None:
        # Alone, no worker may leave at once.
        self.termination.unsaved = self.model.watches_stops
        if self.is_chief and not self.checkpoints.files():
            # Going on needs the weights that the run began with, wherever they came from.
            self._save()

    def on_train_batch_begin(self, batch, logs=None) -> None:
        if self._is_asked:
            self.model.ask_to_stop()

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.termination.unsaved = True
        every = self.options.checkpoint_every_steps
        is_due = every and self.counter.step % every == 0
        if self._must_end(logs) or is_due:
            self._metrics = metric_arrays(self.model)
            self._save()
        self._end_if_asked(logs)

    def on_test_begin(self, logs=None) -> None:
        # The validation counts with the same variables.
        self._metrics = metric_arrays(self.model)

    def on_test_batch_begin(self, batch, logs=None) -> None:
        self.on_train_batch_begin(batch)

    def on_test_batch_end(self, batch, logs=None) -> None:
        if self._must_end(logs):
            self._save()
        self._end_if_asked(logs)

    def on_epoch_end(self, epoch, logs=None) -> None:
        self.counter.epoch, self.counter.step, self._metrics = epoch + 1, 0, {}
        self._save()
        if not self.model.watches_stops:
            self._end_if_asked({})

    @property
    def _is_asked(self) -> bool:
        return self.termination.asked or self.interrupt.asked

    def _must_end(self, logs: dict) -> bool:
        """Whether all workers end here: those that watch each other go by what all know."""
        if self.model.watches_stops:
            return bool(np.any(logs[STOP]))
        return self._is_asked

    def _end_if_asked(self, logs: dict) -> None:
        if not self._must_end(logs):
            return
        if self.interrupt.asked:
            raise KeyboardInterrupt
        raise Terminated(f"SIGTERM: {self.termination.sentence}")

    def _save(self) -> None:
        position = Position(
            epoch=self.counter.epoch,
            step=self.counter.step,
            rows=self.history.rows,
            best_epoch=self.best.epoch,
            best_value=self.best.value,
        )
        if not self.is_chief:
            self.termination.sentence = f"the chief saves {position}."
            return
        arrays = self.state.arrays()
        broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
        if broken and (position.epoch or position.step):
            raise InputError(
                f"After {position}, {len(broken)} of {len(arrays)} weights are no longer numbers, "
                f"{broken[0]} the first: train again with a lower --learning-rate; the checkpoint "
                f"before it is kept."
            )
        with unless_disk_full(self.options, self.checkpoints.directory, f"the state {position}"):
            self.checkpoints.save({**arrays, **self._metrics}, position)
            self.termination.unsaved = self.model.watches_stops
            self.termination.sentence = how_to_go_on(position, self.checkpoints.directory.parent)


def how_to_go_on(position: Position, run: Path) -> str:
    """Returns where a run stands and with which command it goes on."""
    return f"{position} is saved. To go on: {command('train')} --resume {run}"
