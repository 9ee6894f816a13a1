"""The check of a split's images says what training's decoding says, of every image."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from image_files import HEIGHT, WIDTH, jpeg, refused, save, supported
from PIL import Image
from test_mutated_images import mutate

from deepfashion_tf.data.check import BadImages, SkippedImages, bad_images
from deepfashion_tf.data.decode import image_fault
from deepfashion_tf.data.reading import DirectReader
from deepfashion_tf.data.split import WHOLE_IMAGE, FileReader, Split
from deepfashion_tf.schema import builtin_schema


def split_of(files: list[bytes], boxes=None) -> Split:
    boxes = np.array([WHOLE_IMAGE] * len(files) if boxes is None else boxes, np.int32)
    keys = [f"image {row}" for row in range(len(files))]
    labels = np.zeros((len(files), 6), np.int32)
    return Split(builtin_schema(), "train", files.__getitem__, keys, boxes, labels, "here")


def split_of_files(folder: Path, contents: list[bytes | None], boxes=None) -> Split:
    paths = [str(folder / f"{row}.jpg") for row in range(len(contents))]
    for path, encoded in zip(paths, contents, strict=True):
        if encoded is not None:
            Path(path).write_bytes(encoded)
    split = split_of(contents, boxes)
    return Split(split.schema, "train", FileReader(paths), paths, split.boxes, split.labels, "here")


def decodes(split: Split, row: int) -> bool:
    """Whether the training's reader gives this image's crop."""
    reader = DirectReader(split.take(np.array([row]), "one"), 32)
    rows = reader.fetch(tf.data.Dataset.from_tensors((tf.constant(0, tf.int64),)))
    try:
        list(rows.map(reader.crop))
    except tf.errors.OpError:
        return False
    return True


def test_every_kind_of_fault_is_found_and_no_other(tmp_path):
    whole = jpeg()
    good_box, outside = (1, 1, WIDTH, HEIGHT), (1, 1, WIDTH + 1, HEIGHT)
    contents = [whole, whole[: len(whole) // 2], b"this is text", b"", None, whole, whole]
    boxes = [good_box, WHOLE_IMAGE, WHOLE_IMAGE, WHOLE_IMAGE, WHOLE_IMAGE, outside, WHOLE_IMAGE]
    split = split_of_files(tmp_path, contents, boxes)
    assert bad_images(split) == {
        1: "is not a readable image",
        2: "is not a readable image",
        3: "is not a readable image",
        4: "cannot be read (No such file or directory)",
        5: f"is {WIDTH} x {HEIGHT} pixels: the box 1,1,{WIDTH + 1},{HEIGHT} "
        f"is empty or lies outside",
    }


def test_what_is_no_file_is_a_fault_at_once(tmp_path):
    """A named pipe into which nobody writes keeps nobody waiting."""
    os.mkfifo(tmp_path / "pipe")
    paths = [str(tmp_path), str(tmp_path / "pipe"), f"{tmp_path}/\0", str(tmp_path / ("n" * 300))]
    few = split_of([b""] * len(paths))
    split = Split(few.schema, "train", FileReader(paths), paths, few.boxes, few.labels, "here")
    assert [
        words in bad_images(split)[row]
        for row, words in enumerate(
            ("Is a directory", "no regular file", "no file can have", "File name too long")
        )
    ] == [True] * 4


@pytest.mark.slow
def test_each_verdict_is_that_of_image_fault_and_of_the_reader():
    """Good, refused and damaged files of all kinds, a good part of them with a box."""
    rng = np.random.default_rng(3)
    files = [*supported().values(), *(encoded for encoded, _ in refused().values())]
    files += [mutate(files[rng.integers(len(supported()))], rng) for _ in range(70)]
    boxes = [(0, 0, 9, 9) if rng.random() < 0.5 else WHOLE_IMAGE for _ in files]
    split = split_of(files, boxes)
    faults = bad_images(split)
    expected = {row: image_fault(files[row], boxes[row]) for row in range(len(files))}
    assert faults == {row: fault for row, fault in expected.items() if fault}
    assert [row not in faults for row in range(len(files))] == [
        decodes(split, row) for row in range(len(files))
    ]
    assert 25 < len(faults) < len(files) - 25


def test_progress_ends_with_all_images():
    seen = []
    files = [save(Image.new("RGB", (9, 9)), "PNG")] * 37
    assert bad_images(split_of(files), lambda done, total: seen.append((done, total))) == {}
    assert seen == [(16, 37), (32, 37), (37, 37)]


def test_all_of_them_are_told_one_a_line():
    split = split_of([b"text"] * 25)
    lines = str(BadImages([(split, bad_images(split))], "Do this")).splitlines()
    assert lines[0] == "25 of the 25 train images listed in here cannot be used. Do this:"
    assert lines[1:] == [f"  image {row} is not a readable image" for row in range(25)]


def test_skipped_images_are_noted_once_and_outlive_the_process(tmp_path):
    path = tmp_path / "bad_images.txt"
    skipped = SkippedImages()
    skipped.note("a.jpg", "is bad")
    skipped.keep_in(path)
    skipped.note("a.jpg", "is worse")
    skipped.note("two\nlines.jpg", "is bad")
    assert path.read_text() == "a.jpg\tis bad\ntwo\\nlines.jpg\tis bad\n"
    again = SkippedImages(path)
    again.keep_in(path)
    again.note("two\nlines.jpg", "is bad")
    again.note("b.jpg", "is bad")
    assert len(again) == 3 and path.read_text().endswith("b.jpg\tis bad\n")


@pytest.mark.parametrize("rows", [[], [0, 2]])
def test_a_split_goes_on_without_what_is_dropped(rows):
    files = [jpeg(), save(Image.new("RGB", (9, 9)), "PNG"), jpeg()]
    skipped = SkippedImages()
    kept = skipped.drop(split_of(files), dict.fromkeys(rows, "is bad"))
    left = [row for row in range(3) if row not in rows]
    assert (
        kept.keys
        == [f"image {row}" for row in left]
        == [f"image {row}" for row in range(3) if f"image {row}" not in skipped.faults]
    )
    assert [kept.encoded(row) for row in range(len(kept))] == [files[row] for row in left]
