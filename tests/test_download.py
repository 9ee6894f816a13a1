"""Downloads, from a server on this machine: whole and verified, or nothing."""

import hashlib
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from deepfashion_tf.downloads import download
from deepfashion_tf.errors import InputError
from deepfashion_tf.models.variants import PUBLISHED
from deepfashion_tf.models.weights import find_weights

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves one file under every address, whole or with a fault; counts what it served."""

    fault: str | None = None
    content = CONTENT
    sha256: str | None = None
    gets = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._headers()

    def do_GET(self):
        # The hub's client asks for a list of its own, too.
        self.server.gets += not self.path.startswith("/api/")
        if self._headers():
            content = self.server.content
            if self.server.fault == "cut":
                content = content[: len(content) // 2]
            elif self.server.fault == "changed":
                content = content[:-1] + bytes([content[-1] ^ 1])
            self.wfile.write(content)

    def _headers(self) -> bool:
        missing = self.server.fault == "missing"
        self.send_response(404 if missing else 200)
        if missing:
            self.send_header("X-Error-Code", "RepoNotFound")
        else:
            self.send_header("Content-Length", len(self.server.content))
            self.send_header("ETag", f'"{self.server.sha256 or "none"}"')
            self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        return not missing

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# --- By address and hash ------------------------------------------------------------------


def test_a_file_arrives_and_is_not_fetched_again(server, tmp_path):
    path = tmp_path / "models" / "file.h5"
    for _ in range(2):
        download(f"{server.url}/file.h5", path, MD5)
    assert path.read_bytes() == CONTENT
    assert server.gets == 1
    assert files_below(tmp_path) == [path]
    download(f"{server.url}/file.h5", path, MD5, offline=True)


@pytest.mark.parametrize(
    ("fault", "words"),
    [("cut", "bytes"), ("changed", "MD5 hash of downloaded file"), ("missing", "404")],
)
def test_a_faulty_download_leaves_nothing(server, tmp_path, fault, words):
    server.fault = fault
    path = tmp_path / "file.h5"
    with pytest.raises(InputError, match=f"(?s){words}.*nothing of it was kept") as error:
        download(f"{server.url}/file.h5", path, MD5)
    for part in (f"{server.url}/file.h5", MD5, str(path), "--weights none"):
        assert part in str(error.value)
    assert files_below(tmp_path) == []


def test_a_damaged_copy_is_fetched_anew(server, tmp_path):
    path = tmp_path / "file.h5"
    path.write_bytes(CONTENT[:1000])
    with pytest.raises(InputError, match="--offline forbids"):
        download(f"{server.url}/file.h5", path, MD5, offline=True)
    download(f"{server.url}/file.h5", path, MD5)
    assert path.read_bytes() == CONTENT


def test_without_a_connection_one_sentence_says_what_to_do(tmp_path):
    url = "http://127.0.0.1:9/file.h5"
    with pytest.raises(InputError, match="Connection refused") as error:
        download(url, tmp_path / "file.h5", MD5)
    assert url in str(error.value) and MD5 in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet50", "seresnet50"])
def test_imagenet_is_what_the_publishers_table_lists(server, tmp_path, monkeypatch, backbone):
    """The table's address and hash are changed to those of a file of random weights here."""
    import keras
    from classification_models import weights as table
    from classification_models.tfkeras import Classifiers
    from keras.src.applications import resnet

    build = keras.applications.ResNet50 if backbone == "resnet50" else Classifiers.get(backbone)[0]
    model = build(input_shape=(32, 32, 3), weights=None, include_top=False)
    model.save(tmp_path / "published.h5")
    server.content = (tmp_path / "published.h5").read_bytes()
    md5 = hashlib.md5(server.content).hexdigest()
    monkeypatch.setattr(resnet, "BASE_WEIGHTS_PATH", f"{server.url}/")
    monkeypatch.setitem(resnet.WEIGHTS_HASHES, "resnet50", (md5, md5))
    changed = [entry | {"url": f"{server.url}/x", "md5": md5} for entry in table.WEIGHTS_COLLECTION]
    monkeypatch.setattr(table, "WEIGHTS_COLLECTION", changed)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for offline in (False, True):
        weights = find_weights("imagenet", backbone, offline=offline)
        assert weights.variant == PUBLISHED[backbone]
        assert weights.file.path.parent == tmp_path / "keras" / "models"
        assert weights.file.sha256 == hashlib.sha256(server.content).hexdigest()
    assert server.gets == 1


