"""Calibration: what the words mean, on probabilities whose truth is known."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.calibration import (
    Calibration,
    Coverage,
    Reliability,
    fit_temperature,
    scale,
)
from deepfashion_tf.schema import Schema, builtin_schema

RNG = np.random.default_rng(0)


def drawn(count: int, temperature: float, classes: int = 5, seed: int = 0):
    """Draws labels from softmax(z), and gives softmax(temperature * z), too sure if > 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, classes))
    truth = softmax(logits, axis=1)
    labels = (rng.random((count, 1)) > truth.cumsum(axis=1)).sum(axis=1)
    return softmax(temperature * logits, axis=1), np.minimum(labels, classes - 1)


def test_scaling_is_the_softmax_of_logits_that_were_divided():
    logits = RNG.normal(0, 3, (20, 4))
    scaled = scale(softmax(logits, axis=1), 2.5)
    np.testing.assert_allclose(scaled, softmax(logits / 2.5, axis=1), atol=1e-9)
    np.testing.assert_array_equal(scaled.argmax(axis=1), logits.argmax(axis=1))
    np.testing.assert_allclose(scale(scaled, 1.0), scaled)


def test_scaling_takes_a_probability_of_zero():
    scaled = scale(np.array([[1.0, 0.0, 0.0]]), 3.0)
    assert np.isfinite(scaled).all() and scaled.sum() == pytest.approx(1)


@pytest.mark.parametrize("truth", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(truth):
    probabilities, labels = drawn(20_000, truth)
    # The standard error at 20,000 images is about 0.01 of the value.
    assert fit_temperature(probabilities, labels) == pytest.approx(truth, rel=0.05)
    scaled = scale(probabilities, fit_temperature(probabilities, labels))
    hits = (scaled.argmax(axis=1) == labels).astype(float)
    assert Reliability.of(scaled.max(axis=1), hits).error < 0.015


def test_a_dozen_right_answers_make_nobody_certain():
    probabilities, labels = np.tile([0.8, 0.2], (12, 1)), np.zeros(12, int)
    scaled = scale(probabilities, fit_temperature(probabilities, labels))
    assert 0.8 < scaled[0, 0] < 0.99


def test_images_without_a_label_do_not_count():
    probabilities, labels = drawn(500, 2.0)
    some = np.where(np.arange(500) < 300, labels, -1)
    assert fit_temperature(probabilities, some) == fit_temperature(
        probabilities[:300], labels[:300]
    )
    assert fit_temperature(probabilities, np.full(500, -1)) == 1.0


def test_the_calibration_error_is_the_weighted_gap_of_the_bins():
    probabilities = np.array([0.95, 0.95, 0.55, 0.55, 0.55, 0.8])
    hits = np.array([1.0, 0.0, 1.0, 1.0, 0.0, np.nan])
    found = Reliability.of(probabilities, hits, bins=10)
    assert found.counts.tolist() == [0, 0, 0, 0, 0, 3, 0, 0, 0, 2]
    expected = 2 / 5 * abs(0.5 - 0.95) + 3 / 5 * abs(2 / 3 - 0.55)
    assert found.error == pytest.approx(expected)
    assert np.isnan(Reliability.of(np.array([]), np.array([])).error)


def test_coverage_counts_what_lies_above_each_threshold():
    found = Coverage.of(np.array([0.9, 0.7, 0.9, 0.5]), np.array([1.0, 0.0, 0.0, np.nan]))
    assert found.thresholds == (0.9, 0.7)
    assert found.accepted == (2, 3) and found.wrong == (1, 2) and found.total == 3
    assert found.share_from(0.9) == pytest.approx(2 / 3)
    assert found.share_from(0.95) == 0 and found.share_from(0.0) == 1


@pytest.mark.slow
def test_a_promise_is_kept_on_other_images():
    """At most one promise in twenty may be broken; more than 18 of 200 are six in a thousand."""
    broken, promised = 0, 0
    other, other_labels = drawn(200_000, 1.0, seed=10_000)
    for seed in range(200):
        probabilities, labels = drawn(2000, 1.0, seed=seed)
        hits = (probabilities.argmax(axis=1) == labels).astype(float)
        threshold = Coverage.of(probabilities.max(axis=1), hits).threshold_for(0.8)
        if threshold is None:
            continue
        promised += 1
        taken = other.max(axis=1) >= threshold
        broken += (other.argmax(axis=1) == other_labels)[taken].mean() < 0.8
    assert promised > 100
    assert broken <= 18


def test_the_risk_is_not_divided_among_thresholds():
    """4 of 200 wrong: at most 4.5 % with 95 % confidence; a tenth of the risk would say 5.8 %."""
    hits = np.ones(200)
    hits[[130, 150, 170, 190]] = 0
    assert Coverage.of(np.linspace(0.9, 0.5, 200), hits).threshold_for(0.95) == 0.5


def test_what_cannot_be_promised_is_not():
    hits = np.ones(10)
    assert Coverage.of(np.linspace(0.5, 0.9, 10), hits).threshold_for(0.95) is None
    assert Coverage.of(np.array([]), np.array([])).threshold_for(0.5) is None
    assert Coverage.of(np.linspace(0.5, 0.9, 1000), np.ones(1000)).threshold_for(1.0) is None
    assert Coverage.of(np.linspace(0.5, 0.9, 1000), np.ones(1000)).threshold_for(0.95) == 0.5


def test_a_file_keeps_all_of_it_and_a_missing_one_changes_nothing(tmp_path):
    probabilities, labels = drawn(300, 2.0)
    fitted = Calibration.fit(
        {"sleeve": probabilities, "fit": probabilities},
        {"sleeve": labels, "fit": np.full(300, -1)},
    )
    assert list(fitted) == ["sleeve"]
    fitted.save(tmp_path / "calibration.json")
    loaded = Calibration.load(tmp_path / "calibration.json")
    assert loaded == fitted
    scaled = loaded.scale({"sleeve": probabilities, "fit": probabilities})
    np.testing.assert_array_equal(scaled["fit"].argmax(axis=1), probabilities.argmax(axis=1))
    np.testing.assert_allclose(scaled["fit"], probabilities)
    assert Calibration.load(tmp_path / "none.json") == {}
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match=r"broken\.json"):
        Calibration.load(tmp_path / "broken.json")


