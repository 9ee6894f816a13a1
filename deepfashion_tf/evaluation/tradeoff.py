"""The figure of what mean class recall costs in mean accuracy."""

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepfashion_tf.escaping import figure_text
from deepfashion_tf.evaluation.evaluate import Answered
from deepfashion_tf.evaluation.scores import Scores
from deepfashion_tf.files import whole_or_nothing
from deepfashion_tf.inference.adjustment import TAUS, Tradeoff, power_offsets
from deepfashion_tf.inference.calibration import logits_of, weigh_recall

TRADEOFF_FILE = "tradeoff.png"
_LABELLED = (0.0, 0.25, 0.5, 0.75, 1.0)
_COLOUR, _GREY = "#0072B2", "0.55"


def plot_tradeoff(
    answered: Answered, scores: Scores, size: tuple[float, float] = (7.6, 5.2)
) -> Figure | None:
    """Draws mean class recall over mean accuracy, for every weight of mean class recall.

    Beside it stands one power tau of the shares for all categories (Menon et al. 2021), and the
    majority baseline. The ring is what the run answers.

    Args:
        answered: images and answers.
        scores: of the same.
        size: of the figure in inches.

    Returns:
        The figure; None where the calibration does not know the shares of the training images.
    """
    calibration, shares = answered.calibration, answered.calibration.shares
    if shares is None:
        return None
    labels = {category: answered.split.labels_of(category) for category in answered.raw}
    temperatures = {category: calibration[category].own_temperature for category in shares}
    weighed = weigh_recall(answered.raw, labels, shares, temperatures)
    logits = {category: logits_of(values) for category, values in answered.raw.items()}
    powers = Tradeoff.of(logits, labels, TAUS, [power_offsets(shares, tau) for tau in TAUS])
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    _plot(axis, powers, _GREY, "power τ of the training shares, 0 to 1.5", 0)
    _plot(axis, weighed, _COLOUR, "weight of mean class recall, 0 to 1", 1)
    price = calibration.recall_price
    if price:
        limit, own = weighed.accuracies[0] - price / 100, weighed.accuracies[0]
        axis.axvspan(limit, own, color=_COLOUR, alpha=0.08, lw=0, label=f"price: {price:g} points")
    chosen = scores.mean_accuracy, scores.mean_class_recall
    name = f"these answers: weight {calibration.recall_weight:g}"
    axis.plot(*chosen, "o", ms=13, mfc="none", mec="0.1", mew=1.6, ls="", label=name, zorder=5)
    baseline = scores.majority_baseline, scores.majority_class_recall
    axis.axvline(baseline[0], color="0.3", lw=1, ls=":")
    axis.axhline(baseline[1], color="0.3", lw=1, ls=":", label=_name_baseline(baseline))
    _limit(axis, [weighed, powers], baseline)
    axis.set(xlabel="mean accuracy", ylabel="mean class recall")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="0.94")
    axis.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2 if size[0] > 6 else 1, frameon=False)
    return figure


def save_tradeoff(answered: Answered, scores: Scores, title: str, path: Path) -> None:
    """Draws `plot_tradeoff` into a PNG; does nothing where there is no such figure."""
    figure = plot_tradeoff(answered, scores)
    if figure is None:
        return
    figure.suptitle(textwrap.fill(figure_text(title), 80), x=0.01, ha="left", fontweight="bold")
    with whole_or_nothing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)


def _plot(axis: Axes, found: Tradeoff, colour: str, name: str, side: int) -> None:
    """Draws one curve, with the numbers of some settings to the left (0) or the right (1)."""
    axis.plot(found.accuracies, found.recalls, "-", color=colour, lw=1.4, label=name, zorder=2)
    for setting in _LABELLED:
        place = found.settings.index(setting)
        point = found.accuracies[place], found.recalls[place]
        axis.plot(*point, "o", color=colour, ms=6, zorder=3)
        if setting == 0 and not side:
            continue  # the same point on both curves
        axis.annotate(
            f"{setting:g}",
            point,
            xytext=(7 if side else -7, 5 if side else -5),
            textcoords="offset points",
            ha="left" if side else "right",
            va="bottom" if side else "top",
            color=colour,
            size=9,
            zorder=4,
        )


def _name_baseline(baseline: tuple[float, float]) -> str:
    return f"majority baseline: {baseline[0]:.3f}, {baseline[1]:.3f}"


def _limit(axis: Axes, curves: list[Tradeoff], baseline: tuple[float, float]) -> None:
    """Shows the curves and, where they are not far away, the baseline's lines."""
    for values, line, limit in (
        ([v for found in curves for v in found.accuracies], baseline[0], axis.set_xlim),
        ([v for found in curves for v in found.recalls], baseline[1], axis.set_ylim),
    ):
        low, high = min(values), max(values)
        if abs(line - low) < 2 * (high - low):
            low, high = min(low, line), max(high, line)
        margin = 0.08 * max(high - low, 0.01)
        limit(float(np.floor((low - margin) * 200) / 200), high + margin)
