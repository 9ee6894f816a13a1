"""One category's answer for one image, and the table that answers make. No TensorFlow."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deepfashion_tf.data.split import WHOLE_IMAGE
from deepfashion_tf.data.table_file import BOX
from deepfashion_tf.escaping import encodable
from deepfashion_tf.inference.batch import Batch
from deepfashion_tf.inference.items import Item
from deepfashion_tf.schema import Schema

UNSURE = "unsure"


@dataclass(frozen=True)
class Wanted:
    """How answers are given.

    Attributes:
        schema: the categories.
        untrained: those that the model cannot answer.
        thresholds: category -> probability below which an answer is "unsure"; above 1: always.
        top: how many attributes are told of each category, the likeliest first.
        with_boxes: whether the boxes are told, too.
    """

    schema: Schema
    untrained: tuple[str, ...] = ()
    thresholds: dict[str, float] | None = None
    top: int = 1
    with_boxes: bool = False


@dataclass(frozen=True)
class Answer:
    """One category's answer for one image.

    Attributes:
        attribute: the likeliest; None = no training image was labelled in the category.
        probability: 0 to 1.
        is_sure: whether it reaches the category's threshold.
        others: the next ones and their probabilities, falling.
    """

    attribute: str | None
    probability: float
    is_sure: bool
    others: list[tuple[str, float]]

    @property
    def text(self) -> str | None:
        """What stands in a table: the attribute, or that it is unsure."""
        return self.attribute if self.is_sure or self.attribute is None else UNSURE


def answers_of(batch: Batch, wanted: Wanted) -> Iterator[tuple[Item, dict[str, Answer]]]:
    """Reads the answers off a batch's probabilities: category -> answer, an image at a time."""
    orders = {
        name: np.argsort(-values, axis=1, kind="stable")[:, : wanted.top]
        for name, values in batch.probabilities.items()
    }
    for row, item in enumerate(batch.answered):
        answers = {}
        for category, attributes in wanted.schema.items():
            values = batch.probabilities[category][row]
            ranked = [(attributes[k], float(values[k])) for k in orders[category][row]]
            attribute, probability = ranked[0]
            least = (wanted.thresholds or {}).get(category, 0.0)
            known = category not in wanted.untrained
            answers[category] = Answer(
                attribute if known else None, probability, probability >= least, ranked[1:] * known
            )
        yield item, answers


def columns(wanted: Wanted) -> list[str]:
    """Names the columns of a table: image, the box if asked for, and those of each category."""
    names = ["image", *(BOX if wanted.with_boxes else ())]
    for category, attributes in wanted.schema.items():
        names += [category, f"{category}_probability"]
        for place in range(2, min(wanted.top, len(attributes)) + 1):
            names += [f"{category}_{place}", f"{category}_{place}_probability"]
    return names


def rows(batch: Batch, wanted: Wanted) -> Iterator[list]:
    """Gives the rows of a table; a box is empty where the whole image was used.

    Bytes of an image's name that are no UTF-8 stand there as escapes.
    """
    for item, answers in answers_of(batch, wanted):
        row: list = [encodable(item.image)]
        if wanted.with_boxes:
            row += [None] * 4 if item.box == WHOLE_IMAGE else item.box
        for category, answer in answers.items():
            row += [answer.text, round(answer.probability, 6)]
            places = min(wanted.top, len(wanted.schema[category])) - 1
            others = answer.others or [(None, None)] * places
            for name, probability in others:
                row += [name, None if probability is None else round(probability, 6)]
        yield row
