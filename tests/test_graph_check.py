"""A SavedModel of somebody else runs nothing but arithmetic, or is not loaded."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from deepfashion_tf.errors import InputError
from deepfashion_tf.export.frozen import Network
from deepfashion_tf.export.saved_model import export_run
from deepfashion_tf.inference.calibration import Calibration
from deepfashion_tf.inference.graph_check import ALLOWED, check_saved_model
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.schema import Schema

SCHEMA = Schema.of({"season": ["summer", "winter"]})


def foreign_export(folder: Path, act, prepare=None) -> Path:
    """Writes what looks like an export, and does something when it is asked."""
    module = tf.Module()
    if prepare:
        prepare(module)

    @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.uint8, "images")])
    def images(images):
        value = act(module)
        shape = [tf.shape(images)[0], 2]
        with tf.control_dependencies([value] if value is not None else []):
            return {"season": tf.fill(shape, 0.5)}

    tf.saved_model.save(module, str(folder), signatures={"images": images})
    assets = folder / "assets"
    assets.mkdir(exist_ok=True)
    SCHEMA.save(assets / "schema.yaml")
    Calibration().save(assets / "calibration.json")
    about = {"untrained": [], "image_size": 32, "box_padding": 0.0}
    (assets / "run.json").write_text(json.dumps(about))
    return folder


def write(module):
    tf.io.write_file("written.txt", "x")


def write_in_a_loop(module):
    return tf.while_loop(
        lambda i: i < 1, lambda i: (tf.io.write_file("written.txt", "x"), i + 1)[1:], [0]
    )[0]


def write_in_a_branch(module):
    def act():
        tf.io.write_file("written.txt", "x")
        return tf.constant(0)

    return tf.cond(tf.timestamp() > 0, act, lambda: tf.constant(0))


def write_in_a_map(module):
    def act(_):
        tf.io.write_file("written.txt", "x")
        return tf.constant(0)

    return tf.map_fn(act, tf.range(2))


def write_in_a_gradient(module):
    @tf.custom_gradient
    def act(x):
        def slope(upstream):
            tf.io.write_file("written.txt", "x")
            return upstream

        return tf.identity(x), slope

    x = tf.constant(1.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = act(x)
    return tape.gradient(y, x)


def read(module):
    return tf.io.read_file("/etc/hostname")


def match(module):
    return tf.io.matching_files("/etc/*")


def save(module):
    tf.raw_ops.SaveV2(prefix="written", tensor_names=["a"], shape_and_slices=[""], tensors=[1.0])


def restore(module):
    return tf.raw_ops.RestoreV2(
        prefix="a", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
    )[0]


def run_python(module):
    return tf.numpy_function(lambda: np.float32(1), [], tf.float32)


def print_to_a_file(module):
    tf.print("x", output_stream="file://written.txt")


def debug(module):
    return tf.raw_ops.DebugIdentity(input=1.0, debug_urls=["file://written"])


def read_dataset(module):
    return tf.data.TextLineDataset("/etc/hostname").reduce(tf.constant(""), lambda a, b: a + b)


def read_table(module):
    return module.table.lookup(tf.constant("x"))


def make_table(module):
    Path("words.txt").write_text("x\n")
    kinds = (
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    module.table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer("words.txt", *kinds), -1)


ACTS = [
    *((act, None, "WriteFile") for act in (write, write_in_a_loop, write_in_a_branch)),
    *((act, None, "WriteFile") for act in (write_in_a_map, write_in_a_gradient)),
    (read, None, "ReadFile"),
    (match, None, "MatchingFiles"),
    (save, None, "SaveV2"),
    (restore, None, "RestoreV2"),
    (run_python, None, "PyFunc"),
    (print_to_a_file, None, "PrintV2"),
    (debug, None, "DebugIdentity"),
    (read_dataset, None, "TextLineDataset"),
    (read_table, make_table, "HashTableV2"),
]


@pytest.mark.parametrize(("act", "prepare", "operation"), ACTS)
@pytest.mark.parametrize("engine", ["tensorflow", "tensorflow-bfloat16"])
def test_what_acts_on_the_machine_is_not_loaded(
    tmp_path, monkeypatch, act, prepare, operation, engine
):
    monkeypatch.chdir(tmp_path)
    folder = foreign_export(tmp_path / "export", act, prepare)
    path = folder / "assets" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "engine": engine}))
    before = {each.name for each in tmp_path.iterdir()}
    monkeypatch.setattr(tf.saved_model, "load", lambda path: pytest.fail("it was loaded"))
    with pytest.raises(
        InputError, match=f"(?s){operation}.*not loaded: load only exports that you"
    ):
        Predictor.load(folder)
    assert {each.name for each in tmp_path.iterdir()} == before


def test_arithmetic_alone_is_loaded(tmp_path):
    folder = foreign_export(tmp_path / "export", lambda module: tf.constant(1.0) * 2)
    answers = Predictor.load(folder).answer(np.zeros((3, 32, 32, 3), np.uint8))
    np.testing.assert_array_equal(answers["season"], np.full((3, 2), 0.5))


@pytest.mark.slow
def test_what_an_export_contains_is_allowed(trained):
    check_saved_model(export_run(trained.run))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["MobileNetV3Small", "EfficientNetV2B0", "ConvNeXtTiny", "ResNet50V2"]
)
def test_what_networks_of_keras_contain_is_allowed(tmp_path, name):
    model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3))
    images = [tf.TensorSpec([None, 64, 64, 3])]
    traced = tf.function(
        lambda images: {"season": model(images, training=False)}, input_signature=images
    )
    network = Network(traced.get_concrete_function())
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(network, str(tmp_path), {"images": network.answer}, options)
    check_saved_model(tmp_path)


def test_of_what_is_allowed_variables_calls_and_data_in_memory_alone_have_a_state():
    states = {name for name in ALLOWED if op_def_registry.get(name).is_stateful}
    variables = {"AssignVariableOp", "ReadVariableOp", "VarHandleOp", "VarIsInitializedOp"}
    data = {"DatasetToSingleElement", "RangeDataset", "TensorDataset", "TensorSliceDataset"}
    calls = {"Assert", "Case", "If", "StatefulPartitionedCall", "While"}
    assert states == variables | data | calls


def test_a_saved_model_of_tensorflow_1_is_not_loaded(tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        images = tf.compat.v1.placeholder(tf.uint8, [None, 32, 32, 3])
        season = tf.fill([tf.shape(images)[0], 2], 0.5)
        folder = str(tmp_path / "export")
        tf.compat.v1.saved_model.simple_save(
            session, folder, {"images": images}, {"season": season}
        )
    with pytest.raises(InputError, match="SavedModel of TensorFlow 1"):
        check_saved_model(tmp_path / "export")
    (tmp_path / "export" / "saved_model.pb").write_bytes(b"\xff" * 50)
    with pytest.raises(InputError, match="no SavedModel that TensorFlow can read"):
        check_saved_model(tmp_path / "export")
