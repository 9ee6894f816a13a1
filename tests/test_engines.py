"""OpenVINO, ONNX Runtime and LiteRT answer as the run does, and only what was made of it."""

import json
import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import tensorflow as tf
from conftest import randomize
from onnxruntime import InferenceSession

from deepfashion_tf.data.check import BadImages, SkippedImages
from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.reading import crop_batches
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.command import evaluate_command
from deepfashion_tf.evaluation.evaluate import answer
from deepfashion_tf.evaluation.scores import Scores
from deepfashion_tf.export import formats, frozen, saved_model
from deepfashion_tf.export.formats import EXPORTERS, OPSET, agreement
from deepfashion_tf.export.onnx_graph import TO_FIRST, TO_LAST, scale_channels_first
from deepfashion_tf.inference import engines
from deepfashion_tf.inference.calibration import (
    CALIBRATION_FILE,
    Calibration,
    CategoryCalibration,
    Coverage,
)
from deepfashion_tf.inference.engines import ENGINES, INEXACT, open_engine
from deepfashion_tf.inference.exported import seal
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.models.attribute_model import build_model
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import Schema, builtin_schema

SCHEMA = builtin_schema()
NAMES = [name for name, engine in ENGINES.items() if engine.is_for_here]
INT8 = {"openvino-int8": "export-openvino/model.bin", "litert-int8": "export-litert/model.tflite"}


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory) -> Run:
    """A trained run with temperatures, exported to both engines."""
    directory = tmp_path_factory.mktemp("engines") / "run"
    shutil.copytree(trained.run.directory, directory)
    coverage = Coverage((0.5,), (1,), (0,), 1)
    Calibration(
        sleeve=CategoryCalibration(0.4, coverage, (-1.0, 0.5, 2.0)),
        texture=CategoryCalibration(2.5, coverage),
    ).save(directory / CALIBRATION_FILE)
    found = replace(trained.run, directory=directory)
    for name in NAMES:
        EXPORTERS[ENGINES[name].format](found)
    return found


def forget_checksums(export: Path) -> None:
    """Makes an export one of before there were checksums."""
    change_about(export, sha256=None)


def change_about(export: Path, **changed) -> None:
    path = export / "assets" / "run.json"
    about = {**json.loads(path.read_text()), **changed}
    path.write_text(json.dumps({name: v for name, v in about.items() if v is not None}))


@pytest.fixture(scope="module")
def crops(trained) -> np.ndarray:
    return np.concatenate(list(crop_batches(trained.val, trained.run.config.image_size)))


