"""Broken tables by the hundred: each row is read or reported, and nothing binary is printed.

``DEEPFASHION_FUZZ=10000 pytest -n 0 tests/test_mutated_tables.py`` tries more of them.
"""

import os
import re
import time
from functools import partial

import numpy as np
import openpyxl
import pyarrow.csv
import pyarrow.parquet
import pytest
from conftest import write_lines
from test_mutated_annotations import mutate, try_to

from deepfashion_tf.data.csv_rows import CsvRows
from deepfashion_tf.data.schema_proposal import propose_schema
from deepfashion_tf.data.table import read_table
from deepfashion_tf.data.table_file import TableFile
from deepfashion_tf.data.table_options import RowOptions
from deepfashion_tf.inference.items import find_items
from deepfashion_tf.schema import Schema

COUNT = int(os.environ.get("DEEPFASHION_FUZZ", "240"))
SCHEMA = Schema.of({"season": ["summer", "winter"], "collar": ["none", "polo", "shirt"]})
HEADER = "image,x1,y1,x2,y2,season,collar,split,group,note"
_LONG = 'img/0000{}.jpg,0,1,40,60,n/a,polo,train,g{},"warm, {}\nsoft"'
_SHORT = "img/0000{}.jpg,0,1,40,60,Summer,polo,train,g{},plain"
ROWS = [(_SHORT if i % 7 else _LONG).format(i % 6, i, i) for i in range(24)]


@pytest.fixture
def tables(challenge):
    """One table in three formats: name -> the bytes of the sound file."""
    write_lines(challenge / "t.csv", [HEADER, *ROWS])
    table = pyarrow.csv.read_csv(
        challenge / "t.csv", parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)
    )
    pyarrow.parquet.write_table(table, challenge / "t.parquet", compression="none")
    book = openpyxl.Workbook()
    for row in [table.column_names, *map(list, zip(*table.to_pydict().values(), strict=True))]:
        book.active.append(row)
    book.save(challenge / "t.xlsx")
    names = ("t.csv", "t.parquet", "t.xlsx")
    return {challenge / name: (challenge / name).read_bytes() for name in names}


def count_lines(path) -> int:
    """Counts the lines of a file as the reader opens it, a lone carriage return included."""
    with CsvRows(path)._open() as file:
        return sum(1 for _ in file)


def check_rows(path) -> None:
    """In = read + reported, counted apart from the reader where lines can be counted."""
    table = TableFile(path, None, {})
    entries = list(table)
    sound = [entry for entry in entries if not entry.fault]
    assert table.rows == len(entries) == len(sound) + table.faulty
    numbers = [entry.number for entry in entries]
    assert numbers == sorted(set(numbers))
    if isinstance(table.format, CsvRows):
        rows = table.format
        before = rows._start - 1
        assert before + table.rows + rows.empty + rows.continued == count_lines(path)


def check_split(path, capsys) -> None:
    (split,) = read_table(path, ["train"], SCHEMA, options=RowOptions(on_bad_row="skip"))
    rows, read, left_out = map(
        int,
        re.search(r": (\d+) rows?, (\d+) read, (\d+) left out", capsys.readouterr().out).groups(),
    )
    assert rows == read + left_out and left_out == len(split.left_out) and len(split) <= read


def check_items(path) -> None:
    found = find_items([str(path)])
    items = list(found)
    assert len(items) == found.tally.rows


def test_mutated_tables(tables, capsys):
    outcomes = {"read": 0, "told": 0}
    for number in range(COUNT):
        rng = np.random.default_rng(number)
        path = list(tables)[number % len(tables)]
        path.write_bytes(mutate(tables[path], rng))
        began = time.monotonic()
        for check in (check_rows, partial(check_split, capsys=capsys), check_items, propose_schema):
            try_to(partial(check, path), outcomes, (number, path))
        printed = capsys.readouterr().out
        assert "\x1b" not in printed and "\0" not in printed, (number, path)
        assert time.monotonic() - began < 10, (number, path)
        path.write_bytes(tables[path])
    assert min(outcomes.values()) > COUNT / 30, outcomes


def test_the_sound_tables_are_read_alike(tables):
    labels = []
    for path in tables:
        (split,) = read_table(path, ["train"], SCHEMA)
        labels.append(split.labels.tolist())
        assert split.boxes.tolist() == [[0, 1, 40, 60]] * len(ROWS)
    assert labels[0] == labels[1] == labels[2]


def test_many_rows_are_all_read(challenge):
    write_lines(challenge / "t.csv", [HEADER, *ROWS * 500])
    split = read_table(challenge / "t.csv", ["train"], SCHEMA)[0]
    assert len(split) == 500 * len(ROWS)
