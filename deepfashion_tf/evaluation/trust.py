"""Figures on what a model's probabilities are worth: reliability, and accuracy by coverage."""

import numpy as np
from matplotlib.figure import Figure

from deepfashion_tf.colours import colours
from deepfashion_tf.evaluation.evaluate import Answered
from deepfashion_tf.evaluation.panels import draw_panels
from deepfashion_tf.inference.calibration import Coverage, Reliability, certainty, decide
from deepfashion_tf.schema import UNLABELLED


def hits_of(answered: Answered, category: str, answers: np.ndarray) -> np.ndarray:
    """Finds which answers are right: float ``[images]``, 1, 0, or NaN = not labelled.

    Args:
        answered: the images.
        category: of the answers.
        answers: class ids, int ``[images]``.
    """
    labels = answered.split.labels_of(category)
    return np.where(labels == UNLABELLED, np.nan, answers == labels)


def plot_reliability(answered: Answered, most: int = 3) -> Figure:
    """Draws the accuracy of answers of about the same probability, before and after calibration.

    On the diagonal probabilities mean what they say; above it the model is less sure than it
    should be. A dot is as large as the share of the answers that it stands for.
    """
    figure, axes = _panels(list(answered.raw), 2.9, most, sharey=True)
    for (category, colour), axis in zip(colours(list(answered.raw)).items(), axes, strict=True):
        raw, scaled = answered.raw[category], answered.probabilities[category]
        kinds = (
            (raw, decide(raw), "0.6", "before"),
            (scaled, answered.answers[category], colour, "after"),
        )
        for probabilities, answers, shade, name in kinds:
            hits = hits_of(answered, category, answers)
            found = Reliability.of(certainty(probabilities, answers), hits)
            sizes = 300 * found.counts / max(1, found.counts.sum())
            known = found.counts > 0
            axis.plot(found.probabilities[known], found.accuracies[known], color=shade, lw=1)
            axis.scatter(
                found.probabilities[known], found.accuracies[known], sizes[known], color=shade
            )
            axis.plot([], [], "o-", color=shade, label=f"{name}: off by {found.error:.3f}")
        axis.plot([0, 1], [0, 1], color="0.3", lw=1, ls=":")
        axis.set(xlim=(0, 1), ylim=(0, 1))
        axis.legend(frameon=False, loc="upper left", fontsize=8)
    _label(figure, "probability of the answer", "share that is right")
    return figure


def plot_coverage(answered: Answered, most: int = 3, accuracy: float = 0.95) -> Figure:
    """Draws the accuracy of the answers that are accepted, over the share that is.

    Answers are accepted from the surest on. The ring is where `accuracy` is promised by the
    run's calibration, which was made on the validation split.
    """
    figure, axes = _panels(list(answered.raw), 2.5, most)
    for (category, colour), axis in zip(colours(list(answered.raw)).items(), axes, strict=True):
        answers = answered.answers[category]
        probabilities = certainty(answered.probabilities[category], answers)
        found = Coverage.of(probabilities, hits_of(answered, category, answers))
        shares = np.array(found.accepted) / max(1, found.total)
        accuracies = 1 - np.array(found.wrong) / np.maximum(1, found.accepted)
        axis.plot(shares, accuracies, color=colour)
        axis.axhline(accuracy, color="0.3", lw=1, ls=":")
        threshold = _promised(answered, category, accuracy)
        if threshold is not None and found.total:
            share = found.share_from(threshold)
            kept = np.interp(share, shares, accuracies)
            axis.plot(share, kept, "o", mfc="none", color="0.1", ms=9)
            axis.text(share, kept - 0.02, f"from {threshold:.2f}", ha="center", va="top", size=8)
        axis.set(xlim=(0, 1.02), ylim=(min(0.5, *accuracies, 1), 1.02))
    _label(figure, "share of the answers accepted", "share of these that is right")
    return figure


def _promised(answered: Answered, category: str, accuracy: float) -> float | None:
    found = answered.calibration.get(category)
    return found.coverage.threshold_for(accuracy) if found else None


def _panels(categories: list[str], height: float, most: int, **shared: bool):
    figure, panels = draw_panels(categories, (3.3, height), most, sharex=True, **shared)
    for (axis,) in panels:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color="0.94")
        axis.set_axisbelow(True)
    return figure, [axis for (axis,) in panels]


def _label(figure: Figure, below: str, beside: str) -> None:
    figure.supxlabel(below, size=10)
    figure.supylabel(beside, size=10)
