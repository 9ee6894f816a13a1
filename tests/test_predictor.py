"""The one that answers: alike from a run, its model file and its export; faults told, not fatal."""

import csv
import json
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from deepfashion_tf.data.split import WHOLE_IMAGE
from deepfashion_tf.errors import InputError
from deepfashion_tf.escaping import read_cell
from deepfashion_tf.evaluation.evaluate import predict_split
from deepfashion_tf.export.saved_model import export_run
from deepfashion_tf.inference.acceptance import thresholds
from deepfashion_tf.inference.answers import Wanted
from deepfashion_tf.inference.batch import Batch
from deepfashion_tf.inference.calibration import Calibration, CategoryCalibration, Coverage
from deepfashion_tf.inference.items import Item, find_items, items_of
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.serving.answer_files import open_writer
from deepfashion_tf.serving.predict import Faults, Montages, faults_path, predict

SCHEMA = builtin_schema()


@pytest.fixture(scope="module")
def predictor(trained) -> Predictor:
    return Predictor.of_run(trained.run)


def merged(batches):
    batches = list(batches)
    return {c: np.concatenate([batch.probabilities[c] for batch in batches]) for c in SCHEMA}


def test_images_are_answered_as_in_evaluation(predictor, trained):
    expected = predict_split(trained.run, trained.run.load_model(), trained.val)
    found = merged(predictor.stream(items_of(trained.val), batch_size=7))
    for category in SCHEMA:
        # Batches of another size: the same ops, another order of sums.
        np.testing.assert_allclose(found[category], expected[category], atol=1e-5)


@pytest.mark.slow
def test_a_run_its_model_and_its_export_answer_alike(predictor, trained):
    export = export_run(trained.run)
    expected = merged(predictor.stream(items_of(trained.val)))
    for path in (trained.run.directory, trained.run.model_path, export):
        other = Predictor.load(path)
        assert other.schema == SCHEMA and other.image_size == trained.run.config.image_size
        found = merged(other.stream(items_of(trained.val)))
        for category in SCHEMA:
            np.testing.assert_allclose(found[category], expected[category], atol=1e-5)


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "model.keras").write_text("")
    with pytest.raises(InputError, match=r"config\.json"):
        Predictor.load(tmp_path / "model.keras")
    (tmp_path / "saved_model.pb").write_text("")
    with pytest.raises(InputError, match="export the run again"):
        Predictor.load(tmp_path)
    with pytest.raises(InputError, match="no run directory"):
        Predictor.load(tmp_path / "none")


def test_what_cannot_be_read_is_told_and_the_others_are_answered(predictor, trained, tmp_path):
    good = trained.val.keys[0]
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "half.jpg").write_bytes(Path(good).read_bytes()[:700])
    (tmp_path / "folder.jpg").mkdir()
    files = ["text.jpg", "half.jpg", "folder.jpg", "missing.jpg"]
    bad = [Item(name, path=str(tmp_path / name)) for name in files]
    bad += [Item("outside", (0, 0, 9999, 5), good), Item("no box", (5, 5, 5, 9), good)]
    items = [item for fault in bad for item in (fault, Item(good, path=good))]
    batches = list(predictor.stream(items, batch_size=4))
    assert [item for batch in batches for item in batch.items] == items
    faults = [fault for batch in batches for fault in batch.faults]
    assert all(faults[0::2]) and not any(faults[1::2])
    assert "readable" in faults[0] and "box" in faults[8] and "box" in faults[10]
    values = merged(batches)["sleeve"]
    assert len(values) == len(bad)
    np.testing.assert_allclose(values, values[:1].repeat(len(bad), axis=0), atol=1e-6)


def test_bytes_that_are_none_are_no_image(predictor):
    assert predictor.crops([Item("x.jpg", encoded=b"")]) == ["is not a readable image"]


def test_nothing_but_faults(predictor):
    (batch,) = predictor.stream([Item("x", path="/nowhere/x.jpg")])
    assert batch.answered == [] and batch.probabilities["sleeve"].shape == (0, 3)


def test_images_are_asked_for_as_they_are_needed(predictor, trained):
    asked = 0

    def endless():
        nonlocal asked
        while True:
            asked += 1
            yield Item(trained.val.keys[0], path=trained.val.keys[0])

    stream = predictor.stream(endless(), batch_size=32)
    for _ in range(3):
        assert len(next(stream).answered) == 32
    stream.close()
    # 96 were answered, some wait.
    assert asked < 96 + 1000


