"""Probabilities that mean what they say: temperatures, calibration error, what may be accepted.

Where a price in mean accuracy is set, offsets of the logits favour rare attributes before that.

No TensorFlow: arrays of probabilities and labels in, numbers out.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from deepfashion_tf.documents import as_json, number_fault, read_document
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import write_atomically
from deepfashion_tf.inference.adjustment import (
    RECALL_WEIGHTS,
    Offsets,
    Tradeoff,
    recall_offsets,
)
from deepfashion_tf.schema import UNLABELLED, Schema
from deepfashion_tf.usage import command

CALIBRATION_FILE = "calibration.json"
BINS = 15
_TEMPERATURES = (0.05, 20.0)
_POINTS = 200  # of a coverage curve that are kept
LEAST = 1e-12  # probability


def decide(probabilities: np.ndarray, threshold: float | None = None) -> np.ndarray:
    """Returns the class ids that are answered: int ``[n]``.

    Args:
        probabilities: float ``[n, classes]``.
        threshold: of two classes, the second is answered from this probability on; None = the
            likeliest class is answered.
    """
    if threshold is None:
        return probabilities.argmax(axis=-1)
    return (probabilities[..., -1] >= threshold).astype(np.int64)


def certainty(probabilities: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Returns the probabilities of the classes that are answered: float ``[n]``."""
    return np.take_along_axis(probabilities, answers[..., None], axis=-1)[..., 0]


