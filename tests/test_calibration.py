"""Calibration: what the words mean, on probabilities whose truth is known."""

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
