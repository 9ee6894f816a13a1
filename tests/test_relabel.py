"""Tables of labels in doubt: from the mistakes of a run to corrected data."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import correct, labelled

from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.confusion import Mistake
from deepfashion_tf.evaluation.mistakes import save_mistakes
from deepfashion_tf.evaluation.relabel import Doubt, is_corrected, read_doubts, write_doubts
from deepfashion_tf.schema import builtin_schema

SLEEVE = builtin_schema().select(["sleeve"])
LONG, SHORT = SLEEVE["sleeve"][:2]


def test_a_line_that_names_a_row_changes_that_row_alone(tmp_path):
    split = labelled(np.zeros((3, 1), np.int32), schema=SLEEVE)
    split = replace(split, keys=["a.jpg", "a.jpg", "b.jpg"])
    path = tmp_path / "relabel.csv"
    doubts = [Doubt(row, "sleeve", LONG, SHORT, 0.1) for row in range(2)]
    in_table = replace(split, rows=np.arange(3), row_name=lambda row: f"line {row + 2}")
    write_doubts(path, in_table, doubts)
    assert not is_corrected(path)
    correct(path, 1, SHORT)
    assert is_corrected(path)
    save_mistakes(path, in_table, [Mistake(0, "sleeve", 0.9, SHORT, LONG, 0.1)])
    assert is_corrected(path), "corrections are not written over"
    (found,) = read_doubts(path, [in_table])
    assert found.labels[:, 0].tolist() == [0, 1, 0]
    # Where no table lists them, the rows of an image cannot be told apart.
    write_doubts(path, split, doubts[1:])
    correct(path, 0, SHORT)
    (found,) = read_doubts(path, [split])
    assert found.labels[:, 0].tolist() == [1, 1, 0]


def test_corrections_of_other_data_are_refused(tmp_path):
    split = labelled(np.zeros((3, 1), np.int32), schema=SLEEVE)
    write_doubts(tmp_path / "t.csv", split, [Doubt(0, "sleeve", LONG, SHORT, 0.1)])
    with pytest.raises(InputError, match=r"No line of .* is of an image and a category of here"):
        read_doubts(tmp_path / "t.csv", [replace(split, keys=["x", "y", "z"])])


def test_an_image_is_found_wherever_a_command_runs(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(b"")
    split = replace(labelled(np.zeros((1, 1), np.int32), schema=SLEEVE), keys=["a.jpg"])
    monkeypatch.chdir(tmp_path)
    write_doubts(tmp_path / "t.csv", split, [Doubt(0, "sleeve", LONG, SHORT, 0.1)])
    correct(tmp_path / "t.csv", 0, SHORT)
    monkeypatch.chdir("/")
    (found,) = read_doubts(tmp_path / "t.csv", [replace(split, keys=[str(tmp_path / "a.jpg")])])
    assert found.labels.tolist() == [[1]]
