"""What to label next: uncertain images without labels, unlike each other."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from deepfashion_tf.data.table import read_table
from deepfashion_tf.doctor.check import check_data
from deepfashion_tf.doctor.options import Options
from deepfashion_tf.doctor.suggest import _entropy, _spread, suggest, write_suggestions
from deepfashion_tf.evaluation.evaluate import predict_split
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()


@pytest.fixture(scope="module")
def partly(trained):
    """The validation images: 12 of 24 without any label, 6 without a fabric."""
    labels = trained.val.labels.copy()
    labels[:12] = -1
    labels[12:18, 4] = -1
    return replace(trained.val, labels=labels)


def test_even_probabilities_are_uncertain_and_certain_ones_are_not():
    values = _entropy(np.array([[0.25] * 4, [1.0, 0, 0, 0], [0.5, 0.5, 0, 0]]))
    np.testing.assert_allclose(values, [1.0, 0.0, 0.5], atol=1e-6)


def test_only_what_lacks_labels_is_asked_for_and_only_about_that(trained, partly):
    found = suggest(trained.run, partly, 100)
    assert {suggestion.row for suggestion in found} == set(range(18))
    values = [suggestion.uncertainty for suggestion in found]
    assert values == sorted(values, reverse=True)
    probabilities = predict_split(trained.run, trained.run.load_model(), partly)
    entropies = {c: _entropy(probabilities[c]) for c in SCHEMA}
    for suggestion in found:
        asked = list(SCHEMA) if suggestion.row < 12 else ["fabric"]
        assert list(suggestion.answers) == asked
        expected = np.mean([entropies[c][suggestion.row] for c in asked])
        assert suggestion.uncertainty == pytest.approx(expected, abs=1e-5)
    assert suggest(trained.run, trained.val, 5) == []


def test_of_like_images_only_one_is_asked_for():
    rng = np.random.default_rng(0)
    centres = np.eye(3)[np.repeat(np.arange(3), 10)]
    features = (centres + rng.normal(0, 0.01, (30, 3))).astype("float32")
    uncertainty = rng.uniform(size=30)
    chosen = _spread(features, uncertainty, 3, seed=0)
    best = [10 * k + int(uncertainty[10 * k : 10 * k + 10].argmax()) for k in range(3)]
    assert sorted(chosen) == best
    assert list(uncertainty[chosen]) == sorted(uncertainty[chosen], reverse=True)
    # As many as were asked for, also where clusters come out empty.
    assert len(set(_spread(np.ones((30, 3), "float32"), uncertainty, 7, seed=0))) == 7


def test_what_is_filled_in_can_be_trained_on(trained, partly, tmp_path):
    path = tmp_path / "next.csv"
    write_suggestions(path, replace(partly, name="train"), suggest(trained.run, partly, 4))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    for row in rows:
        for category in SCHEMA:
            row[category] = row[category] or row[f"answer_{category}"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (split,) = read_table(path, ["train"])
    assert len(split) == 4 and (split.labels >= 0).all()
    assert split.encoded(0) == partly.encoded(list(partly.keys).index(split.keys[0]))


def test_the_command_writes_them_and_draws_them(trained, wardrobe, real_photos, tmp_path, capsys):
    page, table = tmp_path / "page.html", tmp_path / "next.csv"
    more = {"run": trained.run.directory, "suggest": 10, "suggestions": table}
    # Photographs without a fit, and drawings that have every label.
    assert check_data(Options(str(real_photos), html=page, **more)) == 0
    assert "10 of the train images" in capsys.readouterr().out
    assert len(table.read_text().splitlines()) == 11
    assert "To label next" in page.read_text()
    assert check_data(Options(str(wardrobe), **more)) == 0
    assert "Every train image is labelled" in capsys.readouterr().out
