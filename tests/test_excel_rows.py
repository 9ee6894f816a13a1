"""Spreadsheets as people make them: merged cells, formulas, errors and hidden sheets."""

import openpyxl
import pytest
from PIL import Image

from deepfashion_tf.data.excel_cells import hidden_cells
from deepfashion_tf.data.table import read_table
from deepfashion_tf.data.table_options import RowOptions
from deepfashion_tf.errors import InputError
from deepfashion_tf.schema import Schema

SLEEVE = Schema.of({"sleeve": ["long", "short"]})
HEADER = ["image", "split", "sleeve"]


@pytest.fixture
def book(tmp_path):
    for name in "abc":
        Image.new("RGB", (30, 40)).save(tmp_path / f"{name}.png")
    return openpyxl.Workbook()


def save(book, folder, rows, merged=()):
    for row in rows:
        book.active.append(row)
    for area in merged:
        book.active.merge_cells(area)
    book.save(folder / "t.xlsx")
    return folder / "t.xlsx"


def test_a_merged_area_fills_its_cells(book, tmp_path):
    rows = [["a.png", "train", "long"], [None, None, "short"], ["c.png", "train", None]]
    path = save(book, tmp_path, [HEADER, *rows], ["A2:A3", "B2:B3", "C3:C4"])
    (split,) = read_table(path, ["train"], SLEEVE)
    assert [key.rsplit("/", 1)[1] for key in split.keys] == ["a.png", "a.png", "c.png"]
    assert split.labels.tolist() == [[0], [1], [1]]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("#REF!", "#REF!"),
        ('=IF(1<2,"long","short")', '=IF(1<2,"long","short") (a formula without a value)'),
    ],
)
def test_an_error_or_an_unknown_formula_is_no_empty_cell(book, tmp_path, cell, shown):
    rows = [["a.png", "train", cell], ["b.png", "train", "short"], [cell, "train", "long"]]
    path = save(book, tmp_path, [HEADER, *rows])
    assert list(hidden_cells(path, "Sheet")) == [(1, 2, shown), (3, 0, shown)]
    (split,) = read_table(path, ["train"], SLEEVE, options=RowOptions(on_bad_row="skip"))
    assert split.labels.tolist() == [[1]] and len(split.left_out) == 2
    assert shown in split.left_out[0][1]


def test_a_label_that_is_not_available_is_not_labelled(book, tmp_path, capsys):
    path = save(book, tmp_path, [HEADER, ["a.png", "train", "#N/A"]])
    (split,) = read_table(path, ["train"], SLEEVE)
    assert split.labels.tolist() == [[-1]]
    assert "'#N/A' (1) as not labelled" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_hidden_sheet_comes_last(book, tmp_path, capsys, state):
    old, book.active = book.active, book.create_sheet("Data")
    old.append([*HEADER, "old"])
    old.sheet_state = state
    path = save(book, tmp_path, [HEADER, ["a.png", "train", "long"]])
    (split,) = read_table(path, ["train"], SLEEVE)
    assert split.labels.tolist() == [[0]]
    assert "Data is read, Sheet not" in " ".join(capsys.readouterr().out.split())


def test_a_sheet_with_a_title_is_told(book, tmp_path):
    path = save(book, tmp_path, [["Our products"], HEADER], ["A1:C1"])
    with pytest.raises(InputError, match="has no column image; its columns are 'Our products'"):
        read_table(path, ["train"], SLEEVE)
