"""Keras callbacks: the history file, the best model, the lines in the terminal, the NaN stop."""

import csv
import io
import math
import os
import signal
import threading
import time
from pathlib import Path

import keras
import numpy as np

from deepfashion_tf.errors import InputError
from deepfashion_tf.files import write_atomically
from deepfashion_tf.progress import console, make_progress
from deepfashion_tf.schema import Schema
from deepfashion_tf.training.config import TrainConfig
from deepfashion_tf.training.run import Run


def history_columns(schema: Schema) -> list[str]:
    """Lists the columns of history.csv."""
    return [
        *("epoch", "loss", "val_loss"),
        *(f"{category}_loss" for category in schema),
        *(f"{category}_accuracy" for category in schema),
        *(f"val_{category}_loss" for category in schema),
        *(f"val_{category}_accuracy" for category in schema),
        *("mean_accuracy", "val_mean_accuracy"),
    ]


def history_row(epoch: int, logs: dict[str, float], loss_weights: dict[str, float]) -> dict:
    """Turns Keras' logs of an epoch into a row of history.csv.

    Losses and accuracies are means over the labelled examples of the epoch; a
    category without any is NaN, and stays out of the total loss and of the mean
    accuracy.

    Args:
        epoch: counted from 1.
        logs: what Keras hands to ``on_epoch_end``.
        loss_weights: weight of each category that is trained, in ``loss`` and ``val_loss``.
    """
    row = {"epoch": epoch}
    for prefix in ("", "val_"):
        losses = {c: _log(logs, prefix, c, "labelled_loss") for c in loss_weights}
        accuracies = {c: _log(logs, prefix, c, "accuracy") for c in loss_weights}
        weighted = [loss_weights[c] * losses[c] for c in loss_weights if accuracies[c] >= 0]
        row[f"{prefix}loss"] = sum(weighted)
        row[f"{prefix}mean_accuracy"] = _nan_mean(accuracies.values())
        row |= {f"{prefix}{c}_loss": value for c, value in losses.items()}
        row |= {f"{prefix}{c}_accuracy": value for c, value in accuracies.items()}
    return row


def _log(logs: dict[str, float], prefix: str, category: str, kind: str) -> float:
    # Of a single output Keras leaves the name out.
    single = f"{prefix}{kind}"
    return float(logs[single if single in logs else f"{prefix}{category}_{kind}"])


def _nan_mean(values) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


class HistoryFile(keras.callbacks.Callback):
    """Rewrites history.csv whole after each epoch; a value that nobody can know is left empty."""

    def __init__(self, path: Path, schema: Schema, loss_weights: dict[str, float]) -> None:
        super().__init__()
        self.path = path
        self.columns = history_columns(schema)
        self.loss_weights = loss_weights
        self.rows: list[dict] = []

    def on_epoch_end(self, epoch, logs=None) -> None:
        self.rows.append(history_row(epoch + 1, logs, self.loss_weights))
        # The other callbacks read the row, not Keras' logs.
        logs["row"] = self.rows[-1]
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({k: "" if v != v else v for k, v in row.items()})
        write_atomically(self.path, text.getvalue())


class BestModel(keras.callbacks.Callback):
    """Saves the model whenever validation mean accuracy is higher than ever before.

    Attributes:
        epoch: the best one so far, counted from 1; None before the end of the first.
        is_saved: whether the best model so far is on disk; Ctrl-C may come in between.
    """

    def __init__(self, run: Run, model: keras.Model) -> None:
        super().__init__()
        self.run = run
        self.best = model
        self.epoch: int | None = None
        self.value = -math.inf
        self.is_saved = False

    def on_epoch_end(self, epoch, logs=None) -> None:
        value = logs["row"]["val_mean_accuracy"]
        if value > self.value or self.epoch is None:
            self.epoch, self.value, self.is_saved = epoch + 1, value, False
            self.save()

    def save(self) -> None:
        """Saves the weights as they are now."""
        self.run.save_model(self.best)
        self.is_saved = True


class StopOnNaN(keras.callbacks.Callback):
    """Ends a run whose loss is no longer a number.

    Raises:
        InputError: says at which step, and what to change.
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None) -> None:
        if not np.isfinite(logs["loss"]):
            raise InputError(
                f"The loss is no longer a number at epoch {self.epoch}, step {batch + 1}: train "
                f"again with a lower --learning-rate (it is {self.config.learning_rate:g}); "
                f"what earlier epochs gave is kept."
            )

    def on_epoch_end(self, epoch, logs=None) -> None:
        if not math.isfinite(logs["row"]["val_loss"]):
            raise InputError(
                f"The validation loss is no longer a number after epoch {self.epoch}: train again "
                f"with a lower --learning-rate (it is {self.config.learning_rate:g}); what "
                f"earlier epochs gave is kept."
            )


class StopOnInterrupt(keras.callbacks.Callback):
    """Ends the training after the step in which Ctrl-C comes; a second Ctrl-C ends it at once.

    Python loses a KeyboardInterrupt that comes while it is called back from C, as when
    HDF5 writes a model; a note that is read between two steps is not lost. To be used
    as a context around ``fit``.

    Raises:
        KeyboardInterrupt: between two steps.
    """

    def __enter__(self) -> "StopOnInterrupt":
        self.asked = False
        self.before = None
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *exception) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)

    def _note(self, number, frame) -> None:
        self.asked = True
        # rich takes a lock that the interrupted line may hold.
        os.write(2, b"\nCtrl-C: ending after this step; once more ends at once.\n")
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_batch_end(self, batch, logs=None) -> None:
        if self.asked:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None) -> None:
        self.on_train_batch_end(epoch)


class EpochLines(keras.callbacks.Callback):
    """Shows a bar with the time left while training, and prints a line an epoch."""

    def __init__(self, config: TrainConfig, steps: int, images: int, best: BestModel) -> None:
        super().__init__()
        self.config, self.images, self.best = config, images, best
        self.epochs = config.epochs
        self.progress = make_progress("steps")
        self.task = self.progress.add_task("epoch 1", total=self.epochs * steps, rate="")

    def on_train_begin(self, logs=None) -> None:
        self.progress.start()

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self.began = time.monotonic()
        if self.config.freeze_epochs and epoch in (0, self.config.freeze_epochs):
            frozen = epoch < self.config.freeze_epochs
            console.print(
                f"[dim]the backbone is {'frozen' if frozen else 'trained'} from here[/dim]"
            )
        self.progress.update(self.task, description=f"epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.trained = time.monotonic()
        self.progress.update(
            self.task, advance=1, rate=f"[dim]loss[/dim] {float(logs['loss']):.3f}"
        )

    def on_epoch_end(self, epoch, logs=None) -> None:
        row = logs["row"]
        rate = self.images / (self.trained - self.began)
        mark = "  [green]best[/green]" if self.best.epoch == epoch + 1 else ""
        console.print(
            f"epoch {epoch + 1:>{len(str(self.epochs))}}/{self.epochs}"
            f"  loss {row['loss']:.3f}  acc {row['mean_accuracy']:.3f}"
            f"  [dim]|[/dim]  val loss {row['val_loss']:.3f}  acc {row['val_mean_accuracy']:.3f}"
            f"  [dim]{rate:.0f} images/s[/dim]{mark}",
            soft_wrap=True,
        )

    def on_train_end(self, logs=None) -> None:
        self.close()

    def close(self) -> None:
        """Takes the bar away."""
        self.progress.stop()
