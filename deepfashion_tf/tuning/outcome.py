"""What comes out of a search: best.yaml, trials.csv, importance.png, and a table."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table
from rich.text import Text

from deepfashion_tf.colours import colours
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import printable
from deepfashion_tf.escaping import cell_text, figure_text
from deepfashion_tf.files import whole_or_nothing, write_atomically
from deepfashion_tf.progress import console
from deepfashion_tf.runs.recipe_file import recipe_text
from deepfashion_tf.tuning.study import Study, failure, is_default
from deepfashion_tf.usage import command

BEST_FILE = "best.yaml"
TRIALS_FILE = "trials.csv"
IMPORTANCE_FILE = "importance.png"
LEAST_FOR_IMPORTANCE = 10  # trials with a score
_TOP_SHARE = 0.25  # of the trials, whose parameters are compared with all others'
_COLUMNS = 4  # trials in the table, besides the untuned one
_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def write_best(study: Study) -> Path:
    """Writes the best trial's options as a recipe file for ``deepfashion train --config``."""
    best, default = study.complete()[0], study.default()
    untuned = f"{default.value:.4f}" if default else "no score"
    comment = (
        f"# Trial {best.number} of a search by {command('tune')}: the best of "
        f"{len(study.finished())} trials.\n"
        f"# Validation mean accuracy {best.value:.4f} (untuned: {untuned}); it was chosen by that "
        f"score,\n# which is therefore optimistic. To train with it:\n"
        f"#     {command('train')} --config {printable(study.directory / BEST_FILE)}\n"
    )
    path = study.directory / BEST_FILE
    write_atomically(path, comment + recipe_text(study.config(best)))
    return path


def write_trials(study: Study) -> Path:
    """Writes one row a trial that has ended: state, score, epochs, seconds, parameters."""
    names = [parameter.name for parameter in study.space.parameters]
    columns = ["trial", "state", "untuned", "val_mean_accuracy", "epochs", "seconds"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *names, "reason"])
    for trial in study.finished():
        values = study.space.rounded(trial.params)
        score = max(trial.intermediate_values.values(), default="")
        writer.writerow(
            [
                trial.number,
                _STATES[trial.state],
                int(is_default(trial)),
                score,
                len(trial.intermediate_values),
                round(trial.user_attrs.get("seconds", 0.0), 1),
                *(values.get(name, "") for name in names),
                cell_text(failure(trial)),
            ]
        )
    path = study.directory / TRIALS_FILE
    write_atomically(path, text.getvalue())
    return path


def plot_importance(study: Study) -> Figure:
    """Draws a bar a parameter: how much its values tell the best quarter of the trials."""
    found = study.importances(_TOP_SHARE)
    palette = colours(list(study.space.base.loss_weights))
    names = list(reversed(found))
    figure, axis = plt.subplots(figsize=(6.5, 1.3 + 0.32 * len(names)), layout="constrained")
    shades = [palette.get(name.partition(".")[2], "0.3") for name in names]
    bars = axis.barh(
        [*map(figure_text, names)], [found[name] for name in names], color=shades, height=0.7
    )
    axis.bar_label(bars, fmt="%.2f", padding=3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x", color="0.92")
    axis.set_axisbelow(True)
    axis.set(xlabel="share of importance (PED-ANOVA)", xlim=(0, 1.12 * max(found.values())))
    count = len(study.complete())
    figure.suptitle(
        f"What the best quarter of {count} trials have in common",
        x=0.01,
        ha="left",
        fontweight="bold",
    )
    return figure


def save_importance(study: Study) -> Path | None:
    """Draws importance.png.

    Returns:
        The file; None where there are too few trials to say anything.
    """
    if len(study.complete()) < LEAST_FOR_IMPORTANCE:
        return None
    path = study.directory / IMPORTANCE_FILE
    figure = plot_importance(study)
    with whole_or_nothing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)
    return path


def print_outcome(study: Study, splits: Sequence[Split]) -> None:
    """Writes all files, prints the table, what it means, and how to train with the winner."""
    files = [write_best(study), write_trials(study), save_importance(study)]
    console.print(_table(study))
    for sentence in remarks(study, len(splits[1])):
        console.print(sentence, soft_wrap=True)
    count = len(study.complete())
    importance = (
        f"{IMPORTANCE_FILE} is a hint: with {count} trials, what does nothing gets a share, too."
        if files[-1]
        else f"What matters is not drawn: {count} trials have a score, and below "
        f"{LEAST_FOR_IMPORTANCE} that would be chance."
    )
    console.print(importance, soft_wrap=True)
    names = ", ".join(path.name for path in files if path)
    best = study.run_directory(study.complete()[0].number)
    for line in (
        f"Search: {study.directory}/  {names}, trials/; the best trial's run: {best}/",
        f"To train with it: {command('train')} --config {files[0]}",
    ):
        console.print(line, soft_wrap=True)


def remarks(study: Study, images: int) -> list[str]:
    """Returns what the scores mean, and what they do not."""
    finished, complete = study.finished(), study.complete()
    best, default = complete[0], study.default()
    counts = [f"{len(complete)} of {len(finished)} trials were trained to the end"]
    for state, word in ((TrialState.PRUNED, "pruned"), (TrialState.FAIL, "failed")):
        number = sum(trial.state == state for trial in finished)
        counts += [f"{number} {word}"] if number else []
    sentences = [f"{', '.join(counts)}."]
    if default is None:
        sentences.append("The untuned configuration has no score, so the gain is unknown.")
    elif best.number == default.number:
        sentences.append("No trial beat the untuned configuration.")
    if best.number != getattr(default, "number", None):
        sentences.append(
            f"The best trial was chosen by its score on these {images} validation images, among "
            f"{len(finished)}: that score is optimistic, all the more the fewer the images. For "
            f"an honest comparison train both, with other seeds, and score them on the test split."
        )
    return sentences


def _table(study: Study) -> Table:
    """Lays the best trials side by side with the untuned one."""
    space, default = study.space, study.default()
    shown: list[FrozenTrial] = [t for t in study.complete() if not is_default(t)][:_COLUMNS]
    base = space.base
    table = Table(title=f"{base.backbone}, {base.image_size} px, {base.epochs} epochs")
    table.add_column("")
    table.add_column("untuned", justify="right")
    for trial in shown:
        table.add_column(f"trial {trial.number}", justify="right")
    start = default.value if default else None
    scores = [f"{trial.value:.4f}" for trial in shown]
    differences = ["-" if start is None else _difference(t.value - start) for t in shown]
    table.add_row("val mean accuracy", "-" if start is None else f"{start:.4f}", *scores)
    table.add_row("difference", "", *differences)
    table.add_section()
    for name, value in space.defaults().items():
        values = [space.rounded(trial.params)[name] for trial in shown]
        table.add_row(name, *(f"{number:.4g}" for number in (value, *values)))
    return table


def _difference(value: float) -> Text:
    colour = "green" if value > 0 else "red"
    return Text(f"{value:+.4f}", colour)
