"""The evaluation page: one file with all that a run's answers for a split tell."""

import io
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from deepfashion_tf.colours import colours
from deepfashion_tf.data.reading import crop_batches
from deepfashion_tf.escaping import figure_text, markdown_text
from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.evaluation.confusion import (
    Mistake,
    confusion_matrix,
    most_confident_mistakes,
    plot_confusions,
)
from deepfashion_tf.evaluation.evaluate import Answered
from deepfashion_tf.evaluation.scores import Scores
from deepfashion_tf.evaluation.statistics import RESAMPLES, Interval, over_images
from deepfashion_tf.evaluation.table import detection_cells, remarks
from deepfashion_tf.evaluation.tradeoff import plot_tradeoff
from deepfashion_tf.evaluation.trust import plot_coverage, plot_reliability
from deepfashion_tf.files import write_atomically
from deepfashion_tf.inference.explanations import Explainer, overlay
from deepfashion_tf.page import render_page, table
from deepfashion_tf.runs.run import Run
from deepfashion_tf.usage import command

_SHOWN = 18  # mistakes
_COLUMNS = 6


def write_report(run: Run, answered: Answered, scores: Scores, path: Path) -> None:
    """Writes the page: scores with intervals, confusions, calibration, coverage, mistakes.

    Args:
        run: that has answered.
        answered: the images and its answers.
        scores: of the same.
        path: an HTML file.
    """
    answers = answered.table
    figures = {
        "confusion.svg": plot_confusions(answers, ""),
        "reliability.svg": plot_reliability(answered),
        "coverage.svg": plot_coverage(answered),
    }
    if tradeoff := plot_tradeoff(answered, scores):
        figures["tradeoff.svg"] = tradeoff
    mistakes = most_confident_mistakes(answers)
    if mistakes:
        figures["mistakes.jpg"] = plot_mistakes(run, answered, mistakes[:_SHOWN])
    pictures = {name: _encode(figure, name) for name, figure in figures.items()}
    title = f"{run.directory.name}: {scores.images} {scores.split} images"
    text = "\n\n".join(_sections(run, answered, answers, scores, mistakes))
    write_atomically(path, render_page(title, f"# {markdown_text(title)}\n\n{text}\n", pictures))


