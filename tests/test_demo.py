"""The web demo: the page's HTTP interface and a browser, on a server that the script starts."""

import asyncio
import base64
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from image_files import exif, jpeg, png_chunk, refused, save
from PIL import Image

pytest.importorskip("starlette", reason="the extra [demo] is not installed")
pytest.importorskip("uvicorn", reason="the extra [demo] is not installed")

import uvicorn
from starlette.requests import Request

from deepfashion_tf.data.check import SkippedImages
from deepfashion_tf.evaluation.evaluate import answer_labelled
from deepfashion_tf.evaluation.scores import Scores
from deepfashion_tf.export.saved_model import export_run
from deepfashion_tf.inference.items import Item
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.serving.demo.about import describe
from deepfashion_tf.serving.demo.answering import HEAT_MAP_SIDE, Answering
from deepfashion_tf.serving.demo.desk import Desk
from deepfashion_tf.serving.demo.server import PAGE
from deepfashion_tf.serving.web.guards import PromptProtocol, is_loopback, own_names
from deepfashion_tf.serving.web.memory import memory_of
from deepfashion_tf.serving.web.uploads import Refusal

SCRIPT = Path(__file__).parents[1] / "scripts" / "demo.py"


class Served:
    """A demo in a process of its own."""

    def __init__(self, run: Path, *options) -> None:
        command = [sys.executable, SCRIPT, run, "--port", 0, *options]
        self.process = subprocess.Popen(
            list(map(str, command)), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, self.process.communicate()[1]
        self.url = found[0]

    def post(self, path: str, encoded: bytes, box: str | None = None) -> requests.Response:
        query = {"box": box} if box else None
        return requests.post(f"{self.url}/{path}", data=encoded, params=query, timeout=60)

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory) -> Run:
    """The small run with the scores that a training ends with."""
    directory = tmp_path_factory.mktemp("demo") / "run"
    shutil.copytree(trained.run.directory, directory)
    run = Run.load(directory)
    val = run.read_split("val")
    answer_labelled(run, val, SkippedImages(), calibrate=True).scores().save(
        directory / "metrics.json"
    )
    return run


@pytest.fixture(scope="module")
def served(run):
    demo = Served(run.directory)
    yield demo
    demo.end()


@pytest.fixture(scope="module")
def photograph(run) -> bytes:
    return run.read_split("val").encoded(0)


def assert_refused(response: requests.Response, *words: str) -> None:
    assert 400 <= response.status_code < 500, response.text
    fault = response.json()["fault"]
    assert fault.endswith(".") and "\n" not in fault and "Traceback" not in fault
    for word in words:
        assert word in fault


def test_answers_are_the_predictors(served, run, photograph):
    box = (10, 20, 120, 150)
    predictor = Predictor.load(run.directory)
    for asked in (None, box):
        (crop,) = predictor.crops([Item("", asked or (-1,) * 4, encoded=photograph)])
        expected = predictor.answer(crop[None])
        spelled = asked and ",".join(map(str, asked))
        answers = served.post("answers", photograph, spelled).json()
        assert list(answers) == list(run.schema)
        for category, ranked in answers.items():
            probabilities = [answer["probability"] for answer in ranked]
            assert probabilities == sorted(probabilities, reverse=True)
            names = dict(zip(run.schema[category], expected[category][0], strict=True))
            for answer in ranked:
                # Rounded to six digits; another number of images at once adds in another order.
                assert answer["probability"] == pytest.approx(names[answer["attribute"]], abs=1e-5)


def test_heat_maps_have_the_shape_of_what_was_marked(served, photograph):
    maps = served.post("heat-maps", photograph, "10,20,110,220").json()
    assert list(maps) == list(builtin_schema())
    for address in maps.values():
        kind, _, encoded = address.partition(",")
        assert kind == "data:image/jpeg;base64"
        assert Image.open(io.BytesIO(base64.b64decode(encoded))).size == (224, 448)


