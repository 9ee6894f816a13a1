"""Training on a data set with bad images: none is made of them, or they stay out, as one asked."""

import csv
import dataclasses
import os
import signal
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import small_config, write_lines

from deepfashion_tf.data.augment import Augmentation
from deepfashion_tf.data.check import BadImages
from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.normalization import NORMALIZATIONS
from deepfashion_tf.data.pipeline import evaluation_dataset, training_dataset
from deepfashion_tf.data.reading import DirectReader, SkippingReader
from deepfashion_tf.data.split import SPLITS
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.evaluate import evaluate
from deepfashion_tf.evaluation.finish import finish_run
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.run import Run
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.schema import Schema
from deepfashion_tf.training import building
from deepfashion_tf.training.callbacks import EpochLines, StopOnNaN
from deepfashion_tf.training.train import Trained, train

TORCH = NORMALIZATIONS["torch"]
TRAIN = {1: b"", 2: b"this is text", 4: None}  # numbers of images -> what becomes of them
VAL = {9: None}
UNREADABLE = "is not a readable image"


@pytest.fixture(params=["memory", "none", "on disk"])
def config(request, challenge, tmp_path, tiny) -> TrainConfig:
    cache = str(tmp_path / "crops") if request.param == "on disk" else request.param
    return small_config(challenge, tmp_path, batch_size=2, epochs=2, cache=cache)


def image(config: TrainConfig, number: int) -> Path:
    return Path(config.data) / "img" / f"{number:05d}.jpg"


def damage(config: TrainConfig) -> None:
    """Breaks three training images and one for validation, and puts a box outside a fourth."""
    for number, contents in (TRAIN | VAL).items():
        image(config, number).unlink()
        if contents is not None:
            image(config, number).write_bytes(contents)
    write_lines(
        Path(config.data) / "split" / "val_bbox.txt",
        ["001 002 040 060"] * 5 + ["001 002 041 060"],
    )


def take_out(config: TrainConfig) -> None:
    """Takes the rows of what `damage` breaks out of the lists."""
    for split, rows in (("train", {1, 2, 4}), ("val", {3, 5})):
        for suffix in ("", "_attr", "_bbox"):
            path = Path(config.data) / "split" / f"{split}{suffix}.txt"
            lines = path.read_text().splitlines()
            write_lines(path, [line for row, line in enumerate(lines) if row not in rows])


def skipping(config: TrainConfig, **options) -> TrainConfig:
    return dataclasses.replace(config, on_bad_image="skip", **options)


def bad_lines(run: Run) -> list[list[str]]:
    return [line.split("\t") for line in run.bad_images_path.read_text().splitlines()]


def read_history(folder: Path) -> list[dict]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_are_named_before_anything_is_made(config, monkeypatch):
    damage(config)
    monkeypatch.setattr(building, "build_model", lambda *a, **k: pytest.fail("a model was built"))
    with pytest.raises(BadImages) as raised:
        train(config)
    first, *lines = str(raised.value).splitlines()
    assert "3 of the 6 train images" in first and "2 of the 6 val images" in first
    assert "--on-bad-image skip" in first
    assert [line.split()[0] for line in lines] == [
        str(image(config, number)) for number in (1, 2, 4, 9, 11)
    ]
    assert "40 x 60 pixels: the box 0,1,41,60" in lines[-1]
    assert not config.output_dir.exists()


def check_scores(result: Trained, capsys) -> None:
    """The table counts what was skipped; the same data, read again, score the same."""
    scores = finish_run(result.run, result.val)
    assert scores.images == 4
    assert f"5 images could not be read and were skipped: {result.run.bad_images_path}" in (
        capsys.readouterr().out
    )
    run = Run.load(result.run.directory)
    assert evaluate(run, run.read_split("val")) == scores
    strict = dataclasses.replace(run, config=dataclasses.replace(run.config, on_bad_image="error"))
    with pytest.raises(BadImages, match="2 of the 6 val"):
        evaluate(strict, run.read_split("val"))


