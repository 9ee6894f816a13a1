import csv

import numpy as np
import pytest
from conftest import labelled

from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.schema import Category, Schema

SCHEMA = Schema(
    (Category("fit", ("tight", "loose")), Category("neck", ("crew, round", "v", "none")))
)


@pytest.fixture
def found() -> Answers:
    labels = np.int32([[0, 2], [-1, 1], [1, -1], [1, 0]])
    rng = np.random.default_rng(0)
    probabilities = {name: rng.dirichlet(np.ones(len(a)), 4) for name, a in SCHEMA.items()}
    return Answers.of(labelled(labels, schema=SCHEMA), probabilities)


def test_answers_come_back_from_their_file(found, tmp_path):
    found.save(tmp_path / "answers.csv")
    read = Answers.load(tmp_path / "answers.csv", SCHEMA)
    assert dict(read.schema) == dict(found.schema)
    assert read.images == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(read.answers, found.answers)
    np.testing.assert_array_equal(read.labels, found.labels)
    # Six digits are written.
    np.testing.assert_allclose(read.probabilities, found.probabilities, rtol=1e-5)
    np.testing.assert_allclose(read.label_probabilities, found.label_probabilities, rtol=1e-5)
    np.testing.assert_array_equal(read.hits, found.hits)


def test_a_hit_is_an_answer_that_is_the_label(found):
    expected = [
        [np.nan if label < 0 else float(a == label) for a, label in zip(*row, strict=True)]
        for row in zip(found.answers, found.labels, strict=True)
    ]
    np.testing.assert_array_equal(found.hits, expected)
    right = found.hits == 1
    np.testing.assert_array_equal(
        found.probabilities[right], found.label_probabilities[right], "a hit has one probability"
    )


def test_the_file_needs_no_schema_to_be_read(found, tmp_path):
    found.save(tmp_path / "answers.csv")
    with (tmp_path / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["neck_label"] for row in rows] == ["none", "v", "", "crew, round"]
    assert [row["fit"] for row in rows] == [SCHEMA["fit"][a] for a in found.answers[:, 0]]


@pytest.mark.parametrize("text", ["", "image,fit\na,tight\n", "image,fit,fit_probability\nb,x,y\n"])
def test_other_files_are_refused(text, tmp_path):
    (tmp_path / "answers.csv").write_text(text)
    with pytest.raises(InputError, match="cannot be read as the answers"):
        Answers.load(tmp_path / "answers.csv", SCHEMA)