def tolerance(predictor: Predictor) -> float:
    """Eight bits of mantissa, or twenty-four."""
    return 0.05 if predictor.engine.precision == "bfloat16" else 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_engine_answers_as_the_run_with_its_temperatures(run, crops, name):
    expected = Predictor.of_run(run).answer(crops)
    found = Predictor.load(run.directory, name)
    assert found.engine.name == name and name in str(found.engine)
    assert found.name == str(run.directory) and found.schema == SCHEMA
    answers = found.answer(crops)
    for category, attributes in SCHEMA.items():
        assert answers[category].shape == (len(crops), len(attributes))
        np.testing.assert_allclose(answers[category].sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(answers[category], expected[category], atol=tolerance(found))
    # Another number of images, and the first answers are still what they were.
    kept = {category: values.copy() for category, values in answers.items()}
    again = found.answer(crops[3:4])
    for category in SCHEMA:
        np.testing.assert_array_equal(answers[category], kept[category])
        np.testing.assert_allclose(again[category], kept[category][3:4], atol=tolerance(found))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_export_is_evaluated_like_the_model(run, trained, name):
    expected, found = (answer(run, trained.val, engine=engine) for engine in ("tensorflow", name))
    engine = Predictor.load(run.directory, name)
    for category in SCHEMA:
        # The calibration error of before is of the network's own probabilities.
        np.testing.assert_allclose(
            found.raw[category], expected.raw[category], atol=tolerance(engine)
        )
    assert found.scores().mean_accuracy == pytest.approx(expected.scores().mean_accuracy, abs=0.03)
    broken = replace(trained.val, encoded=lambda row: b"" if row == 2 else trained.val.encoded(row))
    with pytest.raises(BadImages, match="1 of the 24 val images"):
        answer(run, broken, engine=name)
    skipping = replace(run, config=replace(run.config, on_bad_image="skip"))
    skipped = SkippedImages()
    assert len(answer(skipping, broken, skipped, name).split) == 23
    assert list(skipped.faults) == [trained.val.keys[2]]


@pytest.mark.slow
def test_scores_of_an_export_do_not_take_the_place_of_the_models(run, trained, capsys):
    def evaluate(engine: str) -> bytes:
        evaluate_command(SimpleNamespace(**asked, engine=engine))
        return (run.directory / "metrics-val.json").read_bytes()

    names = ("data", "schema")
    asked = {"run": run.directory, **dict.fromkeys(names), "split": "val", "report": False}
    asked |= {"tta": None, "recall_price": None}
    calibration = (run.directory / CALIBRATION_FILE).read_bytes()
    expected = evaluate("tensorflow")
    (run.directory / CALIBRATION_FILE).write_bytes(calibration)
    assert evaluate("auto") == expected
    assert "answered by openvino" in capsys.readouterr().out
    assert (run.directory / CALIBRATION_FILE).read_bytes() == calibration
    assert Scores.load(run.directory / "metrics-val-openvino.json").images == len(trained.val)
    assert (run.directory / "answers-val-openvino.csv").stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_several_threads_may_ask_at_once(run, crops, name):
    predictor = Predictor.load(run.directory, name)
    expected = predictor.answer(crops)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda row: predictor.answer(crops[row : row + 1]), range(24)))
    for category in SCHEMA:
        values = np.concatenate([answers[category] for answers in found])
        np.testing.assert_allclose(values, expected[category], atol=tolerance(predictor))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_real_photographs_get_the_same_answers(run, real_photos, name):
    split = read_split(real_photos, "test")
    photographs = np.concatenate(list(crop_batches(split, run.config.image_size)))
    expected = Predictor.of_run(run).answer(photographs)
    found = Predictor.load(run.directory, name).answer(photographs)
    for category in SCHEMA:
        same = found[category].argmax(axis=1) == expected[category].argmax(axis=1)
        # Where two are as likely as each other the last bits decide.
        top = np.sort(expected[category], axis=1)
        assert same[top[:, -1] - top[:, -2] > 0.02].mean() > 0.99


# Grouped convolutions, squeeze and excitation, attention, four views: all that engines differ in.
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_whole_backbone_is_exported(trained, tmp_path, crops, name):
    backbone, heads, tta = "seresnext50", "attention", "crops"
    model = build_model(SCHEMA, backbone, image_size=32, heads=heads)
    randomize(model)
    # Answers that are not all certain, nor hang on the last bits of a bfloat16 wherever there are.
    scale = 0.1 if name == "tensorflow-bfloat16" else 0.2
    for category in SCHEMA:
        kernel = model.get_layer(category).kernel
        kernel.assign(scale * kernel)
    config = replace(trained.run.config, backbone=backbone, variant=None, tta=tta)
    run = Run(tmp_path, config, SCHEMA)
    run.save_model(model)
    EXPORTERS[ENGINES[name].format](run)
    expected = Predictor.of_run(run).answer(crops[:4])
    found = Predictor.load(tmp_path / ENGINES[name].folder)
    for category, values in found.answer(crops[:4]).items():
        np.testing.assert_allclose(values, expected[category], atol=tolerance(found))


@pytest.mark.slow
# Attention at the sizes of feature maps that it has to be left out of 8 bits for, too.
@pytest.mark.parametrize(
    ("backbone", "heads", "tta", "image_size"),
    [
        ("seresnet50", "attention", "flip", 64),
    ],
)
def test_whole_backbones_are_quantized(
    trained, tmp_path, monkeypatch, backbone, heads, tta, image_size
):
    model = build_model(SCHEMA, backbone, image_size=image_size, heads=heads)
    randomize(model)
    for category in SCHEMA:  # answers that are not all certain
        kernel = model.get_layer(category).kernel
        kernel.assign(0.2 * kernel)
    config = replace(
        trained.run.config, backbone=backbone, variant=None, tta=tta, image_size=image_size
    )
    run = Run(tmp_path, config, SCHEMA)
    run.save_model(model)
    monkeypatch.setattr(formats, "CALIBRATED", 8)
    EXPORTERS["openvino-int8"](run)
    crops = np.concatenate(list(crop_batches(trained.val, image_size)))[:4]
    expected = Predictor.of_run(run).answer(crops)
    found = Predictor.load(tmp_path / "export-openvino-int8")
    for category, values in found.answer(crops).items():
        np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-2)  # of bfloat16
        # A step of 8 bits is 1/255 of a range, and there are fifty layers of them.
        np.testing.assert_allclose(values, expected[category], atol=0.25)


