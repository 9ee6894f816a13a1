"""One category's answer for one image, and the table that answers make. No TensorFlow."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from deepfashion_tf.category import NOT_APPLICABLE, Category
from deepfashion_tf.data.labels import join_attributes
from deepfashion_tf.data.split import WHOLE_IMAGE
from deepfashion_tf.data.table_file import BOX
from deepfashion_tf.escaping import encodable
from deepfashion_tf.inference.batch import Batch, Probabilities
from deepfashion_tf.inference.calibration import Calibration, certainty, decide
from deepfashion_tf.inference.items import Item
from deepfashion_tf.schema import Schema

ACCEPTED, UNSURE, NOT_LEARNT = "accepted", "unsure", "not_learnt"
STATUSES = (ACCEPTED, UNSURE, NOT_APPLICABLE, NOT_LEARNT)


class Calibrated(Protocol):
    """What answers, and how sure its answers are; a `Predictor` does."""

    name: str
    schema: Schema
    untrained: tuple[str, ...]
    calibration: Calibration


@dataclass(frozen=True)
class Wanted:
    """How answers are returned.

    Attributes:
        schema: the categories.
        untrained: those that the model cannot answer.
        thresholds: category -> probability below which an answer is "unsure"; above 1: always.
        top: how many attributes are listed of each category, the likeliest first.
        with_boxes: whether the boxes are listed, too.
        decisions: part of a category of kind multi -> probability from which on its attribute is
            answered; where there is none, from 0.5.
        kept: columns of the input that stand between the image and the answers, and their types:
            "string", "int32" or "float32".
    """

    schema: Schema
    untrained: tuple[str, ...] = ()
    thresholds: dict[str, float] | None = None
    top: int = 1
    with_boxes: bool = False
    decisions: Mapping[str, float] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: Calibrated,
        thresholds: dict[str, float] | None = None,
        top: int = 1,
        with_boxes: bool = False,
        kept: Iterable[str] = (),
    ) -> "Wanted":
        """Returns how a model's answers are returned; `kept` names columns of text."""
        decisions = model.calibration.decisions
        texts = dict.fromkeys(kept, "string")
        return cls(
            model.schema, tuple(model.untrained), thresholds, top, with_boxes, decisions, texts
        )


@dataclass(frozen=True)
class Answer:
    """One category's answer for one image.

    Attributes:
        attribute: the likeliest; of kind multi, all that are found, with semicolons between them,
            or "none". None = no training image was labelled in the category.
        probability: 0 to 1; of kind multi, of the least certain of its attributes.
        status: one of STATUSES.
        others: the next attributes and their probabilities, falling.
        attributes: those that are answered, with their probabilities, falling.
        part: the category whose heat map explains the answer.
    """

    attribute: str | None
    probability: float
    status: str
    others: list[tuple[str, float]]
    attributes: tuple[tuple[str, float], ...]
    part: str

    @property
    def is_sure(self) -> bool:
        """Whether the answer reaches the category's threshold."""
        return self.status != UNSURE