def good_document() -> dict:
    coverage = {"thresholds": [0.9, 0.5], "accepted": [3, 8], "wrong": [0, 2], "total": 9}
    of_fit = {"temperature": 1.5, "coverage": coverage, "offsets": [0.1, 0.0, -2.0], "shares": []}
    return {"recall_price": 0.5, "recall_weight": 0.25, "categories": {"fit": of_fit}}


def written(path: Path, value: object, *keys: str) -> Path:
    document = good_document()
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(document))
    return path


NUMBERS = {
    ("recall_price",): [-1, 101],
    ("recall_weight",): [-0.1, 2],
    ("categories", "fit", "temperature"): [0, -1, 1e-300, 1e300],
    ("categories", "fit", "own_temperature"): [0, -1.5],
    ("categories", "fit", "coverage", "total"): [-1, 2.5, 7],
}
LISTS = {
    ("categories", "fit", "offsets"): [[1, 2], [0, 0, 1e9]],
    ("categories", "fit", "shares"): [[0.5], [0.5, 0.6, -0.1]],
    ("categories", "fit", "coverage", "thresholds"): [[0.5, 0.9], [0.9], [2, 1]],
    ("categories", "fit", "coverage", "accepted"): [[8, 3], [3, 10], [3.5, 8]],
    ("categories", "fit", "coverage", "wrong"): [[0, 9], [2, 1], [-1, 2]],
}
NO_NUMBERS = ["1", None, True, [1], {}, float("nan"), float("inf")]


@pytest.mark.parametrize("keys", [*NUMBERS, *LISTS])
def test_a_value_that_no_calibration_has_is_told(tmp_path, keys):
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(good_document()))
    assert Calibration.load(path, builtin_schema())["fit"].offsets == (0.1, 0.0, -2.0)
    wrong = NUMBERS[keys] + NO_NUMBERS if keys in NUMBERS else LISTS[keys] + [5, "a", {}, None]
    if keys in LISTS:
        wrong += [[value] * 3 for value in NO_NUMBERS]
    for value in wrong:
        with pytest.raises(InputError, match=r"calibration\.json cannot be read") as error:
            Calibration.load(written(path, value, *keys), builtin_schema())
        message = str(error.value)
        # Where lists differ in length, the other one may be named.
        assert any(word in message for word in (keys[-1], "coverage.", "NaN", "Infinity"))


@pytest.mark.parametrize("keys", [("categories",), ("categories", "fit")])
def test_what_should_hold_values_holds_them(tmp_path, keys):
    for value in ([], 5, None, "a"):
        with pytest.raises(InputError, match="object in braces"):
            Calibration.load(written(tmp_path / "calibration.json", value, *keys))


def test_a_calibration_of_other_categories_is_refused(tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(good_document()))
    assert list(Calibration.load(path)) == ["fit"]
    with pytest.raises(InputError, match="fit is none of the categories colour"):
        Calibration.load(path, Schema.of({"colour": ["red", "blue"]}))
    with pytest.raises(InputError, match="offsets has 3 numbers, but must have 2"):
        Calibration.load(path, Schema.of({"fit": ["tight", "loose"]}))


def test_a_threshold_is_for_attributes_of_kind_multi(tmp_path):
    path = tmp_path / "calibration.json"
    document = good_document()
    next(iter(document["categories"].values()), {})["threshold"] = 0.5
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="fit: a threshold is for attributes of a category of"):
        Calibration.load(path, Schema.of({"fit": ["tight", "loose", "other"]}))