@pytest.mark.parametrize("kind", ["webp", "gif", "cmyk", "grey", "alpha", "16 bits", "turned"])
def test_kinds_of_files(predictor, trained, tmp_path, kind):
    """Each holds the same picture: the answers are those for it as a PNG."""
    image = Image.open(trained.val.keys[0]).convert("RGB")
    suffix = {"webp": ".webp", "gif": ".gif", "cmyk": ".jpg", "turned": ".jpg"}.get(kind, ".png")
    path = tmp_path / f"image{suffix}"
    if kind == "webp":
        image.save(path, lossless=True)
    elif kind == "gif":
        image.save(path, save_all=True, append_images=[Image.new("RGB", image.size)])
        image = Image.open(path).convert("RGB")
    elif kind == "cmyk":
        image.convert("CMYK").save(path, quality=100, subsampling=0)
        image = Image.open(path).convert("RGB")
    elif kind == "grey":
        image = image.convert("L")
        image.save(path)
        image = image.convert("RGB")
    elif kind == "alpha":
        alpha = Image.linear_gradient("L").resize(image.size)
        image.putalpha(alpha)
        image.save(path)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    elif kind == "16 bits":
        cv2.imwrite(str(path), np.array(image)[..., ::-1].astype(np.uint16) * 257)
    elif kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.rotate(90, expand=True).save(path, quality=100, subsampling=0, exif=exif)
    plain = tmp_path / "plain.png"
    image.save(plain)
    (batch,) = predictor.stream([Item("a", path=str(path)), Item("b", path=str(plain))])
    assert batch.faults == [None, None]
    for values in batch.probabilities.values():
        # Colours of a JPEG, or of what is blended, are rounded once more.
        np.testing.assert_allclose(values[0], values[1], atol=0.02)


def read_back(path):
    if path.suffix == ".csv":
        return list(csv.DictReader(path.open(newline="")))
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return json.loads(path.read_text())


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".parquet"])
def test_every_format_says_the_same(predictor, trained, tmp_path, suffix):
    wanted = Wanted(SCHEMA, thresholds=dict.fromkeys(SCHEMA, 0.4), top=2, with_boxes=True)
    path = tmp_path / f"answers{suffix}"
    items = [*items_of(trained.val), Item("missing.jpg", path="missing.jpg")]
    assert predict(predictor, iter(items), wanted, path) == 1
    rows = read_back(path)
    values = merged(predictor.stream(items))
    assert [row["image"] for row in rows] == list(trained.val.keys)
    for number, row in enumerate(rows):
        if "box" in row:
            assert row["box"] == trained.val.boxes[number].tolist()
        else:
            assert [int(row[n]) for n in ("x1", "y1", "x2", "y2")] == list(
                trained.val.boxes[number]
            )
        for category, attributes in SCHEMA.items():
            first, second = np.argsort(-values[category][number], kind="stable")[:2]
            highest = values[category][number][first]
            if suffix.startswith(".json"):
                found = row[category]
                assert found["attribute"] == attributes[first]
                assert found["status"] == ("accepted" if highest >= 0.4 else "unsure")
                assert found["others"][0]["attribute"] == attributes[second]
                assert found["probability"] == pytest.approx(highest, abs=1e-5)
            else:
                assert row[category] == attributes[first]
                assert row[f"{category}_status"] == ("accepted" if highest >= 0.4 else "unsure")
                assert row[f"{category}_2"] == attributes[second]
                assert float(row[f"{category}_probability"]) == pytest.approx(highest, abs=1e-5)


@pytest.mark.parametrize("name", ["prediction.txt", "mine.zip"])
def test_the_challenges_format_has_a_row_an_image_or_is_not_written(
    predictor, trained, tmp_path, name
):
    path = tmp_path / name
    assert predict(predictor, items_of(trained.val), Wanted(SCHEMA), path) == 0
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist() == ["prediction.txt"]
            text = archive.read("prediction.txt").decode()
    else:
        text = path.read_text()
    values = merged(predictor.stream(items_of(trained.val)))
    expected = np.stack([values[category].argmax(axis=1) for category in SCHEMA], axis=1)
    found = np.array([list(map(int, line.split())) for line in text.splitlines()])
    np.testing.assert_array_equal(found, expected)
    path.unlink()
    items = [*items_of(trained.val), Item("missing.jpg", path="missing.jpg")]
    with pytest.raises(InputError, match=r"missing\.jpg"):
        predict(predictor, items, Wanted(SCHEMA), path)
    assert not list(tmp_path.iterdir())


