"""The exported SavedModel against the training pipeline, in and out of this process."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.reading import crop_batches
from deepfashion_tf.evaluation.evaluate import predict_split
from deepfashion_tf.export.saved_model import export_run
from deepfashion_tf.inference.calibration import (
    CALIBRATION_FILE,
    Calibration,
    CategoryCalibration,
    Coverage,
)
from deepfashion_tf.inference.exported import RUN_FILE
from deepfashion_tf.inference.items import items_of
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.runs.config import CONFIG_FILE
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()


@pytest.fixture(scope="module")
def exported(trained):
    return tf.saved_model.load(str(export_run(trained.run)))


def files(split):
    return tf.constant([tf.io.read_file(path).numpy() for path in split.keys])


def assert_same(answers, expected, rows=slice(None)):
    assert set(answers) == set(SCHEMA)
    for category, probabilities in expected.items():
        # The same ops in the same order, on batches of other sizes.
        np.testing.assert_allclose(answers[category], probabilities[rows], atol=1e-4)


@pytest.mark.slow
def test_the_export_answers_with_the_runs_offsets_and_temperatures(trained, tmp_path):
    run = replace(trained.run, directory=tmp_path / "run")
    shutil.copytree(trained.run.directory, run.directory)
    raw = predict_split(run, run.load_model(), trained.val)
    coverage = Coverage((0.5,), (1,), (0,), 1)
    calibration = Calibration(
        sleeve=CategoryCalibration(0.4, coverage, offsets=(-1.0, 0.5, 2.0)),
        texture=CategoryCalibration(2.5, coverage),
        fit=CategoryCalibration(1.0, coverage, offsets=(3.0, -1.0, 0.0)),
    )
    calibration.save(run.directory / CALIBRATION_FILE)
    loaded = tf.saved_model.load(str(export_run(run)))
    answers = loaded.signatures["serving_default"](
        image_bytes=files(trained.val), boxes=tf.constant(trained.val.boxes)
    )
    assert_same(answers, calibration.scale(raw))
    assert np.abs(answers["sleeve"] - raw["sleeve"]).max() > 1e-3
    assert (answers["fit"].numpy().argmax(axis=1) != raw["fit"].argmax(axis=1)).any()
    crops = np.concatenate(list(crop_batches(trained.val, run.config.image_size)))
    assert_same(Predictor.of_run(run).answer(crops), calibration.scale(raw))
    kept = Path(loaded.calibration.asset_path.numpy().decode())
    assert Calibration.load(kept) == calibration


@pytest.mark.slow
def test_files_with_boxes_are_answered_as_in_training(exported, trained):
    expected = predict_split(trained.run, trained.run.load_model(), trained.val)
    serve = exported.signatures["serving_default"]
    answers = serve(image_bytes=files(trained.val), boxes=tf.constant(trained.val.boxes))
    assert_same(answers, expected)
    for category, attributes in SCHEMA.items():
        assert answers[category].shape == (24, len(attributes))


def test_no_box_is_the_whole_image(exported, trained):
    whole = trained.val.without_boxes()
    expected = predict_split(trained.run, trained.run.load_model(), whole)
    answers = exported.signatures["serving_default"](
        image_bytes=files(whole), boxes=tf.constant(whole.boxes)
    )
    assert_same(answers, expected)


def test_ready_crops_are_answered_alike(exported, trained):
    expected = predict_split(trained.run, trained.run.load_model(), trained.val)
    crops = np.concatenate(list(crop_batches(trained.val, trained.run.config.image_size)))
    assert_same(exported.signatures["images"](images=tf.constant(crops)), expected)


def test_real_photographs_are_answered_as_in_training(exported, trained, real_photos):
    split = read_split(real_photos, "test")
    expected = predict_split(trained.run, trained.run.load_model(), split)
    answers = exported.signatures["serving_default"](
        image_bytes=files(split), boxes=tf.constant(split.boxes)
    )
    assert_same(answers, expected)


def test_png_and_jpeg_in_one_batch(exported, trained):
    jpeg = tf.io.read_file(trained.val.keys[0])
    png = tf.io.encode_png(tf.io.decode_jpeg(jpeg))
    boxes = tf.constant(trained.val.boxes[[0, 0]])
    answers = exported.signatures["serving_default"](image_bytes=tf.stack([jpeg, png]), boxes=boxes)
    for probabilities in answers.values():
        # Cropping a JPEG while decoding rounds colour differently at the crop's rim.
        np.testing.assert_allclose(probabilities[0], probabilities[1], atol=0.1)


@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp"])
def test_what_cannot_be_decoded_is_told_with_its_place(exported, trained, kind):
    given, boxes = [*files(trained.val).numpy()[:12]], np.full((12, 4), -1, np.int32)
    boxes[7] = (0, 0, 5000, 10)
    pixels = tf.zeros([9, 9, 3], tf.uint8)
    given[9] = {
        "jpeg": b"\xff\xd8\xff\xe0" + b"x" * 300,
        "png": tf.io.encode_png(pixels).numpy()[:-30],
        "bmp": b"BM" + b"\0" * 60,
    }[kind]
    words = r"cannot be decoded, or does not hold its box.*\[7 9\] \[of\] \[12\]"
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s){words}"):
        exported.signatures["serving_default"](image_bytes=tf.constant(given), boxes=boxes)


def test_what_is_large_is_a_variable_which_is_kept_once_in_memory(exported, trained):
    folder = trained.run.directory / "export"
    kernels = sum(variable.numpy().nbytes for variable in exported.network.kernels)
    weights = sum(v.numpy().nbytes for v in trained.run.load_model().variables)
    assert kernels > 0.7 * weights
    assert b"variables/variables.index" in (folder / "assets" / RUN_FILE).read_bytes()
    document = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for function in document.meta_graphs[0].graph_def.library.function:
        assert all(n.ByteSize() < 20_000 for n in function.node_def if n.op == "Const")


@pytest.mark.slow
def test_a_process_that_knows_only_tensorflow_can_answer(exported, trained, tmp_path):
    program = f"""
