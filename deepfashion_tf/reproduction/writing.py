"""RESULTS.md, results.json and report.html: the same numbers for three kinds of readers."""

import dataclasses
from collections.abc import Sequence

from deepfashion_tf import page
from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import printable
from deepfashion_tf.escaping import markdown_text
from deepfashion_tf.evaluation.statistics import RESAMPLES, Interval, over_seeds
from deepfashion_tf.files import write_atomically
from deepfashion_tf.reproduction.claims import REPORTED, Verdict, category_gains
from deepfashion_tf.reproduction.grid import BACKBONES, CELLS, FC_LAYERS, FINAL, LOSSES
from deepfashion_tf.reproduction.results import TOGETHER, Cell, Results

REPORT = "*DeepFashion Attribute Prediction Challenge Report* (X. Li, 2021)"


def write_results(
    results: Results,
    found: list[Verdict],
    figures: Sequence[str],
    failures: dict[str, str],
    command: str,
) -> None:
    """Writes the three files into the reproduction's directory.

    Args:
        results: what was finished.
        found: the verdicts.
        figures: names of the figures that lie in ``figures/``.
        failures: run -> what it ended with.
        command: that made all this.
    """
    directory = results.grid.directory
    text = _markdown(results, found, figures, failures, command)
    write_atomically(directory / "results.json", as_json(_document(results, found), indent=1))
    write_atomically(directory / "RESULTS.md", text)
    # Curves as curves: a page may be enlarged.
    drawn = {f"figures/{name}.svg": directory / "figures" / f"{name}.svg" for name in figures}
    pictures = {name: file.read_bytes() for name, file in drawn.items()}
    html = page.render_page("The report reproduced", text.replace(".png)", ".svg)"), pictures)
    write_atomically(directory / "report.html", html)


def about(results: Results) -> dict:
    """Returns what results.json says of the whole."""
    return {
        "source": results.source,
        "options": results.grid.options(),
        "data": results.grid.base.data_name,
        "split": results.split,
        "images": results.images,
        "seeds": results.seeds,
    }


def _document(results: Results, found: list[Verdict]) -> dict:
    """Returns the numbers: results.json."""
    return {
        **about(results),
        "majority_baseline": results.baseline and results.baseline.majority_baseline,
        "verdicts": [dataclasses.asdict(verdict) for verdict in found],
        "cells": {
            name: {
                "options": CELLS[name],
                "reported": REPORTED.get(name),
                "mean_accuracy": dataclasses.asdict(cell.accuracy),
                "val_mean_loss": dataclasses.asdict(cell.loss),
                "seeds": {
                    str(seed): {
                        "mean_accuracy": run.scores.mean_accuracy,
                        "mean_class_recall": run.scores.mean_class_recall,
                        "val_mean_accuracy": run.val.mean_accuracy,
                        "best_epoch": int(run.history["epoch"][run.best]),
                        "accuracy": {n: s.accuracy for n, s in run.scores.categories.items()},
                    }
                    for seed, run in cell.runs.items()
                },
            }
            for name, cell in results.cells.items()
        },
    }


def _markdown(
    results: Results,
    found: list[Verdict],
    figures: Sequence[str],
    failures: dict[str, str],
    command: str,
) -> str:
    parts = [
        "# The report reproduced",
        introduction(results, command),
        *failures_text(failures),
    ]
    if not results.cells:
        return "\n\n".join([*parts, "No run has finished yet."]) + "\n"
    sections = [
        ("Verdicts", _verdicts(results, found), ["verdicts"]),
        ("Table 2: backbones and FC layers", _table2(results), ["table2"]),
        ("Figure 6: how six categories learn", _speeds(results), ["figure6"]),
        ("Figure 8: flip, and crop", _cells(results, "resnet50-fc0", _FLIP), ["figure8"]),
        ("Figure 9: what SE gains", _gains(results), ["figure9"]),
        ("Figure 10: SE-ResNeXt-50 beside SE-ResNet-50", _next(results), ["figure10"]),
        ("The losses", _losses(results), ["losses_curves", "losses"]),
        ("The final model", _final(results), []),
    ]
    for title, text, shown in sections:
        if text:
            pictures = [
                f"![{title} ({markdown_text(results.source)})](figures/{name}.png)"
                for name in shown
                if name in figures
            ]
            parts += [f"## {title}", text, *pictures]
    return "\n\n".join([*parts, "## How the numbers are made", method(results)]) + "\n"


