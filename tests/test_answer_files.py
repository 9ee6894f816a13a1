"""A file of answers appears whole or not at all, and nothing complains at its end."""

import errno
import gc
import sys
from pathlib import Path

import pytest

from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.answers import Wanted
from deepfashion_tf.schema import Schema
from deepfashion_tf.serving.answer_files import FORMATS, check_output, open_writer

WANTED = Wanted(Schema.of({"season": ["summer", "winter"]}))
ENDINGS = [ending for ending in FORMATS if ending not in (".txt", ".zip")]


@pytest.fixture
def complaints(monkeypatch):
    """What Python prints of exceptions that nobody can catch, as "Exception ignored in"."""
    found = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: found.append(str(one.exc_value)))
    return found


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_is_given_up_leaves_nothing(ending, tmp_path, complaints):
    with (
        pytest.raises(InputError, match="Nothing was predicted"),
        open_writer(tmp_path / f"a{ending}", WANTED),
    ):
        raise InputError("Nothing was predicted.")
    gc.collect()
    assert not complaints and not list(tmp_path.iterdir())


def test_a_workbook_on_a_full_disk_leaves_nothing(tmp_path, complaints, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(Path, "write_bytes", full)
        with open_writer(tmp_path / "a.xlsx", WANTED):
            pass
    gc.collect()
    assert not complaints and not list(tmp_path.iterdir())


def test_addresses_are_refused():
    for address in ("s3://shop/a.csv", "gs://shop/a.xlsx", "memory://a.csv", "file:///tmp/a.csv"):
        with pytest.raises(InputError, match="is an address, and is written on this machine"):
            check_output(Path(address))
