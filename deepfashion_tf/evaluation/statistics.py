"""Intervals: over seeds, and over images; no TensorFlow, no state."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 9999
FEW_RESAMPLES = 999  # of scores that are no means


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval; without an interval, `low` and `high` are None."""

    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def side(self) -> int:
        """1 if the whole interval is above 0, -1 if below; else, or without one, 0."""
        if self.low is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def over_seeds(values: Sequence[float]) -> Interval:
    """Returns the mean over training runs and Student's t interval of it.

    Mean ± t(0.975, n − 1) · s / √n, s being the standard deviation with n − 1. It tells how far
    another seed may lead, on the same images. One run has no interval.

    Args:
        values: one a seed.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean)
    error = float(stats.sem(values))
    if math.isclose(error, 0.0, abs_tol=1e-12):
        return Interval(mean, mean, mean)
    low, high = stats.t.interval(CONFIDENCE, len(values) - 1, loc=mean, scale=error)
    return Interval(mean, float(low), float(high))


def over_images(hits: np.ndarray, weights: np.ndarray | None = None) -> Interval:
    """Returns a mean accuracy, or a difference of two, and its bootstrap interval over images.

    Each image counts with what it contributes to the mean over categories,
    x_i = n / C · Σ_c h_ic / n_c, so that the mean of the x_i is the mean accuracy also where
    labels are missing; images are drawn anew with replacement, percentiles taken (Efron 1979).
    For a difference `hits` holds differences of the same images, so that the comparison is
    paired. It tells how far other images may lead, with the same runs.

    Args:
        hits: float ``[images, categories]``: 1, 0, or a difference or a mean of such; NaN = not
            labelled.
        weights: float ``[categories]``, of each in the mean; None = all alike.
    """
    labelled = (~np.isnan(hits)).sum(axis=0)
    known = labelled > 0
    weights = np.ones(len(known)) if weights is None else weights
    shares = np.nan_to_num(hits[:, known]) / labelled[known] * weights[known]
    values = shares.sum(axis=1) * len(hits) / weights[known].sum()
    if np.ptp(values) == 0:
        return Interval(float(values.mean()), float(values.mean()), float(values.mean()))
    found = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        batch=500,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(float(values.mean()), float(found.low), float(found.high))


def over_resamples(measure: Callable[[np.ndarray], Sequence[float]], count: int) -> list[Interval]:
    """Computes scores of all images, and percentiles of the scores of bootstrap samples.

    Args:
        measure: scores of some images, given by their rows, int ``[n]``; NaN where one has no
            value.
        count: how many images there are.
    """
    rng = np.random.default_rng(0)
    drawn = [measure(rng.integers(0, count, count)) for _ in range(FEW_RESAMPLES)]
    bounds = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    return [
        Interval(float(value), *np.nanquantile(values, bounds).tolist())
        if np.isfinite(values).any()
        else Interval(float(value))
        for value, values in zip(measure(np.arange(count)), np.transpose(drawn), strict=True)
    ]


def epochs_to_learn(accuracies: Sequence[float], baseline: float) -> float:
    """Returns how slowly a category is learnt: the area above its curve, in epochs.

    With g_e = max(0, a_1 − b, …, a_e − b), the gain over the majority baseline b that was
    reached by epoch e, T = Σ_e (1 − g_e / g_last). A curve that jumps to its height in epoch k
    has T = k − 1. A category that never rises above its baseline has T = E, all of the epochs:
    it takes at least so long.

    Args:
        accuracies: of validation, one an epoch.
        baseline: of the same split.

    Returns:
        T, 0 to E.
    """
    gains = np.maximum.accumulate(np.maximum(0.0, np.asarray(accuracies) - baseline))
    if not len(gains) or gains[-1] <= 0:
        return float(len(gains))
    return float(np.sum(1 - gains / gains[-1]))
