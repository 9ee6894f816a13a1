import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

import deepfashion_tf.files
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import (
    expand_user,
    is_file,
    is_folder,
    locked,
    read_small_text,
    whole_or_nothing,
    write_atomically,
)


def test_a_lock_is_held_once_and_leaves_no_file(tmp_path):
    path = tmp_path / ".lock"
    with locked(path):
        assert path.exists()
        with pytest.raises(filelock.Timeout), locked(path):
            pass
        # Whoever comes in vain removes nothing.
        assert path.exists()
    assert not path.exists()


def test_one_process_at_a_time_holds_a_lock_that_is_removed(tmp_path):
    """Four processes add one to a number, each under the lock, and none is lost."""
    number = tmp_path / "number"
    number.write_text("0")
    script = (
        "import sys, time, pathlib, filelock\n"
        "from deepfashion_tf.files import locked\n"
        "folder, left = pathlib.Path(sys.argv[1]), 40\n"
        "while left:\n"
        "    try:\n"
        "        with locked(folder / '.lock'):\n"
        "            n = int((folder / 'number').read_text())\n"
        "            time.sleep(0.001)\n"
        "            (folder / 'number').write_text(str(n + 1))\n"
        "            left -= 1\n"
        "    except filelock.Timeout:\n"
        "        time.sleep(0.001)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    for process in [subprocess.Popen(command) for _ in range(4)]:
        assert process.wait(60) == 0
    assert number.read_text() == "160"


def test_a_text_file_is_replaced(tmp_path):
    for text in ("one", "two"):
        write_atomically(tmp_path / "a.txt", text)
        assert (tmp_path / "a.txt").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_whole(tmp_path):
    for name in ("one", "two"):
        with whole_or_nothing(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_what_fails_half_way_leaves_the_old_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), whole_or_nothing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    if isinstance(error, OSError):
        assert error.filename == str(path)


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch], ids=["folder", "file"])
def test_neither_takes_the_place_of_the_other(tmp_path, make):
    """What stood there stays, with what is in it."""
    path = tmp_path / "answers.csv"
    make(path)
    other = Path.touch if make is Path.mkdir else Path.mkdir
    if path.is_dir():
        (path / "mine.txt").write_text("mine")
    with (
        pytest.raises(InputError, match="nothing was changed"),
        whole_or_nothing(path) as temporary,
    ):
        other(temporary)
    assert path.is_dir() == (make is Path.mkdir)
    if path.is_dir():
        assert (path / "mine.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["answers.csv"]


def test_names_that_are_no_text_can_be_written(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    write_atomically(tmp_path / "a.json", json.dumps([name], ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_text()) == [name]


def test_paths_that_lead_nowhere(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in (tmp_path / "loop", "x" * 300, "a\0b"):
        assert not is_folder(name) and not is_file(name)
    with pytest.raises(InputError, match="no such user"):
        expand_user(Path("~nobody-of-this-name/x"), "--data")


KILLED = """
import os, signal, sys
from pathlib import Path
from deepfashion_tf.files import whole_or_nothing

path = Path(sys.argv[1])
with whole_or_nothing(path) as temporary:
    temporary.write_text("half")
    print("begun", flush=True)
    if sys.argv[2] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def start(path: Path, how: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), how],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    return process


def unfinished(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".unfinished-*")]


@pytest.fixture
def anew(monkeypatch):
    """Lets this process look at folders again, as one does that starts."""
    monkeypatch.setattr(deepfashion_tf.files, "_looked_at", set())


@pytest.mark.usefixtures("anew")
def test_what_a_killed_process_left_is_removed_at_the_next_start(tmp_path):
    start(tmp_path / "a.csv", "dies").wait(60)
    assert len(unfinished(tmp_path)) == 1
    write_atomically(tmp_path / "a.csv", "whole")
    assert not unfinished(tmp_path) and (tmp_path / "a.csv").read_text() == "whole"


@pytest.mark.usefixtures("anew")
def test_what_a_living_process_writes_is_left_alone(tmp_path):
    process = start(tmp_path / "a.csv", "lives")
    write_atomically(tmp_path / "b.csv", "whole")
    assert len(unfinished(tmp_path)) == 1
    process.communicate("", timeout=60)
    assert process.returncode == 0 and (tmp_path / "a.csv").read_text() == "half"
    assert not unfinished(tmp_path)


@pytest.mark.usefixtures("anew")
def test_a_folder_whose_replacement_was_killed_half_way_comes_back(tmp_path):
    """It stands in the unfinished folder between two renamings."""
    old = tmp_path / ".unfinished-export-12345678" / "export.old"
    old.mkdir(parents=True)
    (old / "model").write_text("old")
    write_atomically(tmp_path / "b.csv", "whole")
    assert (tmp_path / "export" / "model").read_text() == "old" and not unfinished(tmp_path)


def test_a_long_name_can_be_written(tmp_path):
    name = "é" * 120 + ".csv"
    write_atomically(tmp_path / name, "whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_small_texts(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("\ufeffé", encoding="utf-8")
    assert read_small_text(path) == "é"
    with pytest.raises(ValueError, match="larger"):
        read_small_text(path, most=2)
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError):
            read_small_text(name)
