"""Training curves: a panel a category, loss and accuracy, training and validation."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deepfashion_tf.colours import colours, run_colours
from deepfashion_tf.escaping import figure_text
from deepfashion_tf.evaluation.panels import draw_panels, row_lengths
from deepfashion_tf.evaluation.scores import Scores
from deepfashion_tf.files import whole_or_nothing

History = dict[str, list[float]]  # column of history.csv -> one value an epoch


def read_history(path: Path) -> History:
    """Reads history.csv: column -> one value an epoch, NaN where the file leaves it empty."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        column: [float(row[column]) if row[column] else math.nan for row in rows]
        for column in (rows[0] if rows else ())
    }


def smooth(values: Sequence[float], amount: float) -> np.ndarray:
    """Averages a curve exponentially: s_e = amount * s_{e-1} + (1 - amount) * v_e, s_1 = v_1.

    Args:
        values: one an epoch; after a NaN it begins anew.
        amount: 0 = as it is, towards 1 = ever smoother.
    """
    smoothed: list[float] = []
    for value in values:
        last = smoothed[-1] if smoothed else math.nan
        smoothed.append(value if math.isnan(last) else amount * last + (1 - amount) * value)
    return np.array(smoothed)


def plot_curves(
    runs: dict[str, list[History]], scores: Scores, title: str, smoothing: float = 0.0
) -> Figure:
    """Draws one panel a category: accuracy of training and validation, and both losses below.

    One run is drawn in the categories' colours; of several, each has a colour of its own.
    A run that was trained with several seeds is drawn as their mean, with a band from the
    lowest to the highest for validation.

    Args:
        runs: name -> histories as `read_history` gives them, one a seed.
        scores: of the validation split, for the baselines.
        title: above the figure.
        smoothing: as `smooth` takes it; stated in the legend.
    """
    categories = list(scores.categories)
    most = 3 if len(categories) <= 9 else 4 + len(categories) // 25
    figure, panels = draw_panels(
        categories, (3.5, 3.7), most, heights=(1.5, 1), margin=(0.5, 0.8), sharex=True
    )
    figure.set_figwidth(max(5.0, figure.get_figwidth()))
    _share_scales(panels, most)
    for (accuracy, loss), (category, colour) in zip(
        panels, colours(categories).items(), strict=True
    ):
        lines = dict.fromkeys(runs, colour) if len(runs) == 1 else run_colours(list(runs))
        for name, histories in runs.items():
            for axis, kind in ((accuracy, "accuracy"), (loss, "loss")):
                _plot_pair(axis, histories, f"{category}_{kind}", lines[name], smoothing)
                axis.axvline(best_epoch(histories), color="0.75", lw=0.8, zorder=0)
        for axis in (accuracy, loss):
            _tidy(axis)
        _add_baseline(accuracy, scores.categories[category].majority_baseline)
    _add_legend(figure, runs, smoothing)
    figure.suptitle(figure_text(title), x=0.01, ha="left", fontweight="bold")
    return figure


def _share_scales(panels: list[list[Axes]], most: int) -> None:
    """Gives the panels of a row one scale for accuracy and one for loss, and labels both."""
    first = 0
    lengths = row_lengths(len(panels), most)
    for length in lengths:
        row = panels[first : first + length]
        for kind, axes in zip(("accuracy", "loss"), zip(*row, strict=True), strict=True):
            axes[0].set_ylabel(kind)
            for axis in axes[1:]:
                axis.sharey(axes[0])
                axis.tick_params(labelleft=False)
        first += length
    for *_, loss in panels[-lengths[-1] :]:
        loss.set_xlabel("epoch")


