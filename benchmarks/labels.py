"""What the doctor's advice on labels is worth, on drawings, whose labels are known."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.table import Table

from deepfashion_tf.data.sources import open_splits
from deepfashion_tf.data.split import Split
from deepfashion_tf.doctor.noise import find_doubts, out_of_sample
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.run import Run

SWAPPED = 0.05  # of the labels
LOOKED_AT = 0.1  # of the list, from its top
FOLDS = 5


@dataclass(frozen=True)
class Planted:
    """Labels of a category that were swapped, and how many of them stand at the list's top."""

    category: str
    swapped: int
    found: int


def find_swapped(run: Run, images: int, directory: Path, seed: int = 0) -> list[Planted]:
    """Swaps labels of drawings and looks for them in the list of the least believed.

    Args:
        run: whose options the models of the folds are trained with.
        images: how many drawings.
        directory: for the models; what is trained there is not trained again.
        seed: of what is swapped.

    Returns:
        For each category, and last for all of them as "all".
    """
    drawn = _drawings(run.config, images)
    labels, is_swapped = swap_labels(drawn.labels, list(map(len, drawn.schema.values())), seed)
    drawn = replace(drawn, labels=labels)
    probabilities = out_of_sample(
        run, drawn, np.arange(images), FOLDS, directory, parallel=min(2, os.cpu_count() or 1)
    )
    doubts = find_doubts(drawn, probabilities)
    columns = list(drawn.schema)
    is_top = np.zeros(labels.shape, bool)
    for doubt in doubts[: round(LOOKED_AT * len(doubts))]:
        is_top[doubt.row, columns.index(doubt.category)] = True
    found = [
        Planted(name, int(swapped.sum()), int((swapped & top).sum()))
        for name, swapped, top in zip(columns, is_swapped.T, is_top.T, strict=True)
    ]
    return [*found, Planted("all", sum(p.swapped for p in found), sum(p.found for p in found))]


def swap_labels(
    labels: np.ndarray, sizes: Sequence[int], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns `SWAPPED` of the labels another class each, all other classes alike.

    Args:
        labels: int32 ``[n, categories]``, all labelled.
        sizes: classes of each category.
        seed: of which, and of what to.

    Returns:
        The labels, and bool of the same shape: which of them are wrong.
    """
    rng = np.random.default_rng(seed)
    is_swapped = rng.random(labels.shape) < SWAPPED
    others = (labels + rng.integers(1, np.array(sizes), labels.shape)) % np.array(sizes)
    return np.where(is_swapped, others, labels).astype(np.int32), is_swapped


def swapped_table(planted: Sequence[Planted]) -> Table:
    """Makes the table for the terminal."""
    table = Table(title=f"Swapped labels among the {LOOKED_AT:.0%} least believed")
    for name in ("category", "swapped", "found", "share"):
        table.add_column(name, justify="left" if name == "category" else "right")
    for row in planted:
        share = f"{row.found / row.swapped:.0%}" if row.swapped else "-"
        table.add_row(row.category, str(row.swapped), str(row.found), share)
    return table


def _drawings(config: TrainConfig, images: int) -> Split:
    """Returns all drawings of a wardrobe as one split."""
    own = replace(config, data=None, wardrobe_images=(images, 1, 0))
    (split,) = open_splits(own, ["train"])
    return split
