"""Rates measured side by side, and the table of them."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rich.table import Table

from deepfashion_tf.processor import processor
from deepfashion_tf.progress import console


@dataclass(frozen=True)
class Rate:
    """What one contestant did.

    Attributes:
        name: of the row.
        values: images a second, one a round.
    """

    name: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def repeated(work: Callable[[], object], images: int, times: int = 4) -> Callable[[], int]:
    """Makes a contestant of what answers for some images: several times in a turn."""

    def run() -> int:
        for _ in range(times):
            work()
        return times * images

    return run


def race(contestants: dict[str, Callable[[], int]], rounds: int = 5) -> Iterator[list[Rate]]:
    """Lets contestants run in turn, round by round, so that a noisy machine hurts all alike.

    Args:
        contestants: name -> function that does the work and returns how many images it did.
        rounds: how often each runs; one more round before them warms up and does not count.

    Yields:
        After each round all rates so far.
    """
    values: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, work in contestants.items():
            began = time.perf_counter()
            images = work()
            if number:
                values[name].append(images / (time.perf_counter() - began))
        if number:
            yield [Rate(name, tuple(rates)) for name, rates in values.items()]


def print_rounds(
    title: str, found: Iterable[list[Rate]], rounds: int, *others: str, peers: str | None = None
) -> None:
    """Prints the table anew after each round, so that no end, however sudden, loses the others.

    Args:
        title: of the tables, which say how many rounds they are of.
        found: the rates after each round.
        rounds: how many there shall be.
        others: as `print_rates` takes them.
        peers: as `print_rates` takes it.
    """
    for number, rates in enumerate(found, start=1):
        print_rates(of_rounds(title, number, rounds), rates, *others, peers=peers)


def of_rounds(title: str, number: int, rounds: int) -> str:
    """Puts into a title how many rounds a table is of."""
    return f"{title} ({number} of {rounds} {'round' if rounds == 1 else 'rounds'})"


def print_rates(title: str, rates: list[Rate], *others: str, peers: str | None = None) -> None:
    """Prints medians, their spread, and how they stand to those of others that took part.

    Args:
        title: of the table.
        rates: of all that took part.
        others: names of some of them.
        peers: how the names of peers begin, of which the fastest one has a column, too.
    """
    medians = {rate.name: rate.median for rate in rates}
    others = [other for other in others if other in medians]
    of_peers = [value for name, value in medians.items() if peers and name.startswith(peers)]
    if of_peers:
        medians["fastest peer"] = max(of_peers)
        others.append("fastest peer")
    table = Table(title=title, caption=f"medians; {machine()}", title_justify="left")
    table.add_column("")
    for heading in ("images/s", "lowest", "highest", *(f"/ {other}" for other in others)):
        # On a narrow page names are broken, never figures.
        table.add_column(heading, justify="right", min_width=7)
    for rate in rates:
        ratios = [f"{rate.median / medians[other]:.2f}" for other in others]
        extremes = (_round(value) for value in (min(rate.values), max(rate.values)))
        table.add_row(rate.name, _round(rate.median), *extremes, *ratios)
    console.print(table)


def _round(rate: float) -> str:
    """Three digits: whole numbers are too coarse for a slow network."""
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}"


def machine() -> str:
    """Names the processor, its cores, and those of its instruction sets that matter here."""
    found = processor()
    name = found.get("model name") or platform.processor() or platform.machine()
    flags = found.get("flags", "").split()
    known = [flag for flag in _FLAGS if flag in flags]
    return ", ".join([name, f"{os.cpu_count()} cores", *known])


_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
