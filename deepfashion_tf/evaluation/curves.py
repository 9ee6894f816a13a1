"""Training curves: a panel a category, loss and accuracy, training and validation."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.colors import hsv_to_rgb, to_hex
from matplotlib.figure import Figure

from deepfashion_tf.evaluation.scores import Scores
from deepfashion_tf.files import whole_or_nothing

# Okabe and Ito's, safe for colour-blind eyes.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")


def colours(categories: Sequence[str]) -> dict[str, str]:
    """Gives each category a colour, the same in every figure.

    Up to six are told apart by everybody; of more, neighbours still differ.
    """
    if len(categories) <= len(_COLOURS):
        return dict(zip(categories, _COLOURS, strict=False))
    hues = [index * 0.618 % 1 for index in range(len(categories))]
    return {
        category: to_hex(hsv_to_rgb((hue, 0.85, (0.55, 0.8)[index % 2])))
        for index, (category, hue) in enumerate(zip(categories, hues, strict=True))
    }


def read_history(path: Path) -> dict[str, list[float]]:
    """Reads history.csv: column -> one value an epoch, NaN where the file leaves it empty."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        column: [float(row[column]) if row[column] else math.nan for row in rows]
        for column in (rows[0] if rows else ())
    }


def plot_curves(history: dict[str, list[float]], scores: Scores, title: str) -> Figure:
    """Draws one panel a category: accuracy of training and validation, and both losses below.

    Args:
        history: as `read_history` gives it.
        scores: of the validation split, for the baselines.
        title: above the figure.
    """
    categories = list(scores.categories)
    columns = min(len(categories), 3 if len(categories) <= 9 else 4 + len(categories) // 25)
    rows = -(-len(categories) // columns)
    figure, axes = plt.subplots(
        2 * rows,
        columns,
        figsize=(max(5.0, 0.5 + 3.5 * columns), 0.8 + 3.7 * rows),
        sharex=True,
        sharey="row",
        height_ratios=(1.5, 1) * rows,
        layout="constrained",
        squeeze=False,
    )
    epochs = history["epoch"]
    best = max(range(len(epochs)), key=lambda i: history["val_mean_accuracy"][i])
    for index, (category, colour) in enumerate(colours(categories).items()):
        row, column = 2 * (index // columns), index % columns
        accuracy, loss = axes[row, column], axes[row + 1, column]
        for axis, name in ((accuracy, "accuracy"), (loss, "loss")):
            marker = "." if len(epochs) < 30 else None
            axis.plot(epochs, history[f"val_{category}_{name}"], color=colour, marker=marker)
            axis.plot(epochs, history[f"{category}_{name}"], color=colour, alpha=0.5, ls="--")
            axis.axvline(epochs[best], color="0.75", lw=0.8, zorder=0)
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(axis="y", color="0.92")
        baseline = scores.categories[category].majority_baseline
        if baseline is None:
            accuracy.text(0.5, 0.5, "not labelled", transform=accuracy.transAxes, ha="center")
        else:
            accuracy.axhline(baseline, color="0.3", lw=1, ls=":")
        accuracy.set_title(category, color=colour, fontweight="bold", loc="left")
        if column == 0:
            accuracy.set_ylabel("accuracy")
            loss.set_ylabel("loss")
        if index + columns >= len(categories):
            loss.set_xlabel("epoch")
            loss.xaxis.set_tick_params(labelbottom=True)
    for axis in axes[-2:].T.ravel():
        axis.set_visible(axis.has_data())
    _add_legend(figure, int(epochs[best]))
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return figure


def _add_legend(figure: Figure, best_epoch: int) -> None:
    line = plt.Line2D
    figure.legend(
        handles=[
            line([], [], color="0.2", marker=".", label="validation"),
            line([], [], color="0.2", ls="--", alpha=0.5, label="training"),
            line([], [], color="0.3", ls=":", label="majority baseline"),
            line([], [], color="0.75", lw=0.8, label=f"best epoch ({best_epoch})"),
        ],
        loc="outside lower center",
        ncols=4 if figure.get_figwidth() > 7.0 else 2,
        frameon=False,
    )


def save_curves(history_path: Path, scores: Scores, title: str, path: Path) -> None:
    """Draws the curves of a history file into a PNG; does nothing before the first epoch's end."""
    history = read_history(history_path) if history_path.is_file() else {}
    if not history:
        return
    figure = plot_curves(history, scores, title)
    with whole_or_nothing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)
