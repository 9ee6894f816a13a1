"""Every image's answer beside its label, in a file that other programs read."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError
from deepfashion_tf.escaping import cell_text, read_cell
from deepfashion_tf.evaluation.scores import match_exactly
from deepfashion_tf.files import write_atomically
from deepfashion_tf.inference.calibration import certainty, decide
from deepfashion_tf.schema import UNLABELLED, Schema
from deepfashion_tf.usage import command


@dataclass(frozen=True)
class Answers:
    """What a model has answered for the images of a split.

    Attributes:
        schema: the categories, in the order of the columns.
        images: the images' names.
        answers: int ``[n, categories]``, class ids.
        probabilities: float ``[n, categories]``, of those attributes, 0 to 1.
        labels: int ``[n, categories]``, class ids; -1 = not labelled.
        label_probabilities: float ``[n, categories]``, what the model gave the label; NaN where
            there is none.
    """

    schema: Schema
    images: Sequence[str]
    answers: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    label_probabilities: np.ndarray

    @classmethod
    def of(
        cls,
        split: Split,
        probabilities: dict[str, np.ndarray],
        answers: dict[str, np.ndarray] | None = None,
    ) -> "Answers":
        """Puts answers and labels together.

        Args:
            split: images and labels.
            probabilities: category -> float ``[n, classes]``, for the split's categories.
            answers: category -> class ids, int ``[n]``; None = the likeliest.
        """
        if answers is None:
            answers = {category: decide(values) for category, values in probabilities.items()}
        rows = np.arange(len(split))
        columns = [probabilities[category] for category in split.schema]
        given = [
            np.where(labels == UNLABELLED, np.nan, column[rows, np.maximum(labels, 0)])
            for column, labels in zip(columns, split.labels.T, strict=True)
        ]
        return cls(
            split.schema,
            [str(key) for key in split.keys],
            np.stack([answers[category] for category in split.schema], axis=1),
            np.stack([certainty(probabilities[c], answers[c]) for c in split.schema], axis=1),
            split.labels,
            np.stack(given, axis=1),
        )

    @property
    def hits(self) -> np.ndarray:
        """1 where the answer is the label, 0 where not, NaN without one: ``[n, categories]``."""
        return np.where(self.labels == UNLABELLED, np.nan, self.answers == self.labels)

    @property
    def class_hits(self) -> np.ndarray:
        """The same by attribute, NaN where the label is another: ``[n, attributes]``.

        The mean over columns of their means is the mean class recall.
        """
        columns = [
            np.where(labels == number, hits, np.nan)
            for attributes, labels, hits in zip(
                self.schema.values(), self.labels.T, self.hits.T, strict=True
            )
            for number in range(len(attributes))
        ]
        return np.stack(columns, axis=1)

    @property
    def exact_hits(self) -> np.ndarray:
        """1 where all answers of an image are right, 0 where not: ``[n, 1]``.

        NaN where an image is not labelled in all categories.
        """
        known, right = match_exactly(self.schema, self.labels, self.answers)
        return np.where(known, right, np.nan)[:, None]

    @classmethod
    def joined(cls, parts: Sequence["Answers"]) -> "Answers":
        """Puts answers for several splits together, which are of the same categories."""
        first = parts[0]
        arrays = ("answers", "probabilities", "labels", "label_probabilities")
        return cls(
            first.schema,
            [image for part in parts for image in part.images],
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays},
        )

    def save(self, path: Path) -> None:
        """Writes a CSV file: a row an image, four columns a category.

        They are the attribute answered, its probability, the attribute labelled (empty:
        none) and the probability that the model gave it.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_columns(self.schema))
        for row, image in enumerate(self.images):
            cells = [cell_text(image)]
            for column, attributes in enumerate(self.schema.values()):
                label = self.labels[row, column]
                given = self.label_probabilities[row, column]
                cells += [
                    cell_text(attributes[self.answers[row, column]]),
                    f"{self.probabilities[row, column]:.6g}",
                    "" if label == UNLABELLED else cell_text(attributes[label]),
                    "" if math.isnan(given) else f"{given:.6g}",
                ]
            writer.writerow(cells)
        write_atomically(path, text.getvalue())

    @classmethod
    def load(cls, path: Path, schema: Schema) -> "Answers":
        """Reads what `save` wrote.

        Args:
            path: the file.
            schema: categories that it may hold.

        Raises:
            InputError: the file is missing, or is none of these categories.
        """
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            if not rows:
                raise ValueError("it has no rows")
            found = [category for category in schema if category in rows[0]]
            schema = schema.select(found)
            ids = {name: {a: i for i, a in enumerate(schema[name])} | {"": -1} for name in found}
            table = [
                [
                    (
                        ids[name][read_cell(row[name])],
                        float(row[f"{name}_probability"]),
                        ids[name][read_cell(row[f"{name}_label"])],
                        float(row[f"{name}_label_probability"] or "nan"),
                    )
                    for name in found
                ]
                for row in rows
            ]
            values = np.array(table).reshape(len(rows), len(found), 4)
            images = [read_cell(row["image"]) for row in rows]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{path} cannot be read as the answers of a run ({error}): run "
                f"{command('evaluate')} to write them."
            ) from error
        return cls(
            schema,
            images,
            values[..., 0].astype(int),
            values[..., 1],
            values[..., 2].astype(int),
            values[..., 3],
        )


def _columns(schema: Schema) -> list[str]:
    kinds = ("", "_probability", "_label", "_label_probability")
    return ["image", *(f"{category}{kind}" for category in schema for kind in kinds)]
