"""Which part of each batch a replica, a device or a machine, is given."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Share:
    """The replicas that one process feeds.

    Attributes:
        replicas: how many there are in all processes together.
        first: the first one of this process.
        count: how many this process has; their batches follow each other in its stream.
    """

    replicas: int = 1
    first: int = 0
    count: int = 1

    @property
    def own(self) -> range:
        return range(self.first, self.first + self.count)


@dataclass(frozen=True)
class Plan:
    """Where in a pass over `count` images each of a process' batches is taken from.

    Attributes:
        places: int64 ``[n]``, positions in the order of the pass, batch by batch.
        counted: bool ``[n]``, False for an image that fills a place and has no label.
        sizes: int64 ``[steps * share.count]``, the length of each batch.
    """

    places: np.ndarray
    counted: np.ndarray
    sizes: np.ndarray

    def places_before(self, batches: int) -> int:
        """Counts the places of the first batches."""
        return int(self.sizes[:batches].sum())

    @property
    def is_even(self) -> bool:
        """Whether all batches but the last, which may be smaller, have one size."""
        return bool((self.sizes[:-1] == self.sizes[0]).all() and self.sizes[-1] <= self.sizes[0])


def training_plan(count: int, batch_size: int, share: Share) -> Plan:
    """Divides each batch among the replicas, so that together they see what one device would.

    The last batch of a pass may not divide: then replicas differ by one image. If it has
    fewer images than there are replicas, each replica gets all of them, and each image
    counts on one alone: batch norm that is synchronized has the statistics of one device.

    Args:
        count: images of a pass.
        batch_size: of all replicas together; a multiple of their number.
        share: whose plan.
    """
    places, counted = [], []
    for start in range(0, count, batch_size):
        batch = np.arange(start, min(start + batch_size, count), dtype=np.int64)
        if len(batch) < share.replicas:
            places += [batch] * share.count
            counted += [np.arange(len(batch)) == replica for replica in share.own]
        else:
            parts = np.array_split(batch, share.replicas)
            places += [parts[replica] for replica in share.own]
            counted += [np.ones(len(parts[replica]), bool) for replica in share.own]
    return _joined(places, counted)


def evaluation_plan(count: int, batch_size: int, share: Share) -> Plan:
    """As `training_plan`, where batch norm is no matter: short batches are filled up.

    What fills them is the first image, which does not count.
    """
    places, counted = [], []
    for start in range(0, count, batch_size):
        batch = np.arange(start, min(start + batch_size, count), dtype=np.int64)
        missing = -len(batch) % share.replicas
        known = np.arange(len(batch) + missing) < len(batch)
        parts = np.split(np.concatenate([batch, np.zeros(missing, np.int64)]), share.replicas)
        places += [parts[replica] for replica in share.own]
        counted += [np.split(known, share.replicas)[replica] for replica in share.own]
    return _joined(places, counted)


def _joined(places: list[np.ndarray], counted: list[np.ndarray]) -> Plan:
    sizes = np.array([len(part) for part in places], np.int64)
    return Plan(np.concatenate(places), np.concatenate(counted), sizes)
