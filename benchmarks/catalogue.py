"""A catalogue of very many tiny pictures: rates, memory, and what a restart costs."""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet

from deepfashion_tf.errors import InputError

SHARD = 10_000
_KILLED = 200_000  # rows that are tagged while a worker is killed
_PICTURES, _SIDE = 256, 48
_MEBIBYTE = 2**20


@dataclass
class Tagged:
    """What one `deepfashion tag` took.

    Attributes:
        rows: of the table.
        seconds: from its start to its end.
        command: the most memory of its own process, MiB.
        worker: the most memory of one worker, MiB.
        lost: seconds from the kill of a worker to the next shard that is done; None = none was
            killed.
    """

    rows: int
    seconds: float = 0.0
    command: float = 0.0
    worker: float = 0.0
    lost: float | None = None

    def look(self, process: psutil.Process) -> list[psutil.Process]:
        """Notes the memory of the processes, and returns the workers."""
        workers = []
        with contextlib.suppress(psutil.Error):
            self.command = max(self.command, process.memory_info().rss / _MEBIBYTE)
            for child in process.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if "Tagger" in " ".join(child.cmdline()):
                        workers.append(child)
                        self.worker = max(self.worker, child.memory_info().rss / _MEBIBYTE)
        return workers


def benchmark_catalogue(run: Path, rows: int, workers: int) -> Iterator[tuple[str, Tagged]]:
    """Tags a table with embedded tiny pictures three times.

    Args:
        run: that answers.
        rows: of the table.
        workers: as of `deepfashion tag`.

    Yields:
        A name and what was measured: of all rows, of the same with nothing left to do, and of at
        most 200,000 rows while a worker is killed after a third of the shards.

    Raises:
        InputError: a command failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, output = folder / "pictures.parquet", folder / "tags"
        write_pictures(table, rows)
        command = [sys.executable, "-m", "deepfashion_tf", "tag", str(run)]
        command += ["--shard-size", str(SHARD), "--workers", str(workers)]
        first = [*command, "--input", str(table), "--output", str(output)]
        yield f"{rows} rows", _watch(first, output, rows)
        yield "again, nothing to do", _watch(first, output, rows)
        fewer = min(rows, _KILLED)
        write_pictures(table, fewer)
        output = folder / "again"
        second = [*command, "--input", str(table), "--output", str(output)]
        kill_at = max(1, fewer // SHARD // 3)
        yield f"{fewer} rows, a worker killed", _watch(second, output, fewer, kill_at)


def write_pictures(path: Path, rows: int) -> None:
    """Writes a table of embedded JPEGs of 48 pixels a side, 256 different ones."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (_PICTURES, 6, 6, 3), np.uint8)
    large = [cv2.resize(picture, (_SIDE, _SIDE)) for picture in small]
    encoded = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in large]
    schema = pa.schema([("image", pa.binary()), ("sku", pa.string())])
    with pa.parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, SHARD):
            numbers = range(start, min(rows, start + SHARD))
            images = [encoded[number % _PICTURES] for number in numbers]
            writer.write_table(pa.table([images, [f"S{n}" for n in numbers]], schema))


def _watch(command: list[str], output: Path, rows: int, kill_at: int | None = None) -> Tagged:
    found, began, done, killed = Tagged(rows), time.monotonic(), 0, None
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        workers = found.look(watched)
        before, done = done, len(list(output.glob("part-*.parquet")))
        if killed and found.lost is None and done > before:
            found.lost = time.monotonic() - killed
        if kill_at and killed is None and done >= kill_at and workers:
            workers[0].kill()
            killed = time.monotonic()
        time.sleep(0.2)
    found.seconds = time.monotonic() - began
    if process.returncode:
        raise InputError(f"deepfashion tag failed: {process.stderr.read()[-300:]}")
    return found
