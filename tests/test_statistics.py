"""Intervals, against formulas written out and against what is known by counting."""

import math

import numpy as np
import pytest
from conftest import labelled

from deepfashion_tf.evaluation.scores import score
from deepfashion_tf.evaluation.statistics import epochs_to_learn, over_images, over_seeds


def test_the_interval_over_seeds_is_students():
    values = [0.70, 0.74, 0.72]
    # t(0.975, 2) = 4.3027, from any table.
    half = 4.3027 * np.std(values, ddof=1) / math.sqrt(3)
    interval = over_seeds(values)
    assert interval.mean == pytest.approx(0.72)
    assert interval.low == pytest.approx(0.72 - half, abs=1e-5)
    assert interval.high == pytest.approx(0.72 + half, abs=1e-5)


def test_one_seed_has_no_interval_and_takes_no_side():
    assert over_seeds([0.5]).low is None
    assert over_seeds([0.5]).side == 0
    assert over_seeds([0.5, 0.51]).side == 1
    assert over_seeds([-0.5, -0.51]).side == -1


def test_the_mean_over_images_is_the_mean_accuracy_with_labels_missing():
    rng = np.random.default_rng(1)
    sizes = np.array([7, 3, 3, 4, 6, 3])
    labels = rng.integers(-1, sizes, (200, 6)).astype(np.int32)
    answers = rng.integers(0, sizes, (200, 6))
    hits = np.where(labels < 0, np.nan, labels == answers)
    expected = score(labelled(labels), answers).mean_accuracy
    assert over_images(hits).mean == pytest.approx(expected, abs=1e-12)


def test_the_interval_over_images_is_nearly_the_normal_one():
    hits = np.random.default_rng(2).integers(0, 2, (1000, 6)).astype(float)
    half = 1.96 * np.std(hits.mean(axis=1)) / math.sqrt(1000)
    interval = over_images(hits)
    # Of 9,999 samples the percentiles are known to a few hundredths.
    assert interval.high - interval.mean == pytest.approx(half, rel=0.06)
    assert interval.mean - interval.low == pytest.approx(half, rel=0.06)


def test_a_curve_that_jumps_in_epoch_k_takes_k_minus_one_epochs():
    assert epochs_to_learn([0.5, 0.5, 0.8, 0.8], 0.5) == pytest.approx(2)
    assert epochs_to_learn([0.8, 0.8, 0.8, 0.7], 0.5) == pytest.approx(0)
    # Never above the baseline: at least as long as anybody has looked.
    assert epochs_to_learn([0.4, 0.5], 0.5) == 2
