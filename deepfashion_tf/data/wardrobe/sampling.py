"""What is drawn how often: a joint distribution with the real data's marginals.

Plausible weights say what goes with what (a leather skirt, hardly a floral fur);
raking scales them until every category has the class frequencies of the
challenge's 5,000 training images. A zero stays a zero: a skirt has no sleeves.

Reference:
    Deming and Stephan 1940, iterative proportional fitting.
"""

from functools import lru_cache

import numpy as np

from deepfashion_tf.schema import builtin_schema

KINDS = ("top", "jacket", "dress", "skirt", "shorts", "trousers")
BOTTOMS = ("skirt", "shorts", "trousers")

# Class counts of the challenge's training split, in the order of the built-in schema.
REAL_COUNTS = {
    "texture": (768, 853, 334, 422, 109, 2408, 106),
    "sleeve": (1523, 862, 2615),
    "length": (488, 951, 3561),
    "neckline": (2086, 826, 19, 2069),
    "fabric": (310, 702, 3399, 105, 48, 436),
    "fit": (749, 279, 3972),
}
_KIND_SHARES = (0.3422, 0.12, 0.2878, 0.09, 0.08, 0.08)

# One row a kind; columns in the order of the category's attributes.
_PLAUSIBLE = {
    "texture": (
        (15, 30, 10, 9, 1, 40, 2),
        (6, 6, 4, 6, 0.3, 70, 3),
        (30, 8, 8, 10, 5, 45, 2),
        (20, 4, 6, 8, 20, 45, 4),
        (15, 5, 4, 10, 1, 60, 3),
        (8, 4, 4, 5, 2, 75, 3),
    ),
    "sleeve": ((35, 35, 30), (90, 6, 4), (18, 20, 62), (0, 0, 1), (0, 0, 1), (0, 0, 1)),
    "length": ((0, 0, 1), (0, 0, 1), (34, 66, 0), (0, 0, 1), (0, 0, 1), (0, 0, 1)),
    "neckline": (
        (55, 22, 0.4, 20),
        (10, 25, 0, 65),
        (52, 20, 0.6, 25),
        (0, 0, 0, 1),
        (0, 0, 0, 1),
        (0, 0, 0, 1),
    ),
    "fabric": (
        (2, 20, 62, 0.4, 0.1, 15),
        (18, 2, 40, 14, 8, 22),
        (3, 22, 66, 1, 0.1, 6),
        (8, 16, 60, 7, 0.3, 5),
        (34, 4, 55, 2, 0.1, 1),
        (28, 3, 60, 6, 0.1, 2),
    ),
    "fit": (
        (14, 10, 76),
        (6, 8, 86),
        (28, 6, 66),
        (20, 6, 74),
        (14, 5, 81),
        (30, 8, 62),
    ),
}

# fabric (rows) x texture (columns): leather and fur are hardly ever printed, denim seldom.
_TEXTURE_OF_FABRIC = (
    (0.3, 0.3, 0.1, 1.0, 0.1, 2.0, 0.1),
    (1.6, 0.5, 0.7, 1.0, 1.8, 0.8, 0.5),
    (1.0, 1.2, 1.0, 1.0, 1.0, 1.0, 1.2),
    (0.05, 0.1, 0.0, 0.2, 0.3, 3.0, 0.0),
    (0.0, 0.05, 0.05, 0.0, 0.0, 3.0, 0.02),
    (0.3, 0.6, 1.4, 0.5, 0.2, 1.2, 0.8),
)


@lru_cache(maxsize=1)
def _cells() -> tuple[np.ndarray, np.ndarray]:
    """Computes every possible combination and the running sum of their probabilities.

    Returns:
        int ``[cells, 7]`` (kind, then the six class ids) and float ``[cells]``.
    """
    schema = builtin_schema()
    sizes = [len(KINDS), *map(len, schema.values())]
    weights = np.ones(sizes)
    for axis, category in enumerate(schema, start=1):
        shape = [len(KINDS)] + [1] * len(schema)
        shape[axis] = sizes[axis]
        weights = weights * np.reshape(_PLAUSIBLE[category], shape)
    # Axes: kind, texture, sleeve, length, neckline, fabric, fit.
    of_fabric = np.transpose(_TEXTURE_OF_FABRIC)
    weights = weights * of_fabric[None, :, None, None, None, :, None]
    targets = [np.array(_KIND_SHARES)]
    targets += [np.array(REAL_COUNTS[category]) / 5000 for category in schema]
    for _ in range(200):
        for axis, target in enumerate(targets):
            others = tuple(other for other in range(len(sizes)) if other != axis)
            ratio = target / weights.sum(axis=others)
            weights = weights * ratio.reshape([-1 if a == axis else 1 for a in range(len(sizes))])
    possible = np.argwhere(weights > 0)
    cumulative = np.cumsum(weights[weights > 0])
    return possible, cumulative / cumulative[-1]


def sample_labels(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draws garments with the class frequencies of the real training split.

    Args:
        rng: where the randomness comes from.
        count: how many.

    Returns:
        int64 ``[count, 6]``, class ids in the order of the built-in schema.
    """
    cells, cumulative = _cells()
    return cells[np.searchsorted(cumulative, rng.random(count), side="right"), 1:]


def sample_kind(rng: np.random.Generator, labels: np.ndarray) -> str:
    """Draws a kind of garment that can have these labels.

    Args:
        rng: where the randomness comes from.
        labels: six class ids.

    Raises:
        ValueError: no kind of garment has them all, such as a skirt's neckline
            together with a dress's length.
    """
    cells, cumulative = _cells()
    found = np.flatnonzero((cells[:, 1:] == np.asarray(labels)).all(axis=1))
    if not len(found):
        raise ValueError(f"no garment has the labels {list(map(int, labels))} at once")
    shares = np.diff(cumulative, prepend=0.0)[found]
    chosen = rng.choice(len(found), p=shares / shares.sum())
    return KINDS[cells[found[chosen], 0]]
