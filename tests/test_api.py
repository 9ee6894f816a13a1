"""The public API: what `import deepfashion_tf as df` gives to Python code."""

import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from conftest import make_narrow
from PIL import Image

import deepfashion_tf as df
from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.table import write_table
from deepfashion_tf.errors import InputError


@pytest.fixture(scope="module")
def model(trained):
    return df.load(trained.run.directory, engine="tensorflow")


@pytest.fixture(scope="module")
def paths(wardrobe) -> list[str]:
    return sorted(map(str, (wardrobe / "img").glob("*.jpg")))[:4]


class Values(dict):
    """Attributes and probabilities; batches of other sizes add up in another order."""

    def __eq__(self, other) -> bool:
        return self.keys() == other.keys() and all(
            self[name][0] == other[name][0] and abs(self[name][1] - other[name][1]) < 1e-5
            for name in self
        )


def values(prediction) -> Values:
    return Values((name, (a.attribute, a.probability)) for name, a in prediction.items())


def test_importing_loads_no_tensorflow_and_takes_no_time():
    program = (
        "import time; began = time.perf_counter(); import sys, deepfashion_tf as df; df.Schema; "
        "took = time.perf_counter() - began; "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules or took > 3)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_name_of_the_package_is_there():
    assert set(df.__all__) <= set(dir(df))
    assert all(getattr(df, name) is not None for name in df.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = df.nothing


def test_an_image_in_any_form_gets_the_same_prediction(model, paths):
    path = paths[0]
    first = model.predict(path)
    assert list(first) == list(model.schema)
    assert first["sleeve"].attribute in model.schema["sleeve"]
    assert 0 < first["sleeve"].probability <= 1 and first.fault is None
    encoded = Path(path).read_bytes()
    pixels = np.asarray(Image.open(path).convert("RGB"))
    for form in (Path(path), encoded, bytearray(encoded), pixels, Image.open(path)):
        assert values(model.predict(form)) == values(first)


def test_several_images_come_back_in_order(model, paths, wardrobe):
    one_by_one = [values(model.predict(path)) for path in paths]
    pixels = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    stacked = np.stack([pixels[0]] * 3)
    assert [values(each) for each in model.predict(stacked)] == [one_by_one[0]] * 3
    for several in (paths, tuple(paths), iter(paths), (Path(p) for p in paths), pixels):
        found = model.predict(several)
        assert [values(each) for each in found] == one_by_one
    folder = model.predict(wardrobe / "img")
    assert len(folder) == 80 and values(folder[0]) == one_by_one[0]
    assert values(model.predict(str(wardrobe / "img" / "0000[0-1].jpg"))[1]) == one_by_one[1]
    assert len(folder[:2]) == 2 and len(model.predict([])) == 0
    assert [values(each) for each in model.stream(paths)] == one_by_one


def test_a_table_brings_its_boxes(model, wardrobe, tmp_path):
    split = read_split(wardrobe, "val")
    write_table(tmp_path / "table.csv", [split])
    found = model.predict(tmp_path / "table.csv")
    assert len(found) == len(split)
    assert [each.box for each in found] == [tuple(map(int, box)) for box in split.boxes]


def test_boxes(model, paths):
    box = (5, 6, 40, 50)
    boxed = values(model.predict(paths[0], boxes=box))
    cut = np.ascontiguousarray(np.asarray(Image.open(paths[0]).convert("RGB"))[6:50, 5:40])
    assert boxed == values(model.predict(cut))
    several = model.predict(paths, boxes=[box, None, None, box])
    assert values(several[0]) == boxed and several[1].box is None
    assert values(several[1]) == values(model.predict(paths[1]))
    assert [each.box for each in model.predict(paths, boxes=box)] == [box] * 4
    by_name = model.predict(paths, boxes={Path(paths[0]).name: box, paths[3]: box})
    assert [each.box for each in by_name] == [box, None, None, box]
    with pytest.warns(UserWarning, match="No image has the name of 1 of the 1 boxes: x.jpg"):
        model.predict(paths, boxes={"x.jpg": box})
    for boxes, message in (
        ([box], "There are 1 boxes and more images"),
        ([box] * 5, "There are 5 boxes and 4 images"),
        ((5, 6, 5, 50), "has no area"),
        ([(1, 2, 3)] * 4, "is not x1,y1,x2,y2"),
        ([(0.5, 0, 9, 9)] * 4, "is not x1,y1,x2,y2"),
    ):
        with pytest.raises(InputError, match=message):
            model.predict(paths, boxes=boxes)


def test_what_cannot_be_read_keeps_its_place(model, paths, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    images = [paths[0], tmp_path / "broken.jpg", b"nothing", paths[1]]
    found = model.predict(images)
    assert [bool(each.fault) for each in found] == [False, True, True, False]
    assert list(found.faults) == [str(tmp_path / "broken.jpg"), "image 2"]
    assert repr(found) == "<2 predictions, 2 images left out>"
    assert values(found[3]) == values(model.predict(paths[1]))
    with pytest.raises(InputError, match=r"broken\.jpg"):
        found[1]["sleeve"]
    with pytest.raises(InputError, match=r"broken\.jpg"):
        model.predict(tmp_path / "broken.jpg")
    rows = found.to_dicts()
    assert rows[1]["fault"] and rows[1]["sleeve"] is None and rows[0]["fault"] is None
    for wrong, error in (
        (3, TypeError),
        ([3], TypeError),
        (np.zeros((4, 4, 3), np.float32), InputError),
        (np.zeros((4, 4, 5), np.uint8), InputError),
        (np.zeros((0, 4, 3), np.uint8), InputError),
    ):
        with pytest.raises(error):
            model.predict(wrong)


def test_grey_and_transparent_pictures(model):
    grey = np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8)
    colour = np.repeat(grey[:, :, None], 3, axis=2)
    expected = values(model.predict(colour))
    assert values(model.predict(grey)) == expected
    assert values(model.predict(grey[:, :, None])) == expected
    opaque = np.concatenate([colour, np.full((40, 30, 1), 255, np.uint8)], axis=2)
    assert values(model.predict(opaque)) == expected
    assert values(model.predict(Image.fromarray(opaque))) == expected


def test_a_photograph_on_its_side_is_turned(model, tmp_path):
    pixels = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8), (9, 9), 0
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "side.png", exif=exif)
    turned = np.ascontiguousarray(np.rot90(pixels, -1))
    assert values(model.predict(Image.open(tmp_path / "side.png"))) == values(model.predict(turned))


