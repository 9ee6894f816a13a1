"""Crops that are kept on disk: the same as those in memory, and never those of other images."""

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from image_files import jpeg, supported

from deepfashion_tf.data import crops_on_disk
from deepfashion_tf.data.check import BadImages
from deepfashion_tf.data.crops_on_disk import disk_reader
from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.normalization import NORMALIZATIONS
from deepfashion_tf.data.pipeline import evaluation_dataset, training_dataset
from deepfashion_tf.data.reading import cached_reader, crop_batches
from deepfashion_tf.data.split import Split, whole_images
from deepfashion_tf.errors import InputError
from deepfashion_tf.runs.options import parse_command
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.training.train import train

TORCH = NORMALIZATIONS["torch"]
SIZE = 32


@pytest.fixture(autouse=True)
def shards_of_four(monkeypatch):
    monkeypatch.setattr(crops_on_disk, "_SHARD_BYTES", 4 * SIZE**2 * 3)


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """Lists the rows that are decoded, as they are asked for."""
    found = []

    def crops(split, image_size, rows):
        found.extend(rows.tolist())
        return crop_batches(split, image_size, rows=rows)

    monkeypatch.setattr(crops_on_disk, "crop_batches", crops)
    return found


def crops_of(split: Split, reader) -> np.ndarray:
    """Gives the pixels that come out, in the split's order, as 0..255."""
    batches = evaluation_dataset(split, reader, TORCH, batch_size=5)
    images = np.concatenate([images for images, _ in batches])
    return np.round((images * TORCH.std + TORCH.mean) * 255).astype(np.uint8)


def image(split: Split, row: int) -> Path:
    return Path(split.keys[row])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.npy")}


def test_batches_are_those_from_memory(wardrobe, tmp_path):
    split = read_split(wardrobe, "train")
    readers = [cached_reader(split, SIZE), disk_reader(split, SIZE, tmp_path)]
    assert len(names(tmp_path)) == 12
    memory, disk = (
        training_dataset(split, reader, TORCH, batch_size=20, epochs=2, seed=0)
        for reader in readers
    )
    assert memory.element_spec == disk.element_spec
    count = 0
    for (images, labels), (others, other_labels) in zip(memory, disk, strict=True):
        np.testing.assert_array_equal(images, others)
        for category in split.schema:
            np.testing.assert_array_equal(labels[category], other_labels[category])
        count += len(images)
    assert count == 2 * len(split)


@pytest.mark.slow
def test_other_boxes_are_other_crops(wardrobe, tmp_path):
    split = read_split(wardrobe, "train")
    split = split.take(np.arange(6), "train")
    kinds = [{}, {"padding": 0.1}]
    for kind in kinds:
        before = names(tmp_path)
        changed = replace(split, **kind)
        memory, disk = cached_reader(changed, SIZE), disk_reader(changed, SIZE, tmp_path)
        batches = (
            training_dataset(
                *(changed, reader, TORCH),
                batch_size=6,
                epochs=1,
                seed=0,
            )
            for reader in (memory, disk)
        )
        for (images, _), (others, _) in zip(*batches, strict=True):
            np.testing.assert_array_equal(images, others)
        assert names(tmp_path) > before


def test_what_was_decoded_is_not_decoded_again(challenge, tmp_path, decoded):
    split = read_split(challenge, "train")
    folder = tmp_path / "not" / "there"
    told = []
    first = disk_reader(split, SIZE, folder, lambda *given: told.append(given))
    assert decoded == list(range(6)) and told[-1] == (6, 6)
    again = disk_reader(read_split(challenge, "train"), SIZE, folder)
    assert decoded == list(range(6))
    np.testing.assert_array_equal(crops_of(split, first), crops_of(split, again))
    # A folder that may only be read is enough.
    (folder / ".lock").unlink()
    disk_reader(split, SIZE, folder)
    assert not (folder / ".lock").exists()