def test_what_may_be_accepted_is_what_the_calibration_promises(predictor, capsys):
    sure = CategoryCalibration(1.0, Coverage((0.9, 0.6), (500, 1000), (5, 300), 1000))
    never = CategoryCalibration(1.0, Coverage((0.9,), (5,), (1,), 5))
    changed = Predictor.__new__(Predictor)
    changed.__dict__ = {**predictor.__dict__, "calibration": Calibration(sleeve=sure, fit=never)}
    found = thresholds(changed, None, 0.95)
    assert found["sleeve"] == 0.9
    assert found["fit"] > 1 and found["texture"] > 1
    assert "50%" in capsys.readouterr().out
    assert thresholds(changed, 0.3, None) == dict.fromkeys(SCHEMA, 0.3)
    assert thresholds(changed, None, None) is None
    changed.calibration = Calibration()
    with pytest.raises(InputError, match="no calibration"):
        thresholds(changed, None, 0.95)


def test_every_answer_is_explained_in_a_picture(predictor, trained, tmp_path):
    items = [Item("missing.jpg", path="missing.jpg"), *items_of(trained.val)]
    wanted = Wanted(SCHEMA)
    folder = tmp_path / "made" / "pictures"
    montages = Montages(predictor, wanted, folder)
    assert predict(predictor, items, wanted, tmp_path / "a.csv", [montages]) == 1
    pictures = sorted(folder.iterdir())
    assert len(pictures) == len(trained.val)
    stem = Path(trained.val.keys[0]).stem
    assert pictures[0].name == f"000001-{stem}.jpg"
    with Image.open(pictures[0]) as picture:
        assert picture.width > 4 * 224 and picture.height > 2 * 224


@pytest.mark.slow
def test_an_export_explains_nothing(trained, tmp_path):
    exported = Predictor.load(export_run(trained.run))
    with pytest.raises(InputError, match="name the run directory"):
        Montages(exported, Wanted(SCHEMA), tmp_path)


def test_a_writer_leaves_a_whole_file_or_none(predictor, trained, tmp_path):
    (batch,) = predictor.stream(items_of(trained.val.take(np.arange(4), "val")))
    for name in ("a.csv", "a.json", "a.jsonl", "a.parquet", "prediction.txt", "a.zip"):
        with (
            pytest.raises(KeyboardInterrupt),
            open_writer(tmp_path / name, Wanted(SCHEMA)) as writer,
        ):
            writer.write(batch)
            raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_boxes_of_a_table_are_used(predictor, trained, tmp_path):
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "x1", "y1", "x2", "y2"])
        writer.writerows(
            [key, *box] for key, box in zip(trained.val.keys, trained.val.boxes, strict=True)
        )
    found = merged(predictor.stream(find_items([str(path)])))
    expected = merged(predictor.stream(items_of(trained.val)))
    np.testing.assert_array_equal(found["sleeve"], expected["sleeve"])
    whole = [replace(item, box=WHOLE_IMAGE) for item in items_of(trained.val)]
    assert np.abs(merged(predictor.stream(whole))["sleeve"] - expected["sleeve"]).max() > 1e-3


def test_many_faults_are_counted_and_written_not_kept(trained, tmp_path, capsys):
    predictor = Predictor.of_run(trained.run)
    bad = [Item(f"=bad{number}.jpg", fault="is missing") for number in range(100)]
    good = next(iter(items_of(trained.val)))
    output = tmp_path / "a.csv"
    for items, more in ((bad, True), (bad[:20], False)):
        assert predict(predictor, [*items, good], Wanted(predictor.schema), output) == 1
        told = capsys.readouterr().err
        assert f"{len(items)} could not be answered:" in told and told.count("is missing") == 20
        assert (f"… and 80 more: {output}.faults.csv names all" in told) == more
        # Those of the last time are gone where there are no more of them.
        assert faults_path(output).is_file() == more
        if more:
            with faults_path(output).open(newline="") as file:
                rows = list(csv.DictReader(file))
            assert [read_cell(row["image"]) for row in rows] == [item.image for item in bad]
    assert predict(predictor, [*bad, good], Wanted(predictor.schema)) == 1
    assert "… and 80 more" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"=bad9\.jpg is missing; … and 90 more"):
        predict(predictor, bad, Wanted(predictor.schema), output)
    assert output.is_file()


def test_faults_take_no_memory_by_their_number(tmp_path):
    faults = Faults(tmp_path / "a.csv")
    items = [Item("a.jpg", fault="is missing")] * 1000
    batch = Batch(items, ["is missing"] * 1000, np.zeros((0, 1, 1, 3), np.uint8), {})
    with faults:
        faults.add(batch)
        tracemalloc.start()
        for _ in range(50):
            faults.add(batch)
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert faults.count == 51_000 and used < 500_000