@pytest.mark.slow
def test_skipping_is_training_without_them(config, tmp_path, capsys):
    """To the last digit of every weight and every line of the history."""
    damage(config)
    result = train(skipping(config))
    lines = bad_lines(result.run)
    assert [key for key, _ in lines] == [str(image(config, n)) for n in (1, 2, 4, 9, 11)]
    assert [fault for _, fault in lines[:3]] == [UNREADABLE, UNREADABLE] + [
        "cannot be read (No such file or directory)"
    ]
    assert "5 images cannot be read and will be skipped" in capsys.readouterr().out
    check_scores(result, capsys)
    take_out(config)
    clean = train(dataclasses.replace(config, output_dir=tmp_path / "clean"))
    assert not clean.run.bad_images_path.exists()
    assert read_history(clean.run.directory) == read_history(result.run.directory)
    pairs = zip(
        clean.run.load_model().get_weights(), result.run.load_model().get_weights(), strict=True
    )
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)


def test_nothing_left_is_told(config):
    for number in range(6, 12):
        image(config, number).write_text("text")
    with pytest.raises(BadImages, match=r"6 of the 6 val .*Nothing is left of val"):
        train(skipping(config))
    assert not config.output_dir.exists()


@pytest.mark.slow
@pytest.mark.parametrize("config", ["memory"], indirect=True)
def test_a_category_that_only_bad_images_are_labelled_in_is_not_learnt(config):
    rows = ["5 0 2 0 2 -1"] * 6
    rows[1] = "5 0 2 0 2 2"
    write_lines(Path(config.data) / "split" / "train_attr.txt", rows)
    damage(config)
    assert train(skipping(config, epochs=1)).run.config.untrained == ("fit",)


def at_epoch_2(monkeypatch, action) -> None:
    """Does something when the second epoch begins."""
    # As of a large data set, whose next epochs are not read ahead.
    for name in ("reading._FETCHED", "pipeline.PREFETCH", "pipeline.AT_ONCE"):
        monkeypatch.setattr(f"deepfashion_tf.data.{name}", 1)

    class Act(StopOnNaN):
        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch, logs)
            if epoch == 1:
                action()

    monkeypatch.setattr("deepfashion_tf.training.fitting.StopOnNaN", Act)


def remove(path: Path) -> None:
    path.unlink()


