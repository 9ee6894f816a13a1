"""Photographs without registering: fetched from a server on this machine, whole or not at all."""

import io
import shutil
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_download import Handler, Server, files_below

from deepfashion_tf.data import clothing
from deepfashion_tf.data.clothing import COMMIT, LABELS, NAME
from deepfashion_tf.data.sources import located, open_splits
from deepfashion_tf.errors import InputError
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()
ROOT = f"{NAME}-{COMMIT}"


def archive(names: list[str], comment: str = COMMIT) -> bytes:
    rng = np.random.default_rng(0)
    written = io.BytesIO()
    # As GitHub packs them.
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as file:
        file.comment = comment.encode()
        for name in names:
            photograph = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).save(photograph, "JPEG")
            file.writestr(name, photograph.getvalue())
    return written.getvalue()


def layout() -> list[str]:
    """The archive's names: two photographs a kind and split, and what else lies there."""
    photographs = [
        f"{ROOT}/{split}/{kind}/{number}-a_b.jpg"
        for split in ("train", "validation", "test")
        for kind in LABELS
        for number in range(2)
    ]
    return [f"{ROOT}/README.md", f"{ROOT}/train/../../evil.jpg", *photographs]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves an archive; the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.content = archive(layout())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DEEPFASHION_CLOTHING", f"{server.url}/archive")
        yield server
        server.shutdown()


def test_kinds_become_the_labels_that_they_imply(server, tmp_path):
    config = TrainConfig(data=NAME)
    train, val, test = open_splits(config, ["train", "val", "test"])
    for split in (train, val, test):
        assert len(split) == 20 and split.schema == SCHEMA
        found = {
            Path(key).parent.name: {
                category: SCHEMA[category][label]
                for category, label in zip(SCHEMA, labels, strict=True)
                if label >= 0
            }
            for key, labels in zip(split.keys, split.labels, strict=True)
        }
        assert found == LABELS
    assert train.encoded(0).startswith(b"\xff\xd8")
    # Nothing outside its folder, no archive left, and it is not fetched again.
    folders = {path.relative_to(tmp_path).parts[:2] for path in files_below(tmp_path)}
    assert folders == {("data", NAME), ("data", f".{NAME}.lock")}
    open_splits(config, ["val"])
    assert server.gets == 1
    # A run finds it from another working directory, too.
    assert located(config) == str(tmp_path / "data" / NAME / "table.csv")


@pytest.mark.parametrize("fault", ["cut", "missing"])
def test_a_faulty_download_leaves_nothing(server, tmp_path, fault):
    server.fault = fault
    with pytest.raises(InputError) as error:
        open_splits(TrainConfig(data=NAME), ["train"])
    assert "nothing of it was kept" in str(error.value) and "--weights" not in str(error.value)
    assert all(path.suffix == ".lock" for path in files_below(tmp_path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (archive(layout(), comment="0" * 40), "not of that commit"),
        (archive([f"{ROOT}/train/sock/1.jpg"]), "its kinds are sock"),
        (archive([f"{ROOT}/README.md"]), "its kinds are"),
        (b"no archive", "not a zip file"),
    ],
)
def test_another_archive_is_refused(server, tmp_path, content, words):
    server.content = content
    with pytest.raises(InputError, match=words):
        open_splits(TrainConfig(data=NAME), ["train"])
    assert not (tmp_path / "data" / NAME).exists()


def refused(path: Path, content: bytes, folder: Path) -> bool:
    """Unpacks an archive: whether it was refused, in a sentence and with nothing left."""
    path.write_bytes(content)
    try:
        clothing._unpack(path, folder)
    except InputError as error:
        assert "is not the archive that was meant" in str(error)
        assert list(path.parent.iterdir()) == [path]
        return True
    shutil.rmtree(folder)
    return False


def test_a_damaged_archive_is_refused_wherever_the_damage_lies(tmp_path):
    good = archive(layout())
    assert not refused(tmp_path / "good.zip", good, tmp_path / "folder")
    (tmp_path / "good.zip").unlink()
    rng, found = np.random.default_rng(0), 0
    for at in rng.integers(0, len(good), 150).tolist():
        damaged = bytearray(good)
        damaged[at] ^= 1 << int(rng.integers(8))
        found += refused(tmp_path / "it.zip", bytes(damaged), tmp_path / "folder")
    # Elsewhere are dates and the like, which nothing hangs on.
    assert found > 100


@pytest.mark.parametrize(
    ("local", "central", "value", "words"),
    [(6, 8, 1, "encrypted"), (8, 10, 99, "compression method")],
)
def test_an_archive_that_zipfile_does_not_know_is_refused(tmp_path, local, central, value, words):
    changed = bytearray(archive(layout()))
    for mark, place in ((b"PK\3\4", local), (b"PK\1\2", central)):
        at = -1
        while (at := changed.find(mark, at + 1)) >= 0:
            changed[at + place] = value
    (tmp_path / "it.zip").write_bytes(changed)
    with pytest.raises(InputError, match=words):
        clothing._unpack(tmp_path / "it.zip", tmp_path / "folder")


def test_offline_says_where_to_put_it(server, tmp_path):
    with pytest.raises(InputError, match="--offline forbids") as error:
        open_splits(TrainConfig(data=NAME, offline=True), ["train"])
    by_hand = tmp_path / "data" / f"{ROOT}.zip"
    assert str(Path("data") / f"{ROOT}.zip") in str(error.value)
    by_hand.parent.mkdir(exist_ok=True)
    by_hand.write_bytes(server.content)
    assert len(open_splits(TrainConfig(data=NAME, offline=True), ["val"])[0]) == 20
    assert server.gets == 0


def test_the_address_is_githubs():
    assert clothing.ADDRESS.startswith("https://github.com/") and len(COMMIT) == 40