@pytest.mark.slow
def test_heat_maps_show_what_surrounds_the_box_where_the_run_sees_it(run, photograph):
    box = (10, 20, 110, 220)
    predictor = Predictor.load(run.directory)
    predictor.padding = 0.1
    (address, *_) = Answering(predictor).heat_maps(photograph, box).values()
    _, _, encoded = address.partition(",")
    width, height = Image.open(io.BytesIO(base64.b64decode(encoded))).size
    # 120 x 240 of the picture's pixels.
    assert (width, height) == (HEAT_MAP_SIDE // 2, HEAT_MAP_SIDE)


def test_an_answer_comes_before_one_has_waited(served):
    """Of a photograph as telephones take them, 12 million pixels; the best of five."""
    small = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    encoded = save(Image.fromarray(small).resize((3000, 4000)), "JPEG", quality=90)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        assert served.post("answers", encoded).ok
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.5


@pytest.mark.parametrize(
    "box, words",
    [
        ("0,0,9999,9999", ["lies outside"]),
        ("9,9,3,3", ["no area"]),
        ("-1,-1,-1,-1", ["no area"]),
        ("a,b", ["four whole numbers"]),
        ("1" * 5000, ["four whole numbers"]),
    ],
)
def test_boxes_that_mean_nothing_are_refused(served, photograph, box, words):
    assert_refused(served.post("answers", photograph, box), *words)


def large_png(side: int) -> bytes:
    """Makes a black PNG of which each row is there: a few kB that are gigabytes when decoded."""
    packer, row = zlib.compressobj(9), bytes(1 + side // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    size = side.to_bytes(4, "big") * 2
    chunks = [(b"IHDR", size + b"\x01\0\0\0\0"), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, content) for name, content in chunks)


def hostile(count: int, photograph: bytes):
    """Makes uploads that nobody can answer, of every sort in turn."""
    rng = np.random.default_rng(0)
    tiff = exif(1) + bytes(65_000 - len(exif(1)))
    segment = b"\xff\xe1" + (len(tiff) + 8).to_bytes(2, "big") + b"Exif\0\0" + tiff
    bomb = large_png(20_000)
    sorts = [
        lambda: rng.bytes(int(rng.integers(1, 50_000))),
        lambda: photograph[: int(rng.integers(2, len(photograph) // 2))],
        lambda: jpeg()[: int(rng.integers(20, 300))],
        lambda: bomb,
        lambda: b"These are only words.\n" * int(rng.integers(1, 1000)),
        # EXIF for ever, and no picture behind it; and more of it than is taken at all.
        lambda: b"\xff\xd8" + segment * int(rng.integers(1, 40)),
        lambda: photograph[:2] + segment * 310 + photograph[2:],
        lambda: b"",
        lambda: b"\xff\xd8\xff" + rng.bytes(2000),
        lambda: b"\x89PNG\r\n\x1a\n" + rng.bytes(2000),
        lambda: json.dumps({"image": "x"}).encode(),
        *(lambda encoded=encoded: encoded for encoded, _ in refused().values()),
        lambda: save(Image.new("RGB", (9, 9)), "TIFF")[:60],
        lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    ]
    for number in range(count):
        yield sorts[number % len(sorts)]()


@pytest.mark.slow
def test_two_hundred_hostile_uploads_get_a_sentence_each(served, photograph):
    before = served.post("answers", photograph).json()
    uploads = list(hostile(200, photograph))
    with ThreadPoolExecutor(4) as pool:
        responses = list(pool.map(lambda upload: served.post("answers", upload), uploads))
    for response in responses:
        assert_refused(response)
    faults = {response.json()["fault"] for response in responses}
    assert any("89 million pixels" in fault for fault in faults)
    assert any("20 MB at most" in fault for fault in faults)
    assert served.process.poll() is None
    assert served.post("answers", photograph).json() == before
    assert "Garment attributes" in requests.get(served.url, timeout=10).text


def test_much_exif_before_a_picture_is_no_harm(served, photograph):
    tiff = exif(1) + bytes(60_000)
    segment = b"\xff\xe1" + (len(tiff) + 8).to_bytes(2, "big") + b"Exif\0\0" + tiff
    found = served.post("answers", photograph[:2] + segment * 50 + photograph[2:])
    assert found.json() == served.post("answers", photograph).json()


def test_an_upload_without_a_length_is_measured_as_it_comes(served):
    def parts():
        for _ in range(25):
            yield bytes(10**6)

    assert_refused(served.post("answers", parts()), "25.0 MB", "20 MB at most")


def test_the_page_needs_nobody_else(served):
    for path in PAGE.iterdir():
        assert not re.search(r"https?:|//[a-z]+\.", re.sub(r"//.*\n", "", path.read_text()))
    response = requests.get(served.url, timeout=10)
    assert "default-src 'self'" in response.headers["content-security-policy"]
    assert response.headers["content-type"].startswith("text/html")


def test_another_name_for_this_machine_is_not_answered(served):
    place = urlsplit(served.url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=10)
    connection.request("GET", "/about", headers={"Host": "elsewhere.example"})
    assert connection.getresponse().status == 400


def test_the_page_tells_what_was_measured(served, run):
    about = requests.get(f"{served.url}/about", timeout=10).json()
    scores = Scores.load(run.directory / "metrics.json")
    assert about["name"] == run.directory.name
    assert f"{scores.mean_accuracy:.1%}" in about["measured"]
    assert f"{scores.majority_baseline:.1%}" in about["measured"]
    assert [category["name"] for category in about["categories"]] == list(run.schema)
    doubtful = {c["name"] for c in about["categories"] if c["is_doubtful"]}
    assert doubtful == set(scores.beaten_by_baseline)
    for number in range(len(about["examples"])):
        drawing = requests.get(f"{served.url}/examples/{number}.jpg", timeout=10).content
        box = ",".join(map(str, about["examples"][number]["box"]))
        assert served.post("answers", drawing, box).ok
    assert requests.get(f"{served.url}/examples/99.jpg", timeout=10).status_code == 404


def test_drawings_are_called_drawings(run, tmp_path):
    config = replace(run.config, data="wardrobe", untrained=("fit",))
    directory = shutil.copytree(run.directory, tmp_path / "drawn")
    (directory / "config.json").unlink()
    config.save(directory / "config.json")
    about = describe(Predictor.load(directory), directory)
    assert "drawings" in about.trained_on and "drawings" in about.measured
    assert about.of_category["fit"].startswith("Not learnt") and "fit" in about.doubtful


@pytest.mark.slow
def test_an_export_has_no_heat_maps_and_says_so(run, photograph, tmp_path):
    demo = Served(shutil.copytree(export_run(run), tmp_path / "export"))
    try:
        about = requests.get(f"{demo.url}/about", timeout=10).json()
        assert "no heat maps" in about["no_heat_maps"]
        assert "not measured" in about["measured"]
        assert demo.post("answers", photograph).ok
        assert_refused(demo.post("heat-maps", photograph), "no heat maps")
    finally:
        code, err = demo.end()
    assert code == 130 and "Traceback" not in err


@pytest.mark.slow
def test_ctrl_c_is_told_in_a_background_job_too(run):
    """Scripts start those with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        demo = Served(run.directory)
    finally:
        signal.signal(signal.SIGINT, before)
    assert requests.get(demo.url, timeout=10).ok
    code, err = demo.end()
    assert code == 130 and "Traceback" not in err


def request_of(parts, pause: float = 0.0) -> Request:
    """Makes a request whose body comes in parts."""
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive():
        await asyncio.sleep(pause)
        return waiting.pop(0)

    return Request({"type": "http", "method": "POST", "query_string": b"", "headers": []}, receive)


def test_what_takes_too_long_is_given_up():
    async def ask(desk: Desk) -> None:
        with pytest.raises(Refusal, match="arrives too slowly"):
            await desk.serve(request_of([b"x"] * 9, pause=0.05), lambda encoded, box: {})
        with pytest.raises(Refusal, match="takes too long"):
            await desk.serve(request_of([b"x"]), lambda encoded, box: time.sleep(0.5))
        await asyncio.sleep(0.7)
        assert await desk.serve(request_of([b"x"]), lambda encoded, box: {"a": 1}) == {"a": 1}

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(ask(Desk(pool, max_megabytes=1, time_limit=0.2)))


def test_more_pictures_than_places_are_turned_away():
    go_on = threading.Event()

    async def ask(desk: Desk) -> list:
        jobs = [
            asyncio.create_task(desk.serve(request_of([b"x"]), lambda *_: {"a": go_on.wait(9)}))
            for _ in range(8)
        ]
        await asyncio.sleep(0.1)
        with pytest.raises(Refusal, match="busy"):
            await desk.serve(request_of([b"x"]), lambda *_: {})
        go_on.set()
        return await asyncio.gather(*jobs)

    with ThreadPoolExecutor(2) as pool:
        assert asyncio.run(ask(Desk(pool, 1, 5))) == [{"a": True}] * 8


def test_slow_uploads_make_room_for_others(monkeypatch):
    monkeypatch.setattr("deepfashion_tf.serving.demo.desk._GRACE", 0.2)

    async def ask(desk: Desk) -> None:
        slow = [
            asyncio.create_task(desk.serve(request_of([b"x"] * 99, pause=1), lambda *_: {}))
            for _ in range(8)
        ]
        await asyncio.sleep(0.05)
        with pytest.raises(Refusal, match="busy"):  # they may be quick
            await desk.serve(request_of([b"x"]), lambda *_: {})
        await asyncio.sleep(0.3)
        for number in range(3):
            begun = time.monotonic()
            answer = await desk.serve(request_of([b"x"]), lambda *_: {"a": 1})
            assert answer == {"a": 1} and time.monotonic() - begun < 0.5, number
        await asyncio.sleep(0)
        assert [task.done() for task in slow] == [True] + [False] * 7
        with pytest.raises(Refusal, match="too slowly while others wait"):
            await slow[0]
        for task in slow[1:]:
            task.cancel()
        ended = await asyncio.gather(*slow[1:], return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended)
        assert not desk._arriving

    with ThreadPoolExecutor(2) as pool:
        asyncio.run(ask(Desk(pool, max_megabytes=1, time_limit=20)))


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_gets_no_answer(served, photograph, headers):
    for path in ("answers", "heat-maps"):
        response = requests.post(f"{served.url}/{path}", photograph, headers=headers, timeout=60)
        assert response.status_code == 403
        assert_refused(response, "another site")


def test_the_own_page_gets_answers(served, photograph):
    for headers in ({"Origin": served.url, "Sec-Fetch-Site": "same-origin"}, {}):
        response = requests.post(f"{served.url}/answers", photograph, headers=headers, timeout=60)
        assert response.status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2", "LOCALHOST"])
def test_a_demo_for_this_machine_has_names_of_its_own(host):
    names = own_names(host)
    assert "*" not in names and {"127.0.0.1", "localhost", "[::1]"} <= set(names)
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "shop.example"])
def test_a_demo_for_a_network_is_asked_by_any_name(host):
    assert own_names(host) == ["*"] and not is_loopback(host)


@pytest.mark.slow
def test_headers_that_do_not_end_are_not_waited_for(monkeypatch):
    monkeypatch.setattr("deepfashion_tf.serving.web.guards.HEADER_SECONDS", 0.5)

    async def app(scope, receive, send):
        await asyncio.sleep(1.0 if scope["path"] == "/slow" else 0)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> None:
        config = uvicorn.Config(
            app,
            port=0,
            http=PromptProtocol,
            lifespan="off",
            log_level="error",
            timeout_keep_alive=9,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        place = server.servers[0].sockets[0].getsockname()[:2]
        whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        for begin in (b"", b"GET / HTTP/1.1\r\n", whole, whole + b"GET / HT"):
            reader, writer = await asyncio.open_connection(*place)
            writer.write(begin)
            begun = time.monotonic()
            reading = asyncio.create_task(reader.read())
            while not reading.done() and time.monotonic() - begun < 4:
                await asyncio.sleep(0.15)
                if begin and begin is not whole and not reading.done():  # trickled
                    writer.write(b"T" if begin.endswith(b"HT") else b"X-A: b\r\n")
            assert reading.done()
            answer = b"" if isinstance(reading.exception(), ConnectionError) else reading.result()
            assert answer.startswith(b"HTTP/1.1 204") == begin.startswith(whole)
            writer.close()
        reader, writer = await asyncio.open_connection(*place)
        writer.write(whole.replace(b"/ ", b"/slow ", 1))
        assert (await asyncio.wait_for(reader.read(12), 3)) == b"HTTP/1.1 204"
        writer.close()
        server.should_exit = True
        await serving

    asyncio.run(ask())


def large_picture(mode: str, depth: int, side: int, form: str = "PNG") -> bytes:
    """Makes a picture of one colour with a header that says what it is."""
    if form != "PNG":
        return save(Image.new(mode, (side, side)), form)
    colours = {"L": 0, "RGB": 2, "P": 3, "LA": 4, "RGBA": 6}[mode]
    header = side.to_bytes(4, "big") * 2 + bytes([depth, colours, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IEND", b"")


def test_the_memory_of_a_picture_is_known_from_its_header(run):
    answering = Answering(Predictor.load(run.directory))
    for mode, depth in (("RGBA", 16), ("RGBA", 8), ("LA", 8), ("LA", 16)):
        picture = large_picture(mode, depth, 9400)
        assert memory_of(picture) == 9400**2 * 18
        with pytest.raises(Refusal, match="too many pixels"):
            answering.answer(picture, None)
        with pytest.raises(Refusal, match="too many pixels"):
            answering.heat_maps(picture, (0, 0, 9, 9))
    keyed = large_picture("RGB", 8, 9000)
    assert memory_of(keyed) == 9000**2 * 3
    assert memory_of(keyed[:33] + png_chunk(b"tRNS", b"\0" * 6) + keyed[33:]) == 9000**2 * 18
    assert memory_of(large_picture("RGB", 0, 100, "JPEG")) == 100**2 * 6
    assert memory_of(large_picture("RGBA", 0, 100, "WEBP")) == 100**2 * 18
    assert memory_of(b"") == memory_of(b"x" * 99) == 0


def run_script(*options, **environment) -> tuple[int, str]:
    command = [sys.executable, SCRIPT, *options]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.slow
def test_bad_input_gets_one_sentence(run, tmp_path):
    (tmp_path / "starlette.py").write_text("raise ImportError('not here')")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for options, environment, word in (
            ([run.directory], {"PYTHONPATH": str(tmp_path)}, "deepfashion_tf[demo]"),
            ([tmp_path / "none", "--port", 0], {}, "none"),
            ([run.directory, "--port", port], {}, f"--port {port}"),
            ([run.directory, "--port", 99999], {}, "--port"),
            ([run.directory, "--max-megabytes", 0], {}, "--max-megabytes"),
            ([run.directory, "--time-limit", "nan"], {}, "--time-limit"),
            ([run.directory, "--host", "no such host"], {}, "--host"),
        ):
            code, err = run_script(*options, **environment)
            assert code == 2 and err.startswith("error: ") and word in err, err
            assert "Traceback" not in err and err.count("\n") == 1


# --- in a browser ----------------------------------------------------------------------------


@pytest.fixture(params=["desktop", "phone"])
def page(request, browser, served):
    is_phone = request.param == "phone"
    size = {"width": 390, "height": 844} if is_phone else {"width": 1280, "height": 900}
    context = browser.new_context(viewport=size, has_touch=is_phone, is_mobile=is_phone)
    page = context.new_page()
    page.is_phone, page.asked, page.wrong = is_phone, [], []
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.goto(served.url)
    page.wait_for_selector(".card")
    yield page
    context.close()


def drag(page, start: tuple[float, float], stop: tuple[float, float]) -> None:
    """Draws a box on the photograph from one point to another, in shares of its sides."""
    page.locator("#stage").scroll_into_view_if_needed()
    frame = page.locator("#photograph").bounding_box()
    (x1, y1), (x2, y2) = (
        (frame["x"] + x * frame["width"], frame["y"] + y * frame["height"])
        for x, y in (start, stop)
    )
    if not page.is_phone:
        page.mouse.move(x1, y1)
        page.mouse.down()
        page.mouse.move((x1 + x2) / 2, (y1 + y2) / 2)
        page.mouse.move(x2, y2)
        page.mouse.up()
        return
    # Fingers as the browser knows them, since Playwright's own only tap.
    hand = page.context.new_cdp_session(page)
    steps = [("touchStart", x1, y1), ("touchMove", (x1 + x2) / 2, (y1 + y2) / 2)]
    for kind, x, y in [*steps, ("touchMove", x2, y2)]:
        hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    hand.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def shares(page) -> list[str]:
    return page.locator(".card li > :last-child").all_inner_texts()


def upload(page, encoded: bytes, name: str = "photo.jpg") -> None:
    file = {"name": name, "mimeType": "image/jpeg", "buffer": encoded}
    page.set_input_files("#file", files=[file])


@pytest.mark.slow
def test_a_person_gets_answers(page, served, photograph):
    upload(page, photograph)
    page.wait_for_selector("text=Answers for the whole picture")
    of_whole = shares(page)
    assert len(of_whole) == sum(map(len, builtin_schema().values()))
    assert page.locator(".card").count() == 6

    page.click("#mark")
    drag(page, (0.25, 0.25), (0.75, 0.75))
    page.wait_for_selector("text=Answers for the marked part")
    corners = [int(page.input_value(f"[name={name}]")) for name in ("x1", "y1", "x2", "y2")]
    size = Image.open(io.BytesIO(photograph)).size
    for found, share, side in zip(corners, (0.25, 0.25, 0.75, 0.75), size * 2, strict=True):
        # A pixel of the screen can be more than one of the photograph.
        assert abs(found - share * side) <= 3
    told = served.post("answers", photograph, ",".join(map(str, corners))).json()
    expected = [f"{100 * a['probability']:.1f}%" for ranked in told.values() for a in ranked]
    assert shares(page) == expected

    switch = page.locator('[data-category="sleeve"] input')
    switch.check()
    heat_map = page.locator('[data-category="sleeve"] .heat-map')
    heat_map.wait_for(state="visible")
    assert (
        heat_map.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)")
        > 100
    )
    assert page.locator(".heat-map:visible").count() == 1
    switch.uncheck()
    assert not heat_map.is_visible()

    upload(page, b"These are only words.")
    page.locator("#fault").wait_for(state="visible")
    assert "The picture is not a readable image." in page.inner_text("#fault")
    assert page.locator("#fault").evaluate("told => told.getBoundingClientRect().top >= 0")
    assert shares(page) == expected
    upload(page, large_png(20_000))
    page.wait_for_selector("text=89 million pixels")
    upload(page, bytes(21 * 10**6))
    page.wait_for_selector("text=20 MB at most")

    page.click("#whole")
    page.wait_for_selector("text=Answers for the whole picture")
    assert shares(page) == of_whole and not page.locator("#fault").is_visible()
    assert_looks_right(page, served)


def assert_looks_right(page, served) -> None:
    """Nothing sticks out, nothing is too small for a finger, and nobody else was asked."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for button in page.locator("button:visible, .switch:visible").all():
        assert button.bounding_box()["height"] >= 32
    own = (served.url, "blob:", "data:")
    assert [url for url in page.asked if not url.startswith(own)] == []
    assert page.wrong == []


@pytest.mark.slow
def test_an_example_brings_its_box_and_what_was_drawn(page):
    page.locator("#examples button").first.click()
    page.wait_for_selector("text=stands where it was drawn so")
    assert page.locator("#box").is_visible()
    assert page.locator(".card li", has_text="✓").count() == 6
    # Not by wait_for_function, which the page's own rules forbid like any eval.
    page.fill("[name=x1]", "0")
    page.click("text=Set box")
    page.wait_for_selector('#box[style*="left: 0%"]')
    page.locator("#examples button").first.click()
    page.wait_for_selector('#box:not([style*="left: 0%"])')