def plot_mistakes(run: Run, answered: Answered, mistakes: list[Mistake]) -> Figure:
    """Draws mistakes as the crops that were given, and below each what its answer hangs on.

    Below that stands what the head looked at, where the heads look.
    """
    palette = colours(list(answered.raw))
    rows = np.array([mistake.row for mistake in mistakes])
    some = answered.split.take(rows, answered.split.name)
    crops = np.concatenate(list(crop_batches(some, run.config.image_size)))
    explainer = Explainer(run.load_model(), run.normalization)
    given = {c: answers[rows] for c, answers in answered.answers.items()}
    # The network answers in the categories that were not learnt, too.
    asked = {c: given.get(c, np.zeros(len(rows), int)) for c in explainer.categories}
    heats, looks = explainer.explain(crops, asked), explainer.look(crops)
    maps = [found for found in (heats, looks) if found]
    lines, height = -(-len(mistakes) // _COLUMNS), 1 + len(maps)
    figure, axes = plt.subplots(
        height * lines,
        _COLUMNS,
        figsize=(11, 2.2 * height * lines),
        layout="constrained",
        squeeze=False,
    )
    for axis in axes.flat:
        axis.axis("off")
    for number, mistake in enumerate(mistakes):
        above, *below = axes[height * (number // _COLUMNS) :, number % _COLUMNS][:height]
        above.imshow(crops[number])
        for axis, found in zip(below, maps, strict=True):
            axis.imshow(overlay(crops[number], found[mistake.category][number]))
        above.set_title(
            f"{figure_text(mistake.answered)} {mistake.probability:.2f}\n"
            f"labelled {figure_text(mistake.labelled)}",
            color=palette[mistake.category],
            size=8.5,
        )
    return figure


def _sections(
    run: Run, answered: Answered, answers: Answers, scores: Scores, mistakes: list[Mistake]
) -> Iterator[str]:
    config = run.config
    data = "drawings of the wardrobe" if config.is_wardrobe else Path(config.data_name).name
    yield (
        f"{markdown_text(run.network)}, {config.epochs} epochs on {markdown_text(data)}. Scored on "
        f"the images listed in {markdown_text(scores.source)}."
    )
    yield "## Scores"
    yield _scores(answers, scores)
    yield from _detections(answered, scores)
    yield "\n".join(f"- {markdown_text(sentence)}" for sentence in remarks(scores))
    yield "## Which attribute is taken for which"
    yield (
        "A row is what the images are labelled, a column what was answered; the shade is the "
        "share of the row, the numbers are counts. A dark column is an answer that the model "
        "falls back on."
    )
    yield "![Confusion matrices](confusion.svg)"
    yield "## Recall of every attribute"
    yield _recalls(answers)
    yield "## Do probabilities mean what they say?"
    yield (
        "Answers are sorted by their probability into 15 bins. On the dotted line they are right "
        "as often as they claim; above it the model is less sure than it should be. Grey is the "
        "network as it is, the colour after a temperature that was fitted on the validation "
        "split. *Off by* is the expected calibration error (Guo et al. 2017, eq. 3), which is "
        "above zero by chance even where all is well: by some 0.02 to 0.05 with a few hundred "
        "images."
    )
    yield "![Reliability diagrams](reliability.svg)"
    if answered.calibration.shares:
        yield "## What recall of rare attributes costs"
        yield (
            "Each point answers all images with another weight of mean class recall: 0 is the "
            "network as it is, 1 answers as if a category's attributes were equally common. The "
            f"ring is what the run answers; `{command('evaluate')} --recall-price 1.5` chooses the "
            "best point that costs at most 1.5 points of mean accuracy on the validation split. "
            "Grey is one power of the training shares for all categories (Menon et al. 2021)."
        )
        yield "![Mean class recall over mean accuracy](tradeoff.svg)"
    yield "## What may be accepted without a look"
    yield (
        "The share of right answers among those accepted, from the surest on. The ring is the "
        "probability from which on 95 % are promised, with 95 % confidence, by the validation "
        f"split (`{command('predict')} --accept-accuracy 0.95`); without a ring it can "
        "promise nothing."
    )
    yield "![Accuracy over coverage](coverage.svg)"
    yield "## The surest mistakes"
    yield from _describe_mistakes(len(mistakes))


def _describe_mistakes(count: int) -> Iterator[str]:
    if not count:
        yield "There are none."
        return
    yield (
        f"{min(_SHOWN, count)} of {count} wrong answers, the most probable first: "
        "what was answered and how probable the model found it, what is labelled, and below what "
        "speaks for the answer (Grad-CAM: yellow most, grey nothing); a third picture is what its "
        "head looked at. Look for wrong labels among them before you blame the model."
    )
    yield "![The surest mistakes, and what they hang on](mistakes.jpg)"


def _scores(answers: Answers, scores: Scores) -> str:
    header = ["category", "labelled", "accuracy", "95 % over images", "baseline", "difference"]
    header += ["calibration error", "before"]
    rows = []
    for column, (category, score) in enumerate(scores.categories.items()):
        if not score.images:
            rows.append([markdown_text(category), "0", *["—"] * 6])
            continue
        rows.append(
            [
                markdown_text(category),
                str(score.images),
                f"{score.accuracy:.4f}",
                _spell(over_images(answers.hits[:, [column]])),
                f"{score.majority_baseline:.4f}",
                f"{score.accuracy - score.majority_baseline:+.4f}",
                f"{score.calibration_error:.3f}",
                f"{score.calibration_error_before:.3f}",
            ]
        )
    mean, baseline = scores.mean_accuracy, scores.majority_baseline
    rows.append(
        [
            "**mean accuracy**",
            "",
            f"**{mean:.4f}**",
            _spell(over_images(answers.hits)),
            f"{baseline:.4f}",
            f"**{mean - baseline:+.4f}**",
            f"{scores.mean_calibration_error:.3f}",
            f"{scores.mean_calibration_error_before:.3f}",
        ]
    )
    recall, constant = scores.mean_class_recall, scores.majority_class_recall
    rows.append(
        [
            "mean class recall",
            "",
            f"{recall:.4f}",
            "",
            f"{constant:.4f}",
            f"{recall - constant:+.4f}",
        ]
        + ["", ""]
    )
    rows.append(_exact_match(answers, scores))
    return table(header, rows) + (
        f"\n\nIntervals: percentiles of {RESAMPLES} bootstrap samples of the images; they tell how "
        "far other images may lead, and nothing of other seeds."
    )


def _detections(answered: Answered, scores: Scores) -> Iterator[str]:
    """Makes the table of attributes of kind multi and of what does not apply, if there are any."""
    named = [
        (f"{scores.categories[name].part_of}: {scores.categories[name].detects}", found)
        for name, found in scores.detections.items()
    ]
    named += [(f"{name}: not applicable", found) for name, found in scores.applicability.items()]
    rows = [[markdown_text(name), *detection_cells(found)] for name, found in named]
    header = ["attribute", "images", "average precision", "by chance", "F1", "F1 of always yes"]
    if not rows:
        return
    yield table(header, rows)
    names = {"mean_average_precision": "Mean average precision", "mean_f1": "Mean F1"}
    yield "\n".join(
        f"- {names.get(name, 'Applicability F1')}: **{found.mean:.4f}** ({_spell(found)})"
        for name, found in answered.detection_intervals().items()
        if found.low is not None
    )


def _exact_match(answers: Answers, scores: Scores) -> list[str]:
    count, share, majority = (
        scores.exact_match_images,
        scores.exact_match,
        scores.majority_exact_match,
    )
    if share is None:
        return ["exact match", "0", *["—"] * 4, "", ""]
    return [
        "exact match",
        str(count),
        f"{share:.4f}",
        _spell(over_images(answers.exact_hits)),
        f"{majority:.4f}",
        f"{share - majority:+.4f}",
        *("", ""),
    ]


def _spell(interval: Interval) -> str:
    return f"{interval.low:.4f} … {interval.high:.4f}"


def _recalls(answers: Answers) -> str:
    rows = []
    for category, attributes in answers.schema.items():
        counts = confusion_matrix(answers, category)
        for index, attribute in enumerate(attributes):
            labelled, answered = counts[index].sum(), counts[:, index].sum()
            right = counts[index, index]
            rows.append(
                [
                    markdown_text(category) if index == 0 else "",
                    markdown_text(attribute),
                    str(labelled),
                    f"{right / labelled:.3f}" if labelled else "—",
                    str(answered),
                    f"{right / answered:.3f}" if answered else "—",
                ]
            )
    return table(["category", "attribute", "labelled", "recall", "answered", "precision"], rows)


def _encode(figure: Figure, name: str) -> bytes:
    file = io.BytesIO()
    suffix = name[name.rindex(".") + 1 :]
    # The same figure gives the same file: no date, no random names.
    options = {"metadata": {"Date": None}} if suffix == "svg" else {"pil_kwargs": {"quality": 88}}
    with plt.rc_context({"svg.hashsalt": name}):
        figure.savefig(file, format=suffix, dpi=100, **options)
    plt.close(figure)
    return file.getvalue()
