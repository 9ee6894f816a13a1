"""Keras callbacks: history, best model, the lines in the terminal, the NaN stop."""

import csv
import io
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import keras
import numpy as np
from rich.text import Text

from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.files import write_atomically
from deepfashion_tf.models.attribute_model import copy_values, final_form
from deepfashion_tf.progress import console, make_progress
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.run import Run
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.schema import Schema
from deepfashion_tf.training.disk_full import unless_disk_full
from deepfashion_tf.training.state import Position, assign_metrics


def history_columns(schema: Schema) -> list[str]:
    """Lists the columns of history.csv."""
    return [
        *("epoch", "loss", "val_loss"),
        *(f"{category}_loss" for category in schema),
        *(f"{category}_accuracy" for category in schema),
        *(f"val_{category}_loss" for category in schema),
        *(f"val_{category}_accuracy" for category in schema),
        *("mean_accuracy", "val_mean_accuracy", "mean_class_recall", "val_mean_class_recall"),
    ]


def history_row(
    epoch: int, logs: dict[str, float], loss_weights: dict[str, float], schema: Schema
) -> dict:
    """Turns Keras' logs of an epoch into a row of history.csv.

    Losses and accuracies are means over the labelled examples of the epoch; a
    category without any is NaN, and stays out of the total loss and of the mean
    accuracy.

    Args:
        epoch: counted from 1.
        logs: what Keras hands to ``on_epoch_end``.
        loss_weights: weight of each category that is trained, in ``loss`` and ``val_loss``.
        schema: says which categories count as one in the mean accuracy.
    """
    row = {"epoch": epoch}
    for prefix in ("", "val_"):
        losses = {c: _log(logs, prefix, c, "labelled_loss") for c in loss_weights}
        accuracies = {c: _log(logs, prefix, c, "accuracy") for c in loss_weights}
        weighted = [loss_weights[c] * losses[c] for c in loss_weights if accuracies[c] >= 0]
        row[f"{prefix}loss"] = sum(weighted)
        row[f"{prefix}mean_accuracy"] = schema.group_mean(accuracies)
        row[f"{prefix}mean_class_recall"] = _mean_class_recall(logs, prefix, loss_weights)
        row |= {f"{prefix}{c}_loss": value for c, value in losses.items()}
        row |= {f"{prefix}{c}_accuracy": value for c, value in accuracies.items()}
    return row


def _log(logs: dict[str, float], prefix: str, category: str, kind: str) -> float:
    # Of a single output Keras leaves the name out.
    single = f"{prefix}{kind}"
    return float(logs[single if single in logs else f"{prefix}{category}_{kind}"])


def _mean_class_recall(logs: dict[str, float], prefix: str, categories: Iterable[str]) -> float:
    """Means the recalls of all attributes that some image has, of all categories together."""
    recalls = {c: _log(logs, prefix, c, "class_recall") for c in categories}
    seen = {c: _log(logs, prefix, c, "classes_seen") for c in categories}
    total = sum(seen.values())
    known = [recalls[c] * seen[c] for c in recalls if seen[c]]
    return sum(known) / total if total else math.nan


class HistoryFile(keras.callbacks.Callback):
    """Rewrites history.csv whole after each epoch; a value that nobody can know is left empty.

    Args:
        path: the file; None = another process writes it.
        schema: its columns.
        loss_weights: weight of each category that is trained.
        start: with the rows so far.
        options: what to do when the disk is full.
    """

    def __init__(
        self,
        path: Path | None,
        schema: Schema,
        loss_weights: dict[str, float],
        start: Position,
        options: RuntimeOptions,
    ) -> None:
        super().__init__()
        self.path = path
        self.schema, self.columns = schema, history_columns(schema)
        self.loss_weights = loss_weights
        self.options = options
        self.rows: list[dict] = list(start.rows)

    def on_epoch_end(self, epoch, logs=None) -> None:
        self.rows.append(history_row(epoch + 1, logs, self.loss_weights, self.schema))
        # The other callbacks read the row, not Keras' logs.
        logs["row"] = self.rows[-1]
        if self.path is None:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({k: "" if v != v else v for k, v in row.items()})
        with unless_disk_full(self.options, self.path, f"the row of epoch {epoch + 1}"):
            write_atomically(self.path, text.getvalue())


class BestModel(keras.callbacks.Callback):
    """Saves the model whenever the mean accuracy of validation is higher than ever before.

    Args:
        run: where; None = another process saves it.
        model: what.
        start: with the best epoch so far.
        options: what to do when the disk is full.

    Attributes:
        epoch: the best one so far, counted from 1; None before the end of the first.
        is_saved: whether the best model so far is on disk; Ctrl-C may come in between.
    """

    def __init__(
        self,
        run: Run | None,
        model: keras.Model,
        start: Position,
        options: RuntimeOptions,
    ) -> None:
        super().__init__()
        self.run, self.best, self.options = run, model, options
        self.epoch, self.value = start.best_epoch, start.best_value
        self.is_saved = self.epoch is not None
        self._plain: keras.Model | None = None

    def on_epoch_end(self, epoch, logs=None) -> None:
        value = logs["row"]["val_mean_accuracy"]
        if value > self.value or self.epoch is None:
            before = self.epoch, self.value, self.is_saved
            self.epoch, self.value, self.is_saved = epoch + 1, value, False
            what = f"the model of epoch {epoch + 1}"
            with unless_disk_full(self.options, self.run and self.run.model_path, what):
                self.save()
            if not self.is_saved:
                # The best one is what lies on the disk.
                self.epoch, self.value, self.is_saved = before

    def save(self) -> None:
        """Saves the weights as they are now, in a model that answers in float32."""
        if self.run:
            if self._plain is None:
                self._plain = final_form(self.best)
            elif self._plain is not self.best:
                copy_values(self.best, self._plain)
            self.run.save_model(self._plain)
        self.is_saved = True


