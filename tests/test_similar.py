"""Features of a catalogue, and the photographs that are nearest to a picture."""

import os
import shutil

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import deepfashion_tf as df
from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.embedding import embedder
from deepfashion_tf.inference.items import Item
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.runs.run import Run
from deepfashion_tf.serving import predict
from deepfashion_tf.serving.similar import Neighbour, draw_sheet, find_similar

pytest.importorskip("usearch")


@pytest.fixture(scope="module")
def table(run_module, trained, wardrobe, tmp_path_factory):
    """The features of all drawings of the wardrobe, as the command writes them."""
    path = tmp_path_factory.mktemp("features") / "features.parquet"
    run_module("predict", trained.run.directory, wardrobe / "img", "--embed", path)
    return path


@pytest.fixture(scope="module")
def run_module():
    """Runs a command in this process."""
    import sys

    from deepfashion_tf.cli import command_module

    def run(name: str, *options) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [f"deepfashion {name}", *map(str, options)])
            return command_module(name).main()

    return run


def test_a_table_holds_the_features_of_each_image(table, trained, wardrobe):
    rows = pq.read_table(table)
    assert rows.column_names == ["image", "path", "box", "features"] and len(rows) == 80
    assert str(rows.schema.field("features").type.value_type) == "halffloat"
    items = [Item("x", path=path) for path in rows["path"].to_pylist()[:5]]
    crops = np.stack(Predictor.of_run(trained.run).crops(items))
    expected = embedder(trained.run)(crops)
    found = np.stack(rows["features"].to_pylist()[:5])
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3)  # eleven bits


def test_near_copies_come_first(table, trained, wardrobe, tmp_path):
    paths = sorted((wardrobe / "img").glob("*.jpg"))[:6]
    for path in paths:
        small = cv2.resize(
            cv2.imread(str(path)), None, fx=0.9, fy=0.9, interpolation=cv2.INTER_AREA
        )
        cv2.imwrite(str(tmp_path / path.name), small, [cv2.IMWRITE_JPEG_QUALITY, 70])
    items = [Item(path.name, path=str(tmp_path / path.name)) for path in paths]
    found = find_similar(trained.run, table, items, 5)
    for path, neighbours in zip(paths, found, strict=True):
        assert neighbours[0].path == str(path) and neighbours[0].similarity > 0.9
        values = [each.similarity for each in neighbours]
        assert len(values) == 5 and values == sorted(values, reverse=True)


def test_the_command_prints_and_draws(table, trained, wardrobe, run_module, tmp_path, capsys):
    image = sorted((wardrobe / "img").glob("*.jpg"))[3]
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    sheet = tmp_path / "sheet.jpg"
    options = (trained.run.directory, table, image, tmp_path / "broken.jpg", "--top", 3)
    assert run_module("similar", *options, "--output", sheet) == 1
    out = capsys.readouterr().out
    assert f"1.000  {image}" in out and "broken.jpg is" in out
    with Image.open(sheet) as picture:
        assert picture.size == (4 * 210 + 10, 210 + 18 + 10)
    with pytest.raises(InputError, match="None of the images"):
        run_module("similar", trained.run.directory, table, tmp_path / "broken.jpg")


def test_the_sheet_takes_no_photographs_place(trained, wardrobe, run_module, tmp_path):
    photographs = [tmp_path / f"{number}.jpg" for number in range(2)]
    for number, photograph in enumerate(photographs):
        shutil.copy(wardrobe / "img" / f"{number:05d}.jpg", photograph)
    features = tmp_path / "f.parquet"
    run_module("predict", trained.run.directory, tmp_path, "--embed", features)
    before = photographs[1].read_bytes()
    options = (features, photographs[0], "--output", photographs[1])
    with pytest.raises(InputError, match=r"--output .*1\.jpg is what this command reads"):
        run_module("similar", trained.run.directory, *options)
    assert photographs[1].read_bytes() == before


def test_a_picture_without_a_file_is_grey():
    sheet = draw_sheet([(Item("a", encoded=b""), [])])
    assert sheet.getpixel((100, 100)) == (221, 221, 221)