def fit_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Finds the probability of the second class from which on F1 is highest.

    Args:
        probabilities: float ``[n, 2]``, of images that the model has not learnt from.
        labels: int ``[n]``, 0 or 1; -1 = not labelled.

    Returns:
        The middle between two probabilities; None where no image has the second class.

    Reference:
        Lipton et al. 2014, Thresholding Classifiers to Maximize F1 Score.
    """
    known = labels != UNLABELLED
    values, is_there = probabilities[known, 1].astype(float), labels[known] == 1
    if not is_there.any():
        return None
    order = np.argsort(-values, kind="stable")
    values, hits = values[order], np.cumsum(is_there[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + hits[-1])
    # Images of the same probability are answered alike.
    f1[np.flatnonzero(np.diff(values) == 0)] = -1.0
    best = int(np.argmax(f1))
    below = values[best + 1] if best + 1 < len(values) else 0.0
    return float((values[best] + below) / 2)


def scale(
    probabilities: np.ndarray, temperature: float, offsets: Sequence[float] = ()
) -> np.ndarray:
    """Adds offsets to the logits behind probabilities, divides by a temperature, takes the softmax.

    softmax((z + o) / T) where p = softmax(z). Without offsets that is p_k^(1/T) / Σ_j p_j^(1/T),
    whose likeliest class stays the same. T > 1 makes a model less sure, T < 1 surer.

    Args:
        probabilities: float ``[..., classes]``, of sum 1.
        temperature: T > 0.
        offsets: o, one a class; empty = 0.

    Returns:
        Probabilities of the same shape.

    Reference:
        Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2.
    """
    logits = logits_of(probabilities)
    if len(offsets):
        logits = logits + np.asarray(offsets, logits.dtype)
    logits = logits / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def unscale(
    probabilities: np.ndarray, temperature: float, offsets: Sequence[float] = ()
) -> np.ndarray:
    """Returns the probabilities that `scale` makes these of."""
    powers = logits_of(probabilities) * temperature
    if len(offsets):
        powers = powers - np.asarray(offsets, powers.dtype)
    powers = np.exp(powers - powers.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Returns the logarithms of probabilities, those of 0 as of `LEAST`."""
    return np.log(np.maximum(probabilities, LEAST))


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Finds the likeliest temperature, between 0.05 and 20.

    The mean of −log softmax(z / T)_label + (log T)² / 2n over n images is the least. The second
    term is a prior that log T is of the size of 1: without it a dozen images that are all
    answered rightly would make a model certain of everything.

    Args:
        probabilities: float ``[n, classes]``, of images that the model has not learnt from.
        labels: int ``[n]``, class ids; -1 = not labelled.

    Returns:
        T; 1 where nothing is labelled.
    """
    known = labels != UNLABELLED
    if not known.any():
        return 1.0
    logits = logits_of(probabilities[known])
    chosen = logits[np.arange(len(logits)), labels[known]]

    def loss(log_temperature: float) -> float:
        inverse = np.exp(-log_temperature)
        scaled = logits * inverse
        highest = scaled.max(axis=1)
        total = highest + np.log(np.exp(scaled - highest[:, None]).sum(axis=1))
        return float(np.mean(total - chosen * inverse) + log_temperature**2 / (2 * len(logits)))

    bounds = tuple(np.log(_TEMPERATURES))
    from scipy import optimize  # takes half a second to import

    return float(np.exp(optimize.minimize_scalar(loss, bounds=bounds, method="bounded").x))


@dataclass(frozen=True)
class Reliability:
    """How probabilities and hits agree, in bins of equal width from 0 to 1.

    Attributes:
        counts: int ``[bins]``, answers in each.
        probabilities: float ``[bins]``, their mean probability; NaN where there are none.
        accuracies: float ``[bins]``, the share of them that is right.
    """

    counts: np.ndarray
    probabilities: np.ndarray
    accuracies: np.ndarray

    @classmethod
    def of(cls, probabilities: np.ndarray, hits: np.ndarray, bins: int = BINS) -> "Reliability":
        """Sorts answers into bins.

        Args:
            probabilities: float ``[n]``, of the answers given, 0 to 1.
            hits: float ``[n]``, 1 = right, 0 = wrong; NaN = not labelled, and not counted.
            bins: how many.
        """
        known = ~np.isnan(hits)
        probabilities, hits = np.asarray(probabilities)[known], hits[known]
        place = np.clip(np.ceil(probabilities * bins).astype(int) - 1, 0, bins - 1)
        counts = np.bincount(place, minlength=bins)
        with np.errstate(invalid="ignore"):
            return cls(
                counts,
                np.bincount(place, probabilities, bins) / counts,
                np.bincount(place, hits, bins) / counts,
            )

    @property
    def error(self) -> float:
        """The expected calibration error: Σ_b n_b / n · |accuracy_b − probability_b|.

        NaN without answers. Reference: Guo et al. 2017, eq. 3.
        """
        if not self.counts.sum():
            return float("nan")
        gaps = np.nan_to_num(np.abs(self.accuracies - self.probabilities))
        return float(np.sum(gaps * self.counts) / self.counts.sum())


@dataclass(frozen=True)
class Coverage:
    """What becomes of an answer that is accepted only from a probability on.

    Attributes:
        thresholds: falling probabilities.
        accepted: answers of at least that probability.
        wrong: how many of them are wrong.
        total: all answers.
    """

    thresholds: tuple[float, ...]
    accepted: tuple[int, ...]
    wrong: tuple[int, ...]
    total: int

    @classmethod
    def of(cls, probabilities: np.ndarray, hits: np.ndarray) -> "Coverage":
        """Counts; arguments as `Reliability.of` takes them."""
        known = ~np.isnan(hits)
        probabilities, hits = np.asarray(probabilities, float)[known], hits[known]
        order = np.argsort(-probabilities, kind="stable")
        values, wrong = probabilities[order], np.cumsum(1 - hits[order])
        # Answers of the same probability are accepted together.
        ends = np.flatnonzero(np.append(np.diff(values) != 0, True)) if len(values) else []
        kept = np.unique(np.linspace(0, len(ends) - 1, min(_POINTS, len(ends))).astype(int))
        places = np.asarray(ends, int)[kept]
        return cls(
            # Downwards, so that what was counted stays above.
            tuple((np.floor(values[places] * 1e6) / 1e6).tolist()),
            tuple((places + 1).tolist()),
            tuple(wrong[places].astype(int).tolist()),
            len(values),
        )

    def threshold_for(self, accuracy: float, confidence: float = 0.95) -> float | None:
        """Returns the lowest probability from which on answers may be accepted.

        The share of right answers from it on is at least `accuracy`: not only among the images
        that were counted, where luck would choose, but of all such images, with the confidence
        asked for. Thresholds are tested downwards by an exact binomial bound until one fails.
        Such a sequence may spend all of the risk on each test, because its order and its start
        do not hang on the answers: it begins at twice the fewest answers that could pass a test.

        Args:
            accuracy: asked of the answers that are accepted, 0 to 1.
            confidence: of this promise, 0 to 1.

        Returns:
            The threshold; None where none can be promised: answers are too few or too wrong.

        Reference:
            Angelopoulos et al. 2021, Learn then Test: Calibrating Predictive Algorithms to
            Achieve Risk Control, section on fixed sequence testing.
        """
        if accuracy >= 1.0:
            return None  # however many are right, the next one may be wrong
        risk = 1 - confidence
        least = np.log(risk) / np.log(accuracy) if accuracy > 0 else 0.0
        start = int(np.searchsorted(self.accepted, min(2 * least, self.total)))
        best = None
        for place in range(start, len(self.accepted)):
            if _upper_bound(self.wrong[place], self.accepted[place], risk) > 1 - accuracy:
                break
            best = self.thresholds[place]
        return best

    def share_from(self, threshold: float) -> float:
        """Returns the share of answers of at least this probability."""
        if not self.total:
            return float("nan")
        count = np.searchsorted(-np.array(self.thresholds), -threshold, side="right")
        return self.accepted[count - 1] / self.total if count else 0.0


def _upper_bound(wrong: int, count: int, allowed: float) -> float:
    """Returns Clopper and Pearson's one-sided upper bound of an error rate."""
    if wrong >= count:
        return 1.0
    from scipy import stats

    return float(stats.beta.ppf(1 - allowed, wrong + 1, count - wrong))


