"""A study's page: one recipe beside the same with one thing changed, sorted by what it gains."""

import dataclasses
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from deepfashion_tf import page
from deepfashion_tf.colours import colours
from deepfashion_tf.documents import as_json
from deepfashion_tf.escaping import figure_text, markdown_text
from deepfashion_tf.files import write_atomically
from deepfashion_tf.reproduction.figures import finish, save_figure
from deepfashion_tf.reproduction.results import Cell, Difference, Results, compare
from deepfashion_tf.reproduction.studies import Study
from deepfashion_tf.reproduction.writing import (
    about,
    failures_text,
    introduction,
    mean_and_interval,
    method,
    table,
)


@dataclass(frozen=True)
class Gain:
    """What a cell gains over the plain one, in mean accuracy and in mean class recall."""

    accuracy: Difference
    recall: Difference


def gains_of(results: Results, study: Study) -> dict[str, Gain]:
    """Compares each finished cell with the plain one, run by run: the largest gain first.

    Sorted by mean class recall.
    """
    plain = results.cells.get(study.plain)
    found = {
        name: Gain(compare(cell, plain), compare(cell, plain, by_class=True))
        for name, cell in results.cells.items()
        if plain and name != study.plain and set(cell.runs) & set(plain.runs)
    }
    return dict(sorted(found.items(), key=lambda item: -item[1].recall.seeds.mean))


def write_study(
    results: Results, study: Study, failures: dict[str, str], command: str
) -> Table | None:
    """Writes RESULTS.md, results.json, report.html and the figure into the study's directory.

    Args:
        results: what was finished.
        study: of which.
        failures: run -> what it ended with.
        command: that made all this.

    Returns:
        The table for the terminal; None before there is anything to compare.
    """
    gains = gains_of(results, study)
    directory = results.grid.directory
    parts = [
        f"# {study.title}",
        introduction(results, command),
        *failures_text(failures),
    ]
    pictures = {}
    if gains:
        (directory / "figures").mkdir(exist_ok=True)
        save_figure(_plot(results, study, gains), directory / "figures", "gains")
        pictures = {"figures/gains.svg": (directory / "figures" / "gains.svg").read_bytes()}
        baseline = results.baseline
        parts += [
            _rows(results, study, gains, "recall", "mean class recall"),
            _rows(results, study, gains, "accuracy", "mean accuracy"),
            f"Majority baseline: mean class recall {baseline.majority_class_recall:.4f}, mean "
            f"accuracy {baseline.majority_baseline:.4f}. A gain is significant "
            f"where both of its intervals exclude 0.",
            f"![{study.title}: gains ({markdown_text(results.source)})](figures/gains.png)",
        ]
        if study.contrast in gains:
            save_figure(_plot_peaks(results, study), directory / "figures", "peaks")
            pictures["figures/peaks.svg"] = (directory / "figures" / "peaks.svg").read_bytes()
            parts += [
                _peaks(results, study),
                f"![When each category is at its best ({markdown_text(results.source)})]"
                "(figures/peaks.png)",
            ]
    else:
        parts.append(f"No other cell can be compared with `{study.plain}` yet.")
    text = "\n\n".join([*parts, "## How the numbers are made", method(results)]) + "\n"
    document = _document(results, gains)
    write_atomically(directory / "results.json", as_json(document, indent=1) + "\n")
    write_atomically(directory / "RESULTS.md", text)
    html = page.render_page(study.title, text.replace(".png)", ".svg)"), pictures)
    write_atomically(directory / "report.html", html)
    return _table(results, study, gains) if gains else None


def _rows(results: Results, study: Study, gains: dict[str, Gain], score: str, words: str) -> str:
    """Makes the table of one score: "accuracy" or "recall", of `Cell` and `Gain`."""
    plain = results.cells[study.plain]
    rows = [[study.labels[study.plain], mean_and_interval(getattr(plain, score)), "", "", ""]]
    for name, gain in gains.items():
        found = getattr(gain, score)
        rows.append(
            [
                study.labels[name],
                mean_and_interval(getattr(results.cells[name], score)),
                f"{found.seeds.mean:+.4f}",
                *(
                    "—" if i.low is None else f"{i.low:+.4f} … {i.high:+.4f}"
                    for i in (found.seeds, found.images)
                ),
            ]
        )
    header = ["", words, "gain", "95 % over seeds", "95 % over images"]
    return table(header, rows, results.source)