def test_a_sheet_shows_grey_where_a_file_has_changed(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "text.png").write_text("no picture")
    places = [("a.png", (5, 5, 2, 2)), ("pipe.png", None), ("text.png", None), ("a\0b", None)]
    found = [Neighbour(name, str(tmp_path / name), box, 1.0) for name, box in places]
    sheet = draw_sheet([(Item("a", path=str(tmp_path)), found)])
    assert all(sheet.getpixel((100 + 210 * n, 100)) == (221, 221, 221) for n in range(5))


def test_tables_that_the_command_did_not_write(table, trained, tmp_path):
    rows = pq.read_table(table)
    width = rows.schema.field("features").type.list_size

    def changed(name: str, values: list, kind=None) -> pa.Table:
        column = pa.array(values, kind or rows.schema.field(name).type)
        return rows.set_column(rows.column_names.index(name), name, column)

    count = len(rows)
    path = tmp_path / "t.parquet"
    for other, words in (
        (rows.slice(0, 0), "has no row"),
        (changed("features", [[1.0]] * count, pa.list_(pa.float16(), 1)), "features of 1 numbers"),
        (changed("features", [[1.0]] * count, pa.list_(pa.float16())), "of other types"),
        (changed("features", [[np.nan] * width] * count), "NaN or infinite"),
        (changed("image", [None] * count), "are missing"),
        (changed("path", [5] * count, pa.int64()), "of other types"),
        (changed("box", [[1, 2]] * count), "has not four numbers"),
    ):
        pq.write_table(other, path)
        with pytest.raises(InputError, match=f"cannot be read as a table of features.*{words}"):
            find_similar(trained.run, path, [Item("a", path=rows["path"][0].as_py())], 3)


def test_features_need_tensorflow_without_its_first_lines(
    trained, wardrobe, run_module, tmp_path, monkeypatch
):
    """Another engine may answer, which leaves TensorFlow to be imported for the features."""
    imported = []
    monkeypatch.setattr(predict, "import_tensorflow", lambda: imported.append(1))
    image = next((wardrobe / "img").glob("*.jpg"))
    run_module("predict", trained.run.directory, image, "--embed", tmp_path / "f.parquet")
    assert imported


def test_bad_input(table, trained, run_module, tmp_path, wardrobe):
    image = next((wardrobe / "img").glob("*.jpg"))
    (tmp_path / "no.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read as a table of features"):
        find_similar(trained.run, tmp_path / "no.parquet", [], 3)
    rows = pq.read_table(table).replace_schema_metadata({b"deepfashion_tf.model": b"x"})
    pq.write_table(rows, tmp_path / "other.parquet")
    with pytest.raises(InputError, match="features of another model"):
        find_similar(trained.run, tmp_path / "other.parquet", [], 3)
    for options, message in (
        (("similar", trained.run.directory, table, image, "--top", 0), "--top is 0"),
        (("similar", trained.run.directory, table, image, "--output", "a.gif"), "must end in"),
        (("predict", trained.run.directory, image, "--embed", "a.csv"), "must end in .parquet"),
    ):
        with pytest.raises(InputError, match=message):
            run_module(*options)
    assert isinstance(Run.load(trained.run.directory), Run)


@pytest.mark.slow
def test_near_copies_of_photographs_come_first(real_photos, run_module, tmp_path, monkeypatch):
    """Smaller, at JPEG quality 60, mirrored: each finds its original among 859 photographs."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    options = {"recipe": "probe", "backbone": "efficientnetlite0", "image_size": 96, "epochs": 1}
    model = df.train(real_photos, output_dir=tmp_path / "run", verbose=False, **options)
    table = tmp_path / "features.parquet"
    run_module("predict", model.path, real_photos / "img", "--embed", table)
    paths = sorted((real_photos / "img").rglob("*.jpg"))[::40]
    items = []
    for number, path in enumerate(paths):
        copy = cv2.resize(cv2.imread(str(path)), None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
        copy = cv2.flip(copy, 1) if number % 2 else copy
        cv2.imwrite(str(tmp_path / path.name), copy, [cv2.IMWRITE_JPEG_QUALITY, 60])
        items.append(Item(path.name, path=str(tmp_path / path.name)))
    found = find_similar(Run.load(model.path), table, items, 1)
    right = [n[0].path == str(path) for path, n in zip(paths, found, strict=True)]
    assert len(paths) > 20 and all(right), right
