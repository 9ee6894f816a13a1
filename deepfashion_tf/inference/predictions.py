"""What a model predicts, as Python code reads it. No TensorFlow."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from deepfashion_tf.data.split import WHOLE_IMAGE
from deepfashion_tf.data.table_file import BOX
from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.answers import Answer, Wanted, answers_of, columns
from deepfashion_tf.inference.batch import Batch
from deepfashion_tf.inference.items import Box

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Prediction(Mapping[str, Answer]):
    """The answers for one image: category -> `Answer`.

    Attributes:
        image: its name.
        box: x1, y1, x2, y2 in half-open pixels; None = the whole image.
        answers: category -> answer; empty where the image cannot be read.
        fault: why it cannot be read; None = it is answered.
    """

    image: str
    box: Box | None
    answers: dict[str, Answer]
    fault: str | None = None

    def __getitem__(self, category: str) -> Answer:
        if self.fault:
            raise InputError(f"{self.image} {self.fault}.")
        return self.answers[category]

    def __iter__(self) -> Iterator[str]:
        return iter(self.answers)

    def __len__(self) -> int:
        return len(self.answers)

    def to_dict(self, top: int = 1) -> dict[str, object]:
        """Returns a flat row: image, box, the answers with probability and status, the fault."""
        row: dict[str, object] = {"image": self.image}
        row |= dict(zip(BOX, self.box or (None,) * 4, strict=True))
        for category, answer in self.answers.items():
            row |= {
                category: answer.attribute,
                f"{category}_probability": answer.probability,
                f"{category}_status": answer.status,
            }
            for place, (name, probability) in enumerate(answer.others[: top - 1], start=2):
                row |= {
                    f"{category}_{place}": name,
                    f"{category}_{place}_probability": probability,
                }
        return row | {"fault": self.fault}


class Predictions(Sequence[Prediction]):
    """One `Prediction` an image, in the order of the images.

    Args:
        rows: the predictions.
        wanted: how they are given.
    """

    def __init__(self, rows: Sequence[Prediction], wanted: Wanted) -> None:
        self._rows, self._wanted = list(rows), wanted

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> "Predictions": ...
    def __getitem__(self, index):
        found = self._rows[index]
        return Predictions(found, self._wanted) if isinstance(index, slice) else found

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        left_out = len(self.faults)
        return f"<{len(self) - left_out} predictions, {left_out} images left out>"

    @property
    def faults(self) -> dict[str, str]:
        """Image -> why it is not answered."""
        return {row.image: row.fault for row in self._rows if row.fault}

    def to_dicts(self) -> list[dict[str, object]]:
        """Returns one flat dict an image, with the columns of `to_pandas`."""
        names = [*columns(self._wanted), "fault"]
        rows = (row.to_dict(self._wanted.top) for row in self._rows)
        return [{name: row.get(name) for name in names} for row in rows]

    def to_pandas(self) -> "pd.DataFrame":
        """Returns a DataFrame with one row an image.

        Columns: image, x1, y1, x2, y2, then each category with its probability (0 to 1) and its
        status (accepted, unsure, not_applicable or not_learnt), then fault.

        Raises:
            ImportError: pandas is not installed.
        """
        import pandas as pd

        return pd.DataFrame(self.to_dicts(), columns=[*columns(self._wanted), "fault"])


def predictions_of(batch: Batch, wanted: Wanted) -> Iterator[Prediction]:
    """Yields one prediction for every item of a batch, in order."""
    answered = answers_of(batch, wanted)
    for item, fault in zip(batch.items, batch.faults, strict=True):
        box = None if item.box == WHOLE_IMAGE else item.box
        answers = {} if fault else next(answered)[1]
        yield Prediction(item.image, box, answers, fault)
