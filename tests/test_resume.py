"""Runs that end at every kind of moment, and go on: to the same end, bit for bit."""

import csv
import dataclasses
import errno
import json
import os
import shutil
import signal

import numpy as np
import pytest
from conftest import make_tiny, small_config, write_lines
from safetensors.numpy import load_file

from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.finish import finish_run
from deepfashion_tf.interrupts import Terminated, Termination
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.options import parse_command
from deepfashion_tf.runs.run import Run, read_rows
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.schema import Category, Schema
from deepfashion_tf.training import callbacks
from deepfashion_tf.training.building import build_initial_model
from deepfashion_tf.training.callbacks import StepCounter
from deepfashion_tf.training.state import Checkpoints, has_checkpoints
from deepfashion_tf.training.train import train


def config_of(data, folder) -> TrainConfig:
    """Three steps an epoch; all that is drawn or remembered."""
    return small_config(
        data,
        folder,
        batch_size=16,
        epochs=3,
        jitter=1.0,
        box_padding=0.1,
        erase=0.5,
        weight_decay=0.01,
        warmup_epochs=0.5,
        schedule="cosine",
        image_size=40,
    )


@pytest.fixture
def config(wardrobe, tmp_path, tiny) -> TrainConfig:
    return config_of(wardrobe, tmp_path)


@pytest.fixture(scope="module")
def expected(wardrobe, tmp_path_factory):
    """The same run, which nobody has stopped: its rows and its last checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        make_tiny(patch)
        return ends_of(train(config_of(wardrobe, tmp_path_factory.mktemp("runs"))).run)


def ends_of(run: Run) -> tuple[list[dict], dict[str, np.ndarray]]:
    with (run.directory / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    checkpoints = Checkpoints(run.directory, "")
    (path, *_) = checkpoints.files()
    assert path.name.startswith("epoch-000003-step-00000000")
    arrays = load_file(path)
    best = {f"best/{i:05}": np.asarray(v) for i, v in enumerate(run.load_model().weights)}
    return rows, {**arrays, **best}


def resume(config: TrainConfig) -> Run:
    saved = TrainConfig.load(config.output_dir / "config.json")
    saved = dataclasses.replace(saved, output_dir=config.output_dir)
    return train(saved, RuntimeOptions(resume=config.output_dir)).run


def assert_same(ours, theirs) -> None:
    assert ours[0] == theirs[0]
    assert ours[1].keys() == theirs[1].keys()
    for name, array in ours[1].items():
        np.testing.assert_array_equal(array, theirs[1][name], err_msg=name)


def when(monkeypatch, method: str, epoch: int, step: int, action) -> None:
    """Does something once, when a callback's method is reached at a step."""
    before = getattr(StepCounter, method)
    done = []

    def reached(self, *args, **options):
        before(self, *args, **options)
        if (self.epoch, self.step) == (epoch, step) and not done:
            done.append(True)
            action()

    monkeypatch.setattr(StepCounter, method, reached)


@pytest.mark.slow
@pytest.mark.parametrize(("epoch", "step"), [(0, 3), (2, 2)])
def test_after_ctrl_c(config, expected, monkeypatch, epoch, step):
    when(
        monkeypatch,
        "on_train_batch_end",
        epoch,
        step,
        lambda: os.kill(os.getpid(), signal.SIGINT),
    )
    assert train(config).interrupted
    assert_same(ends_of(resume(config)), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "epoch", "step"),
    [("on_test_batch_end", 0, 3)],
)
def test_after_sigterm(config, expected, monkeypatch, method, epoch, step):
    """While training, and while an epoch is validated."""
    termination = Termination()
    when(monkeypatch, method, epoch, step, lambda: setattr(termination, "asked", True))
    with pytest.raises(Terminated, match=rf"epoch {epoch + 1}, step {step} is saved.*--resume"):
        train(config, termination=termination)
    assert not termination.unsaved
    assert_same(ends_of(resume(config)), expected)


@pytest.mark.slow
def test_after_a_crash_the_checkpoint_before_it_is_used(config, expected, monkeypatch):
    """Every two steps there is one; the crash comes at a third, and the last file is cut off."""

    def crash():
        raise MemoryError

    when(monkeypatch, "on_train_batch_end", 1, 3, crash)
    with pytest.raises(MemoryError):
        train(config, RuntimeOptions(checkpoint_every_steps=1))
    last, before = Checkpoints(config.output_dir, "").files()
    assert (last.name[:27], before.name[:27]) == (
        "epoch-000001-step-00000002.",
        "epoch-000001-step-00000001.",
    )
    last.write_bytes(last.read_bytes()[:-1])
    assert_same(ends_of(resume(config)), expected)


@pytest.mark.slow
def test_a_run_that_is_complete_is_not_trained_again(config, expected):
    train(config)
    assert_same(ends_of(resume(config)), expected)


@pytest.mark.slow
def test_other_data_are_not_gone_on_with(config, tmp_path, monkeypatch):
    data = shutil.copytree(config.data, tmp_path / "data")
    config = dataclasses.replace(config, data=str(data))
    when(monkeypatch, "on_epoch_begin", 1, 0, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert train(config).interrupted
    labels = data / "split" / "train_attr.txt"
    first, *others = labels.read_text().splitlines()
    write_lines(labels, ["0 0 0 0 0 0" if first != "0 0 0 0 0 0" else "1 1 1 1 1 1", *others])
    with pytest.raises(InputError, match="of other options or of other data"):
        resume(config)


def fail_at(monkeypatch, owner, method: str, call: int) -> None:
    """Makes the disk full at one call of a method."""
    write = getattr(owner, method)
    calls = []

    def full(self, *args, **options):
        calls.append(1)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "checkpoint")
        return write(self, *args, **options)

    monkeypatch.setattr(owner, method, full)