@pytest.mark.slow
def test_onnx_scales_maps_without_transposing_them(run):
    graph = onnx.load(run.directory / "export-onnx" / "model.onnx").graph
    found = [list(n.attribute[0].ints) for n in graph.node if n.op_type == "Transpose"]
    # The images, once, and each block's scales but the last one's, whose map is 1 x 1.
    assert found == [TO_FIRST] * 4


def test_a_transposed_map_that_others_read_stays():
    make = onnx.helper.make_node
    nodes = [
        make("Transpose", ["x"], ["last"], perm=TO_LAST),
        make("Mul", ["s", "last"], ["scaled"], "scale"),
        make("Transpose", ["scaled"], ["y"], perm=TO_FIRST),
        make("Sigmoid", ["y"], ["out"]),
        make("Relu", ["last"], ["other"]),
    ]
    shapes = {"x": [2, 3, 4, 5], "s": [2, 1, 1, 3], "out": [2, 3, 4, 5], "other": [2, 4, 5, 3]}
    values = [onnx.helper.make_tensor_value_info(n, 1, shape) for n, shape in shapes.items()]
    graph = onnx.helper.make_graph(nodes, "graph", values[:2], values[2:])
    opset = onnx.helper.make_opsetid("", OPSET)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    rng = np.random.default_rng(0)
    inputs = {name: rng.normal(size=shapes[name]).astype("float32") for name in "xs"}
    expected = InferenceSession(model.SerializeToString()).run(None, inputs)
    scale_channels_first(model.graph)
    onnx.checker.check_model(model)
    kinds = [(n.op_type, n.input[0]) for n in model.graph.node if n.op_type == "Transpose"]
    assert kinds == [("Transpose", "x"), ("Transpose", "s")]
    for one, other in zip(
        expected, InferenceSession(model.SerializeToString()).run(None, inputs), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_auto_takes_the_fastest_that_was_made_of_this_very_model(run, tmp_path, monkeypatch):
    copy = tmp_path / "run"
    shutil.copytree(run.directory, copy)
    assert Predictor.load(copy).engine.name == "openvino"
    assert Predictor.load(copy, "tensorflow").engine.name == "tensorflow"
    shutil.rmtree(copy / "export-openvino")
    if "tensorflow-bfloat16" in NAMES:
        assert Predictor.load(copy).engine.name == "tensorflow-bfloat16"
        monkeypatch.setattr(engines, "bfloat16_units", lambda: None)
    assert Predictor.load(copy).engine.name == "onnxruntime"
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(type(ENGINES["onnxruntime"]), "is_installed", False)
    assert Predictor.load(copy).engine.name == "tensorflow"
    monkeypatch.undo()
    (copy / CALIBRATION_FILE).unlink()
    assert Predictor.load(copy).engine.name == "tensorflow"
    with pytest.raises(InputError, match=r"of its present model: deepfashion export .*onnx"):
        Predictor.load(copy, "onnxruntime")


@pytest.mark.slow
def test_a_run_and_its_export_of_other_categories_are_refused(run, tmp_path, monkeypatch):
    copy = tmp_path / "run"
    shutil.copytree(run.directory, copy)
    schema = (copy / "schema.yaml").read_text()
    (copy / "schema.yaml").write_text(schema.replace("[tight, loose", "[loose, tight"))
    with pytest.raises(InputError, match=r"attributes of fit as loose, tight"):
        Predictor.load(copy, "openvino")
    # A model of before it held a note of its attributes.
    monkeypatch.setattr("deepfashion_tf.runs.run.check_attributes", lambda *args: None)
    with pytest.raises(InputError, match=r"have other categories \(fit is \[loose, tight"):
        Predictor.load(copy, "openvino")


@pytest.mark.slow
def test_what_is_none_of_the_engines_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="is an export for onnxruntime: leave out"):
        Predictor.load(run.directory / "export-onnx", "openvino")
    for engine in map(ENGINES.get, NAMES):
        broken = tmp_path / engine.folder
        shutil.copytree(run.directory / engine.folder, broken)
        forget_checksums(broken)
        (broken / engine.file).write_bytes(b"no network")
        words = f"cannot be loaded by {engine.name}|no SavedModel that TensorFlow can read"
        with pytest.raises(InputError, match=words):
            Predictor.load(broken)
        for text in ("[", "[]", '{"untrained": []}'):
            (broken / "assets" / "run.json").write_text(text)
            with pytest.raises(InputError, match="export the run again"):
                Predictor.load(broken)