class Answering:
    """Reads answers off the probabilities of one batch.

    Args:
        probabilities: part of the schema -> float ``[n, classes]``.
        wanted: how answers are returned.
    """

    def __init__(self, probabilities: Probabilities, wanted: Wanted) -> None:
        self._wanted, self._values = wanted, probabilities
        self._ids = {
            name: decide(values, wanted.decisions.get(name))
            for name, values in probabilities.items()
        }
        self._certain = {
            name: certainty(values, self._ids[name]) for name, values in probabilities.items()
        }
        self._orders = {
            name: np.argsort(-values, axis=1, kind="stable")[:, : wanted.top]
            for name, values in probabilities.items()
        }

    def row(self, row: int) -> dict[str, Answer]:
        """Returns the answers for one image: category, as a user knows it -> answer."""
        return {
            name: (self._multi if parts[0].part_of else self._single)(row, parts)
            for name, parts in self._wanted.schema.groups.items()
        }

    def _single(self, row: int, parts: tuple[Category, ...]) -> Answer:
        (category,) = parts
        name, values = category.name, self._values[category.name][row]
        ranked = [(category.attributes[k], float(values[k])) for k in self._orders[name][row]]
        (attribute, probability), *others = ranked
        if name in self._wanted.untrained:
            return Answer(None, probability, NOT_LEARNT, [], (), name)
        status = self._status([name], row, attribute if category.is_optional else None)
        return Answer(attribute, probability, status, others, (ranked[0],), name)

    def _multi(self, row: int, parts: tuple[Category, ...]) -> Answer:
        known = [part for part in parts if part.name not in self._wanted.untrained]
        if not known:
            least = min(float(self._certain[part.name][row]) for part in parts)
            return Answer(None, least, NOT_LEARNT, [], (), parts[0].name)
        last = known[-1]
        if last.is_optional and self._ids[last.name][row]:
            sure = float(self._certain[last.name][row])
            status = self._status([last.name], row, NOT_APPLICABLE)
            return Answer(NOT_APPLICABLE, sure, status, [], ((NOT_APPLICABLE, sure),), last.name)
        asked = [part for part in known if not part.is_optional] or known
        ranked = sorted(asked, key=lambda part: -self._values[part.name][row, 1])
        is_found = {part.name: bool(self._ids[part.name][row]) for part in asked}
        told = [(part, float(self._values[part.name][row, 1])) for part in ranked]
        found = tuple((part.attributes[1], p) for part, p in told if is_found[part.name])
        others = [(part.attributes[1], p) for part, p in told if not is_found[part.name]]
        return Answer(
            join_attributes(
                [part.attributes[1] for part in asked if is_found[part.name]],
                [part.attributes[1] for part in asked],
            ),
            min(float(self._certain[part.name][row]) for part in known),
            self._status([part.name for part in known], row),
            others[: self._wanted.top - 1],
            found,
            ranked[0].name,
        )

    def _status(self, names: list[str], row: int, attribute: str | None = None) -> str:
        least = self._wanted.thresholds or {}
        if any(self._certain[name][row] < least.get(name, 0.0) for name in names):
            return UNSURE
        return NOT_APPLICABLE if attribute == NOT_APPLICABLE else ACCEPTED


def answers_of(batch: Batch, wanted: Wanted) -> Iterator[tuple[Item, dict[str, Answer]]]:
    """Reads the answers off a batch's probabilities: category -> answer, an image at a time."""
    answering = Answering(batch.probabilities, wanted)
    for row, item in enumerate(batch.answered):
        yield item, answering.row(row)


def columns(wanted: Wanted) -> list[str]:
    """Names the columns of a table: image, the box if asked for, and those of each category."""
    names = []
    for category in wanted.schema.groups:
        names += [category, f"{category}_probability", f"{category}_status"]
        for place in range(2, _places(wanted, category) + 2):
            names += [f"{category}_{place}", f"{category}_{place}_probability"]
    first = ["image", *(BOX if wanted.with_boxes else ())]
    return [*first, *free_names(wanted.kept, {*first, *names}), *names]


def free_names(names: Iterable[str], taken: Collection[str]) -> list[str]:
    """Names columns of the input so that no two columns have one name.

    Args:
        names: of the columns.
        taken: names that other columns have.
    """
    found: list[str] = []
    names = list(names)
    for name in names:
        free = name
        while free in taken or free in found or (free != name and free in names):
            free = f"input_{free}"
        found.append(free)
    return found


def _places(wanted: Wanted, category: str) -> int:
    """Counts the other attributes that have columns of their own: none of kind multi."""
    return min(wanted.top, len(wanted.schema.get(category, "1"))) - 1


def rows(batch: Batch, wanted: Wanted) -> Iterator[list]:
    """Yields the rows of a table; a box is empty where the whole image was used.

    Bytes of an image's name that are no UTF-8 stand there as escapes.
    """
    for item, answers in answers_of(batch, wanted):
        row: list = [encodable(item.image)]
        if wanted.with_boxes:
            row += [None] * 4 if item.box == WHOLE_IMAGE else item.box
        row += item.kept or (None,) * len(wanted.kept)
        for category, answer in answers.items():
            row += [answer.attribute, round(answer.probability, 6), answer.status]
            places = _places(wanted, category)
            others = answer.others or [(None, None)] * places
            for name, probability in others[:places]:
                row += [name, None if probability is None else round(probability, 6)]
        yield row
