"""LiteRT files as phone code reads them: outputs by position, and the steps of docs/phones.md."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter
from conftest import make_narrow, randomize

from deepfashion_tf.data.reading import crop_batches
from deepfashion_tf.export import formats
from deepfashion_tf.export.formats import EXPORTERS
from deepfashion_tf.export.litert import order_outputs
from deepfashion_tf.inference.engines import ENGINES
from deepfashion_tf.inference.exported import RUN_FILE
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.models.attribute_model import build_model
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import Schema

PAGE = (Path(__file__).parents[1] / "docs" / "phones.md").read_text(encoding="utf-8")
# No order of the alphabet; the last two answer the same, since nobody has labelled them.
SCHEMA = Schema.of(
    {
        "texture": ["plain", "striped", "floral"],
        "fabric": ["wool", "cotton", "90 % silk"],
        "sleeve": ["long", "short"],
        "fit": ["tight", "loose"],
        "age": ["new", "old"],
    },
    multi=["fabric"],
    optional=["sleeve", "fabric"],
)
UNTRAINED = ("fit", "age")
# A step of 8 bits is 1/255 of a range, and there are many layers of them.
CLOSE = {"litert": 1e-4, "litert-int8": 0.2}


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory) -> Run:
    directory = tmp_path_factory.mktemp("phones")
    with pytest.MonkeyPatch.context() as patch:
        make_narrow(patch)
        model = build_model(SCHEMA, trained.run.config.backbone, image_size=32, untrained=UNTRAINED)
    kernels = {name: model.get_layer(name).kernel.numpy() for name in UNTRAINED}
    randomize(model)
    for name in SCHEMA:
        layer = model.get_layer(name)
        layer.kernel.assign(kernels.get(name, 0.3 * layer.kernel))
        layer.bias.assign(0 * layer.bias)
    config = replace(trained.run.config, untrained=UNTRAINED, box_padding=0.1)
    found = Run(directory, config, SCHEMA)
    found.save_model(model)
    return found


@pytest.fixture(scope="module")
def crops(trained) -> np.ndarray:
    return np.concatenate(list(crop_batches(trained.val, 32)))


@pytest.fixture(scope="module", params=CLOSE)
def exported(request, run, crops) -> tuple[str, Path]:
    """The name of an engine, and the network's file; beside it, as it was converted."""
    converted = []

    def order(content: bytes, names: list[str]) -> bytes:
        converted.append(content)
        return order_outputs(content, names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "_calibration_crops", lambda run: crops)
        patch.setattr(formats, "order_outputs", order)
        folder = EXPORTERS[request.param](run)
    (folder / "converted").write_bytes(converted[0])
    return request.param, folder / ENGINES[request.param].file


@pytest.mark.slow
def test_outputs_by_position_are_the_schemas_categories(run, crops, exported):
    engine, path = exported
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (given,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    assert given["name"] == "images" and given["shape"].tolist() == [1, 32, 32, 3]
    names = [output["name"] for output in outputs]
    assert names == list(SCHEMA)
    assert names == list(json.loads((path.parent / "assets" / "attributes.json").read_text()))
    expected = Predictor.of_run(run).answer(crops[:2])
    for row in range(2):
        interpreter.set_tensor(given["index"], crops[row : row + 1])
        interpreter.invoke()
        for position, category in enumerate(SCHEMA):
            values = interpreter.get_tensor(outputs[position]["index"])[0]
            # No two categories are so alike that one could pass for the other.
            np.testing.assert_allclose(values, expected[category][row], atol=CLOSE[engine])
    found = [values[0] for name, values in expected.items() if name not in UNTRAINED]
    same = [a for a in found for b in found if a.shape == b.shape and np.allclose(a, b, atol=1e-3)]
    assert len(same) == len(found)


@pytest.mark.slow
def test_a_compiled_model_has_the_same_positions(run, crops, exported):
    engine, path = exported
    compiled = CompiledModel.from_file(str(path))
    given, outputs = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
    given[0].write(crops[:1])
    compiled.run_by_index(0, given, outputs)
    expected = Predictor.of_run(run).answer(crops[:1])
    for output, (category, attributes) in zip(outputs, SCHEMA.items(), strict=True):
        values = output.read(len(attributes), np.float32)
        np.testing.assert_allclose(values, expected[category][0], atol=CLOSE[engine])


@pytest.mark.slow
def test_an_export_in_the_converters_order_still_loads(run, crops, exported, tmp_path):
    engine, path = exported
    shutil.copytree(path.parent, tmp_path / "older")
    older = tmp_path / "older" / path.name
    older.write_bytes(path.with_name("converted").read_bytes())
    (tmp_path / "older" / "converted").unlink()
    about = tmp_path / "older" / "assets" / RUN_FILE
    about.write_text(json.dumps(json.loads(about.read_text()) | {"sha256": None}))
    names = [output["name"] for output in Interpreter(str(older)).get_output_details()]
    assert all(name.startswith("PartitionedCall:") for name in names)
    found = Predictor.load(older.parent).answer(crops[:2])
    expected = Predictor.of_run(run).answer(crops[:2])
    for category in SCHEMA:
        np.testing.assert_allclose(found[category], expected[category], atol=CLOSE[engine])


@pytest.mark.slow
def test_the_pages_steps_answer_as_the_model(run, exported, trained, tmp_path):
    engine, path = exported
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    steps: dict = {}
    exec(code, steps)
    photo, box = str(trained.val.keys[0]), tuple(trained.val.boxes[0].tolist())
    # As large as a phone's photographs are beside what the network sees.
    pixels = cv2.resize(cv2.imread(photo), None, fx=3.0, fy=3.0)
    cv2.imwrite(str(tmp_path / "large.png"), pixels)
    box = tuple(3 * value for value in box)
    found = steps["tag"](str(path.parent), path.name, str(tmp_path / "large.png"), box)
    split = replace(
        trained.val.take(np.array([0]), "val"),
        encoded=lambda row: (tmp_path / "large.png").read_bytes(),
        boxes=np.array([box], np.int32),
        padding=run.config.box_padding,
    )
    (crop,) = crop_batches(split, run.config.image_size)
    expected = Predictor.of_run(run).answer(crop)
    assert list(found) == list(SCHEMA)
    for category, attributes in SCHEMA.items():
        assert tuple(found[category]) == attributes
        values = list(found[category].values())
        # The filters differ by some grey levels.
        np.testing.assert_allclose(values, expected[category][0], atol=CLOSE[engine] + 0.05)