@dataclass(frozen=True)
class CategoryCalibration:
    """What one category's probabilities are worth, found on the validation split.

    Attributes:
        temperature: that its logits are divided by.
        coverage: of the scaled probabilities.
        offsets: of its attributes, added to the logits before; empty = 0.
        shares: of its attributes among the training images; empty = not known.
        own_temperature: that makes the network's own logits posterior ones, without offsets.
        threshold: scaled probability from which on an attribute of a category of kind multi is
            answered; None = the likeliest class is answered.
    """

    temperature: float
    coverage: Coverage
    offsets: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    own_temperature: float = 1.0
    threshold: float | None = None

    @classmethod
    def fit(
        cls,
        probabilities: np.ndarray,
        labels: np.ndarray,
        offsets: Sequence[float] = (),
        shares: Sequence[float] = (),
        is_part: bool = False,
    ) -> "CategoryCalibration":
        """Fits the temperature of the adjusted probabilities, and what may be accepted of them.

        Args:
            probabilities: as `fit_temperature` takes them.
            labels: as `fit_temperature` takes them.
            offsets: as `scale` takes them.
            shares: of the training images, to be kept.
            is_part: of a category of kind multi, so that a threshold is chosen.
        """
        own = temperature = fit_temperature(probabilities, labels)
        if len(offsets):
            temperature = fit_temperature(scale(probabilities, 1.0, offsets), labels)
        scaled = scale(probabilities, temperature, offsets)
        threshold = fit_threshold(scaled, labels) if is_part else None
        answers = decide(scaled, threshold)
        hits = np.where(labels == UNLABELLED, np.nan, answers == labels)
        coverage = Coverage.of(certainty(scaled, answers), hits)
        numbers = (tuple(float(value) for value in values) for values in (offsets, shares))
        return cls(temperature, coverage, *numbers, own, threshold)