@pytest.mark.parametrize("change", ["contents", "time", "box", "size", "version"])
def test_what_decides_the_pixels_makes_new_crops(challenge, tmp_path, decoded, change, monkeypatch):
    split, size = read_split(challenge, "train"), SIZE
    disk_reader(split, size, tmp_path / "crops")
    decoded.clear()
    before, status = names(tmp_path / "crops"), image(split, 5).stat()
    expected = [4, 5]
    if change == "contents":
        pixels = np.zeros((60, 40, 3), np.uint8)
        cv2.imwrite(str(image(split, 5)), pixels)
        os.utime(image(split, 5), ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "time":
        os.utime(image(split, 5), ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    elif change == "box":
        split.boxes[5, 0] += 1
    else:
        expected = list(range(6))
        if change == "size":
            size += 4
        else:
            monkeypatch.setattr(crops_on_disk, "_VERSION", 99)
    reader = disk_reader(split, size, tmp_path / "crops")
    assert decoded == expected
    assert len(names(tmp_path / "crops") - before) > 0
    np.testing.assert_array_equal(
        crops_of(split, reader), crops_of(split, cached_reader(split, size))
    )


def test_images_that_are_no_files_are_known_by_their_bytes(tmp_path, decoded):
    files = list(supported().values())
    boxes, labels = whole_images(len(files)), np.zeros((len(files), 6), np.int32)
    split = Split(builtin_schema(), "val", files.__getitem__, list(supported()), boxes, labels, "")
    disk_reader(split, SIZE, tmp_path)
    decoded.clear()
    some = split.take(np.arange(8), "val")
    reader = disk_reader(some, SIZE, tmp_path)
    assert decoded == []
    np.testing.assert_array_equal(
        crops_of(some, reader), np.concatenate(list(crop_batches(some, SIZE)))
    )
    files[1] = jpeg()
    disk_reader(split, SIZE, tmp_path)
    assert decoded == [0, 1, 2, 3]


def test_an_interrupted_decoding_goes_on(challenge, tmp_path, monkeypatch, decoded):
    split = read_split(challenge, "train")

    def interrupt(done: int, count: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        disk_reader(split, SIZE, tmp_path / "crops", interrupt)
    assert len(names(tmp_path / "crops")) == 1
    # What a process that was killed has left, and a file that is cut off.
    (tmp_path / "crops" / ".unfinished-crops").mkdir()
    decoded.clear()
    disk_reader(split, SIZE, tmp_path / "crops")
    assert decoded == [4, 5]
    assert sorted(path.name for path in (tmp_path / "crops").iterdir()) == sorted(
        [".lock", *names(tmp_path / "crops")]
    )
    for path in (tmp_path / "crops").glob("*.npy"):
        os.truncate(path, path.stat().st_size - 1)
    decoded.clear()
    reader = disk_reader(split, SIZE, tmp_path / "crops")
    assert decoded == list(range(6))
    np.testing.assert_array_equal(
        crops_of(split, reader), crops_of(split, cached_reader(split, SIZE))
    )


def test_two_at_once_decode_once(challenge, tmp_path, decoded):
    split = read_split(challenge, "train")
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: disk_reader(split, SIZE, tmp_path / "crops"), range(2))
    assert decoded == list(range(6))
    np.testing.assert_array_equal(crops_of(split, one), crops_of(split, other))


def test_images_that_change_meanwhile_are_not_kept(challenge, tmp_path):
    split = read_split(challenge, "train")
    with pytest.raises(InputError, match="changed while they were decoded"):
        disk_reader(split, SIZE, tmp_path / "crops", lambda done, _: os.utime(image(split, 0)))
    assert not names(tmp_path / "crops")


def test_broken_images_are_all_named_and_their_shards_not_kept(challenge, tmp_path, decoded):
    split = read_split(challenge, "train")
    contents = image(split, 4).read_bytes()
    image(split, 4).write_bytes(contents[:400])
    image(split, 5).unlink()
    with pytest.raises(BadImages, match="2 of the 6") as raised:
        disk_reader(split, SIZE, tmp_path / "crops")
    ((named, faults),) = raised.value.found
    assert named is split and list(faults) == [4, 5]
    image(split, 4).write_bytes(contents)
    image(split, 5).write_bytes(contents)
    reader = disk_reader(split, SIZE, tmp_path / "crops")
    np.testing.assert_array_equal(
        crops_of(split, reader), crops_of(split, cached_reader(split, SIZE))
    )


def test_a_disk_that_is_too_small_is_told_before_anything_is_decoded(
    challenge, tmp_path, monkeypatch, decoded
):
    split = read_split(challenge, "train")
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=6 * SIZE**2 * 3))
        with pytest.raises(InputError, match=r"6 crops of 32 pixels takes .* --cache"):
            disk_reader(split, SIZE, tmp_path / "crops")
    assert decoded == []
    disk_reader(split, SIZE, tmp_path / "crops")
    # What is there already needs no room.
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    disk_reader(split, SIZE, tmp_path / "crops")


def test_a_disk_that_becomes_full_is_told(challenge, tmp_path, monkeypatch):
    def fail(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="The disk is full: --cache"):
        disk_reader(read_split(challenge, "train"), SIZE, tmp_path / "crops")
    assert not names(tmp_path / "crops")


@pytest.mark.slow
def test_a_second_training_decodes_nothing_and_learns_the_same(
    challenge, tmp_path, tiny, decoded, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    options = [
        *("--data-dir", str(challenge), "--backbone", "resnet50", "--weights", "none"),
        *("--image-size", str(SIZE), "--batch-size", "3", "--epochs", "1"),
    ]
    runs, cached = {}, ["--cache-dir", "crops"]
    for name, more in (("memory", []), ("first", cached), ("second", cached)):
        command = parse_command("", [*options, *more, "--output-dir", name])
        runs[name] = train(command.config, command.options).run
        assert len(decoded) == (12 if more else 0)
    assert Run.load("first").config.cache_folder == tmp_path / "crops"
    weights = [run.load_model().get_weights() for run in runs.values()]
    for memory, *disk in zip(*weights, strict=True):
        for other in disk:
            np.testing.assert_array_equal(other, memory)