def introduction(results: Results, command: str) -> str:
    """Returns what was run, on which images, by which recipe and which command."""
    grid, base = results.grid, results.grid.base
    counts = ", ".join(f"{count} {name}" for name, count in results.images.items())
    seeds = f"{results.seeds} {'seed' if results.seeds == 1 else 'seeds'}"
    if grid.study:
        what = f"One recipe, and variants that change one part of it, with {seeds} and intervals."
    else:
        what = f"The tables and figures of {REPORT}, with {seeds}, intervals and verdicts."
    lines = [
        what,
        f"**Images**: {markdown_text(results.source)} ({counts}). **Scores**: on "
        f"{results.split}. **Recipe**: {base.epochs} epochs, batches of {base.batch_size}, Adam "
        f"at {base.learning_rate:g} "
        f"({base.schedule}), weights: {markdown_text(base.weights or 'ImageNet')}, heads: "
        f"{base.heads}.",
    ]
    if base.is_wardrobe:
        lines.append(
            "**These are drawings.** Results at this size do not transfer to the photographs of "
            "DeepFashion."
        )
    elif grid.scale == "quick":
        lines.append(
            "**This is the quick scale**: small images and few epochs, not the report's recipe."
        )
    if TOGETHER in results.split:
        lines.append(
            "Validation and test images are scored together, since few are labelled; validation "
            "images select the best epochs, so their scores are slightly too high, in all rows "
            "alike."
        )
    elif results.split != "test":
        lines.append(
            "The test split has no labels, so scores are those of the split that selects the best "
            "epochs: slightly too high, in all rows alike."
        )
    return "\n\n".join([*lines, "Made by:", f"    {printable(command)}"])


def failures_text(failures: dict[str, str]) -> list[str]:
    """Lists what failed: paragraphs, none where nothing did."""
    if not failures:
        return []
    lines = [f"- {markdown_text(name)}: {markdown_text(words)}" for name, words in failures.items()]
    return ["**Some runs failed**, and are missing below:", "\n".join(lines)]


def _verdicts(results: Results, found: list[Verdict]) -> str:
    rows = [
        [
            verdict.claim,
            verdict.shown_in,
            _reported(verdict),
            _signed(verdict.seeds, verdict),
            _interval(verdict.seeds, verdict),
            _interval(verdict.images, verdict) if verdict.images else "",
            f"**{verdict.verdict}**" + (f" ({verdict.note})" if verdict.note else ""),
        ]
        for verdict in found
    ]
    header = ["claim", "in", "report", "measured", "95 % over seeds", "95 % over images", "verdict"]
    words = "A claim *agrees* or *disagrees* where both intervals lie on one side of 0"
    return (
        table(header, rows, results.source)
        + f"\n\n{words}; otherwise it is *undecided*. Of twenty true zeros one is expected to be "
        "missed by an interval of 95 %. Where a claim says *most*, *slowest* or *fastest*, the "
        "rival is chosen after a look at the results, which makes it a little easier to disagree. "
        "The report's numbers are single runs."
    )


def _reported(verdict: Verdict) -> str:
    if verdict.reported is None:
        return "no number"
    return f"{verdict.reported:.4f}" if verdict.key == "final" else f"{verdict.reported:+.4f}"


def _signed(interval: Interval, verdict: Verdict) -> str:
    if verdict.key == "final":
        return f"{interval.mean:.4f}"
    return f"{interval.mean:+.4f}" if verdict.unit == "accuracy" else f"{interval.mean:+.2f} epochs"


def _interval(interval: Interval, verdict: Verdict) -> str:
    if interval.low is None:
        return "—"
    digits = 4 if verdict.unit == "accuracy" else 2
    sign = "" if verdict.key == "final" else "+"
    return f"{interval.low:{sign}.{digits}f} … {interval.high:{sign}.{digits}f}"


def _table2(results: Results) -> str:
    rows = []
    for layers in FC_LAYERS:
        row = [str(layers)]
        for backbone in BACKBONES:
            name = f"{backbone}-fc{layers}"
            cell = results.cells.get(name)
            row += [f"{REPORTED[name]:.4f}", mean_and_interval(cell.accuracy) if cell else "—"]
        rows.append(row)
    names = [text for name in BACKBONES.values() for text in (f"{name}, report", f"{name}, here")]
    return table(["FC layers", *names], rows, results.source) + (
        f"\n\nMean accuracy on {results.split}; majority baseline "
        f"{results.baseline.majority_baseline:.4f}."
    )


def _speeds(results: Results) -> str:
    if "resnet50-fc0" not in results.cells:
        return ""
    cell = results.cells["resnet50-fc0"]
    rows = []
    for category, values in results.speeds("resnet50-fc0").items():
        peaks = [
            max(range(len(history["epoch"])), key=lambda i: history[f"val_{category}_accuracy"][i])
            for history in cell.histories
        ]
        epochs = [cell.histories[0]["epoch"][peak] for peak in peaks]
        speed = over_seeds(values)
        rows.append(
            [
                markdown_text(category),
                f"{speed.mean:.2f}",
                "—" if speed.low is None else f"{speed.low:.2f} … {speed.high:.2f}",
                ", ".join(f"{epoch:.0f}" for epoch in epochs),
            ]
        )
    header = ["category", "epochs to learn", "95 % over seeds", "highest in epoch (a seed each)"]
    return table(header, rows, results.source)


