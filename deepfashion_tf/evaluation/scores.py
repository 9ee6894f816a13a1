"""Scores of answers against labels, always beside the majority baseline."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from deepfashion_tf.data.split import Split
from deepfashion_tf.documents import as_json, read_document
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import write_atomically
from deepfashion_tf.schema import UNLABELLED
from deepfashion_tf.usage import command

METRICS_FILE = "metrics.json"  # a run's scores on its validation split


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
    """

    images: int
    accuracy: float | None
    majority_baseline: float | None
    class_recall: dict[str, float | None]
    calibration_error: float | None = None
    calibration_error_before: float | None = None

    @property
    def beats_baseline(self) -> bool:
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
        exact_match_images: how many images are labelled in all of the categories.
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
        """Mean of the accuracies of the categories that are labelled: the challenge's score."""
        return _mean(score.accuracy for score in self.categories.values())

    @property
    def majority_baseline(self) -> float | None:
        """What always answering each category's commonest class would score."""
        return _mean(score.majority_baseline for score in self.categories.values())

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
            "categories": {category: asdict(score) for category, score in self.categories.items()},
        }
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
                name: CategoryScore(**entry) for name, entry in document["categories"].items()
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


def score(split: Split, answers: np.ndarray) -> Scores:
    """Scores answers.

    Exact match counts the images that are labelled in all categories of the split.

    Args:
        split: whose labels are right; -1 = not labelled, not scored.
        answers: int ``[images, categories]``, class ids.
    """
    labels = split.labels
    categories, commonest = {}, []
    for column, (category, attributes) in enumerate(split.schema.items()):
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
        )
    complete = (labels != UNLABELLED).all(axis=1)
    exact, majority = (
        float((labels == given)[complete].all(axis=1).mean()) if complete.any() else None
        for given in (answers, commonest)
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


def _mean(values) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
