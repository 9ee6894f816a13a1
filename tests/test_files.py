import errno
import json
import os
from pathlib import Path

import pytest

from deepfashion_tf.errors import InputError
from deepfashion_tf.files import (
    expand_user,
    is_file,
    is_folder,
    whole_or_nothing,
    write_atomically,
)


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
