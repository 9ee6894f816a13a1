"""Scores of answers against labels, always beside the majority baseline."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from deepfashion_tf.category import NOT_APPLICABLE
from deepfashion_tf.data.split import Split
from deepfashion_tf.documents import as_json, read_document
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import write_atomically
from deepfashion_tf.schema import UNLABELLED, Schema
from deepfashion_tf.usage import command

METRICS_FILE = "metrics.json"  # a run's scores on its validation split


@dataclass(frozen=True)
class Detection:
    """How well one attribute is found among the labelled images.

    Attributes:
        images: how many have it.
        share: of the labelled images; the average precision of answers at random.
        average_precision: Σ_k (R_k − R_{k−1}) P_k over falling probabilities, 0 to 1; None where
            no image has it.
        f1: 2TP / (2TP + FP + FN) of the answers; 0 where nothing is found.
    """

    images: int
    share: float
    average_precision: float | None
    f1: float

    @property
    def constant_f1(self) -> float:
        """F1 of always answering that the attribute is there: no constant answer has more."""
        return 2 * self.share / (1 + self.share)

    @property
    def beats_constant(self) -> bool:
        """Whether F1 is above that; of what no image has, nothing can be found."""
        return not self.images or self.f1 > self.constant_f1

    @classmethod
    def of(cls, probabilities: np.ndarray, found: np.ndarray, is_there: np.ndarray) -> "Detection":
        """Scores answers.

        Args:
            probabilities: float ``[n]``, that the attribute is there.
            found: bool ``[n]``, whether that is answered.
            is_there: bool ``[n]``, whether it is labelled.
        """
        count, precision = int(is_there.sum()), None
        if count:
            order = np.argsort(-probabilities, kind="stable")
            # Images of the same probability are found together.
            ends = np.flatnonzero(np.append(np.diff(probabilities[order]) != 0, True))
            hits = np.cumsum(is_there[order])[ends]
            precision = float(np.sum(np.diff(hits, prepend=0) / count * hits / (ends + 1)))
        together = int(found.sum()) + count
        f1 = 2 * float((found & is_there).sum()) / together if together else 0.0
        return cls(count, count / len(is_there), precision, f1)


@dataclass(frozen=True)
class CategoryScore:
    """Scores of one category over the images that are labelled in it.

    Attributes:
        images: how many images are labelled; with none the scores are None.
        accuracy: share of them that is answered rightly.
        majority_baseline: share of the commonest class among them. No constant
            answer scores higher on this split.
        class_recall: attribute -> share of its images that is answered rightly;
            None for an attribute that no image has.
        calibration_error: expected calibration error of the probabilities given, 0 to 1.
        calibration_error_before: the same of the network's own probabilities.
        part_of: the category of kind multi that it is a part of; None = none.
        detects: the attribute that is found or not; None = all attributes are alike.
        detection: how well that attribute is found; None where `detects` is.
    """

    images: int
    accuracy: float | None
    majority_baseline: float | None
    class_recall: dict[str, float | None]
    calibration_error: float | None = None
    calibration_error_before: float | None = None
    part_of: str | None = None
    detects: str | None = None
    detection: Detection | None = None

    @property
    def beats_baseline(self) -> bool:
        if self.part_of and self.detection:
            return self.detection.beats_constant
        return self.images > 0 and self.accuracy > self.majority_baseline


@dataclass(frozen=True)
class Adjustment:
    """What a price in mean accuracy has bought.

    Attributes:
        recall_price: points of mean accuracy that were allowed, on the validation split.
        recall_weight: of mean class recall in what the answers maximize, 0 to 1.
        mean_accuracy_before: of the network's own answers.
        mean_class_recall_before: of the same.
    """

    recall_price: float
    recall_weight: float
    mean_accuracy_before: float | None
    mean_class_recall_before: float | None


@dataclass(frozen=True)
class Scores:
    """Scores of one split.

    Attributes:
        split: its name.
        images: how many images it has, labelled or not.
        categories: category -> its scores.
        source: what the images are listed in.
        adjustment: of the answers that are scored; None = they are the network's own.
        exact_match_images: how many images are labelled in all of the categories that apply.
        exact_match: share of these whose answers are right in all categories; None without any.
        majority_exact_match: the same of always answering each category's commonest class.
    """

    split: str
    images: int
    categories: dict[str, CategoryScore]
    source: str = ""
    adjustment: Adjustment | None = None
    exact_match_images: int = 0
    exact_match: float | None = None
    majority_exact_match: float | None = None

    @property
    def mean_accuracy(self) -> float | None:
        """Mean of the accuracies of the categories that are labelled: the challenge's score.

        The accuracy of a category of kind multi is the mean of its parts'.
        """
        return self._over_categories("accuracy")

    @property
    def majority_baseline(self) -> float | None:
        """What always answering each category's commonest class would score."""
        return self._over_categories("majority_baseline")

    @property
    def mean_class_recall(self) -> float | None:
        """Mean recall of all attributes that the split has images of."""
        return _mean(
            recall for score in self.categories.values() for recall in score.class_recall.values()
        )

    @property
    def majority_class_recall(self) -> float | None:
        """Mean class recall of always answering each category's commonest class."""
        found = [
            sum(recall is not None for recall in score.class_recall.values())
            for score in self.categories.values()
        ]
        return sum(count > 0 for count in found) / sum(found) if sum(found) else None

    @property
    def groups(self) -> dict[str, dict[str, CategoryScore]]:
        """Category as a user knows it -> the scores of itself, or of its parts."""
        found: dict[str, dict[str, CategoryScore]] = {}
        for name, score in self.categories.items():
            found.setdefault(score.part_of or name, {})[name] = score
        return found

    def _over_categories(self, name: str) -> float | None:
        return _mean(mean_of(parts, name) for parts in self.groups.values())

    @property
    def detections(self) -> dict[str, Detection]:
        """Category -> detection, of the attributes of kind multi that images are labelled with."""
        return {
            name: score.detection
            for name, score in self.categories.items()
            if score.detection and score.detects != NOT_APPLICABLE
        }

    @property
    def applicability(self) -> dict[str, Detection]:
        """Optional category -> how well it is found that it does not apply."""
        return {
            score.part_of or name: score.detection
            for name, score in self.categories.items()
            if score.detection and score.detects == NOT_APPLICABLE
        }

    @property
    def mean_average_precision(self) -> float | None:
        """Mean of the average precisions of all attributes of kind multi that some image has."""
        return _mean(found.average_precision for found in self.detections.values())

    @property
    def mean_f1(self) -> float | None:
        """Mean of the F1 of all attributes of kind multi that some image has."""
        return _mean(found.f1 for found in self.detections.values() if found.images)

    @property
    def applicability_f1(self) -> float | None:
        """Mean over optional categories of the F1 of "not applicable"."""
        return _mean(found.f1 for found in self.applicability.values() if found.images)

    @property
    def mean_calibration_error(self) -> float | None:
        """Mean of the categories' calibration errors."""
        return _mean(score.calibration_error for score in self.categories.values())

    @property
    def mean_calibration_error_before(self) -> float | None:
        """The same of the network's own probabilities."""
        return _mean(score.calibration_error_before for score in self.categories.values())

    @property
    def classes_without_images(self) -> list[str]:
        """Attributes left out of `mean_class_recall`, since no image has them."""
        return self.unseen_attributes(self.categories)

    def unseen_attributes(self, categories: Iterable[str]) -> list[str]:
        """Lists the attributes of some categories that no image has."""
        names = Counter(name for score in self.categories.values() for name in score.class_recall)
        return [
            attribute if names[attribute] == 1 else f"{category}.{attribute}"
            for category in categories
            for attribute, recall in self.categories[category].class_recall.items()
            if recall is None
        ]

    @property
    def beaten_by_baseline(self) -> list[str]:
        """Labelled categories whose accuracy is not above their baseline."""
        return [
            category
            for category, score in self.categories.items()
            if score.images and not score.beats_baseline
        ]

    def save(self, path: Path) -> None:
        """Writes metrics.json."""
        document = {
            "split": self.split,
            "source": self.source,
            "images": self.images,
            "mean_accuracy": self.mean_accuracy,
            "mean_class_recall": self.mean_class_recall,
            "majority_baseline": self.majority_baseline,
            "majority_class_recall": self.majority_class_recall,
            "exact_match": self.exact_match,
            "majority_exact_match": self.majority_exact_match,
            "exact_match_images": self.exact_match_images,
            "mean_calibration_error": self.mean_calibration_error,
            "mean_calibration_error_before": self.mean_calibration_error_before,
            "adjustment": asdict(self.adjustment) if self.adjustment else None,
            "classes_without_images": self.classes_without_images,
            "categories": {category: _entry(score) for category, score in self.categories.items()},
        }
        kinds = ("mean_average_precision", "mean_f1", "applicability_f1")
        document |= {n: value for n in kinds if (value := getattr(self, n)) is not None}
        write_atomically(path, as_json(document, indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Scores":
        """Reads what `save` wrote.

        Raises:
            InputError: the file is missing or is none of ours.
        """
        try:
            document = read_document(path)
            categories = {
                name: CategoryScore(**entry | _nested(entry))
                for name, entry in document["categories"].items()
            }
            adjustment = document.get("adjustment")
            return cls(
                document["split"],
                document["images"],
                categories,
                document.get("source", ""),
                Adjustment(**adjustment) if adjustment else None,
                document.get("exact_match_images", 0),
                document.get("exact_match"),
                document.get("majority_exact_match"),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} cannot be read as scores ({error}): run {command('evaluate')} to write "
                f"them."
            ) from error


def _entry(score: CategoryScore) -> dict:
    """Returns what is written of a category: of kinds only where it has one."""
    kinds = ("part_of", "detects", "detection")
    return {k: v for k, v in asdict(score).items() if k not in kinds or v is not None}


def _nested(entry: dict) -> dict:
    found = entry.get("detection")
    return {"detection": Detection(**found)} if found else {}


def score(split: Split, answers: np.ndarray) -> Scores:
    """Scores answers.

    Exact match counts the images that are labelled in all categories of the split. Where a
    category of kind multi does not apply, its other parts need no label.

    Args:
        split: whose labels are right; -1 = not labelled, not scored.
        answers: int ``[images, categories]``, class ids.
    """
    labels = split.labels
    categories, commonest = {}, []
    for column, about in enumerate(split.schema.categories):
        category, attributes = about.name, about.attributes
        labelled = labels[:, column] != UNLABELLED
        truth, answer = labels[labelled, column], answers[labelled, column]
        counts = np.bincount(truth, minlength=len(attributes))
        hits = np.bincount(truth[truth == answer], minlength=len(attributes))
        total = int(counts.sum())
        commonest.append(counts.argmax())
        categories[category] = CategoryScore(
            images=total,
            accuracy=float(hits.sum() / total) if total else None,
            majority_baseline=float(counts.max() / total) if total else None,
            class_recall={
                attribute: float(hits[i] / counts[i]) if counts[i] else None
                for i, attribute in enumerate(attributes)
            },
            part_of=about.part_of,
            detects=about.detects,
        )
    complete, right = match_exactly(split.schema, labels, answers)
    majority = match_exactly(split.schema, labels, np.broadcast_to(commonest, labels.shape))[1]
    exact, majority = (
        float(hits[complete].mean()) if complete.any() else None for hits in (right, majority)
    )
    return Scores(
        split.name,
        len(split),
        categories,
        split.source,
        exact_match_images=int(complete.sum()),
        exact_match=exact,
        majority_exact_match=majority,
    )


def match_exactly(
    schema: Schema, labels: np.ndarray, answers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the images that are labelled in all categories, and those answered rightly in all.

    Where a category of kind multi does not apply, its other parts neither need a label nor count.

    Args:
        schema: the categories.
        labels: int ``[n, categories]``, class ids; -1 = not labelled.
        answers: int ``[n, categories]``, class ids.

    Returns:
        Two times bool ``[n]``.
    """
    needed, names = np.ones(labels.shape, bool), list(schema)
    for parts in schema.groups.values():
        if parts[0].part_of and parts[-1].is_optional:
            columns = [names.index(part.name) for part in parts]
            needed[:, columns[:-1]] = (labels[:, columns[-1]] != 1)[:, None]
    complete = ((labels != UNLABELLED) | ~needed).all(axis=1)
    return complete, ((labels == answers) | ~needed).all(axis=1)


def mean_of(parts: Mapping[str, CategoryScore], name: str) -> float | None:
    """Returns the mean of a score over the parts of a category; None where none has it."""
    return _mean(getattr(score, name) for score in parts.values())


def _mean(values) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