# --- From the hub, and through the command line --------------------------------------------
# huggingface_hub reads its environment when it is imported: each case is a process of its own.


def convert(server_url: str, tmp_path: Path, *options: str, **environment: str):
    script = Path(__file__).parents[1] / "scripts" / "convert_weights.py"
    command = [sys.executable, script, "timm:resnet50.a1_in1k", "out.weights.h5", *options]
    return subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "HF_ENDPOINT": server_url,
            "HF_HOME": str(tmp_path / "hub"),
            "KERAS_HOME": str(tmp_path / "keras"),
            "COLUMNS": "200",
            **environment,
        },
    )


def assert_one_sentence(result, *parts: str) -> None:
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for part in parts:
        assert part in result.stderr


@pytest.fixture(scope="module")
def timm_content(tmp_path_factory) -> bytes:
    """A file in timm's names, of a whole ResNet-50 without its top."""
    from deepfashion_tf.models.backbones import build_backbone
    from deepfashion_tf.models.weights.layouts import timm_name

    tensors = {}
    for variable in build_backbone("resnet50", 32, "pooled", "timm.resnet50").variables:
        value = variable.numpy()
        name = timm_name("/".join(variable.path.split("/")[-2:]), legacy=False)
        tensors[name] = np.ascontiguousarray(
            value.transpose(3, 2, 0, 1) if value.ndim > 1 else value
        )
    path = tmp_path_factory.mktemp("timm") / "model.safetensors"
    save_file(tensors, path)
    return path.read_bytes()


@pytest.mark.slow
def test_the_hub(server, tmp_path, timm_content):
    server.content = timm_content
    server.sha256 = hashlib.sha256(timm_content).hexdigest()
    for environment in ({}, {}, {"HF_HUB_OFFLINE": "1"}):
        result = convert(server.url, tmp_path, **environment)
        assert result.returncode == 0, result.stderr
        assert "timm.resnet50" in result.stdout
    assert server.gets == 1, "fetched again"
    assert (tmp_path / "out.weights.h5").is_file()
    (path,) = (tmp_path / "keras").rglob("*.safetensors")
    assert path.read_bytes() == timm_content


@pytest.mark.slow
def test_a_copy_in_the_hubs_own_cache_is_taken(tmp_path, timm_content):
    """As timm or another program leaves it there."""
    folder = tmp_path / "hub" / "hub" / "models--timm--resnet50.a1_in1k"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(timm_content)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    result = convert("http://127.0.0.1:9", tmp_path, "--offline")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("cut", "could not be fetched"),
        ("changed", "SHA256 hash of downloaded file"),
        ("missing", "has no file"),
    ],
)
def test_a_faulty_download_from_the_hub_leaves_nothing(
    server, tmp_path, timm_content, fault, words
):
    server.fault = fault
    server.content = timm_content
    server.sha256 = hashlib.sha256(timm_content).hexdigest()
    assert_one_sentence(convert(server.url, tmp_path), words)
    assert {path.name for path in files_below(tmp_path)} <= {"keras.json"}


@pytest.mark.slow
def test_offline_and_by_hand(tmp_path, timm_content):
    nowhere = "http://127.0.0.1:9"
    by_hand = tmp_path / "keras" / "models" / "timm-resnet50.a1_in1k.safetensors"
    url = f"{nowhere}/timm/resnet50.a1_in1k/resolve/main/model.safetensors"
    assert_one_sentence(convert(nowhere, tmp_path), "Connection refused", url, str(by_hand))
    result = convert(nowhere, tmp_path, HF_HUB_OFFLINE="1")
    assert_one_sentence(result, "HF_HUB_OFFLINE forbids", url, str(by_hand), "SHA-256")
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(timm_content)
    result = convert(nowhere, tmp_path, "--offline")
    assert result.returncode == 0, result.stderr
