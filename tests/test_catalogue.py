"""A catalogue: the same answers as predict, whatever is killed, nothing lost and nothing twice."""

import contextlib
import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet
import pytest

from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.answers import Wanted
from deepfashion_tf.inference.items import Item, find_items
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.serving.answer_files import open_writer
from deepfashion_tf.serving.catalogue.places import Disk, place_of
from deepfashion_tf.serving.catalogue.shards import Shard, count_done, shards_of, tag_shard
from deepfashion_tf.serving.catalogue.tagging import opened

SCHEMA = builtin_schema()
SCRIPT = Path(__file__).parents[1] / "scripts" / "tag_catalogue.py"
SECONDS = 300


@pytest.fixture(scope="module")
def predictor(trained) -> Predictor:
    return Predictor.of_run(trained.run)


@pytest.fixture
def images(trained, tmp_path) -> Path:
    """A folder of 60 photographs, two of which are none."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(58):
        shutil.copy(trained.val.keys[number % 24], folder / f"{number:03d}.jpg")
    (folder / "010a.jpg").write_text("no image")
    (folder / "040a.jpg").write_bytes((folder / "000.jpg").read_bytes()[:500])
    return folder


def read(folder: Path) -> list[dict]:
    files = sorted(folder.glob("part-*.parquet"))
    return [row for file in files for row in pyarrow.parquet.read_table(file).to_pylist()]


def expected_rows(predictor, images, tmp_path) -> list[dict]:
    with open_writer(tmp_path / "expected.parquet", Wanted(SCHEMA)) as writer:
        for batch in predictor.stream(find_items([str(images)])):
            writer.write(batch)
    return pyarrow.parquet.read_table(tmp_path / "expected.parquet").to_pylist()


def assert_same(found: list[dict], expected: list[dict]) -> None:
    assert [row["image"] for row in found] == [row["image"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        for name, value in other.items():
            if name.endswith("_probability"):
                assert one[name] == pytest.approx(value, abs=1e-4)
            else:
                assert one[name] == value


def command(trained, images, output, *options) -> list[str]:
    return [
        *(sys.executable, str(SCRIPT), str(trained.run.directory), "--input", str(images)),
        *("--output", str(output), "--shard-size", "7", *map(str, options)),
    ]


def run(args: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(args, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_images_are_divided_in_their_order():
    items = [Item(str(number)) for number in range(10)]
    shards = list(shards_of(iter(items), 4))
    assert [len(shard.items) for shard in shards] == [4, 4, 2]
    assert [item for shard in shards for item in shard.items] == items
    assert shards[1].name == "part-000001.parquet"
    assert len({shard.digest for shard in shards}) == 3


def test_a_shard_is_done_when_its_file_is_there_and_of_its_images(predictor, images, tmp_path):
    (shard, *_) = shards_of(find_items([str(images)]), 15)
    assert count_done(shard, Disk(tmp_path)) is None
    assert tag_shard(predictor, Wanted(SCHEMA), shard, Disk(tmp_path)) == (14, 1)
    assert count_done(shard, Disk(tmp_path)) == (14, 1)
    assert_same(read(tmp_path), expected_rows(predictor, images, tmp_path)[:14])
    other = Shard(0, shard.items[1:])
    assert count_done(other, Disk(tmp_path)) is None
    path = tmp_path / shard.name
    path.write_bytes(path.read_bytes()[:-100])
    assert count_done(shard, Disk(tmp_path)) is None


def open_and_close(folder: Path, plan: dict) -> None:
    with opened(Disk(folder), plan):
        pass


def test_a_folder_of_something_else_is_refused(tmp_path):
    folder = tmp_path / "catalogue"
    open_and_close(folder, {"model": "a", "top": 1})
    open_and_close(folder, {"model": "a", "top": 1})
    with pytest.raises(InputError, match=r"top 1 \(asked: 2\)"):
        open_and_close(folder, {"model": "a", "top": 2})
    with pytest.raises(InputError, match="not empty"):
        open_and_close(tmp_path, {"model": "a"})


@pytest.mark.parametrize("by_content", [False, True])
def test_a_shard_is_done_again_where_a_file_has_changed(predictor, images, tmp_path, by_content):
    wanted = Wanted(predictor.schema)

    def shards():
        return list(shards_of(find_items([str(images)]), 20, by_content))

    def undone():
        return [shard.number for shard in shards() if not count_done(shard, Disk(tmp_path))]

    for shard in shards():
        tag_shard(predictor, wanted, shard, Disk(tmp_path))
    assert not undone()
    first, other, missing = (sorted(images.iterdir())[n] for n in (3, 25, 45))
    # The same name, another picture of another size.
    shutil.copy(other, first)
    assert undone() == [0]
    tag_shard(predictor, wanted, shards()[0], Disk(tmp_path))
    assert not undone()
    # The same bytes written anew: another time.
    other.write_bytes(other.read_bytes())
    os.utime(other, ns=(1, 1))
    assert undone() == ([] if by_content else [1])
    tag_shard(predictor, wanted, shards()[1], Disk(tmp_path))
    # Other bytes of the same size and time: the content alone says so.
    times = first.stat()
    first.write_bytes(first.read_bytes()[:-3] + b"xyz")
    os.utime(first, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert undone() == ([0] if by_content else [])
    missing.write_bytes(b"")
    assert 2 in undone()
    # A catalogue of the other kind is done again.
    assert not count_done(replace(shards()[1], by_content=not by_content), Disk(tmp_path))


def test_nobody_works_on_a_folder_of_somebody_else(tmp_path):
    with (
        opened(Disk(tmp_path / "catalogue"), {"top": 1}),
        pytest.raises(InputError, match="another process"),
    ):
        open_and_close(tmp_path / "catalogue", {"top": 1})


@pytest.mark.slow
def test_a_catalogue_has_predicts_answers_and_is_not_done_twice(
    predictor, trained, images, tmp_path
):
    pytest.importorskip("ray")
    output = tmp_path / "catalogue"
    done = run(command(trained, images, output))
    assert done.returncode == 1, done.stderr
    assert "58 images answered" in done.stdout
    assert_same(read(output), expected_rows(predictor, images, tmp_path))
    with (output / "_faults.csv").open(newline="") as file:
        faults = list(csv.DictReader(file))
    assert [Path(fault["image"]).name for fault in faults] == ["010a.jpg", "040a.jpg"]
    assert all(fault["reason"] for fault in faults)
    assert pyarrow.parquet.read_table(output).num_rows == 58
    written = {path: path.stat().st_mtime_ns for path in output.glob("part-*")}
    # Another photograph at the end: its shard alone is done, and one behind it begun.
    shutil.copy(images / "000.jpg", images / "zzz.jpg")
    again = run(command(trained, images, output))
    assert "59 images answered" in again.stdout
    changed = [
        p.name for p in output.glob("part-*.parquet") if p.stat().st_mtime_ns != written.get(p)
    ]
    assert changed == ["part-000008.parquet"]
    # Fewer photographs: what is behind the last shard goes.
    for path in sorted(images.iterdir())[30:]:
        path.unlink()
    run(command(trained, images, output))
    assert len(read(output)) == 29
    assert_same(read(output), expected_rows(predictor, images, tmp_path))
    other = run(command(trained, images, output, "--top", 2))
    assert other.returncode == 2 and "top 1 (asked: 2)" in other.stderr


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "all"])
def test_whatever_is_killed_nothing_is_lost_and_nothing_twice(
    predictor, trained, images, tmp_path, victim
):
    pytest.importorskip("ray")
    # So many that there is work left when somebody is killed.
    for number in range(58, 600):
        shutil.copy(trained.val.keys[number % 24], images / f"{number:03d}.jpg")
    output = tmp_path / "catalogue"
    process = subprocess.Popen(
        command(trained, images, output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + SECONDS
    while not list(output.glob("part-*.parquet")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(random.random() * 0.3)
    if victim == "worker":
        killed = 0
        for child in psutil.Process(process.pid).children(recursive=True):
            # Ray's helpers come and go.
            with contextlib.suppress(psutil.NoSuchProcess):
                if "Tagger" in " ".join(child.cmdline()):
                    child.send_signal(signal.SIGKILL)
                    killed += 1
        assert killed and process.wait(SECONDS) == 1
    else:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(read(output)) < 600
        done = run(command(trained, images, output))
        assert done.returncode == 1, done.stderr
        assert "600 images answered" in done.stdout
    found = read(output)
    assert_same(found, expected_rows(predictor, images, tmp_path))
    assert len({row["image"] for row in found}) == len(found)
    assert not list(output.glob(".unfinished*"))
    with (output / "_faults.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2


@pytest.fixture
def bucket(monkeypatch):
    """An object store in this process's memory, as fsspec has it."""
    import fsspec

    monkeypatch.setattr("deepfashion_tf.data.addresses.SCHEMES", ("s3", "memory"))
    monkeypatch.setattr("deepfashion_tf.serving.catalogue.places.SCHEMES", ("s3", "memory"))
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def test_a_catalogue_in_an_object_store(predictor, images, bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFASHION_IMAGES", str(tmp_path / "cache" / "images"))
    for path in images.iterdir():
        bucket.put_file(str(path), f"/shop/photos/{path.name}")
    bucket.pipe_file("/shop/photos/notes.md", b"")
    names = sorted(path.name for path in images.iterdir())
    bucket.pipe_file("/shop/t.csv", "\n".join(["image", *(f"photos/{n}" for n in names)]).encode())
    place = place_of("memory://shop/tags")
    expected = expected_rows(predictor, images, tmp_path)
    for source in ("memory://shop/photos/", "memory://shop/t.csv"):
        found = find_items([source])
        with opened(place, {"top": 1}):
            for shard in shards_of(found, 25):
                assert count_done(shard, place) is None
                tag_shard(predictor, Wanted(SCHEMA), shard, place)
                assert count_done(shard, place)
        assert found.tally.files + found.tally.rows == 60
        rows = []
        for name in place.names():
            if name.startswith("part-"):
                with place.open(name) as file:
                    rows += pyarrow.parquet.read_table(file).to_pylist()
        assert [row["image"] for row in rows] == [
            f"memory://shop/photos/{Path(row['image']).name}" for row in expected
        ]
        assert_same(
            [r | {"image": e["image"]} for r, e in zip(rows, expected, strict=True)], expected
        )
        with pytest.raises(InputError, match="holds another catalogue"), opened(place, {"top": 2}):
            pass
        for name in place.names():
            place.remove(name)
    with pytest.raises(InputError, match="cannot be written to"):
        place_of("https://example.org/tags")


def test_bad_input_of_the_command(trained, images, tmp_path):
    for options, told in (
        (("--workers", 0), "--workers is 0"),
        (("--threshold", 2), "--threshold is 2"),
    ):
        done = run(command(trained, images, tmp_path / "catalogue", *options))
        assert done.returncode == 2 and told in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "catalogue").exists()
    assert np.all([path.exists() for path in images.iterdir()])


def test_embedded_images_are_known_again_by_their_bytes():
    digests = {
        Shard(0, [Item("t.parquet, row 1", encoded=encoded)]).digest
        for encoded in (b"a", b"b", b"a")
    }
    assert len(digests) == 2