@pytest.mark.slow
def test_an_engine_that_is_not_installed_is_reported_with_its_extra(run, monkeypatch):
    for engine in map(ENGINES.get, NAMES):
        with monkeypatch.context() as missing:
            missing.setattr(type(engine), "is_installed", False)
            with pytest.raises(InputError, match=re.escape(engine.install)):
                Predictor.load(run.directory / engine.folder)
    for name, module, extra in (
        ("openvino", "openvino", "openvino"),
        ("openvino-int8", "openvino", "openvino-int8"),
        ("openvino-int8", "nncf", "openvino-int8"),
        ("onnx", "tf2onnx.convert", "onnx"),
    ):
        with monkeypatch.context() as missing:
            missing.setitem(sys.modules, module, None)
            package = module.partition(".")[0]
            words = f"--formats {name} needs {package}: pip install 'deepfashion_tf[{extra}]'"
            with pytest.raises(InputError, match=re.escape(words)):
                EXPORTERS[name](run)


@pytest.mark.slow
def test_an_answer_is_explained_whatever_engine_gave_it(run, crops):
    heats = Predictor.load(run.directory, "openvino").explainer().explain(crops[:2])
    assert set(heats) == set(SCHEMA)
    with pytest.raises(InputError, match="name the run directory"):
        Predictor.load(run.directory / "export-openvino").explainer()


@pytest.mark.slow
@pytest.mark.parametrize("name", INT8)
def test_eight_bits_agree_with_the_model_and_are_asked_for(run, tmp_path, crops, name, capfd):
    copy = replace(run, directory=tmp_path / "run")
    shutil.copytree(run.directory, copy.directory, ignore=shutil.ignore_patterns("export-*"))
    folder = EXPORTERS[name](copy)
    assert "".join(capfd.readouterr()) == ""
    whole = (run.directory / INT8[name]).stat().st_size
    assert sum(path.stat().st_size for path in folder.glob("model-int8.*")) < 0.3 * whole
    assert Predictor.load(copy.directory).engine.name == "tensorflow"
    found = Predictor.load(copy.directory, name)
    assert found.engine.name == name and str(found.engine).endswith("int8")
    assert Predictor.load(folder).engine == found.engine
    expected, answers = Predictor.of_run(run).answer(crops), found.answer(crops)
    same = [answers[c].argmax(axis=1) == expected[c].argmax(axis=1) for c in SCHEMA]
    images, share = agreement(copy, name)
    assert images == len(crops) and share == np.mean(same) > 0.9


@pytest.mark.slow
def test_eight_bits_that_openvino_cannot_open_are_not_kept(run, tmp_path, monkeypatch):
    copy = replace(run, directory=tmp_path / "run")
    shutil.copytree(run.directory, copy.directory, ignore=shutil.ignore_patterns("export-*"))

    def refuse(name, path):
        raise InputError(f"{path} cannot be loaded")

    monkeypatch.setattr(saved_model, "open_engine", refuse)
    monkeypatch.setattr(formats, "CALIBRATED", 2)
    with pytest.raises(InputError, match="cannot be loaded"):
        EXPORTERS["openvino-int8"](copy)
    assert not [path for path in copy.directory.iterdir() if "int8" in path.name]


@pytest.mark.slow
def test_an_export_that_answers_otherwise_is_not_kept(run, monkeypatch):
    folder = run.directory / "export-onnx"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    names = {category: len(attributes) for category, attributes in SCHEMA.items()}

    def wrong(crops):
        return {c: np.eye(n, dtype=np.float32)[[0] * len(crops)] for c, n in names.items()}

    monkeypatch.setattr(saved_model, "open_engine", lambda name, path: (wrong, None))
    with pytest.raises(InputError, match=r"answers otherwise than the model .* is not kept"):
        EXPORTERS["onnx"](run)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.slow