class Calibration(dict[str, CategoryCalibration]):
    """Category -> its calibration; a category that is not there is left as it is.

    Attributes:
        recall_price: points of mean accuracy on the validation split that mean class recall may
            cost; 0 = the most probable attribute is the answer.
        recall_weight: of mean class recall in what the answers maximize, as `recall_offsets`
            takes it; what the price buys.
    """

    recall_price: float = 0.0
    recall_weight: float = 0.0

    @classmethod
    def fit(
        cls,
        probabilities: Mapping[str, np.ndarray],
        labels: Mapping[str, np.ndarray],
        shares: Offsets | None = None,
        recall_price: float = 0.0,
        parts: Collection[str] = (),
    ) -> "Calibration":
        """Fits every category in which something is labelled.

        The weight of mean class recall is one number for all categories. With a weight for each
        the scores of the validation split are higher, and the price is not kept on other images.

        Args:
            probabilities: category -> float ``[n, classes]``, of the validation split.
            labels: category -> int ``[n]``.
            shares: category -> float ``[classes]``, of the training images; None = not known.
            recall_price: points of mean accuracy that mean class recall may cost.
            parts: those that are parts of a category of kind multi.

        Raises:
            InputError: there is a price, and the shares are not known.
        """
        known = [c for c, values in labels.items() if (values != UNLABELLED).any()]
        labels = {category: labels[category] for category in known}
        probabilities = {category: probabilities[category] for category in known}
        shares = shares and {category: shares[category] for category in known}
        weight, offsets = 0.0, {}
        if recall_price and not shares:
            raise InputError("--recall-price needs the labels of the training images.")
        if recall_price:
            own = {c: fit_temperature(probabilities[c], labels[c]) for c in known}
            found = weigh_recall(probabilities, labels, shares, own)
            weight = found.settings[found.choose(recall_price)]
            offsets = recall_offsets(shares, own, weight) if weight else {}
        fitted = cls(
            {
                category: CategoryCalibration.fit(
                    probabilities[category],
                    labels[category],
                    offsets.get(category, ()),
                    shares[category] if shares else (),
                    category in parts,
                )
                for category in known
            }
        )
        fitted.recall_price, fitted.recall_weight = float(recall_price), weight
        return fitted

    @property
    def shares(self) -> dict[str, np.ndarray] | None:
        """Category -> shares of its attributes among the training images; None = not known."""
        known = {category: np.array(found.shares) for category, found in self.items()}
        return known if known and all(map(len, known.values())) else None

    def temperature(self, category: str) -> float:
        """Returns a category's temperature; 1 where none was fitted."""
        return self[category].temperature if category in self else 1.0

    def threshold(self, category: str) -> float | None:
        """Returns the probability from which on the second class is answered; None = argmax."""
        return self[category].threshold if category in self else None

    @property
    def decisions(self) -> dict[str, float]:
        """Part of a category of kind multi -> probability from which on its attribute is there."""
        return {
            name: found.threshold for name, found in self.items() if found.threshold is not None
        }

    def decide(self, probabilities: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns every category's answers of scaled probabilities: class ids, int ``[n]``."""
        return {
            category: decide(values, self.threshold(category))
            for category, values in probabilities.items()
        }

    def offsets(self, category: str) -> tuple[float, ...]:
        """Returns the offsets of a category's logits; empty where there are none."""
        return self[category].offsets if category in self else ()

    def scale(self, probabilities: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Adjusts and scales every category's probabilities."""
        return {
            category: scale(values, self.temperature(category), self.offsets(category))
            for category, values in probabilities.items()
        }

    def unscale(self, probabilities: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the network's own probabilities, which `scale` makes these of."""
        return {
            category: unscale(values, self.temperature(category), self.offsets(category))
            for category, values in probabilities.items()
        }

    def save(self, path: Path) -> None:
        """Writes JSON."""
        document = {
            "recall_price": self.recall_price,
            "recall_weight": self.recall_weight,
            "categories": {category: _as_document(found) for category, found in self.items()},
        }
        write_atomically(path, as_json(document) + "\n")

    @classmethod
    def load(cls, path: Path, schema: Schema | None = None) -> "Calibration":
        """Reads what `save` wrote; of a file that is not there, one that changes nothing.

        Args:
            path: of the file.
            schema: that the file has to fit; None = any.

        Raises:
            InputError: the file is broken, or holds a value that no calibration has.
        """
        try:
            document = read_document(path)
            if _is_of_before_prices(document):
                document = {"recall_price": 0.0, "recall_weight": 0.0, "categories": document}
            loaded = cls()
            loaded.recall_price = _number(document, "recall_price", 0.0, 100.0)
            loaded.recall_weight = _number(document, "recall_weight", 0.0, 1.0)
            for category, found in _object(document, "categories").items():
                classes = _classes_of(category, schema)
                loaded[category] = _read_category(found, f"{category}: ", classes)
                if (
                    schema
                    and loaded[category].threshold is not None
                    and not _is_part(category, schema)
                ):
                    raise ValueError(
                        f"{category}: a threshold is for attributes of a category of kind multi"
                    )
            return loaded
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} cannot be read as a run's calibration ({error}): mend it, or delete it "
                f"and run {command('evaluate')} --split val, which makes it anew."
            ) from error


def _as_document(found: CategoryCalibration) -> dict:
    """Returns what is written of a category; a threshold only where there is one."""
    document = asdict(found)
    if found.threshold is None:
        del document["threshold"]
    return document


def weigh_recall(
    probabilities: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    shares: Offsets,
    temperatures: Mapping[str, float],
) -> Tradeoff:
    """Scores the answers under every weight of mean class recall.

    Args:
        probabilities: category -> float ``[n, classes]``, the network's own.
        labels: category -> int ``[n]``, class ids; -1 = not labelled.
        shares: as `recall_offsets` takes them.
        temperatures: of the same probabilities.
    """
    logits = {category: logits_of(values) for category, values in probabilities.items()}
    offsets = [recall_offsets(shares, temperatures, weight) for weight in RECALL_WEIGHTS]
    return Tradeoff.of(logits, labels, RECALL_WEIGHTS, offsets)


def _is_of_before_prices(document: Mapping) -> bool:
    """Whether a file holds its categories alone."""
    categories = document.get("categories")
    return "recall_price" not in document and not (
        isinstance(categories, Mapping) and "temperature" not in categories
    )


def _classes_of(category: str, schema: Schema | None) -> int | None:
    if schema is None:
        return None
    if category not in schema:
        raise ValueError(f"{category} is none of the categories {', '.join(schema)}")
    return len(schema[category])


def _is_part(category: str, schema: Schema) -> bool:
    return any(c.name == category and c.part_of for c in schema.categories)


def _read_category(found: object, place: str, classes: int | None) -> CategoryCalibration:
    if not isinstance(found, Mapping):
        raise ValueError(f"{place}its values are not an object in braces")
    temperature = _number(found, "temperature", *_TAKEN, place)
    own = {"own_temperature": temperature, **found}
    return CategoryCalibration(
        temperature,
        _read_coverage(_object(found, "coverage", place), f"{place}coverage."),
        _numbers(found, "offsets", -_MOST_OFFSET, _MOST_OFFSET, place, classes),
        _numbers(found, "shares", 0.0, 1.0, place, classes),
        _number(own, "own_temperature", *_TAKEN, place),
        _number(found, "threshold", 0.0, 1.0, place) if "threshold" in found else None,
    )


def _read_coverage(found: Mapping, place: str) -> Coverage:
    total = _number(found, "total", 0, _MOST_IMAGES, place)
    if total != int(total):
        raise ValueError(f"{place}total is {total:g}, but must be a whole number")
    thresholds = _numbers(found, "thresholds", 0.0, 1.0, place)
    accepted = _numbers(found, "accepted", 0, total, place, len(thresholds))
    wrong = _numbers(found, "wrong", 0, total, place, len(thresholds))
    for name, values in (("accepted", accepted), ("wrong", wrong)):
        if any(value != int(value) for value in values):
            raise ValueError(f"{place}{name} holds parts of images: give whole numbers")
    for name, values in (("accepted", accepted), ("wrong", wrong)):
        if any(later < one for one, later in itertools.pairwise(values)):
            raise ValueError(f"{place}{name} falls, but it counts ever more images")
    if any(later > one for one, later in itertools.pairwise(thresholds)):
        raise ValueError(f"{place}thresholds rises, but thresholds fall")
    if any(bad > count for bad, count in zip(wrong, accepted, strict=True)):
        raise ValueError(f"{place}wrong counts more images than accepted")
    whole = (tuple(map(int, values)) for values in (accepted, wrong))
    return Coverage(thresholds, *whole, int(total))


def _object(found: Mapping, name: str, place: str = "") -> Mapping:
    value = found.get(name)
    if not isinstance(value, Mapping):
        raise ValueError(f"{place}{name} is missing or no object in braces")
    return value


def _number(found: Mapping, name: str, low: float, high: float, place: str = "") -> float:
    if name not in found:
        raise ValueError(f"{place}{name} is missing")
    if fault := number_fault(f"{place}{name}", found[name], low, high):
        raise ValueError(fault)
    return float(found[name])


def _numbers(
    found: Mapping, name: str, low: float, high: float, place: str, count: int | None = None
) -> tuple[float, ...]:
    """Reads a list of numbers: `count` of them, or none where the list may be missing."""
    values = found.get(name, [])
    if not isinstance(values, list):
        raise ValueError(f"{place}{name} is no list")
    is_optional = name in _OPTIONAL
    if count is not None and len(values) != count and not (is_optional and not values):
        raise ValueError(f"{place}{name} has {len(values)} numbers, but must have {count}")
    for value in values:
        if fault := number_fault(f"{place}{name}", value, low, high):
            raise ValueError(fault)
    return tuple(map(float, values))


_OPTIONAL = ("offsets", "shares")
_TAKEN = (0.01, 100.0)  # temperatures; those that are fitted lie between
_MOST_OFFSET = 100.0
_MOST_IMAGES = 10**9
