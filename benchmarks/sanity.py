"""Whether heat maps mean something: on drawings it is known where the sleeves and the neck are."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from rich.table import Table
from scipy import stats

from deepfashion_tf.data.boxes import enlarged_box
from deepfashion_tf.data.images import normalize, squash_resize
from deepfashion_tf.data.wardrobe import draw_garment, sample_labels
from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.explanations import Explainer
from deepfashion_tf.progress import progress_bar
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import builtin_schema

PARTS = ("sleeve", "neckline")  # categories of which a drawing knows the part
_LEAST_AREA = 0.02  # of the crop: of smaller parts a coarse map says nothing


@dataclass(frozen=True)
class PartHeat:
    """How much of an attribute's heat lies on the part that it is an attribute of.

    Attributes:
        category: sleeve or neckline.
        attribute: of it; drawings that are answered rightly.
        shares: float ``[n]``, the share of each map's heat that lies on the part.
        areas: float ``[n]``, the share of the crop that the part covers: what chance would give.
    """

    category: str
    attribute: str
    shares: np.ndarray
    areas: np.ndarray

    @property
    def times_chance(self) -> float:
        """Median over drawings of share / area."""
        return float(np.median(self.shares / self.areas))

    @property
    def p_value(self) -> float:
        """How likely it is that as many drawings or more lie above chance by chance (sign test)."""
        above = int((self.shares > self.areas).sum())
        return float(stats.binomtest(above, len(self.shares), alternative="greater").pvalue)


def heat_on(maps: np.ndarray, parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the share of each map's heat that lies on a part, and the part's share of the area.

    Args:
        maps: float ``[n, rows, columns]``, >= 0.
        parts: bool ``[height, width]`` each, of the same crops at any size.

    Returns:
        Two float ``[n]``; NaN for a map without heat.
    """
    size = maps.shape[2], maps.shape[1]
    cells = np.stack(
        [cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_AREA) for part in parts]
    )
    with np.errstate(invalid="ignore"):
        shares = (maps * cells).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))
    return shares, cells.mean(axis=(1, 2))


def heat_on_parts(run: Run, count: int, seed: int = 0) -> list[PartHeat]:
    """Draws garments, lets a run explain its answers, and looks where the heat lies.

    Args:
        run: of the built-in categories.
        count: how many drawings.
        seed: of the drawings.

    Raises:
        InputError: the run has not learnt sleeves and necklines.
    """
    schema = builtin_schema()
    if any(run.schema.get(name) != schema[name] or name not in run.trained for name in PARTS):
        raise InputError(
            f"{run.directory} has not learnt the built-in {' and '.join(PARTS)}, of which the "
            f"drawings know where they are: name another run."
        )
    rng = np.random.default_rng(seed)
    labels, crops, parts = sample_labels(rng, count), [], {name: [] for name in PARTS}
    with progress_bar("drawing", count) as on_progress:
        for garment in labels:
            drawing = draw_garment(garment, rng)
            size = drawing.image.shape[1::-1]
            x1, y1, x2, y2 = enlarged_box(drawing.box, size, run.config.box_padding)
            crops.append(squash_resize(drawing.image[y1:y2, x1:x2], run.config.image_size))
            for name in PARTS:
                parts[name].append(drawing.regions[name][y1:y2, x1:x2])
            on_progress(len(crops), count)
    model = run.load_model()
    crops = np.stack(crops)
    explain, answer = Explainer(model, run.normalization).explain, model.predict_on_batch
    batches = [slice(at, at + 32) for at in range(0, count, 32)]
    maps = [explain(crops[batch]) for batch in batches]
    answers = [answer(normalize(crops[batch], run.normalization)) for batch in batches]
    found = []
    for name in PARTS:
        shares, areas = heat_on(np.concatenate([part[name] for part in maps]), parts[name])
        given = np.concatenate([part[name] for part in answers]).argmax(axis=1)
        truth = labels[:, list(schema).index(name)]
        usable = (given == truth) & (areas >= _LEAST_AREA) & ~np.isnan(shares)
        for number, attribute in enumerate(schema[name]):
            rows = usable & (truth == number)
            if rows.any():
                found.append(PartHeat(name, attribute, shares[rows], areas[rows]))
    return found


def heat_table(found: Sequence[PartHeat]) -> Table:
    """Makes the table that tells it."""
    table = Table(title="Where the heat of right answers lies")
    for name in ("category", "attribute", "drawings", "on the part", "its area", "times", "p"):
        table.add_column(name, justify="left" if name in ("category", "attribute") else "right")
    for heat in found:
        table.add_row(
            heat.category,
            heat.attribute,
            str(len(heat.shares)),
            f"{heat.shares.mean():.3f}",
            f"{heat.areas.mean():.3f}",
            f"{heat.times_chance:.2f}",
            f"{heat.p_value:.2g}",
        )
    table.caption = "times: median of heat over area; p: of as many drawings above 1, by chance"
    return table