def test_a_graph_that_stays_in_float32_is_not_kept_as_one_in_bfloat16(run, tmp_path, monkeypatch):
    copy = replace(run, directory=tmp_path / "run")
    shutil.copytree(run.directory, copy.directory, ignore=shutil.ignore_patterns("export-*"))
    monkeypatch.setattr(frozen, "OptimizeGraph", lambda config, graph: graph.graph_def)
    monkeypatch.setenv("TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_DENYLIST_ADD", "Relu")
    with pytest.raises(InputError, match="leaves all of the network in float32 here"):
        EXPORTERS["saved_model-bfloat16"](copy)
    assert not list(copy.directory.glob("*bfloat16*"))
    assert os.environ["TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_DENYLIST_ADD"] == "Relu"


@pytest.mark.slow
@pytest.mark.skipif("tensorflow-bfloat16" not in NAMES, reason="a processor without bfloat16")
def test_a_saved_model_in_bfloat16_answers_for_files_and_is_smaller(run, real_photos):
    folders = run.directory / "export", run.directory / "export-saved_model-bfloat16"
    EXPORTERS["saved_model"](run)
    whole, small = (sum(f.stat().st_size for f in d.rglob("*.*")) for d in folders)
    assert small < 0.8 * whole
    split = read_split(real_photos, "test")
    files = tf.constant([split.encoded(row) for row in range(8)])
    expected, found = (
        tf.saved_model.load(str(folder)).signatures["serving_default"](
            image_bytes=files, boxes=tf.constant(split.boxes[:8], tf.int32)
        )
        for folder in folders
    )
    for category in SCHEMA:
        assert found[category].dtype == tf.float32
        np.testing.assert_allclose(found[category], expected[category], atol=0.05)
        assert np.abs(found[category] - expected[category]).max() > 1e-6


@pytest.mark.slow
def test_exporting_again_replaces_the_export(run):
    folder = EXPORTERS["openvino"](run)
    assert json.loads((folder / "assets" / "run.json").read_text())["image_size"] == 32
    assert {path.name for path in folder.iterdir()} == {"model.xml", "model.bin", "assets"}
    assert not list(run.directory.glob(".unfinished*"))


@pytest.mark.slow
def test_exact_answers_are_computed_in_float32(run, crops, tmp_path):
    """On a processor without units for bfloat16, too, where both are the same."""
    if not ENGINES["openvino"].is_installed:
        pytest.skip("OpenVINO is not installed")
    if not (run.directory / "export-openvino").is_dir():
        EXPORTERS["openvino"](run)
    exact = Predictor.load(run.directory, "openvino", exact=True)
    assert exact.engine.precision == "float32"
    expected = Predictor.of_run(run).answer(crops)
    for category, values in exact.answer(crops).items():
        np.testing.assert_allclose(values, expected[category], atol=1e-4)
    assert "bfloat16" not in Predictor.load(run.directory, "auto", exact=True).engine.name
    for name in INEXACT:
        with pytest.raises(InputError, match="--exact"):
            open_engine(name, tmp_path / "model", exact=True)


def test_who_answers_in_sixteen_bits_says_what_that_changes():
    of = {kind: str(engines.Running("openvino", "1.0", kind)) for kind in ("bfloat16", "float32")}
    assert of["float32"] == "openvino 1.0, float32"
    assert "may differ by 0.02" in of["bfloat16"] and "--engine tensorflow" in of["bfloat16"]


KINDS = ["saved_model", *(ENGINES[name].format for name in NAMES)]


@pytest.fixture
def export_of(run, tmp_path):
    """Copies an export of the run, which a test may damage."""
    if not (run.directory / "export").is_dir():
        EXPORTERS["saved_model"](run)

    def copy(kind: str) -> Path:
        name = "export" if kind == "saved_model" else f"export-{kind}"
        path = tmp_path / name
        shutil.copytree(run.directory / name, path)
        return path

    return copy


