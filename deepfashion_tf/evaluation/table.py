"""The table of accuracies beside the majority baseline, for the terminal."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from deepfashion_tf.evaluation.scores import Detection, Scores, mean_of
from deepfashion_tf.progress import console


def print_scores(
    scores: Scores, title: str, untrained: Sequence[str] = (), skipped: tuple[int, str] = (0, "")
) -> None:
    """Prints the table, and says in words what it would be wrong to overlook.

    Args:
        scores: of one split.
        title: above the table.
        untrained: categories that the model was not trained in; they are not scored.
        skipped: how many images could not be read, and which, or where that is said.
    """
    console.print(_table(scores, title))
    if scores.detections or scores.applicability:
        console.print(_detections(scores))
    for sentence in remarks(scores):
        console.print(sentence, soft_wrap=True)
    before, after = scores.mean_calibration_error_before, scores.mean_calibration_error
    if after is not None:
        console.print(
            f"Probabilities are off by {after:.3f} on average, {before:.3f} before calibration "
            f"(expected calibration error).",
            soft_wrap=True,
        )
    if untrained:
        console.print(
            f"Not learnt, since no training image was labelled in it: {', '.join(untrained)}.",
            soft_wrap=True,
        )
    count, which = skipped
    console.print(
        f"{scores.images} {scores.split} images scored, {count} left out",
        style="dim",
        soft_wrap=True,
    )
    if count:
        images = "1 image" if count == 1 else f"{count} images"
        console.print(
            f"{images} could not be read and {'was' if count == 1 else 'were'} skipped: {which}",
            style="yellow",
            soft_wrap=True,
        )


def _table(scores: Scores, title: str) -> Table:
    table = Table(title=f"{title}: {scores.images} {scores.split} images")
    table.add_column("category")
    for name in ("labelled", "accuracy", "baseline", "difference"):
        table.add_column(name, justify="right")
    marks = {
        name: _mark(score.images, score.beats_baseline)
        for name, score in scores.categories.items()
        if not score.part_of
    }
    if any(marks.values()):
        table.add_column("")
    for category, parts in scores.groups.items():
        table.add_row(
            category,
            str(max(score.images for score in parts.values())),
            *_compare(*(mean_of(parts, name) for name in ("accuracy", "majority_baseline"))),
            *([marks.get(category, "")] if any(marks.values()) else []),
        )
    table.add_section()
    for name, count, value, baseline in (
        ("mean accuracy", "", scores.mean_accuracy, scores.majority_baseline),
        ("mean class recall", "", scores.mean_class_recall, scores.majority_class_recall),
        (
            "exact match",
            str(scores.exact_match_images),
            scores.exact_match,
            scores.majority_exact_match,
        ),
    ):
        table.add_row(Text(name, "bold"), count, *_compare(value, baseline))
    return table


def _detections(scores: Scores) -> Table:
    """Makes the table of attributes of kind multi, and of categories that do not apply."""
    table = Table(title="Attributes of kind multi, and what does not apply")
    table.add_column("attribute")
    for name in ("images", "AP", "by chance", "F1", "always yes"):
        table.add_column(name, justify="right")
    named = [(_name_of(scores, name), found) for name, found in scores.detections.items()]
    named += [
        (Text(f"{name}: not applicable", "italic"), found)
        for name, found in scores.applicability.items()
    ]
    for name, found in named:
        *cells, f1, constant = detection_cells(found)
        f1 = Text(f1, "" if found.beats_constant else "red")
        table.add_row(name, *cells, f1, constant)
    table.add_section()
    for name, value in (
        ("mean AP (mAP)", scores.mean_average_precision),
        ("mean F1", scores.mean_f1),
        ("applicability F1", scores.applicability_f1),
    ):
        if value is not None:
            table.add_row(Text(name, "bold"), "", *_placed(name, value))
    return table


def _name_of(scores: Scores, part: str) -> str:
    found = scores.categories[part]
    return f"{found.part_of}: {found.detects}"


def detection_cells(found: Detection) -> tuple[str, ...]:
    """Returns images, average precision, its value by chance, F1, and that of always yes."""
    if not found.images:
        return "0", "-", "-", "-", "-"
    return (
        str(found.images),
        f"{found.average_precision:.4f}",
        f"{found.share:.4f}",
        f"{found.f1:.4f}",
        f"{found.constant_f1:.4f}",
    )


def _placed(name: str, value: float) -> tuple[str, ...]:
    is_precision = "AP" in name
    return (f"{value:.4f}", "", "") if is_precision else ("", "", f"{value:.4f}")


def remarks(scores: Scores) -> list[str]:
    """Returns what the figures mean: baselines not beaten, classes and categories not scored."""
    labelled = [name for name, score in scores.categories.items() if score.images]
    unlabelled = [name for name in scores.categories if name not in labelled]
    # Where all images have the same answer, no model can be better than giving it.
    single = [
        name
        for name in labelled
        if scores.categories[name].majority_baseline == 1.0 and not scores.categories[name].part_of
    ]
    multi = [name for name, parts in scores.groups.items() if name not in parts]
    beaten = [name for name in scores.beaten_by_baseline if name not in single]
    absent = scores.unseen_attributes(labelled)
    sentences = ["baseline: the score of always answering a category's most frequent attribute."]
    if len(scores.beaten_by_baseline) == len(labelled):
        sentences.append(
            "This model beats the majority baseline in no category: it has learnt nothing of use."
        )
    elif beaten:
        sentences.append(f"Not above the majority baseline: {', '.join(beaten)}.")
    if multi:
        sentences.append(
            f"{', '.join(multi)}: accuracy and baseline are means over yes-or-no answers, one an "
            f"attribute; F1 and AP, average precision, show more."
        )
    if single:
        sentences.append(f"All images have the same answer in {', '.join(single)}.")
    if unlabelled:
        sentences.append(f"No image is labelled in {', '.join(unlabelled)}: left out of the means.")
    if absent:
        sentences.append(f"No image shows {', '.join(absent)}: left out of mean class recall.")
    if labelled and not scores.exact_match_images:
        sentences.append("No image is labelled in all categories: exact match is left out.")
    if scores.adjustment and labelled:
        sentences.append(_describe(scores))
    return sentences


def _describe(scores: Scores) -> str:
    """Describes what a price in mean accuracy has bought."""
    found = scores.adjustment
    recall = found.mean_class_recall_before, scores.mean_class_recall
    accuracy = found.mean_accuracy_before, scores.mean_accuracy
    return (
        f"--recall-price {found.recall_price:g} (weight of recall {found.recall_weight:g}): mean "
        f"class recall {recall[0]:.4f} -> {recall[1]:.4f} ({recall[1] - recall[0]:+.4f}), mean "
        f"accuracy {accuracy[0]:.4f} -> {accuracy[1]:.4f} ({accuracy[1] - accuracy[0]:+.4f})."
    )


def _compare(value: float | None, baseline: float | None) -> tuple[str, str, str | Text]:
    if value is None:
        return "-", "-", "-"
    colour = "green" if value > baseline else "red"
    return f"{value:.4f}", f"{baseline:.4f}", Text(f"{value - baseline:+.4f}", colour)


def _mark(images: int, beats: bool) -> str | Text:
    if not images:
        return "unlabelled"
    return "" if beats else Text("not above", "red")
