"""Runs on a Hugging Face hub, which is a server on this machine here."""

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import deepfashion_tf as df
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.finish import finish_run
from deepfashion_tf.runs.model_card import model_card
from deepfashion_tf.runs.run import Run

COMMIT = "a" * 40


class Hub(ThreadingHTTPServer):
    """Keeps the files of one repository in memory; what it is sent, and how it fails."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.refuses = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.refuses:
            self._answer({"error": "no such token"}, self.server.refuses)
        elif self.path.endswith("/repos/create"):
            self._answer({"url": f"{self.server.url}/user/name", "id": "1", "name": "user/name"})
        elif "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for f in json.loads(body)["files"]
            ]
            self._answer({"files": files})
        elif "/commit/" in self.path:
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    value = entry["value"]
                    self.server.files[value["path"]] = base64.b64decode(value["content"])
            url = f"{self.server.url}/user/name/commit/{COMMIT}"
            self._answer({"commitUrl": url, "commitOid": COMMIT, "hookOutput": ""})
        else:
            self._answer({"errors": [], "warnings": []})

    def do_HEAD(self):
        self._serve()

    def do_GET(self):
        self._serve()

    def _serve(self) -> None:
        if self.path.startswith("/api/"):
            if not self.server.files:
                return self._answer({"error": "x"}, 404, {"X-Error-Code": "RepoNotFound"})
            if "/tree/" in self.path:
                return self._answer(
                    [
                        {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
                        for name, content in self.server.files.items()
                    ]
                )
            siblings = [{"rfilename": name} for name in self.server.files]
            return self._answer({"id": "user/name", "sha": COMMIT, "siblings": siblings})
        content = self.server.files.get(self.path.split(f"/resolve/{COMMIT}/")[-1])
        if content is None:
            return self._answer({}, 404, {"X-Error-Code": "EntryNotFound"})
        headers = {"ETag": f'"{len(content):040x}"', "X-Repo-Commit": COMMIT}
        return self._answer(content, 200, headers)

    def _answer(self, content, code: int = 200, headers: dict | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub():
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def scored(trained, tmp_path_factory) -> Run:
    """The shared run with its scores, in a folder of its own."""
    directory = tmp_path_factory.mktemp("scored") / "run"
    shutil.copytree(trained.run.directory, directory)
    run = Run.load(directory)
    finish_run(run, trained.val)
    return run


def in_process(program: str, url: str, home) -> subprocess.CompletedProcess:
    """Runs a program that talks to the hub: huggingface_hub reads its address when imported."""
    return subprocess.run(
        [sys.executable, "-c", f"import deepfashion_tf as df\n{program}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
        env={
            **os.environ,
            "HF_ENDPOINT": url,
            "HF_HOME": str(home / "hub"),
            "HF_TOKEN": "hf_x",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        },
    )


def test_the_card_says_what_the_model_is(scored):
    card = model_card(scored, "user/name")
    assert card.startswith("---\nlibrary_name: keras\n")
    assert 'df.load("user/name")' in card
    for part in ("texture", "floral, graphic", "majority baseline", "validation split", " to 0."):
        assert part in card
    scores = json.loads((scored.directory / "metrics.json").read_text())
    assert f"{scores['mean_accuracy']:.4f}" in card and f"{scores['exact_match']:.4f}" in card
    assert "random weights" in card and str(scored.directory.parent) not in card
    for name, found in scores["categories"].items():
        interval = next(line for line in card.splitlines() if line.startswith(f"| {name} | 0"))
        low, high = (float(x) for x in interval.split(" | ")[2].split(" to "))
        assert low <= found["accuracy"] <= high


def test_answers_of_a_calibrated_run_are_accepted_without_a_word(scored, wardrobe, capsys):
    model = df.load(scored.directory, engine="tensorflow")
    capsys.readouterr()
    found = model.predict(wardrobe / "img", accept_accuracy=0.99)
    assert not all(answer.is_sure for answer in found[0].values())
    assert capsys.readouterr().out == ""


def test_a_run_without_scores_has_no_card(trained, tmp_path):
    shutil.copytree(trained.run.directory, tmp_path / "run")
    for path in (tmp_path / "run").glob("metrics*"):
        path.unlink()
    run = Run.load(tmp_path / "run")
    with pytest.raises(InputError, match="has no scores for its model card"):
        model_card(run, "user/name")
    (tmp_path / "run" / "metrics.json").write_text('{"categories": 3}')
    with pytest.raises(InputError, match="cannot be read as scores"):
        model_card(run, "user/name")


@pytest.mark.slow
def test_a_run_goes_to_the_hub_and_comes_back(hub, scored, wardrobe, tmp_path):
    image = next((wardrobe / "img").glob("*.jpg"))
    shown = (
        f"print({{k: (a.attribute, a.probability) for k, a in m.predict({str(image)!r}).items()}})"
    )
    pushed = in_process(
        f"m = df.load({str(scored.directory)!r})\nprint(m.push_to_hub('user/name'))\n{shown}",
        hub.url,
        tmp_path,
    )
    assert pushed.returncode == 0, pushed.stderr
    assert f"/user/name/commit/{COMMIT}" in pushed.stdout
    assert {"README.md", "model.keras", "config.json", "schema.yaml"} <= set(hub.files)
    for content in hub.files.values():
        assert str(scored.directory).encode() not in content
        assert str(wardrobe).encode() not in content
    fetched = in_process(f"m = df.load('user/name')\n{shown}", hub.url, tmp_path)
    assert fetched.returncode == 0, fetched.stderr
    assert fetched.stdout.splitlines()[-1] == pushed.stdout.splitlines()[-1]
    # Without a connection the copy in the cache answers.
    cached = in_process(f"m = df.load('user/name')\n{shown}", "http://127.0.0.1:9", tmp_path)
    assert cached.returncode == 0, cached.stderr


@pytest.mark.slow
def test_a_hub_that_fails_gets_one_sentence(hub, scored, tmp_path):
    program = "try:\n    {}\nexcept df.InputError as error:\n    print(error)\n"
    hub.refuses = 401
    refused = in_process(
        program.format(f"df.load({str(scored.directory)!r}).push_to_hub('user/name')"),
        hub.url,
        tmp_path,
    )
    assert "could not be uploaded to user/name" in refused.stdout, refused.stderr
    missing = in_process(program.format("df.load('user/none')"), hub.url, tmp_path)
    assert "no folder user/none" in missing.stdout, missing.stderr
    away = in_process(program.format("df.load('user/none')"), "http://127.0.0.1:9", tmp_path)
    assert "cannot be fetched" in away.stdout, away.stderr
    hub.files = {"README.md": b"another model"}
    other = in_process(program.format("df.load('user/other')"), hub.url, tmp_path)
    assert "is no run of deepfashion_tf" in other.stdout, other.stderr
