"""TensorFlow Serving: its REST interface by its documented rules, and its warm-up requests."""

import base64
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.evaluate import predict_split
from deepfashion_tf.export.saved_model import export_run
from deepfashion_tf.export.warmup import SIZES, WARMUP_FILE, write_warmup
from deepfashion_tf.inference.items import Item, items_of
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.serving.client import ask, decode_response, encode_request, read_attributes

SCHEMA = builtin_schema()
SCRIPT = Path(__file__).parents[1] / "scripts" / "ask_server.py"


class Handler(BaseHTTPRequestHandler):
    """Serves a SavedModel by the rules of TensorFlow Serving's predict API, row format."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        columns = {}
        for row in body["instances"]:
            for name, value in row.items():
                is_bytes = isinstance(value, dict) and set(value) == {"b64"}
                columns.setdefault(name, []).append(
                    base64.b64decode(value["b64"]) if is_bytes else value
                )
        kinds = {"image_bytes": tf.string, "boxes": tf.int32}
        try:
            assert self.path == "/v1/models/garments:predict"
            answers = self.server.signature(
                **{name: tf.constant(values, kinds[name]) for name, values in columns.items()}
            )
            rows = range(len(body["instances"]))
            lists = {name: values.numpy().tolist() for name, values in answers.items()}
            document = {"predictions": [{n: v[row] for n, v in lists.items()} for row in rows]}
            self._send(200, document)
        except (tf.errors.OpError, AssertionError) as error:
            self._send(400, {"error": str(error)})

    def _send(self, code, document):
        text = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def export(trained) -> Path:
    return export_run(trained.run)


@pytest.fixture(scope="module")
def url(export):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    loaded = tf.saved_model.load(str(export))
    server.signature = loaded.signatures["serving_default"]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/models/garments"
    server.shutdown()


@pytest.mark.slow
def test_the_server_answers_as_the_model_does(url, export, trained):
    expected = predict_split(trained.run, trained.run.load_model(), trained.val)
    items = list(items_of(trained.val))[:5]
    found = ask(url, items, read_attributes(export))
    assert len(found) == 5
    for row, answers in enumerate(found):
        for category, (attribute, probability) in answers.items():
            best = expected[category][row].argmax()
            assert attribute == SCHEMA[category][best]
            # Batches of another size: sums in another order.
            assert probability == pytest.approx(expected[category][row][best], abs=1e-4)


def test_a_row_is_a_file_in_base64_and_its_box(trained):
    (item, *_) = items_of(trained.val)
    (row,) = encode_request([item])["instances"]
    assert base64.b64decode(row["image_bytes"]["b64"]) == Path(trained.val.keys[0]).read_bytes()
    assert row["boxes"] == trained.val.boxes[0].tolist()
    json.dumps(row)


def test_what_the_server_refuses_is_told(url, export, trained):
    outside = Item("outside", (0, 0, 9999, 9), trained.val.keys[0])
    with pytest.raises(InputError, match=r"refuses \(400\).*hold its box.*\[0\] \[of\] \[1\]"):
        ask(url, [outside], read_attributes(export))
    with pytest.raises(InputError, match="does not answer"):
        ask("http://127.0.0.1:9/v1/models/garments", [outside], read_attributes(export), timeout=2)
    with pytest.raises(InputError, match="other categories"):
        decode_response({"predictions": [{"sleeve": [0.5, 0.5]}]}, read_attributes(export))
    with pytest.raises(InputError, match=r"attributes\.json"):
        read_attributes(trained.run.directory)


def test_the_command_prints_the_answers(url, export, trained):
    command = [sys.executable, str(SCRIPT), url, str(export), trained.val.keys[0]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    name, *lines = done.stdout.splitlines()
    assert name == trained.val.keys[0]
    for line, (category, attributes) in zip(lines, SCHEMA.items(), strict=True):
        found, attribute, _ = line.split()
        assert found == category and attribute in attributes


@pytest.mark.slow
def test_warmup_requests_are_records_that_the_model_answers(export, trained):
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    write_warmup(trained.run)
    records = list(tf.data.TFRecordDataset(str(export / WARMUP_FILE)).as_numpy_iterator())
    signature = tf.saved_model.load(str(export)).signatures["serving_default"]
    counts = []
    for record in records:
        request = apis.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.signature_name == "serving_default"
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        answers = signature(**{name: tf.constant(value) for name, value in inputs.items()})
        counts.append(len(answers["sleeve"]))
        np.testing.assert_allclose(answers["sleeve"].numpy().sum(axis=1), 1, atol=1e-5)
    assert tuple(counts) == SIZES