def _peaks(results: Results, study: Study) -> str:
    """Returns how far apart the categories' best epochs are, and what one epoch for all costs."""
    words = []
    for name in (study.contrast, study.plain):
        cell = results.cells[name]
        means = {c: np.mean(values) for c, values in cell.best_epochs().items()}
        first, last = min(means, key=means.get), max(means, key=means.get)
        words.append(
            f"{study.labels[name]}: {means[last] - means[first]:.1f} epochs apart ("
            f"{markdown_text(first)} {means[first]:.1f}, {markdown_text(last)} {means[last]:.1f}), "
            f"and the epoch that is kept for all costs each {100 * cell.shared_epoch_cost:.1f} "
            f"points of its own best accuracy"
        )
    return (
        f"**The categories' best epochs** in validation, means over seeds. {'; '.join(words)}. A "
        f"category whose images all have one attribute is left out."
    )


def _plot_peaks(results: Results, study: Study) -> Figure:
    """Draws each category's best epoch in the two recipes: a dot a seed."""
    of_category = colours(list(results.schema))
    figure, axes = plt.subplots(2, 1, figsize=(8, 4.6), layout="constrained", sharex=True)
    for axis, name in zip(axes, (study.contrast, study.plain), strict=True):
        found = results.cells[name].best_epochs()
        for row, (category, epochs) in enumerate(found.items()):
            axis.plot(epochs, [-row] * len(epochs), "o", color=of_category[category], alpha=0.5)
            axis.plot(np.mean(epochs), -row, "|", color=of_category[category], ms=14, mew=2)
        axis.set_yticks([-row for row in range(len(found))], [*map(figure_text, found)])
        axis.set_ylim(0.5 - len(found), 0.5)
        axis.set_title(study.labels[name], loc="left")
    axes[-1].set_xlabel("epoch of the highest validation accuracy; a dot a seed, a bar their mean")
    return finish(figure, list(axes), f"When each category is at its best · {results.source}")


def _document(results: Results, gains: dict[str, Gain]) -> dict:
    def seeds(cell: Cell) -> dict:
        return {
            str(seed): {
                "mean_accuracy": run.scores.mean_accuracy,
                "mean_class_recall": run.scores.mean_class_recall,
            }
            for seed, run in cell.runs.items()
        }

    return {
        **about(results),
        "cells": {
            name: {
                "options": results.grid.cells[name],
                "mean_accuracy": dataclasses.asdict(cell.accuracy),
                "mean_class_recall": dataclasses.asdict(cell.recall),
                "gain": dataclasses.asdict(gains[name]) if name in gains else None,
                "seeds": seeds(cell),
            }
            for name, cell in results.cells.items()
        },
    }


def _table(results: Results, study: Study, gains: dict[str, Gain]) -> Table:
    found = Table(title=f"{study.title}: {results.source}, {results.seeds} seeds")
    found.add_column("")
    for name in ("mean accuracy", "gain", "mean class recall", "gain"):
        # Headers and labels wrap, so that no number is cut off.
        found.add_column(name, justify="right", min_width=7, max_width=8)
    plain = results.cells[study.plain]
    found.add_row(
        study.labels[study.plain], f"{plain.accuracy.mean:.4f}", "", f"{plain.recall.mean:.4f}", ""
    )
    for name, gain in gains.items():
        cell = results.cells[name]
        found.add_row(
            study.labels[name],
            f"{cell.accuracy.mean:.4f}",
            _coloured(gain.accuracy),
            f"{cell.recall.mean:.4f}",
            _coloured(gain.recall),
        )
    return found


def _coloured(gain: Difference) -> Text:
    shade = {1: "green", -1: "red", 0: "dim"}[gain.side]
    return Text(f"{gain.seeds.mean:+.4f}", shade)


def _plot(results: Results, study: Study, gains: dict[str, Gain]) -> Figure:
    """Draws both gains of each cell with intervals over seeds; over images where there is one."""
    figure, axis = plt.subplots(figsize=(9, 1.6 + 0.5 * len(gains)), layout="constrained")
    kinds = (("accuracy", "#0072B2", 0.12), ("recall", "#D55E00", -0.12))
    over = (
        "seeds" if all(gain.accuracy.seeds.low is not None for gain in gains.values()) else "images"
    )
    for row, gain in enumerate(reversed(gains.values())):
        for kind, colour, shift in kinds:
            interval = getattr(getattr(gain, kind), over)
            axis.plot(100 * interval.mean, row + shift, "o", color=colour)
            if interval.low is not None:
                ends = [100 * interval.low, 100 * interval.high]
                axis.plot(ends, [row + shift] * 2, color=colour, lw=2)
    for (_, colour, _), label in zip(kinds, ("mean accuracy", "mean class recall"), strict=True):
        axis.plot([], [], "o", color=colour, label=label)
    axis.axvline(0, color="0.3", lw=1)
    axis.set_ylim(-0.5, len(gains) - 0.5)
    axis.set_yticks(range(len(gains)), [study.labels[name] for name in reversed(gains)])
    plain = study.labels[study.plain]
    axis.set_xlabel(f"points gained over “{plain}”, 95 % interval over {over}")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return finish(figure, [axis], f"{study.title} · {results.source}")
