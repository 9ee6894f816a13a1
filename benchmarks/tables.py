"""How long the rows of a table take to read: CSV, Parquet and a spreadsheet."""

import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from deepfashion_tf.data.table import read_table
from deepfashion_tf.schema import builtin_schema

ROWS = 200_000
IMAGES = 2_000  # files, each of as many garments as there are rows for it


def benchmark_tables(rows: int = ROWS, rounds: int = 5) -> Iterator[dict[str, list[float]]]:
    """Measures the reading of a table with boxes, labels and splits, headers of images included.

    Args:
        rows: of the table.
        rounds: how often each format is read.

    Yields:
        After each round, format -> seconds of the processor: one thread reads.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(IMAGES):
            cv2.imwrite(str(folder / f"{number}.jpg"), np.zeros((60, 40, 3), np.uint8))
        formats = _write(_table(rows), folder)
        seconds: dict[str, list[float]] = {suffix: [] for suffix in formats}
        for _ in range(rounds):
            for suffix in formats:
                began = time.process_time()
                splits = read_table(folder / f"table{suffix}", ["train", "val", "test"])
                seconds[suffix].append(time.process_time() - began)
                assert sum(map(len, splits)) == rows
            yield seconds


def _table(rows: int) -> pa.Table:
    rng = np.random.default_rng(0)
    columns = {"image": [f"{number % IMAGES}.jpg" for number in range(rows)]}
    columns |= dict(
        zip(("x1", "y1", "x2", "y2"), ([n] * rows for n in (1, 2, 39, 58)), strict=True)
    )
    # All garments of an image stand in one split.
    splits = rng.choice(["train", "val", "test"], IMAGES, p=[0.8, 0.1, 0.1])
    columns["split"] = splits[np.arange(rows) % IMAGES].tolist()
    for category, attributes in builtin_schema().items():
        columns[category] = rng.choice(attributes, rows).tolist()
    return pa.table(columns)


def _write(table: pa.Table, folder: Path) -> list[str]:
    csv.write_csv(table, folder / "table.csv")
    parquet.write_table(table, folder / "table.parquet")
    if not find_spec("openpyxl") or not find_spec("python_calamine"):
        return [".csv", ".parquet"]
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(table.column_names)
    for row in zip(*table.to_pydict().values(), strict=True):
        sheet.append(row)
    book.save(folder / "table.xlsx")
    return [".csv", ".parquet", ".xlsx"]