def network_files(export: Path) -> list[Path]:
    paths = [path for path in export.rglob("*") if path.is_file() and path.parent.name != "assets"]
    return [path for path in paths if path.name != "fingerprint.pb"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_has_changed_since_is_refused(export_of, kind):
    export = export_of(kind)
    Predictor.load(export)
    files = network_files(export)
    largest = max(files, key=lambda path: path.stat().st_size)
    for path in {largest, *files}:
        whole = bytearray(path.read_bytes())
        changed = whole.copy()
        middle = len(changed) // 2
        changed[middle : middle + 64] = bytes(b ^ 255 for b in changed[middle : middle + 64])
        for content in (changed, whole[:-1], whole + b"\0"):
            path.write_bytes(content)
            with pytest.raises(InputError, match=f"{path.name} changed since"):
                Predictor.load(export)
        path.unlink()
        with pytest.raises(InputError):
            Predictor.load(export)
        path.write_bytes(whole)
    Predictor.load(export)
    # What the engine would read though nobody exported it.
    (export / "model-weights.data").write_bytes(b"1")
    with pytest.raises(InputError, match=r"model-weights\.data changed since"):
        Predictor.load(export)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_assets_of_another_run_are_refused(export_of, kind):
    export = export_of(kind)
    schema = (export / "assets" / "schema.yaml").read_text()
    calibration = (export / "assets" / "calibration.json").read_bytes()
    attributes = dict(SCHEMA)
    fewer = {name: values for name, values in attributes.items() if name != "fit"}
    whole = (export / "assets" / "run.json").read_bytes()
    for other in (
        fewer,
        {**attributes, "season": ("summer", "winter")},
        {**attributes, "fit": ("tight", "loose")},
        {**attributes, "fit": ("tight", "loose", "other", "conventional")},
    ):
        Schema.of(other).save(export / "assets" / "schema.yaml")
        with pytest.raises(InputError, match=r"attributes\.json and schema\.yaml name different"):
            Predictor.load(export)
        (export / "assets" / "attributes.json").unlink()
        (export / "assets" / "calibration.json").unlink()
        seal(export)  # as one that never had a calibration
        with pytest.raises(InputError, match=r"different runs \(they differ in (fit|season)\)"):
            Predictor.load(export)
        (export / "assets" / "attributes.json").write_text(json.dumps(attributes))
        (export / "assets" / "calibration.json").write_bytes(calibration)
        (export / "assets" / "run.json").write_bytes(whole)
    (export / "assets" / "schema.yaml").write_text(schema)
    Predictor.load(export)
    # It holds the thresholds of kind multi, and what may be accepted.
    for other in (None, calibration.replace(b"0.4", b"0.5")):
        (export / "assets" / "calibration.json").unlink()
        if other:
            (export / "assets" / "calibration.json").write_bytes(other)
        with pytest.raises(InputError, match=r"assets/calibration\.json changed since"):
            Predictor.load(export)
        (export / "assets" / "calibration.json").write_bytes(calibration)
    for changed in (
        {"image_size": 64},
        {"image_size": 32.0},
        {"image_size": 10**9},
        {"untrained": 5},
        {"untrained": ["season"]},
        {"box_padding": "1"},
        {"box_padding": -3},
        {"sha256": [1]},
        {"sha256": {"../../etc/passwd": "0"}},
    ):
        before = (export / "assets" / "run.json").read_text()
        change_about(export, **changed)
        with pytest.raises(InputError, match="export the run again"):
            Predictor.load(export)
        (export / "assets" / "run.json").write_text(before)
    (export / "assets" / "run.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="export the run again"):
        Predictor.load(export)


@pytest.mark.slow
def test_an_export_of_before_there_were_checksums_is_read(export_of, run, crops):
    export = export_of("onnx")
    forget_checksums(export)
    expected = Predictor.load(run.directory, "onnxruntime").answer(crops)
    for category, values in Predictor.load(export).answer(crops).items():
        np.testing.assert_array_equal(values, expected[category])


@pytest.mark.slow
def test_nan_is_never_an_answer(export_of, run, crops):
    export = export_of("onnx")
    graph = onnx.load(export / "model.onnx")
    weights = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights.raw_data = np.full(len(weights.raw_data) // 4, np.nan, np.float32).tobytes()
    onnx.save(graph, export / "model.onnx")
    forget_checksums(export)
    with pytest.raises(InputError, match="with NaN, which is no probability"):
        Predictor.load(export)
    # Nor of an image that alone leads to it.
    predictor = Predictor.load(run.directory, "onnxruntime")
    found = {category: np.full((len(crops), 3), np.nan) for category in SCHEMA}
    predictor._answer = lambda crops: found
    with pytest.raises(InputError, match=r"answers texture, .* with NaN"):
        predictor.answer(crops)
