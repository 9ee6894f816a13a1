"""The report's figures, drawn from finished runs; each says what its images are."""

from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepfashion_tf.colours import colours, run_colours
from deepfashion_tf.escaping import figure_text
from deepfashion_tf.evaluation.curves import plot_curves, plot_means
from deepfashion_tf.evaluation.statistics import Interval
from deepfashion_tf.files import whole_or_nothing
from deepfashion_tf.reproduction.claims import REPORTED, Verdict, category_gains
from deepfashion_tf.reproduction.grid import BACKBONES, FC_LAYERS, LOSSES
from deepfashion_tf.reproduction.results import Cell, History, Results


def draw_figures(results: Results, found: list[Verdict]) -> Iterator[tuple[str, Figure]]:
    """Draws each figure whose cells are there: its name and the figure, to be closed after use."""
    for name, (draw, cells) in _FIGURES.items():
        if all(cell in results.cells for cell in cells):
            yield name, draw(results)
    if found:
        yield "verdicts", plot_verdicts(results, found)


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Writes NAME.png and NAME.svg."""
    # The same figure gives the same file: no date, no random names.
    for suffix, metadata in ((".png", None), (".svg", {"Date": None})):
        with (
            whole_or_nothing(folder / f"{name}{suffix}") as temporary,
            plt.rc_context({"svg.hashsalt": name}),
        ):
            figure.savefig(temporary, dpi=85, metadata=metadata)
    plt.close(figure)


def plot_table2(results: Results) -> Figure:
    """Mean accuracies of the backbones over their FC layers: each seed, and their interval."""
    figure, axis = plt.subplots(figsize=(8, 4.4), layout="constrained")
    palette = run_colours(list(BACKBONES))
    for index, (backbone, name) in enumerate(BACKBONES.items()):
        for layers in FC_LAYERS:
            cell = results.cells.get(f"{backbone}-fc{layers}")
            if not cell:
                continue
            place = FC_LAYERS.index(layers) + 0.22 * (index - 1)
            seeds = [run.scores.mean_accuracy for run in cell.runs.values()]
            axis.plot([place] * len(seeds), seeds, "o", color=palette[backbone], ms=4, alpha=0.5)
            mark(axis, place, cell.accuracy, palette[backbone])
            if results.is_comparable:
                number = REPORTED[cell.name]
                axis.plot(place, number, "D", mfc="none", color=palette[backbone], ms=9)
        axis.plot([], [], "s", color=palette[backbone], label=name)
    if results.is_comparable:
        axis.plot([], [], "D", mfc="none", color="0.3", ms=9, label="the report (one run)")
    axis.axhline(results.baseline.majority_baseline, color="0.3", lw=1, ls=":")
    axis.plot([], [], color="0.3", lw=1, ls=":", label="majority baseline")
    axis.set_xticks(range(len(FC_LAYERS)), [f"{layers} FC layers" for layers in FC_LAYERS])
    axis.set_ylabel(f"mean accuracy ({results.split})")
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    return finish(figure, [axis], f"Table 2: backbones and FC layers · {results.source}")


def plot_gains(results: Results) -> Figure:
    """Figure 9: what SE gains in each category, with both intervals."""
    gains = category_gains(results, "seresnet50-fc0", "resnet50-fc0")
    palette = colours(list(results.schema))
    figure, axis = plt.subplots(figsize=(8, 3.8), layout="constrained")
    for index, (category, gain) in enumerate(gains.items()):
        mark(axis, index - 0.1, gain.seeds, palette[category], "o")
        mark(axis, index + 0.1, gain.images, palette[category], "s")
    axis.plot([], [], "o", color="0.3", label="95 % over seeds")
    axis.plot([], [], "s", color="0.3", label="95 % over images")
    axis.axhline(0, color="0.3", lw=1)
    axis.set_xticks(range(len(gains)), [*map(figure_text, gains)])
    axis.set_ylabel("accuracy: SE-ResNet-50\nminus ResNet-50")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return finish(figure, [axis], f"Figure 9: what SE gains, by category · {results.source}")


def plot_losses(results: Results) -> Figure:
    """Accuracy in each category under each loss, as the difference to focal loss, γ = 2."""
    base = "seresnet50-fc0"
    others = [cell for cell in LOSSES if cell != base and cell in results.cells]
    palette = run_colours([*others, ""])
    figure, axis = plt.subplots(figsize=(9, 4.2), layout="constrained")
    width = 0.8 / max(1, len(others))
    for number, cell in enumerate(others):
        gains = category_gains(results, cell, base)
        places = np.arange(len(gains)) + (number - (len(others) - 1) / 2) * width
        for place, gain in zip(places, gains.values(), strict=True):
            mark(axis, place, gain.seeds, palette[cell])
        axis.plot([], [], "o", color=palette[cell], label=LOSSES[cell])
    axis.axhline(0, color="0.3", lw=1)
    axis.set_xticks(range(len(gains)), [*map(figure_text, gains)])
    axis.set_ylabel("accuracy minus that of\nfocal loss, γ = 2")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return finish(figure, [axis], f"Losses, by category · {results.source}")


def plot_verdicts(results: Results, found: list[Verdict]) -> Figure:
    """All differences with their intervals over seeds, in the colour of their verdict."""
    shown = [verdict for verdict in found if verdict.unit == "accuracy" and verdict.key != "final"]
    shades = {"agrees": "#009E73", "disagrees": "#D55E00", "undecided": "0.55"}
    figure, axis = plt.subplots(figsize=(9, 1.2 + 0.36 * len(shown)), layout="constrained")
    for row, verdict in enumerate(reversed(shown)):
        interval, colour = verdict.seeds, shades[verdict.verdict]
        axis.plot(interval.mean, row, "o", color=colour)
        if interval.low is not None:
            axis.plot([interval.low, interval.high], [row, row], color=colour, lw=2)
        if verdict.reported is not None:
            axis.plot(verdict.reported, row, "D", mfc="none", color="0.2")
    axis.axvline(0, color="0.3", lw=1)
    axis.set_yticks(range(len(shown)), [verdict.claim for verdict in reversed(shown)])
    axis.set_xlabel("difference in mean accuracy, 95 % interval over seeds")
    for name, colour in shades.items():
        axis.plot([], [], "o", color=colour, label=name)
    axis.plot([], [], "D", mfc="none", color="0.2", label="the report's number, on photographs")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x", color="0.92")
    figure.suptitle(figure_text(f"Claims · {results.source}"), x=0.01, ha="left", fontweight="bold")
    return figure


def _curves_of(results: Results) -> Figure:
    cell = results.cells["resnet50-fc0"]
    runs = list(cell.runs.values())
    return plot_curves(
        {"ResNet-50": cell.histories},
        runs[0].val,
        f"Figure 6: ResNet-50, no FC layers, focal loss · {results.source}",
    )


def _means(
    title: str, names: dict[str, str], with_loss: bool = True
) -> Callable[[Results], Figure]:
    def draw(results: Results) -> Figure:
        runs: dict[str, list[History]] = {
            name: results.cells[cell].histories
            for cell, name in names.items()
            if cell in results.cells
        }
        cell: Cell = next(iter(results.cells.values()))
        baseline = next(iter(cell.runs.values())).val.majority_baseline
        return plot_means(runs, baseline, f"{title} · {results.source}", with_loss)

    return draw


def mark(axis: Axes, place: float, interval: Interval, colour: str, marker: str = "o") -> None:
    """Marks a mean at a place of the x axis, and its interval if there is one."""
    axis.plot(place, interval.mean, marker, color=colour)
    if interval.low is not None:
        axis.plot([place, place], [interval.low, interval.high], color=colour, lw=2)


def finish(figure: Figure, axes: list[Axes], title: str) -> Figure:
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="0.92")
    figure.suptitle(figure_text(title), x=0.01, ha="left", fontweight="bold")
    return figure


_FLIP = {
    "resnet50-fc0": "flip and crop",
    "resnet50-fc0-no_flip": "no flip",
    "resnet50-fc0-no_crop": "no crop",
}
_NEXT = {"seresnet50-fc0": "SE-ResNet-50", "seresnext50-fc0": "SE-ResNeXt-50"}

_FIGURES: dict[str, tuple[Callable[[Results], Figure], list[str]]] = {
    "table2": (plot_table2, ["resnet50-fc0"]),
    "figure6": (_curves_of, ["resnet50-fc0"]),
    "figure8": (_means("Figure 8: flip, and crop (ResNet-50)", _FLIP), list(_FLIP)[:2]),
    "figure9": (plot_gains, ["resnet50-fc0", "seresnet50-fc0"]),
    "figure10": (_means("Figure 10: SE-ResNeXt-50 and SE-ResNet-50", _NEXT), list(_NEXT)),
    "losses": (plot_losses, ["seresnet50-fc0", "seresnet50-fc0-cross_entropy"]),
    "losses_curves": (
        _means("Losses (SE-ResNet-50)", LOSSES, with_loss=False),
        ["seresnet50-fc0", "seresnet50-fc0-cross_entropy"],
    ),
}
