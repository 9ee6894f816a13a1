"""A file whose name is no UTF-8 is answered like any other, or is a fault of its own row."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from conftest import make_narrow

from deepfashion_tf.inference.answers import Wanted
from deepfashion_tf.inference.items import find_items
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.serving.catalogue.places import Disk
from deepfashion_tf.serving.catalogue.shards import count_done, shards_of, tag_shard

NAMES = [b"caf\xe9.jpg", b"\xff\xfe.jpg", b"plain.jpg", b"\xed\xa0\x80.jpg", b"\xc3\xa9.jpg"]
BAD = b"broken \xe9.jpg"


@pytest.fixture
def photographs(trained, tmp_path) -> Path:
    """Drawings under names in other encodings, and a file that is no image."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        content = Path(trained.val.keys[number]).read_bytes()
        (folder / os.fsdecode(name)).write_bytes(content)
    (folder / os.fsdecode(BAD)).write_bytes(b"no image")
    return folder


def read(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path).to_pylist()
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [*map(json.loads, text.splitlines())]


@pytest.mark.parametrize("ending", [".csv", ".json", ".jsonl", ".parquet", None])
def test_predict_answers_all_of_them(run_here, trained, photographs, tmp_path, ending):
    output = [] if ending is None else ["--output", tmp_path / f"a{ending}"]
    code, out, err = run_here("predict", trained.run.directory, photographs, *output, cwd=tmp_path)
    assert code == 1 and "1 could not be answered" in err and r"broken \udce9.jpg" in err, err
    if ending is None:
        assert r"caf\udce9.jpg" in out and "é.jpg" in out
    else:
        rows = read(tmp_path / f"a{ending}")
        assert len(rows) == len(NAMES)
        # Read as text, JSON has the very name; tables have escapes.
        names = {row["image"].encode("utf-8", "backslashreplace").decode() for row in rows}
        assert f"{photographs}/caf\\udce9.jpg" in names and f"{photographs}/é.jpg" in names


def test_a_catalogue_answers_all_of_them(trained, photographs, tmp_path):
    predictor = Predictor.load(trained.run.directory)
    wanted = Wanted(predictor.schema)
    (shard,) = shards_of(find_items([str(photographs)]), 100)
    assert tag_shard(predictor, wanted, shard, Disk(tmp_path)) == (len(NAMES), 1)
    assert count_done(shard, Disk(tmp_path)) == (len(NAMES), 1)
    rows = read(tmp_path / shard.name)
    assert f"{photographs}/caf\\udce9.jpg" in {row["image"] for row in rows}
    assert r"broken \udce9.jpg" in (tmp_path / "_part-000000.faults.csv").read_text()


@pytest.mark.slow
def test_explanations_are_drawn_of_all_of_them(run_here, trained, photographs, tmp_path):
    options = ("--explain", tmp_path / "maps")
    code, _, err = run_here("predict", trained.run.directory, photographs, *options, cwd=tmp_path)
    assert code == 1 and len(list((tmp_path / "maps").iterdir())) == len(NAMES), err


def test_the_doctor_looks_at_a_folder_of_that_name(run_here, wardrobe, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.symlink_to(wardrobe, target_is_directory=True)
    page, table = folder.parent / "page.html", folder.parent / "fixed.csv"
    options = (folder, "--html", page, "--fix", table)
    code, out, err = run_here("check_data", *options, cwd=tmp_path)
    assert code in (0, 1) and not err and r"caf\udce9" in out, err
    assert r"caf\udce9" in page.read_text(encoding="utf-8")
    assert len(read(table)) <= 80


@pytest.mark.slow
def test_a_folder_of_that_name_is_trained_on_and_scored(run_here, monkeypatch, wardrobe, tmp_path):
    make_narrow(monkeypatch)
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.symlink_to(wardrobe, target_is_directory=True)
    options = ("--data", folder, "--weights", "none", "--epochs", 1, "--image-size", 32)
    options = ("train", *options, "--batch-size", 24, "--output-dir")
    # TensorFlow's exports cannot be written there: told before the training, not after it.
    code, out, err = run_here(*options, tmp_path / os.fsdecode(b"run\xe9"), cwd=tmp_path)
    assert code == 2 and err.count("\n") == 1 and r"run\udce9 holds bytes" in err and not out, err
    run = tmp_path / "run"
    code, _, err = run_here(*options, run, cwd=tmp_path)
    assert code == 0, err
    code, _, err = run_here("evaluate", run, cwd=tmp_path)
    assert code == 0 and (run / "report-val.html").is_file(), err
    rows = read(run / "answers-val.csv")
    assert len(rows) == 24 and np.isfinite(float(rows[0]["sleeve_probability"]))
    # A run that was moved there is refused in a sentence, too, by what cannot open it.
    shutil.move(run, tmp_path / os.fsdecode(b"moved \xe9"))
    moved = tmp_path / os.fsdecode(b"moved \xe9") / "export"
    code, _, err = run_here("predict", moved, folder / "img", cwd=tmp_path)
    assert code == 2 and err.count("\n") == 1, err
