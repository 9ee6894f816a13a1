"""Confusion matrices, and the mistakes that a model was surest of."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from deepfashion_tf.colours import colours
from deepfashion_tf.errors import InputError
from deepfashion_tf.escaping import figure_text
from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.evaluation.panels import draw_panels
from deepfashion_tf.schema import UNLABELLED


@dataclass(frozen=True)
class Mistake:
    """An answer that is not the label.

    Attributes:
        row: of the image in the answers.
        category: in which the answer is wrong.
        probability: that the model gave its answer, 0 to 1.
        answered: an attribute.
        labelled: another one.
        belief: that the model gave the label, 0 to 1.
    """

    row: int
    category: str
    probability: float
    answered: str
    labelled: str
    belief: float


def confusion_matrix(answers: Answers, category: str) -> np.ndarray:
    """Counts what the images of each label were answered with.

    Args:
        answers: of a model; images that are not labelled in the category are left out.
        category: one of theirs.

    Returns:
        int ``[classes, classes]``, a row a label, a column an answer.

    Raises:
        InputError: the answers have no such category.
    """
    if category not in answers.schema:
        raise InputError(
            f"There are no answers in {category!r}: name one of {', '.join(answers.schema)}."
        )
    column = list(answers.schema).index(category)
    known = answers.labels[:, column] != UNLABELLED
    counts = np.zeros((len(answers.schema[category]),) * 2, int)
    np.add.at(counts, (answers.labels[known, column], answers.answers[known, column]), 1)
    return counts


def most_confident_mistakes(answers: Answers) -> list[Mistake]:
    """Lists all mistakes, the most probable answer first; equals by row, then by category."""
    rows, columns = np.nonzero(answers.hits == 0)
    order = np.argsort(-answers.probabilities[rows, columns], kind="stable")
    categories = list(answers.schema)
    mistakes = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        attributes = answers.schema[categories[column]]
        mistakes.append(
            Mistake(
                row,
                categories[column],
                float(answers.probabilities[row, column]),
                attributes[answers.answers[row, column]],
                attributes[answers.labels[row, column]],
                float(answers.label_probabilities[row, column]),
            )
        )
    return mistakes


def plot_confusions(answers: Answers, title: str, most: int = 3) -> Figure:
    """Draws the confusion matrices of all categories, each in its category's colour.

    A cell is as dark as the share of its row's images that it holds; the number is their
    count. A label that no image has makes an empty row.

    Args:
        answers: of a model.
        title: above the figure.
        most: matrices in a row.
    """
    side = max(3.6, 0.4 * max(map(len, answers.schema.values())))
    figure, panels = draw_panels(list(answers.schema), (side + 0.2, side), most, margin=(0.5, 0.5))
    for (axis,), (category, colour) in zip(
        panels, colours(list(answers.schema)).items(), strict=True
    ):
        _draw(axis, confusion_matrix(answers, category), answers.schema[category], colour)
    figure.suptitle(figure_text(title), x=0.01, ha="left", fontweight="bold")
    return figure


def _draw(axis: Axes, counts: np.ndarray, attributes: tuple[str, ...], colour: str) -> None:
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    shades = LinearSegmentedColormap.from_list("shades", ["white", colour])
    axis.imshow(shares, cmap=shades, vmin=0, vmax=1)
    size = 9 if len(attributes) <= 8 else 7
    for label, answer in np.argwhere(np.broadcast_to(totals > 0, counts.shape)):
        bold = "bold" if label == answer else "normal"
        count = counts[label, answer]
        ink = "black" if count else "0.7"
        axis.text(answer, label, count, ha="center", va="center", size=size, weight=bold, color=ink)
    ticks = range(len(attributes))
    names = [figure_text(attribute) for attribute in attributes]
    axis.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor", size=size)
    axis.set_yticks(ticks, names, size=size)
    axis.set(xlabel="answered", ylabel="labelled")
    axis.set_xticks(np.arange(1, len(attributes)) - 0.5, minor=True)
    axis.set_yticks(np.arange(1, len(attributes)) - 0.5, minor=True)
    axis.grid(which="minor", color="0.9", lw=0.8)
    axis.tick_params(which="both", length=0)
    axis.spines[:].set_color("0.8")