@pytest.mark.slow
def test_a_full_disk_at_a_checkpoint_stops_with_the_last_good_one_kept(
    config, expected, monkeypatch
):
    """The first is that of the beginning, the third that after the second epoch."""
    with monkeypatch.context() as patch:
        fail_at(patch, Checkpoints, "save", call=3)
        with pytest.raises(InputError, match=r"disk is full.*epoch 2.*--resume \S+run"):
            train(config)
    assert has_checkpoints(config.output_dir)
    assert_same(ends_of(resume(config)), expected)


@pytest.mark.slow
def test_a_full_disk_at_a_checkpoint_is_told_and_gone_past_if_asked_for(
    config, expected, monkeypatch, capsys
):
    fail_at(monkeypatch, Checkpoints, "save", call=3)
    run = train(config, RuntimeOptions(on_full_disk="continue")).run
    assert "The disk is full: the state epoch 2" in " ".join(capsys.readouterr().out.split())
    assert_same(ends_of(run), expected)


@pytest.mark.slow
def test_a_best_model_that_found_no_space_is_not_taken_for_saved(config, monkeypatch):
    """Epoch 2 is the best; the disk has space again at epoch 3, which beats what is on it."""
    values = iter([0.1, 0.9, 0.5])
    row = callbacks.history_row
    given = lambda *args: row(*args) | {"val_mean_accuracy": next(values)}  # noqa: E731
    monkeypatch.setattr(callbacks, "history_row", given)
    fail_at(monkeypatch, Run, "save_model", call=2)
    run = train(config, RuntimeOptions(on_full_disk="continue")).run
    arrays = ends_of(run)[1]
    # The model on the disk is that of the last epoch: the weights of the last checkpoint.
    for index, variable in enumerate(run.load_model().variables):
        name = next(n for n in arrays if n.startswith(f"model/{index:05}/"))
        if not name.endswith("state"):  # of dropout: a loaded model draws anew
            np.testing.assert_array_equal(arrays[name], variable)


def plain_run(wardrobe, folder, **options) -> Run:
    config = small_config(
        wardrobe, folder, epochs=2, image_size=32, schedule="cosine", heads="attention", **options
    )
    result = train(config)
    finish_run(result.run, result.val)
    return result.run


@pytest.mark.slow
def test_a_run_that_has_ended_goes_on_for_more_epochs(wardrobe, tmp_path, tiny):
    # So slow that validation shows which weights it goes on from.
    run = plain_run(wardrobe, tmp_path, learning_rate=1e-9, freeze_batch_norm=True)
    assert not has_checkpoints(run.directory)
    before = read_rows(run.directory)
    args = ["--resume", str(run.directory), "--epochs", "4"]
    command = parse_command("", args)
    assert (command.config.epochs, command.config.first_epochs) == (4, 2)
    result = train(command.config, command.options)
    rows = read_rows(run.directory)
    assert rows[:2] == before and [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[2]["val_loss"] == pytest.approx(before[1]["val_loss"], rel=1e-4)
    finish_run(result.run, result.val)
    saved = TrainConfig.load(run.directory / "config.json")
    assert (saved.epochs, saved.first_epochs) == (4, 2)
    best = max(row["val_mean_accuracy"] for row in rows)
    assert result.run.directory == run.directory
    assert json.loads((run.directory / "metrics.json").read_text())["mean_accuracy"] == (
        pytest.approx(best, abs=1e-6)
    )
    # Once more without a number: it is complete.
    again = train(parse_command("", args[:2]).config, RuntimeOptions(resume=run.directory))
    assert read_rows(again.run.directory) == rows


@pytest.mark.slow
def test_fewer_epochs_than_a_run_has_are_refused(wardrobe, tmp_path, tiny):
    run = plain_run(wardrobe, tmp_path)
    with pytest.raises(InputError, match="cannot go on with --epochs 1"):
        parse_command("", ["--resume", str(run.directory), "--epochs", "1"])


@pytest.mark.slow
def test_weights_of_a_run_bring_its_heads(wardrobe, tmp_path, tiny, capsys):
    """Of the categories with equal attributes; the folder and the file mean the same."""
    run = plain_run(wardrobe, tmp_path)
    known = run.load_model()
    schema = Schema(
        (
            *run.schema.categories[:2],
            Category("fit", ("tight", "loose")),
            *run.schema.categories[2:4],
        )
    )
    for weights in (run.directory, run.model_path):
        config = dataclasses.replace(run.config, weights=str(weights))
        _, model = build_initial_model(schema, config)
        told = " ".join(capsys.readouterr().out.split())
        assert "with its heads for texture, sleeve, length, neckline" in told
        for category in ("texture", "neckline"):
            for ours, theirs in zip(
                model.get_layer(category).get_weights(),
                known.get_layer(category).get_weights(),
                strict=True,
            ):
                np.testing.assert_array_equal(ours, theirs)
        assert model.get_layer("fit").get_weights()[0].shape[-1] == 2