def plot_means(
    runs: dict[str, list[History]],
    baseline: float | None,
    title: str,
    with_loss: bool = True,
    smoothing: float = 0.0,
) -> Figure:
    """Draws the mean accuracy of several runs, and beside it their mean loss, over the epochs.

    Args:
        runs: as `plot_curves` takes them.
        baseline: mean accuracy of the majority baseline.
        title: above the figure.
        with_loss: False where the runs' losses are of different kinds, which nobody may compare.
        smoothing: as `smooth` takes it.
    """
    panels = [("mean_accuracy", "mean accuracy"), ("mean_loss", "mean loss, unweighted")]
    panels = panels if with_loss else panels[:1]
    width = 0.5 + 4.6 * len(panels) + (2.4 if len(panels) == 1 else 0)
    figure, axes = plt.subplots(
        1, len(panels), figsize=(width, 4.2), layout="constrained", squeeze=False
    )
    palette = run_colours(list(runs))
    for axis, (column, label) in zip(axes[0], panels, strict=True):
        for name, histories in runs.items():
            known = [history | _mean_losses(history) for history in histories]
            _plot_pair(axis, known, column, palette[name], smoothing)
            axis.axvline(best_epoch(histories), color=palette[name], lw=0.8, alpha=0.4, zorder=0)
        _tidy(axis)
        axis.set(xlabel="epoch", ylabel=label)
    _add_baseline(axes[0, 0], baseline)
    _add_legend(figure, runs, smoothing)
    figure.suptitle(figure_text(title), x=0.01, ha="left", fontweight="bold")
    return figure


def best_epoch(histories: Sequence[History]) -> int:
    """Returns the epoch of the highest validation mean accuracy, averaged over the histories."""
    means = _mean(histories, "val_mean_accuracy")
    return int(histories[0]["epoch"][int(np.nanargmax(means))])


def _plot_pair(
    axis: Axes, histories: Sequence[History], column: str, colour: str, smoothing: float
) -> None:
    """Draws validation as a line, training dashed."""
    epochs = histories[0]["epoch"]
    marker = "." if len(epochs) < 30 else None
    values = smooth(_mean(histories, f"val_{column}"), smoothing)
    axis.plot(epochs, values, color=colour, marker=marker)
    training = smooth(_mean(histories, column), smoothing)
    axis.plot(epochs, training, color=colour, alpha=0.5, ls="--")
    if len(histories) > 1:
        seeds = [smooth(history[f"val_{column}"], smoothing) for history in histories]
        low, high = np.min(seeds, axis=0), np.max(seeds, axis=0)
        axis.fill_between(epochs, low, high, color=colour, alpha=0.15, lw=0)


def _mean(histories: Sequence[History], column: str) -> np.ndarray:
    return np.mean([history[column] for history in histories], axis=0)


def _mean_losses(history: History) -> History:
    """Adds the mean over categories of the losses, unweighted, which no file holds."""
    found: History = {}
    for prefix in ("", "val_"):
        names = [
            name
            for name in history
            if name.endswith("_loss") and name.startswith("val_") == bool(prefix)
            if name != "val_loss"
        ]
        found[f"{prefix}mean_loss"] = np.nanmean([history[name] for name in names], axis=0).tolist()
    return found


def _tidy(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="0.92")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _add_baseline(axis: Axes, baseline: float | None) -> None:
    if baseline is None:
        axis.text(0.5, 0.5, "not labelled", transform=axis.transAxes, ha="center")
    else:
        axis.axhline(baseline, color="0.3", lw=1, ls=":")


def _add_legend(figure: Figure, runs: dict[str, list[History]], smoothing: float) -> None:
    line = plt.Line2D
    seeds = max(map(len, runs.values()))
    validation = "validation" if seeds == 1 else f"validation: mean of {seeds} seeds, and range"
    handles = [
        line([], [], color="0.2", marker=".", label=validation),
        line([], [], color="0.2", ls="--", alpha=0.5, label="training"),
        line([], [], color="0.3", ls=":", label="majority baseline"),
    ]
    if len(runs) > 1:
        palette = run_colours(list(runs))
        names = {name: figure_text(name) for name in runs}
        lines = [line([], [], color=palette[name], lw=3, label=names[name]) for name in runs]
        handles = lines + handles
    best = "best epoch"
    if len(runs) == 1:
        best += f" ({best_epoch(next(iter(runs.values())))})"
    if smoothing:
        best += f"; smoothed by {smoothing:g}"
    handles.append(line([], [], color="0.75", lw=0.8, label=best))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4 if figure.get_figwidth() > 7.0 else 2,
        frameon=False,
    )


def save_curves(history_path: Path, scores: Scores, title: str, path: Path) -> None:
    """Draws the curves of a history file into a PNG; does nothing before the first epoch's end."""
    history = read_history(history_path) if history_path.is_file() else {}
    if not history:
        return
    figure = plot_curves({title: [history]}, scores, title)
    with whole_or_nothing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)
