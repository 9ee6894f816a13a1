"""Finds images that are the same picture: the same file, or saved anew, resized, mirrored.

No TensorFlow.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from deepfashion_tf.doctor.looks import SIDE, Looks

BITS = 12  # of 64: hashes that differ by more are of different pictures
CORRELATION = 0.95  # of two thumbnails, in red, green and blue each: at least
DIFFERENCE = 25.0  # of two thumbnails: mean over all values, in grey levels: at most
_BLOCK = 256  # images that are compared with all others at once


@dataclass(frozen=True)
class Pair:
    """Two images that show the same picture.

    Attributes:
        first: the lower number.
        second: the higher one.
        is_exact: the files are equal, byte for byte.
        is_mirrored: one is the other's mirror image.
    """

    first: int
    second: int
    is_exact: bool
    is_mirrored: bool


def find_pairs(looks: Looks) -> list[Pair]:
    """Finds all pairs of images that show the same picture.

    Perceptual hashes propose (two images whose hashes differ in 12 bits of 64 or fewer, one of
    them mirrored or not), thumbnails decide: so that neither two photographs of like garments
    nor the same garment in another colour counts. The number of comparisons grows with the
    square of the images; each takes about a nanosecond.

    Reference:
        Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions,
        section 3.2.1 (the hash by the discrete cosine transform).
    """
    pairs = {(a, b): Pair(a, b, True, False) for a, b in _equal_files(looks)}
    for mirrored in (False, True):
        for a, b in _candidates(looks, mirrored):
            if (a, b) not in pairs and _is_same(looks.thumbnails[a], looks.thumbnails[b], mirrored):
                pairs[a, b] = Pair(a, b, False, mirrored)
    return sorted(pairs.values(), key=lambda pair: (pair.first, pair.second))


def group(pairs: list[Pair], count: int) -> list[np.ndarray]:
    """Gathers images that are connected by pairs: groups of two and more, ascending."""
    if not pairs:
        return []
    ends = np.array([(pair.first, pair.second) for pair in pairs])
    graph = coo_array((np.ones(len(ends)), ends.T), (count, count))
    _, names = connected_components(graph, directed=False)
    members = np.unique(ends)
    order = members[np.argsort(names[members], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(names[order])) + 1)
    return sorted(groups, key=lambda found: found[0])


def _equal_files(looks: Looks) -> list[tuple[int, int]]:
    """Pairs each image with the first one that has the same bytes."""
    _, first, which = np.unique(looks.digests, return_index=True, return_inverse=True)
    # A file that could not be opened has no digest.
    return [
        (int(first[which[image]]), image)
        for image in range(len(looks.digests))
        if looks.digests[image] and first[which[image]] != image
    ]


def _candidates(looks: Looks, mirrored: bool) -> list[tuple[int, int]]:
    images = np.flatnonzero(looks.is_readable)
    hashes, others = looks.hashes[images, 0], looks.hashes[images, int(mirrored)]
    found = []
    for start in range(0, len(images), _BLOCK):
        block = hashes[start : start + _BLOCK, None]
        near = np.bitwise_count(block ^ others[None, start:]) <= BITS
        rows, columns = np.nonzero(near)
        ahead = columns > rows
        found += zip(
            images[start + rows[ahead]].tolist(),
            images[start + columns[ahead]].tolist(),
            strict=True,
        )
    return found


def _is_same(one: np.ndarray, other: np.ndarray, mirrored: bool) -> bool:
    one, other = (pixels.reshape(-1, 3).T.astype(np.float32) for pixels in (one, other))
    if mirrored:
        other = other.reshape(3, SIDE, SIDE)[:, :, ::-1].reshape(3, -1)
    difference = np.abs(one - other).mean()
    if difference > DIFFERENCE:
        return False
    one, other = (channels - channels.mean(axis=1, keepdims=True) for channels in (one, other))
    size = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    # Of even surfaces there is no correlation.
    if size.min() < 1:
        return bool(difference < 1)
    return bool(((one * other).sum(axis=1) / size).min() >= CORRELATION)
