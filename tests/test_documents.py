import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from deepfashion_tf import documents
from deepfashion_tf.documents import as_json, number_fault, read_document


def test_what_is_no_finite_number_is_written_as_null():
    value = {"a": [math.nan, 1.5, (math.inf, {"b": -math.inf})], "c": np.float64("nan"), "d": 3}
    text = as_json(value)
    assert "NaN" not in text and "Infinity" not in text
    assert json.loads(text) == {"a": [None, 1.5, [None, {"b": None}]], "c": None, "d": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a": NaN}', "holds NaN, which is no number"),
        ('{"a": -Infinity}', "holds -Infinity"),
        ("[1]", "holds a list instead of an object"),
        ("null", "holds null instead"),
        ("{", "Expecting"),
        ("\udcff", "utf-8"),
        ('{"a": ' + "1" * 5000 + "}", "digits"),
    ],
)
def test_what_is_no_object_is_refused(tmp_path, text, message):
    path = tmp_path / "file.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=message):
        read_document(path)


def test_a_file_that_would_fill_the_memory_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MOST_BYTES", 100)
    path = tmp_path / "file.json"
    path.write_text(json.dumps({"a": "b" * 80}))
    assert read_document(path) == {"a": "b" * 80}
    path.write_text(json.dumps({"a": "b" * 100}))
    with pytest.raises(ValueError, match="it has 109 bytes, and at most 100 are read"):
        read_document(path)


def test_a_number_lies_in_its_range():
    for value in (0.5, 1, 0):
        assert number_fault("share", value, 0, 1) is None
    for value in (math.nan, math.inf, -0.1, 2, True, "1", None, [1], 10**400):
        assert "but must be a number between 0 and 1" in number_fault("share", value, 0, 1)


def test_one_function_writes_json():
    package = Path(documents.__file__).parent
    # A model's config in memory and a checkpoint's position keep infinity: neither is an output.
    own = ("documents.py", "models/attribute_model.py", "training/state.py")
    for path in set(package.rglob("*.py")) - {package / name for name in own}:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\bjson\.(dump|JSONEncoder)|json import (?!loads)", text), path