class StepCounter(keras.callbacks.Callback):
    """Counts epochs and steps; stands first in the list of callbacks.

    Args:
        start: where this process begins.
        metrics: totals and counts so far of the epoch that `start` stands in.

    Attributes:
        epoch: epochs done.
        step: steps done in the epoch after them.
    """

    def __init__(self, start: Position, metrics: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.start, self.metrics = start, metrics
        self.epoch, self.step = start.epoch, start.step

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self.epoch, self.step = epoch, 0
        if epoch == self.start.epoch and self.start.step:
            self.step = self.start.step
            assign_metrics(self.model, self.metrics)

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.step += 1


class StopOnNaN(keras.callbacks.Callback):
    """Ends a run whose loss is no longer a number.

    Args:
        config: of the run.
        counter: the step.
        files_of: ``(epoch, step) -> names`` of the images of a batch, both counted from 0.
        path: file for these names; None = another process writes it.

    Raises:
        InputError: says at which step, on which images, and what to change.
    """

    def __init__(
        self,
        config: TrainConfig,
        counter: StepCounter,
        files_of: Callable[[int, int], list[str]],
        path: Path | None,
    ) -> None:
        super().__init__()
        self.config, self.counter, self.files_of, self.path = config, counter, files_of, path

    def on_train_batch_end(self, batch, logs=None) -> None:
        if np.isfinite(logs["loss"]).all():
            return
        epoch, step = self.counter.epoch, self.counter.step
        names = self.files_of(epoch, step - 1)
        if self.path:
            write_atomically(self.path, "".join(f"{name}\n" for name in names))
        raise InputError(
            f"The loss is no longer a number at epoch {epoch + 1}, step {step}: {self._advice()} "
            f"The images of that step: {list_some(names, most=3)} ({self.path} has them all)."
        )

    def on_epoch_end(self, epoch, logs=None) -> None:
        if not math.isfinite(logs["row"]["val_loss"]):
            raise InputError(
                f"The validation loss is no longer a number after epoch {epoch + 1}: "
                f"{self._advice()}"
            )

    def _advice(self) -> str:
        return (
            f"train again with a lower --learning-rate (it is {self.config.learning_rate:g}); "
            f"the best epoch before it, and the checkpoint before it, are kept."
        )


class EpochLines(keras.callbacks.Callback):
    """Shows a bar with the time left while training, and prints a line an epoch."""

    def __init__(
        self, config: TrainConfig, steps: int, images: int, best: BestModel, start: Position
    ) -> None:
        super().__init__()
        self.best = best
        self.epochs, self.images_a_step = config.epochs, images / steps
        self.progress = make_progress("steps")
        self.task = self.progress.add_task(
            "", total=self.epochs * steps, completed=start.epoch * steps + start.step, rate=""
        )

    def on_train_begin(self, logs=None) -> None:
        self.progress.start()

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self.began, self.steps, self.losses = time.monotonic(), 0, 0.0
        self.progress.update(self.task, description=f"epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.trained = time.monotonic()
        self.steps += 1
        self.losses += float(np.mean(logs["loss"]))
        speed = self.steps * self.images_a_step / max(self.trained - self.began, 1e-6)
        rate = f"{speed:.0f} images/s, loss {self.losses / self.steps:.2f}"
        self.progress.update(self.task, advance=1, rate=rate)

    def on_epoch_end(self, epoch, logs=None) -> None:
        row = logs["row"]
        rate = ""
        if self.steps:
            seconds = self.trained - self.began
            rate = f"  {self.steps * self.images_a_step / seconds:.1f} images/s"
        mark = "  best" if self.best.epoch == epoch + 1 else ""
        line = (
            f"epoch {epoch + 1:>{len(str(self.epochs))}}/{self.epochs}"
            f"  loss {row['loss']:.3f}  acc {row['mean_accuracy']:.3f}"
            f"  |  val loss {row['val_loss']:.3f}  acc {row['val_mean_accuracy']:.3f}"
            f"  recall {row['val_mean_class_recall']:.3f}"
        )
        console.print(Text.assemble(line, (rate, "dim"), (mark, "green")), soft_wrap=True)

    def on_train_end(self, logs=None) -> None:
        self.close()

    def close(self) -> None:
        """Takes the bar away."""
        self.progress.stop()
