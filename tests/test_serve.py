"""The HTTP API: what it takes, batches, refuses, and answers before it ends."""

import base64
import http.client
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
from image_files import png_chunk

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("prometheus_client", reason="the extra [serve] is not installed")

from benchmarks.service import Load, Server, ask, end_under_load
from deepfashion_tf.commands.serve import Options
from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.calibration import Calibration
from deepfashion_tf.inference.engines import Running
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.schema import Schema
from deepfashion_tf.serving.service.server import GracefulServer, make_app
from deepfashion_tf.serving.web import listening
from deepfashion_tf.serving.web.listening import listen

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "service.md").read_text()
SCRIPT = ROOT / "scripts" / "serve.py"
JPEG = {"Content-Type": "image/jpeg"}


class FakePredictor:
    """Answers with the first byte of a file, once it may.

    Attributes:
        may: whether the engine goes on.
        batches: how many images each batch had.
    """

    def __init__(self) -> None:
        self.schema = Schema.of({"sleeve": ("long", "short"), "fit": ("tight", "loose", "wide")})
        self.untrained, self.calibration, self.name = ("fit",), Calibration({}), "fake"
        self.image_size, self.engine = 4, Running("tensorflow", "0", "float32")
        self.may, self.batches, self.error = threading.Event(), [], None
        self.may.set()

    def crops(self, items) -> list:
        if any(item.encoded[:1] == b"?" for item in items):
            raise ValueError("a defect")
        return [
            item.fault or ("is bad" if item.encoded[:1] == b"!" else np.full(3, item.encoded[0]))
            for item in items
        ]

    def answer(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        assert self.may.wait(30)
        if self.error:
            raise self.error
        self.batches.append(len(crops))
        share = crops[:, :1].astype(np.float32) / 256
        return {
            "sleeve": np.concatenate([share, 1 - share], axis=1),
            "fit": np.tile(np.float32([[0.5, 0.3, 0.2]]), (len(crops), 1)),
        }


class Served:
    """A service in a thread of this process."""

    def __init__(self, predictor, **options) -> None:
        self.predictor = predictor
        app = make_app(predictor, Options(Path("shop"), **options))
        if isinstance(predictor, FakePredictor):
            predictor.batches.clear()  # of the warm-up
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server, self.batcher = GracefulServer(app), app.state.batcher
        self.thread = threading.Thread(target=self.server.run, args=([listening],))
        self.thread.start()
        assert requests.get(f"{self.url}/readyz", timeout=10).ok

    def post(self, data=None, query: str = "", **request) -> requests.Response:
        headers = {} if {"files", "json"} & request.keys() else JPEG
        given = {"headers": headers, "timeout": 30, **request}
        return requests.post(f"{self.url}/v1/predict{query}", data=data, **given)

    def terminate(self) -> None:
        self.server.handle_exit(signal.SIGTERM, None)

    def end(self) -> None:
        if self.thread.is_alive():
            self.terminate()
        self.thread.join(timeout=20)
        assert not self.thread.is_alive()
        self.batcher.end()


@pytest.fixture
def serve():
    """Starts services of a `FakePredictor` with some options."""
    services = []

    def start(**options) -> Served:
        services.append(Served(FakePredictor(), **options))
        return services[-1]

    yield start
    for service in services:
        service.predictor.may.set()
        service.end()


@pytest.fixture(scope="module")
def fake():
    service = Served(FakePredictor(), max_images=8, max_megabytes=0.1)
    yield service
    service.end()


@pytest.fixture(scope="module")
def real(trained):
    service = Served(Predictor.load(trained.run.directory))
    yield service
    service.end()


def until(condition) -> None:
    """Waits until something is so."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def b64(encoded: bytes) -> str:
    return base64.b64encode(encoded).decode()


def assert_refused(response: requests.Response, status: int, *words: str) -> dict:
    assert response.status_code == status, response.text
    body = response.json()
    assert body.keys() == {"error", "errors"} and "Traceback" not in response.text
    assert body["error"].endswith(".") and "\n" not in body["error"]
    for word in words:
        assert word in body["error"]
    return body


# --- what is answered ------------------------------------------------------------------------


def test_all_kinds_of_bodies_mean_the_same(fake):
    raw = fake.post(b"@", "?box=1,2,3,4&top=2&name=a.jpg").json()
    form = fake.post({"box": "1,2,3,4"}, "?top=2", files=[("image", ("a.jpg", b"@"))]).json()
    image = {"data": b64(b"@"), "box": [1, 2, 3, 4], "name": "a.jpg"}
    found = fake.post(json={"images": [image], "top": 2}).json()
    address = {**image, "data": f"data:image/jpeg;base64,{b64(b'@')}"}
    assert raw == form == found == fake.post(json={"images": [address], "top": 2}).json()
    (row,) = raw["predictions"]
    assert raw["model"] == "shop" and raw["errors"] == []
    assert row["image"] == "a.jpg" and row["box"] == [1, 2, 3, 4]
    others = [{"attribute": "long", "probability": 0.25}]
    assert row["sleeve"] == {"attribute": "short", "probability": 0.75, "status": "accepted"} | {
        "others": others
    }
    assert row["fit"]["attribute"] is None  # untrained


def test_boxes_of_one_image_or_of_all(fake):
    files = [("image", (name, b"@")) for name in ("a", "b")]
    rows = fake.post([("box", ""), ("box", "1,2,3,4")], files=files).json()["predictions"]
    assert [row["box"] for row in rows] == [None, [1, 2, 3, 4]]
    images = [{"data": b64(b"@")}, {"data": b64(b"@"), "box": [5, 6, 7, 8]}]
    rows = fake.post(json={"images": images}, query="?box=1,2,3,4").json()["predictions"]
    assert [row["box"] for row in rows] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert [row["image"] for row in rows] == ["image 0", "image 1"]


def test_a_bad_image_does_not_fail_the_others(fake):
    files = [("image", (f"{place}.jpg", data)) for place, data in enumerate((b"@", b"!", b" "))]
    found = fake.post(files=files).json()
    assert [bool(row) for row in found["predictions"]] == [True, False, True]
    sentence = "Image 1 (1.jpg) is bad."
    assert found["errors"] == [{"index": 1, "image": "1.jpg", "error": sentence}]
    body = assert_refused(fake.post(b"!"), 422, "Image 0", "is bad")
    assert [error["index"] for error in body["errors"]] == [0]
    assert_refused(fake.post(b""), 422, "empty")


def test_a_defect_of_the_decoder_does_not_fail_the_others(fake, capfd):
    images = {"images": [{"data": b64(data)} for data in (b"@", b"?", b"@")]}
    found = fake.post(json=images).json()
    assert [bool(row) for row in found["predictions"]] == [True, False, True]
    assert "not a readable image" in found["errors"][0]["error"]
    assert "a defect" in capfd.readouterr().err


def test_unsure_answers_are_marked(serve):
    row = serve(threshold=0.8).post(b"@").json()["predictions"][0]
    assert row["sleeve"] == {"attribute": "short", "probability": 0.75, "status": "unsure"}
    assert row["fit"]["status"] == "not_learnt"


def test_predictions_are_those_of_predict(real, trained, tmp_path, run_here):
    images, box = trained.val.keys[:5], "10,20,120,150"
    output = tmp_path / "answers.json"
    options = ["--box", box, "--top", 2, "--output", output]
    code, _, err = run_here("predict", trained.run.directory, *images, *options, cwd=tmp_path)
    assert code == 0, err
    files = [("image", (str(name), Path(name).read_bytes())) for name in images]
    rows = real.post(query=f"?box={box}&top=2", files=files).json()["predictions"]
    for row, expected in zip(rows, json.loads(output.read_text()), strict=True):
        assert row.pop("box") == [10, 20, 120, 150] and row.pop("image") == expected.pop("image")
        assert row.keys() == expected.keys()
        for category, answer in expected.items():
            # Another number of images at once adds in another order.
            probability = pytest.approx(answer.pop("probability"), abs=1e-5)
            assert row[category].pop("probability") == probability
            others = zip(row[category].pop("others"), answer.pop("others"), strict=True)
            for other, wanted in others:
                assert other["attribute"] == wanted["attribute"]
                assert other["probability"] == pytest.approx(wanted["probability"], abs=1e-5)
            assert row[category] == answer


def test_the_service_describes_itself(fake):
    about = requests.get(f"{fake.url}/v1/model", timeout=10).json()
    assert about["run"] == "shop" and about["engine"] == "tensorflow" and about["version"]
    assert about["schema"] == {"sleeve": ["long", "short"], "fit": ["tight", "loose", "wide"]}
    assert requests.get(f"{fake.url}/healthz", timeout=10).json()["status"] == "ok"
    fake.post(b"@")
    text = requests.get(f"{fake.url}/metrics", timeout=10).text
    for name in set(re.findall(r"`(deepfashion_\w+)`", PAGE)):
        assert name in text
    assert 'deepfashion_requests_total{status="200"}' in text
    api = requests.get(f"{fake.url}/openapi.json", timeout=10).json()
    assert api["openapi"].startswith("3.1")
    for path in ("/v1/predict", "/v1/model", "/healthz", "/readyz", "/metrics"):
        assert path in api["paths"]
    (post,) = api["paths"]["/v1/predict"].values()
    assert set(post["requestBody"]["content"]) == {
        *("image/*", "multipart/form-data", "application/json")
    }
    assert {parameter["name"] for parameter in post["parameters"]} == {"box", "top", "name"}
    assert set(re.findall(r"^\| (\d+) ", PAGE, re.MULTILINE)) | {"200"} == set(post["responses"])
    for target in re.findall(r'"#/([^"]+)"', json.dumps(api)):
        found = api
        for part in target.split("/"):
            found = found[part]


# --- batches ---------------------------------------------------------------------------------


def test_images_of_several_requests_are_answered_together(serve):
    service = serve(batch_size=4, queue=64)
    service.predictor.may.clear()
    with ThreadPoolExecutor(9) as pool:
        jobs = [pool.submit(service.post, bytes([value])) for value in range(1, 10)]
        until(lambda: waiting(service) == 9)
        service.predictor.may.set()
        rows = [job.result().json()["predictions"][0]["sleeve"] for job in jobs]
    # The first batch has whoever came first.
    assert sum(service.predictor.batches) == 9 and max(service.predictor.batches) == 4
    shares = [value / 256 for value in range(1, 10)]
    assert [row["probability"] for row in rows] == [round(1 - share, 6) for share in shares]


def test_small_packets_are_sent_at_once():
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_who_asks_alone_does_not_wait(serve):
    service = serve(batch_delay=1000.0)
    began = time.monotonic()
    for _ in range(3):
        assert service.post(b"@").ok
    assert time.monotonic() - began < 0.9
    assert service.predictor.batches == [1, 1, 1]


def waiting(service: Served) -> int:
    text = requests.get(f"{service.url}/metrics", timeout=10).text
    return int(float(re.search(r"^deepfashion_waiting_images (\S+)", text, re.MULTILINE)[1]))


def test_a_full_queue_is_told_and_loses_nothing(serve):
    service = serve(queue=4, max_images=3)
    service.predictor.may.clear()
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(service.post, b"@") for _ in range(3)]
        until(lambda: waiting(service) == 3)
        images = {"images": [{"data": b64(b"@")}] * 2}
        response = service.post(json=images)
        assert_refused(response, 429, "busy")
        assert int(response.headers["Retry-After"]) >= 1
        jobs.append(pool.submit(service.post, b"@"))
        until(lambda: waiting(service) == 4)
        assert_refused(service.post(b"@" * 10_000), 429)
        service.predictor.may.set()
        assert all(job.result().ok for job in jobs)
    assert service.post(json=images).ok and waiting(service) == 0


def test_a_failing_engine_fails_its_batch_alone(serve, capfd):
    service = serve()
    service.predictor.error = InputError("It answers NaN.")
    assert_refused(service.post(b"@"), 500, "has no answer", "NaN")
    service.predictor.error = RuntimeError("broken")
    assert_refused(service.post(b"@"), 500, "terminal")
    assert "broken" in capfd.readouterr().err
    service.predictor.error = None
    assert service.post(b"@").ok and requests.get(f"{service.url}/healthz", timeout=10).ok


def test_what_takes_too_long_is_given_up(serve):
    service = serve(time_limit=0.3)
    service.predictor.may.clear()
    assert_refused(service.post(b"@"), 503, "takes too long")
    assert_refused(service.post(b"@"), 503)
    service.predictor.may.set()
    until(lambda: waiting(service) == 0)
    # The second was never computed: nobody waited for it.
    assert service.predictor.batches == [1]
    assert service.post(b"@").ok

    def slowly():
        for _ in range(6):
            yield b"@"
            time.sleep(0.1)

    assert_refused(service.post(slowly()), 408, "too slowly")


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b'{"images": [', 400, ["no JSON"]),
        (b'{"images": [{"data": "\xff"}]}', 400, ["no JSON"]),
        (b"[]", 422, ["not as documented"]),
        (b'{"images": []}', 422, ["images"]),
        (b'{"images": [{"data": "QA=="}], "tpo": 1}', 422, ["tpo"]),
        (b'{"images": [{"data": "QA=="}], "top": 0}', 422, ["top"]),
        (b'{"images": [{"data": "QA=="}], "top": NaN}', 422, ["top"]),
        (b'{"images": [{"data": "QA=="}, {"data": "%"}]}', 422, ["Image 1", "base64"]),
        (b'{"images": [{"data": "QA=="}, {"data": "\xc3\xa4"}]}', 422, ["Image 1", "base64"]),
        (b'{"images": [{"data": "QA=="}, {"box": null}]}', 422, ["Image 1", "data"]),
        (b'{"images": [{"data": "QA==", "box": [1, 2, 3]}]}', 422, ["Image 0", "box"]),
        (b'{"images": [{"data": "QA==", "box": [1, 2, 3, 1.5]}]}', 422, ["Image 0", "box"]),
        (b'{"images": [{"data": "QA==", "box": [1, 2, 3, 1e99]}]}', 422, ["Image 0", "box"]),
        (b'{"images": [{"data": "QA==", "box": [9, 9, 3, 3]}]}', 422, ["Image 0", "no area"]),
        (b'{"images": [{"data": "QA==", "name": 3}]}', 422, ["Image 0", "name"]),
    ],
)
def test_json_that_means_nothing_is_refused(fake, body, status, words):
    response = fake.post(body, headers={"Content-Type": "application/json"})
    found = assert_refused(response, status, *words)
    indices = [int(word.split()[1]) for word in words if word.startswith("Image")]
    assert [error["index"] for error in found["errors"]] == indices


def test_forms_and_queries_that_mean_nothing_are_refused(fake):
    image = ("image", ("a.jpg", b"@"))
    assert_refused(fake.post({"box": "1,2,3"}, files=[image]), 422, "Image 0", "four whole numbers")
    assert_refused(fake.post({"box": "1,2,3,4"}, files=[image] * 2), 422, "2 images and 1 boxes")
    assert_refused(fake.post(files=[("file", ("a.jpg", b"@"))]), 422, "'file'", "image and box")
    assert_refused(fake.post(files=[("image", (None, "text"))]), 422, "no file")
    assert_refused(fake.post(files=[("box", (None, "1,2,3,4"))]), 422, "no field image")
    for kind in ("multipart/form-data", "multipart/form-data; boundary=y"):
        form = {"headers": {"Content-Type": kind}}
        assert_refused(fake.post(b"--x\r\nnothing", **form), 400, "form")
    for query in ("?box=9,9,3,3", "?box=%ff", "?top=0", "?top=x", "?tpo=2"):
        assert_refused(fake.post(b"@", query), 422)
    assert_refused(fake.post(b"@", headers={"Content-Type": "text/plain"}), 415, "image/jpeg")
    assert_refused(requests.get(f"{fake.url}/v1/predict", timeout=10), 405)
    assert_refused(requests.get(f"{fake.url}/nothing", timeout=10), 404)


def test_a_form_that_breaks_off_loses_no_image(fake):
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n@\r\n'
    form = {"headers": {"Content-Type": "multipart/form-data; boundary=x"}}
    assert len(fake.post(part * 2 + b"--x--\r\n", **form).json()["predictions"]) == 2
    for end in (0, 3, 6):
        assert_refused(fake.post((part * 2)[: len(part) * 2 - end], **form), 400, "breaks off")


def test_names_of_odd_bytes_come_back(fake):
    for name in ("ä\u2028.jpg", "a\x1b[1m", "'\"<b>"):
        image = {"data": b64(b"@"), "name": name}
        assert fake.post(json={"images": [image]}).json()["predictions"][0]["image"] == name
        image["data"] = b64(b"!")
        error = assert_refused(fake.post(json={"images": [image]}), 422)["errors"][0]
        assert error["image"] == name and error["error"].isprintable()
    assert fake.post(b"@", "?name=%ff%00").ok
    lone = b'{"images": [{"data": "QA==", "name": "\\ud800"}]}'
    response = fake.post(lone, headers={"Content-Type": "application/json"})
    assert response.status_code < 500


def test_limits(fake, real):
    assert_refused(fake.post(b"@" * 100_001), 413, "0.1 MB at most")
    images = {"images": [{"data": b64(b"@")}] * 9}
    assert_refused(fake.post(json=images), 413, "9 images", "may have 8")
    header = (9_000).to_bytes(4, "big") * 2 + bytes([8, 6, 0, 0, 0])
    large = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IEND", b"")
    assert_refused(real.post(large), 422, "too many pixels")


def test_odd_bytes_get_a_sentence(fake, real):
    rng = np.random.default_rng(0)
    for number in range(60):
        body = rng.bytes(int(rng.integers(1, 3000)))
        kind = ("image/png", "application/json", "multipart/form-data; boundary=a")[number % 3]
        assert_refused(real.post(body, headers={"Content-Type": kind}), (422, 400, 400)[number % 3])
    assert fake.post(b"@").ok


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_page_of_another_site_gets_no_answer(fake, headers):
    assert_refused(fake.post(b"@", headers={**JPEG, **headers}), 403, "another site")
    assert fake.post(b"@", headers={**JPEG, "Origin": fake.url}).ok


def test_another_name_for_this_machine_is_not_answered(fake):
    assert fake.post(b"@", headers={**JPEG, "Host": "elsewhere.example"}).status_code == 400


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--port", 99999], "--port"),
        (["--batch-size", 0], "--batch-size"),
        (["--batch-delay", "nan"], "--batch-delay"),
        (["--queue", 3], "--queue"),
        (["--max-megabytes", 0], "--max-megabytes"),
        (["--threshold", 2], "--threshold"),
        (["--host", "no such host"], "--host"),
        (["--port", 0], "none"),
    ],
)
def test_bad_options_get_one_sentence(options, word, tmp_path, run_here):
    code, _, err = run_here("serve", tmp_path / "none", *options, cwd=tmp_path)
    assert code == 2 and err.startswith("error: ") and word in err and err.count("\n") == 1


def test_a_missing_extra_is_named(tmp_path, run_here, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    code, _, err = run_here("serve", tmp_path, cwd=tmp_path)
    assert code == 2 and "pip install 'deepfashion_tf[serve]'" in err


# --- its end ---------------------------------------------------------------------------------


def test_who_connects_while_the_end_begins_is_answered(serve):
    service = serve()
    with socket.socket() as client:

        def ask() -> None:
            client.connect(("127.0.0.1", service.port))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

        def end() -> None:
            service.terminate()
            # It runs before the server's own next step, which has not accepted the connection yet.
            service.server._loop.call_soon(ask)

        service.server._loop.call_soon_threadsafe(end)
        service.thread.join(timeout=20)
        client.settimeout(10)
        assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_the_service_ends_where_sockets_have_no_filters(serve, monkeypatch):
    service = serve()
    # No system knows this option.
    monkeypatch.setattr(listening, "_SO_ATTACH_FILTER", 9999)
    service.end()


def test_all_that_was_accepted_is_answered_at_the_end(serve):
    service = serve()
    service.predictor.may.clear()
    idle = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    idle.request("GET", "/readyz")
    assert idle.getresponse().read()
    with ThreadPoolExecutor(5) as pool:
        jobs = [pool.submit(service.post, b"@") for _ in range(5)]
        until(lambda: waiting(service) == 5)
        service.terminate()
        until(lambda: not can_connect(service.port))
        # A connection that was open may ask once more.
        idle.request("GET", "/readyz")
        response = idle.getresponse()
        assert response.status == 503 and json.loads(response.read())["status"] == "ending"
        assert response.headers["Connection"] == "close"
        time.sleep(0.2)
        assert service.thread.is_alive()
        service.predictor.may.set()
        assert all(job.result().ok for job in jobs)
    service.thread.join(timeout=10)
    assert not service.thread.is_alive() and not service.server.force_exit


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.slow
def test_a_process_answers_what_the_page_shows_and_ends_without_loss(trained, tmp_path):
    encoded = trained.val.encoded(0)
    for name in ("photo.jpg", "other.jpg"):
        (tmp_path / name).write_bytes(encoded)
    with Server(SCRIPT, trained.run.directory, "--port", 0) as server:
        page = PAGE.replace("http://127.0.0.1:8000", server.address.geturl())
        (curls,) = (block for block in blocks(page, "bash") if block.startswith("curl"))
        if shutil.which("curl"):
            found = subprocess.run(
                ["bash", "-ec", curls], cwd=tmp_path, capture_output=True, text=True, check=True
            ).stdout
            one, two = (json.loads(text) for text in found.replace("}{", "}\n{").splitlines())
            assert one["predictions"][0]["sleeve"]["others"]
            assert [row["box"] for row in two["predictions"]] == [[10, 20, 120, 150], None]
        (program,) = blocks(page, "python")
        (script,) = blocks(page, "javascript")
        (tmp_path / "page.mjs").write_text(script)
        commands = [[sys.executable, "-c", program]]
        if shutil.which("node"):
            commands.append(["node", "page.mjs"])
        for command in commands:
            found = subprocess.run(
                command, cwd=tmp_path, capture_output=True, text=True, check=True
            ).stdout
            assert found.split()[0] in trained.run.schema["sleeve"], shlex.join(command)
        load = Load()
        assert ask(server, [encoded] * 40, 8, load) == 40 and not load.refused + load.lost
        load, code = end_under_load(server, [encoded], 8)
    assert code == 0 and load.seconds and not load.refused + load.lost


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