import json, sys, tensorflow as tf
loaded = tf.saved_model.load({str(trained.run.directory / "export")!r})
names = json.loads(tf.io.read_file(loaded.attributes.asset_path).numpy())
data = tf.stack([tf.io.read_file({trained.val.keys[0]!r})])
answers = loaded.signatures["serving_default"](image_bytes=data, boxes=tf.constant([[-1] * 4]))
assert not any(name.startswith("deepfashion") for name in sys.modules)
print(json.dumps({{c: [names[c], answers[c].numpy()[0].tolist()] for c in answers}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    whole = trained.val.without_boxes()
    expected = predict_split(trained.run, trained.run.load_model(), whole)
    for category, attributes in SCHEMA.items():
        names, probabilities = found[category]
        assert names == list(attributes)
        np.testing.assert_allclose(probabilities, expected[category][0], atol=1e-4)


@pytest.mark.slow
def test_boxes_are_enlarged_alike_by_the_run_its_export_and_the_predictor(trained, tmp_path):
    config = replace(trained.run.config, box_padding=0.3)
    run = replace(trained.run, config=config, directory=tmp_path / "run")
    shutil.copytree(trained.run.directory, run.directory)
    config.save(run.directory / CONFIG_FILE)
    split = run.read_split("val")
    assert split.padding == 0.3
    expected = predict_split(run, run.load_model(), split)
    path = export_run(run)
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    # The split's boxes are those of its files: whoever answers enlarges them.
    np.testing.assert_array_equal(split.boxes, trained.val.boxes)
    assert_same(serve(image_bytes=files(split), boxes=tf.constant(split.boxes)), expected)
    for predictor in (Predictor.load(run.directory), Predictor.load(path)):
        (batch,) = predictor.stream(items_of(split))
        assert_same(batch.probabilities, expected)
    without = predict_split(run, run.load_model(), trained.val)
    assert np.abs(expected["sleeve"] - without["sleeve"]).max() > 1e-3

    about = path / "assets" / RUN_FILE
    values = json.loads(about.read_text())
    del values["box_padding"]
    about.write_text(json.dumps(values))
    assert Predictor.load(path).padding == 0  # an export of before there was padding


def test_exporting_again_replaces_the_export(trained, exported):
    folder = export_run(trained.run)
    assert (folder / "saved_model.pb").is_file()
    assert not list(trained.run.directory.glob(".export*"))


def test_as_many_boxes_as_images_are_asked_for(exported, trained):
    serve = exported.signatures["serving_default"]
    for images, boxes in ((2, 5), (5, 2), (0, 1), (1, 0)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="one box for each image"):
            serve(
                image_bytes=files(trained.val)[:images],
                boxes=tf.constant(trained.val.boxes[:boxes], tf.int32),
            )


def test_nothing_is_answered_with_nothing(exported, trained):
    size = trained.run.config.image_size
    nothing = (
        exported.signatures["serving_default"](
            image_bytes=tf.constant([], tf.string), boxes=tf.zeros([0, 4], tf.int32)
        ),
        exported.signatures["images"](images=tf.zeros([0, size, size, 3], tf.uint8)),
        Predictor.load(trained.run.directory).answer(np.zeros((0, size, size, 3), np.uint8)),
    )
    for answers in nothing:
        assert {name: value.shape for name, value in answers.items()} == {
            category: (0, len(attributes)) for category, attributes in SCHEMA.items()
        }


@pytest.mark.parametrize("wrong", [b"", b"x", b"\xff\xd8", b"II*\0" * 9, b"RIFF1234WAVE"])
def test_what_is_no_image_is_told_with_its_place(exported, trained, wrong):
    given = [*files(trained.val).numpy()[:12]]
    given[3] = given[11] = wrong
    boxes = tf.constant(trained.val.boxes[:12], tf.int32)
    words = r"is no JPEG, PNG, GIF, BMP or WebP image.*counted from 0:.*\[3 11\]"
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s){words}"):
        exported.signatures["serving_default"](image_bytes=tf.constant(given), boxes=boxes)


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (-1, 0, 9, 9), (9, 0, 2, 9), (-1, -1, -1, 5)])
def test_what_is_no_box_is_told_with_its_place(exported, trained, box):
    boxes = trained.val.boxes[:6].copy()
    boxes[4] = box
    words = r"has no area or lies outside the image, counted from 0:.*\[4\]"
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s){words}"):
        exported.signatures["serving_default"](
            image_bytes=files(trained.val)[:6], boxes=tf.constant(boxes, tf.int32)
        )