def test_a_table_of_predictions(model, paths):
    pandas = pytest.importorskip("pandas")
    table = model.predict(paths, top=2).to_pandas()
    assert isinstance(table, pandas.DataFrame) and len(table) == 4
    expected = ["sleeve", "sleeve_probability", "sleeve_2", "sleeve_2_probability"]
    assert set(expected) <= set(table.columns) and table["fault"].isna().all()
    assert (table["sleeve_probability"] >= table["sleeve_2_probability"]).all()
    unsure = model.predict(paths, threshold=1.0)
    assert not unsure[0]["fabric"].is_sure
    row = unsure.to_dicts()[0]
    assert (row["fabric"], row["fabric_status"]) == (unsure[0]["fabric"].attribute, "unsure")
    for options, message in (
        ({"top": 0}, "top is 0"),
        ({"threshold": 2}, "threshold is 2"),
        ({"threshold": 0.5, "accept_accuracy": 0.9}, "both"),
    ):
        with pytest.raises(InputError, match=message):
            model.predict(paths, **options)


def test_embeddings(model, paths):
    found = model.embed(paths)
    assert found.shape[0] == 4 and found.dtype == np.float32 and np.isfinite(found).all()
    assert np.array_equal(model.embed(paths[0]), model.embed([paths[0]])[0])
    assert np.allclose(model.embed(paths[0]), found[0], rtol=1e-4, atol=1e-5)  # sums of batches
    # A copy that JPEG has changed a little is nearer than any other picture.
    copy = cv2.imencode(".jpg", cv2.imread(paths[0]), [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()
    distances = np.linalg.norm(found - model.embed(copy), axis=1)
    assert distances.argmin() == 0
    with pytest.raises(InputError, match=r"^image 0 "):
        model.embed([b"no picture"])


def test_a_run_is_scored_and_exported(model, wardrobe):
    scores = model.evaluate("val")
    assert 0 <= scores.mean_accuracy <= 1 and scores.images == 24
    assert model.evaluate("val", wardrobe) == scores
    with pytest.raises(InputError, match="There is no format 'tflite'"):
        model.export("tflite")


@pytest.mark.slow
def test_an_export_predicts_the_same(model, paths):
    export = df.load(model.export())
    found, own = export.predict(paths), model.predict(paths)
    for one, other in zip(found, own, strict=True):
        assert [a.attribute for a in one.values()] == [a.attribute for a in other.values()]
    with pytest.raises(InputError, match="is an export"):
        export.evaluate()
    with pytest.raises(InputError, match="is an export"):
        export.embed(paths)


@pytest.mark.slow
def test_train(wardrobe, tmp_path, monkeypatch, capsys):
    make_narrow(monkeypatch)
    run = df.train(
        wardrobe,
        df.builtin_schema(),
        backbone="seresnet50",
        weights="none",
        recipe="report",
        image_size=32,
        epochs=1,
        output_dir=tmp_path / "run",
        verbose=False,
    )
    assert capsys.readouterr().out == ""
    assert run.path == tmp_path / "run" and run.schema == df.builtin_schema()
    assert (tmp_path / "run" / "metrics.json").is_file()
    assert df.load(tmp_path / "run").evaluate("val") == run.evaluate("val")


def test_train_refuses_what_it_does_not_know(tmp_path):
    with pytest.raises(TypeError, match="no option 'epoch'; did you mean epochs"):
        df.train(tmp_path, epoch=3)
    with pytest.raises(TypeError, match="no option 'loss'; today it is --gamma 0"):
        df.train(loss="focal")
    with pytest.raises(InputError, match="--recipe is 'x'"):
        df.train(tmp_path, recipe="x")


def test_a_dataset_for_any_keras_model(wardrobe):
    val = df.dataset(wardrobe, "val", image_size=32, batch_size=10)
    images, labels = next(iter(val))
    assert images.shape == (10, 32, 32, 3) and images.dtype == "float32"
    assert 1 < float(images.numpy().max()) <= 255 and set(labels) == set(df.builtin_schema())
    again = next(iter(df.dataset(wardrobe, "val", image_size=32, batch_size=10)))[0]
    assert np.array_equal(images, again)
    normalized = next(iter(df.dataset(wardrobe, "val", 32, batch_size=10, backbone="seresnet50")))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert np.allclose(normalized[0], (images.numpy() / 255 - mean) / std, atol=1e-5)


def test_each_pass_of_a_training_dataset_is_another_epoch(wardrobe):
    def passes(seed: int):
        train = df.dataset(wardrobe, "train", 32, training=True, batch_size=16, seed=seed)
        assert train.cardinality() == 3
        return [np.concatenate([x.numpy() for x, _ in train]) for _ in range(2)]

    first, second = passes(0)
    assert first.shape == (48, 32, 32, 3) and not np.array_equal(first, second)
    assert all(np.array_equal(a, b) for a, b in zip((first, second), passes(0), strict=True))
    assert not np.array_equal(first, passes(1)[0])


@pytest.mark.slow
def test_a_keras_model_trains_on_it_with_the_focal_loss(wardrobe):
    schema = df.builtin_schema()
    backbone = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 3, strides=4, activation="relu"),
        ]
    )
    model = df.build_model(schema, backbone)
    model.compile("adam", {name: df.FocalLoss(gamma=2.0) for name in schema})
    train = df.dataset(wardrobe, "train", 32, training=True, batch_size=16)
    history = model.fit(train, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