def spoil(path: Path) -> None:
    """The header stays, and the decoder finds out."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


LOSSES = [(remove, 3), (spoil, 9)]  # of a training and of a validation image
FAULTS = {remove: "cannot be read (No such file or directory)", spoil: UNREADABLE}


@pytest.mark.slow
@pytest.mark.parametrize(("change", "number"), LOSSES)
@pytest.mark.parametrize("config", ["none"], indirect=True)
def test_a_file_lost_in_epoch_2_ends_the_run_with_its_name(config, monkeypatch, change, number):
    at_epoch_2(monkeypatch, lambda: change(image(config, number)))
    with pytest.raises(BadImages) as raised:
        train(dataclasses.replace(config, epochs=12))
    first, line = str(raised.value).splitlines()
    assert "1 of the 6" in first and f"--resume {config.output_dir}" in first
    assert line == f"  {image(config, number)} {FAULTS[change]}"
    # Some batches were read before the file was lost.
    assert 1 <= len(read_history(config.output_dir)) < 12
    assert isinstance(Run.load(config.output_dir).load_model(), keras.Model)


@pytest.mark.slow
@pytest.mark.parametrize(("change", "number"), LOSSES)
@pytest.mark.parametrize("config", ["none"], indirect=True)
def test_a_file_lost_in_epoch_2_is_skipped_from_then_on(
    config, monkeypatch, capsys, change, number
):
    """Named once though more epochs and the final scoring ask for it again."""
    at_epoch_2(monkeypatch, lambda: change(image(config, number)))
    result = train(skipping(config, epochs=12))
    later = f"while training: {FAULTS[change]}"
    assert bad_lines(result.run) == [[str(image(config, number)), later]]
    rows = read_history(result.run.directory)
    assert len(rows) == 12
    assert all(np.isfinite(float(value)) for value in rows[-1].values())
    scores = finish_run(result.run, result.val)
    assert scores.images == (6 if number < 6 else 5)
    assert bad_lines(result.run) == [[str(image(config, number)), later]]
    assert f"1 image could not be read and was skipped: {result.run.bad_images_path}" in (
        capsys.readouterr().out
    )


@pytest.mark.slow
@pytest.mark.parametrize("config", ["none"], indirect=True)
def test_a_lost_folder_ends_even_a_run_that_skips(config, monkeypatch):
    at_epoch_2(monkeypatch, lambda: (Path(config.data) / "img").rename(Path(config.data) / "gone"))
    with pytest.raises(BadImages, match="6 of the 6 train"):
        train(skipping(config, epochs=9))


@pytest.mark.slow
@pytest.mark.parametrize("config", ["none"], indirect=True)
def test_a_run_that_skips_goes_on_with_the_images_it_had(config, monkeypatch):
    damaged = image(config, 1)
    damaged.write_bytes(b"")
    config = skipping(config, epochs=6)
    expected = train(dataclasses.replace(config, output_dir=config.output_dir / "expected"))
    run = config.output_dir / "first"
    with monkeypatch.context() as patch:
        patch.setattr(EpochLines, "on_epoch_end", stop_after_2(EpochLines.on_epoch_end))
        assert train(dataclasses.replace(config, output_dir=run)).interrupted
    resumed = dataclasses.replace(TrainConfig.load(run / "config.json"), output_dir=run)
    # What is sound again by now stays out all the same.
    damaged.write_bytes(image(config, 2).read_bytes())
    train(resumed, RuntimeOptions(resume=run))
    assert read_history(run) == read_history(expected.run.directory)
    assert bad_lines(Run.load(run)) == [[str(damaged), UNREADABLE]]


def stop_after_2(on_epoch_end):
    def stop(self, epoch, logs=None) -> None:
        on_epoch_end(self, epoch, logs)
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    return stop


def test_a_skipping_reader_changes_nothing_where_all_is_well(challenge):
    split = read_split(challenge, "train")
    noted = []
    readers = DirectReader(split, 32), SkippingReader(split, 32, lambda *fault: noted.append(fault))
    batches = [
        list(
            training_dataset(
                split,
                reader,
                TORCH,
                batch_size=4,
                epochs=2,
                seed=3,
                augmentation=Augmentation(jitter=0.5),
            ).as_numpy_iterator()
        )
        for reader in readers
    ]
    for (images, labels), (others, other_labels) in zip(*batches, strict=True):
        np.testing.assert_array_equal(images, others)
        for category in split.schema:
            np.testing.assert_array_equal(labels[category], other_labels[category])
    assert not noted and not readers[1].bad


def test_the_labels_of_a_bad_image_do_not_count_and_come_back_with_it(challenge):
    split = read_split(challenge, "train")
    path = Path(split.keys[2])
    whole, noted = path.read_bytes(), []
    reader = SkippingReader(split, 32, lambda *fault: noted.append(fault))

    def read() -> tuple[np.ndarray, np.ndarray]:
        data = evaluation_dataset(split, reader, TORCH, batch_size=6)
        ((images, labels),) = data.as_numpy_iterator()
        return images, np.stack([labels[category] for category in split.schema], axis=1)

    images, labels = read()
    path.write_bytes(whole[: len(whole) // 2])
    without, masked = read()
    assert reader.bad == {2} and noted == [(str(path), UNREADABLE)]
    assert (masked[2] == -1).all() and len(np.unique(without[2])) == 3
    others = [row for row in range(6) if row != 2]
    np.testing.assert_array_equal(without[others], images[others])
    np.testing.assert_array_equal(masked[others], labels[others])
    path.write_bytes(whole)
    again, back = read()
    np.testing.assert_array_equal(again, images)
    np.testing.assert_array_equal(back, labels)
    assert not reader.bad


@pytest.mark.slow
def test_rows_that_are_left_out_are_listed_in_the_run(challenge, tmp_path, tiny, capsys):
    rows = [f"img/{n:05d}.jpg,{('warm', 'cold')[n % 2]},{SPLITS[n // 6]}" for n in range(18)]
    rows[2] = "img/00002.jpg,lukewarm,train"
    write_lines(challenge / "t.csv", ["image,season,split", *rows])
    Schema.of({"season": ["warm", "cold"]}).save(challenge / "schema.yaml")
    config = dataclasses.replace(
        small_config(challenge, tmp_path),
        data=str(challenge / "t.csv"),
        schema=challenge / "schema.yaml",
    )
    with pytest.raises(InputError, match="line 4: season is 'lukewarm'"):
        train(config)
    result = train(dataclasses.replace(config, on_bad_row="skip"))
    ((place, fault),) = bad_lines(result.run)
    assert place == f"{challenge}/t.csv, line 4" and "lukewarm" in fault
    capsys.readouterr()
    finish_run(result.run, result.val)
    told = " ".join(capsys.readouterr().out.split())
    assert "6 val images scored, 1 left out" in told
