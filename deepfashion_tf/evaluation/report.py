"""The evaluation page: one file with all that a run's answers for a split tell."""

import io
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from deepfashion_tf.escaping import markdown_text
from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.evaluation.confusion import (
    confusion_matrix,
    most_confident_mistakes,
    plot_confusions,
)
from deepfashion_tf.evaluation.evaluate import Answered
from deepfashion_tf.evaluation.mistakes import (
    SHOWN,
    describe_mistakes,
    draw_mistakes,
    picture_name,
    relabel_path,
    save_mistakes,
)
from deepfashion_tf.evaluation.scores import Scores, mean_of
from deepfashion_tf.evaluation.statistics import RESAMPLES, Interval, over_images
from deepfashion_tf.evaluation.table import detection_cells, remarks
from deepfashion_tf.evaluation.tradeoff import plot_tradeoff
from deepfashion_tf.evaluation.trust import plot_coverage, plot_reliability
from deepfashion_tf.files import write_atomically
from deepfashion_tf.page import render_page, table
from deepfashion_tf.runs.run import Run
from deepfashion_tf.usage import command


def write_report(run: Run, answered: Answered, scores: Scores, path: Path) -> None:
    """Writes the page: scores with intervals, confusions, calibration, coverage, mistakes.

    Beside it, `relabel_path` lists mistakes for correction.

    Args:
        run: that has answered.
        answered: the images and its answers.
        scores: of the same.
        path: an HTML file.
    """
    answers = answered.table
    pictures = {}
    # For desktops, and for phones.
    for prefix, most, size in (("", 3, (7.6, 5.2)), ("narrow-", 1, (4.2, 5.0))):
        figures = {
            "confusion.svg": plot_confusions(answers, "", most),
            "reliability.svg": plot_reliability(answered, most),
            "coverage.svg": plot_coverage(answered, most),
        }
        if tradeoff := plot_tradeoff(answered, scores, size):
            figures["tradeoff.svg"] = tradeoff
        pictures |= {prefix + name: _encode(figure, name) for name, figure in figures.items()}
    mistakes = most_confident_mistakes(answers)
    shown = mistakes[:SHOWN]
    if shown:
        drawn = draw_mistakes(run, answered, shown)
        pictures |= dict(zip(map(picture_name, shown), drawn, strict=True))
    relabel = relabel_path(path)
    save_mistakes(relabel, answered.split, mistakes)
    title = f"{run.directory.name}: {scores.images} {scores.split} images"
    text = "\n\n".join(
        [
            *_sections(run, answered, answers, scores),
            *describe_mistakes(answered, mistakes, relabel.name),
        ]
    )
    write_atomically(path, render_page(title, f"# {markdown_text(title)}\n\n{text}\n", pictures))


def _sections(run: Run, answered: Answered, answers: Answers, scores: Scores) -> Iterator[str]:
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


def _scores(answers: Answers, scores: Scores) -> str:
    header = ["category", "labelled", "accuracy", "baseline", "difference", "95 % over images"]
    header += ["calibration error", "before"]
    rows, hits, names = [], answers.hits, list(scores.categories)
    weights = np.zeros(len(names))
    for category, parts in scores.groups.items():
        labelled = [names.index(name) for name, score in parts.items() if score.images]
        if not labelled:
            rows.append([markdown_text(category), "0", *["—"] * 6])
            continue
        weights[labelled] = 1 / len(labelled)
        kinds = "accuracy", "majority_baseline", "calibration_error", "calibration_error_before"
        accuracy, baseline, error, before = (mean_of(parts, kind) for kind in kinds)
        beats = category not in parts or parts[category].beats_baseline
        rows.append(
            [
                markdown_text(category),
                str(max(score.images for score in parts.values())),
                f"{accuracy:.4f}",
                f"{baseline:.4f}",
                _marked(f"{accuracy - baseline:+.4f}", beats),
                _spell(over_images(hits[:, labelled])),
                f"{error:.3f}",
                f"{before:.3f}",
            ]
        )
    mean, baseline = scores.mean_accuracy, scores.majority_baseline
    rows.append(
        [
            "**mean accuracy**",
            "",
            f"**{mean:.4f}**",
            f"{baseline:.4f}",
            f"**{mean - baseline:+.4f}**",
            _spell(over_images(hits, weights)),
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
            f"{constant:.4f}",
            f"{recall - constant:+.4f}",
            *("", "", ""),
        ]
    )
    rows.append(_exact_match(answers, scores))
    return table(header, rows) + (
        f"\n\nIntervals: percentiles of {RESAMPLES} bootstrap samples of the images; they cover "
        "other images, not other seeds."
    )


def _detections(answered: Answered, scores: Scores) -> Iterator[str]:
    """Makes the table of attributes of kind multi and of what does not apply, if there are any."""
    named = [
        (f"{scores.categories[name].part_of}: {scores.categories[name].detects}", found)
        for name, found in scores.detections.items()
    ]
    named += [(f"{name}: not applicable", found) for name, found in scores.applicability.items()]
    rows = []
    for name, found in named:
        *cells, f1, constant = detection_cells(found)
        rows.append([markdown_text(name), *cells, _marked(f1, found.beats_constant), constant])
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
        f"{majority:.4f}",
        f"{share - majority:+.4f}",
        _spell(over_images(answers.exact_hits)),
        *("", ""),
    ]


def _marked(cell: str, beats_baseline: bool) -> str:
    return cell if beats_baseline else f"~~{cell} not above~~"


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
    # The same figure makes the same file: no date, no random names.
    with plt.rc_context({"svg.hashsalt": name}):
        figure.savefig(file, format="svg", dpi=100, metadata={"Date": None})
    plt.close(figure)
    return file.getvalue()