def _cells(results: Results, base: str, names: dict[str, str]) -> str:
    """Makes a table of cells: accuracy, and loss where it can be compared."""
    rows = [
        [text, mean_and_interval(results.cells[name].accuracy)]
        for name, text in names.items()
        if name in results.cells
    ]
    if base not in results.cells or len(rows) < 2:
        return ""
    return table(["", f"mean accuracy ({results.split})"], rows, results.source)


def _gains(results: Results) -> str:
    if not {"resnet50-fc0", "seresnet50-fc0"} <= set(results.cells):
        return ""
    gains = category_gains(results, "seresnet50-fc0", "resnet50-fc0")
    rows = [
        [
            markdown_text(category),
            f"{gain.seeds.mean:+.4f}",
            "—" if gain.seeds.low is None else f"{gain.seeds.low:+.4f} … {gain.seeds.high:+.4f}",
            f"{gain.images.low:+.4f} … {gain.images.high:+.4f}",
        ]
        for category, gain in gains.items()
    ]
    header = ["category", "SE-ResNet-50 − ResNet-50", "95 % over seeds", "95 % over images"]
    return table(header, rows, results.source)


def _next(results: Results) -> str:
    names = {"seresnet50-fc0": "SE-ResNet-50", "seresnext50-fc0": "SE-ResNeXt-50"}
    if not set(names) <= set(results.cells):
        return ""
    rows = [
        [
            text,
            mean_and_interval(results.cells[name].accuracy),
            mean_and_interval(results.cells[name].loss),
        ]
        for name, text in names.items()
    ]
    header = ["", f"mean accuracy ({results.split})", "mean validation loss at the best epoch"]
    return table(header, rows, results.source) + (
        "\n\nLike with like: the same loss, the same weight of every category, the same images, "
        "and each network's own best epoch."
    )


def _losses(results: Results) -> str:
    text = _cells(results, "seresnet50-fc0", LOSSES)
    if not text:
        return ""
    return text + (
        "\n\nAccuracies only: the values of different losses are no measure of one another."
    )


def _final(results: Results) -> str:
    if FINAL not in results.cells:
        return ""
    cell = results.cells[FINAL]
    best = final_seed(cell)
    return (
        f"`{FINAL}`: mean accuracy {mean_and_interval(cell.accuracy)} on {results.split} "
        f"({markdown_text(results.source)}). `prediction.txt`, zipped in `prediction.zip`, "
        f"holds the answers for the test images of the seed that is best in validation, seed "
        f"{best}, in the "
        f"challenge's format: six class ids a row, in the order of `test.txt`."
    )


def final_seed(cell: Cell) -> int:
    """Names the seed whose validation mean accuracy is the highest."""
    return max(cell.runs, key=lambda seed: cell.runs[seed].val.mean_accuracy)


def method(results: Results) -> str:
    """Returns what the numbers are: a list."""
    last = results.split.split(TOGETHER)[-1]
    own = [
        "- **Mean class recall**: mean over the attributes that the split has images of, of the "
        "share of their images predicted correctly."
    ]
    if not results.grid.study:
        own = [
            "- **Epochs to learn**: with g(e) the highest gain over the majority baseline up to "
            "epoch e, the sum over epochs of 1 − g(e) / g(last), of validation accuracy; "
            "the number of epochs where a category never rises above its baseline.",
            "- **Mean loss**: the mean over categories of the validation losses, unweighted.",
        ]
    return "\n".join(
        [
            f"- Each run is a directory, `cells/CELL/seed-N/`, with `config.json`, `history.csv`, "
            f"`metrics.json` (validation), `metrics-{last}.json` and `answers-{last}.csv` (every "
            "image's answer and label). All numbers above come from these files.",
            "- **Mean accuracy**: mean over categories of the share of labelled images "
            "predicted correctly, at the best epoch in validation.",
            "- **Over seeds**: mean ± t(0.975, n − 1) · s / √n over the seeds; of a difference, "
            "over the differences of runs with the same seed.",
            f"- **Over images**: percentiles of {RESAMPLES} bootstrap samples of the images; of a "
            "difference, paired: both models on the same images, their hits averaged over seeds.",
            *own,
        ]
    )


def mean_and_interval(interval: Interval) -> str:
    """Returns a mean with half its interval, or alone."""
    if interval.low is None:
        return f"{interval.mean:.4f}"
    return f"{interval.mean:.4f} ± {interval.high - interval.mean:.4f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """Makes a table of Markdown that says below itself what its images are."""
    return f"{page.table(header, rows)}\n\n*{markdown_text(caption)}*"


_FLIP = {
    "resnet50-fc0": "flip and crop",
    "resnet50-fc0-no_flip": "no flip",
    "resnet50-fc0-no_crop": "no crop",
}
