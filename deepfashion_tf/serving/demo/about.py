"""What the page tells of a run: on what it was trained, and how often it is right."""

from dataclasses import dataclass
from pathlib import Path

from deepfashion_tf.evaluation.scores import CategoryScore, Scores
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.runs.config import CONFIG_FILE
from deepfashion_tf.runs.run import Run

_SCORES = ("metrics.json", "metrics-val.json")  # of the validation split


@dataclass(frozen=True)
class About:
    """What is known of a model beside its answers.

    Attributes:
        name: of its run.
        trained_on: a sentence.
        measured: a sentence.
        of_category: category -> a sentence on how often it is right.
        doubtful: the categories in which nothing was learnt, or nothing of use.
        unlearnt: those in which nothing was learnt.
    """

    name: str
    trained_on: str
    measured: str
    of_category: dict[str, str]
    doubtful: list[str]
    unlearnt: set[str]


def describe(predictor: Predictor, path: Path) -> About:
    """Describes a run, its ``model.keras``, or an export.

    An export says nothing of its accuracy; one that still lies in its run directory is
    described by what stands there.

    Raises:
        InputError: the run's scores are broken.
    """
    run, scores = find_run(path), None
    if run:
        found = [run.directory / name for name in _SCORES if (run.directory / name).is_file()]
        scores = Scores.load(found[0]) if found else None
    images = "drawings" if run and run.config.is_wardrobe else "images"
    groups, known = predictor.schema.groups, scores.categories if scores else {}
    unlearnt = {
        name
        for name, parts in groups.items()
        if all(part.name in predictor.untrained for part in parts)
    }
    of_category = {
        category: _tell_multi([known.get(part.name) for part in parts])
        if parts[0].part_of and category not in unlearnt
        else _tell_category(known.get(category), category in unlearnt, images)
        for category, parts in groups.items()
    }
    beaten = scores.beaten_by_baseline if scores else ()
    doubtful = unlearnt | {
        name for name, parts in groups.items() if all(part.name in beaten for part in parts)
    }
    return About(
        name_of(path),
        _tell_training(run),
        _tell_scores(scores, images),
        of_category,
        [category for category in groups if category in doubtful],
        unlearnt,
    )


def name_of(path: Path) -> str:
    """Names what answers: the run that a path is, or lies in; otherwise the export's folder."""
    run = find_run(path)
    return (run.directory if run else path).resolve().name


def find_run(path: Path) -> Run | None:
    """Finds the run directory that a path is, or lies in."""
    path = path.resolve()
    directory = path if (path / CONFIG_FILE).is_file() else path.parent
    return Run.load(directory) if (directory / CONFIG_FILE).is_file() else None


def _tell_training(run: Run | None) -> str:
    if not run:
        return (
            "This is an export without its run directory, which would say what it was trained on."
        )
    config = run.config
    if config.is_wardrobe:
        return (
            "Trained on drawings of garments, not on photographs: its accuracy on photographs "
            "is not measured."
        )
    return f"Trained on {Path(config.data_name).name}; it knows only images like those."


def _tell_scores(scores: Scores | None, images: str) -> str:
    if scores is None or scores.mean_accuracy is None:
        return "How often it is right was not measured."
    return (
        f"Right in {scores.mean_accuracy:.1%} of its answers for {scores.images} {images} of the "
        f"{_split(scores)} split (mean accuracy); always answering each category's commonest "
        f"attribute is right in {scores.majority_baseline:.1%}."
    )


def _split(scores: Scores) -> str:
    return {"val": "validation"}.get(scores.split, scores.split)


def _tell_multi(scores: list[CategoryScore | None]) -> str:
    found = [score.detection for score in scores if score and score.detection]
    found = [one for one in found if one.images]
    if not found:
        return "Not measured: no image with a label to compare with."
    f1, constant = (
        sum(values) / len(found)
        for values in zip(*((d.f1, d.constant_f1) for d in found), strict=True)
    )
    return (
        f"Any number of these. F1 {f1:.2f}, the mean over {len(found)} attributes; always "
        f"answering each of them: {constant:.2f}."
    )


def _tell_category(score: CategoryScore | None, is_untrained: bool, images: str) -> str:
    if is_untrained:
        return "Not learnt: no training image was labelled in it."
    if score is None or not score.images:
        return "Not measured: no image with a label to compare with."
    shares = (
        f"Right for {score.accuracy:.0%} of {score.images} {images}; always its commonest answer: "
        f"{score.majority_baseline:.0%}."
    )
    if score.beats_baseline:
        return shares
    return f"Nothing of use was learnt. {shares}"
