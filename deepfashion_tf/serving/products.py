"""One row a product: the answers for its photographs, combined."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from deepfashion_tf.inference.answers import Wanted, free_names
from deepfashion_tf.inference.batch import Batch
from deepfashion_tf.inference.calibration import decide, logits_of
from deepfashion_tf.inference.items import Item
from deepfashion_tf.serving.answer_files import Writer

_AT_ONCE = 256  # products that are written together


@dataclass
class _Product:
    """What is known so far of one product.

    Attributes:
        first: its first photograph.
        count: of its photographs.
        sums: of the logarithms of their probabilities, float ``[all classes]``.
        votes: answers of each class, int ``[all classes]``.
    """

    first: Item
    sums: np.ndarray
    votes: np.ndarray
    count: int = 0


def grouped(wanted: Wanted) -> Wanted:
    """Returns how the answers for products are written: with two kinds of columns more.

    They are ``photographs``, how many were answered, and ``CATEGORY_agreement``, the share of
    them whose own answer is the product's.
    """
    more = {"photographs": "int32"} | {f"{c}_agreement": "float32" for c in wanted.schema.groups}
    names = free_names(wanted.kept, more)
    return replace(wanted, kept={**dict(zip(names, wanted.kept.values(), strict=True)), **more})


@dataclass
class Products:
    """Takes batches of photographs, and writes a row a product at the end.

    The probabilities of a product are the normalized geometric means of its photographs', as if
    each of them were an independent judgement. A photograph without a group is a product of its
    own. The sums of all products stay in memory.

    Attributes:
        writer: takes the rows.
        wanted: how the rows are written, of `grouped`.
    """

    writer: Writer
    wanted: Wanted
    _known: dict[str, _Product] = field(default_factory=dict)

    def write(self, batch: Batch) -> None:
        """Adds the photographs of a batch to their products."""
        values = [batch.probabilities[name] for name in self.wanted.schema]
        if not batch.answered:
            return
        logs = np.concatenate([logits_of(each) for each in values], axis=1)
        votes = np.concatenate(
            [
                _one_hot(decide(each, self._decision(name)), each.shape[1])
                for name, each in zip(self.wanted.schema, values, strict=True)
            ],
            axis=1,
        )
        for row, item in enumerate(batch.answered):
            name = f"g{item.group}" if item.group is not None else f"i{len(self._known)}"
            product = self._known.setdefault(
                name, _Product(item, np.zeros(logs.shape[1]), np.zeros(logs.shape[1], np.int32))
            )
            product.count += 1
            product.sums += logs[row]
            product.votes += votes[row]

    def finish(self) -> int:
        """Writes the rows; returns how many there are."""
        products = list(self._known.values())
        for start in range(0, len(products), _AT_ONCE):
            self.writer.write(self._batch(products[start : start + _AT_ONCE]))
        return len(products)

    def _batch(self, products: list[_Product]) -> Batch:
        counts = np.array([product.count for product in products])
        sums = self._split(np.stack([product.sums for product in products]) / counts[:, None])
        votes = self._split(np.stack([product.votes for product in products]))
        from scipy.special import softmax  # takes a while to import

        means = {name: softmax(values, axis=1) for name, values in sums.items()}
        agreement = self._agreement(means, votes, counts)
        items = [
            replace(product.first, kept=(*product.first.kept, product.count, *agreement[row]))
            for row, product in enumerate(products)
        ]
        return Batch(items, [None] * len(items), np.empty((0,)), means)

    def _agreement(
        self, means: Mapping[str, np.ndarray], votes: Mapping[str, np.ndarray], counts: np.ndarray
    ) -> list[list[float]]:
        """Returns shares of photographs: a row a product, a column a category.

        Of a category of kind multi, the smallest share of its attributes.
        """
        shares = {
            name: np.take_along_axis(
                votes[name], decide(values, self._decision(name))[:, None], axis=1
            )[:, 0]
            / counts
            for name, values in means.items()
        }
        columns = [
            np.min([shares[part.name] for part in parts], axis=0)
            for parts in self.wanted.schema.groups.values()
        ]
        return np.round(np.stack(columns, axis=1), 4).tolist()

    def _decision(self, name: str) -> float | None:
        return self.wanted.decisions.get(name)

    def _split(self, values: np.ndarray) -> dict[str, np.ndarray]:
        ends = np.cumsum([len(attributes) for attributes in self.wanted.schema.values()])
        return dict(zip(self.wanted.schema, np.split(values, ends[:-1], axis=1), strict=True))


def _one_hot(ids: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.int32)[ids]
