"""Parquet tables with columns of every type: each row is read or reported."""

import datetime
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from deepfashion_tf.data.schema_proposal import propose_schema
from deepfashion_tf.data.table import read_table
from deepfashion_tf.data.table_options import RowOptions
from deepfashion_tf.errors import InputError
from deepfashion_tf.schema import Schema

SLEEVE = Schema.of({"sleeve": ["long", "short"]})
FABRIC = Schema.of({"fabric": ["cotton", "wool"]}, multi=["fabric"])


def write(folder, columns, name="t.parquet", labels=None, **types):
    Image.new("RGB", (30, 40)).save(folder / "a.png")
    count = len(next(iter(columns.values())))
    columns = {"image": ["a.png"] * count, "split": ["train"] * count, **columns}
    table = pa.table({key: pa.array(cells, types.get(key)) for key, cells in columns.items()})
    if labels:
        features = {"info": {"features": labels}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    pa.parquet.write_table(table, folder / name)
    return folder / name


def labels_of(path, schema=SLEEVE):
    (split,) = read_table(path, ["train"], schema)
    return split.labels.tolist()


@pytest.mark.parametrize(
    ("cells", "type_"),
    [
        ([{"name": "long"}, {"name": "short"}], None),
        ([[("a", "long")]] * 2, pa.map_(pa.string(), pa.string())),
        ([[1.5], [2.5]], None),
        ([datetime.date(2024, 5, 1)] * 2, None),
        ([b"long", b"short"], None),
    ],
)
def test_a_label_of_another_kind_is_a_fault_of_its_row(tmp_path, cells, type_):
    with pytest.raises(InputError, match=r"row 1: sleeve is .* the attributes are long, short"):
        read_table(write(tmp_path, {"sleeve": cells}, sleeve=type_), ["train"], SLEEVE)


def test_a_box_that_is_a_struct_is_no_whole_image(tmp_path):
    boxes = [{"x": 1, "y": 1, "w": 5, "h": 5}]
    path = write(tmp_path, {"sleeve": ["long"], "bbox": boxes})
    with pytest.raises(InputError, match="row 1: bbox holds no list of four numbers"):
        read_table(path, ["train"], SLEEVE, options=RowOptions(boxes="coco"))


def test_groups_that_are_structs_are_kept_apart(tmp_path):
    groups = [{"id": 1}, {"id": 2}, {"id": 1}]
    (split,) = read_table(
        write(tmp_path, {"sleeve": ["long"] * 3, "group": groups}), ["train"], SLEEVE
    )
    assert split.groups.tolist() == [0, 1, 0]


def test_decimals_are_numbers(tmp_path):
    cells = [Decimal("1.00"), Decimal("2.00")]
    corners = {"x1": [Decimal("1.0")] * 2, "y1": [1] * 2, "x2": [Decimal("10.5")] * 2}
    path = write(tmp_path, {"sleeve": cells, **corners, "y2": [20] * 2})
    (split,) = read_table(path, ["train"], Schema.of({"sleeve": ["1", "2"]}))
    assert split.labels.tolist() == [[0], [1]]
    assert split.boxes.tolist() == [[1, 1, 11, 20]] * 2


@pytest.mark.parametrize(
    ("number", "type_"),
    [(2**62, pa.timestamp("us")), (2**31 - 1, pa.date32()), (2**62, pa.duration("ms"))],
)
def test_a_time_beyond_those_of_python_is_told(tmp_path, number, type_):
    path = write(tmp_path, {"sleeve": [1, number]}, sleeve=type_)
    with pytest.raises(InputError, match=r"t\.parquet cannot be read as a Parquet table"):
        read_table(path, ["train"], SLEEVE)


def test_columns_of_one_name_are_told(tmp_path):
    table = pa.table([["a.png"], ["long"], ["short"]], names=["image", "sleeve", "sleeve"])
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    for read in (propose_schema, lambda path: read_table(path, ["train"], SLEEVE)):
        with pytest.raises(InputError, match="has several columns sleeve: keep one"):
            read(tmp_path / "t.parquet")


def test_nothing_in_a_list_is_no_answer(tmp_path):
    cells = [["cotton", None], [None], [], None]
    assert labels_of(write(tmp_path, {"fabric": cells}), FABRIC) == [
        [1, 0],
        [-1] * 2,
        [0] * 2,
        [-1] * 2,
    ]
    labels = {"fabric": {"feature": {"names": ["cotton", "wool"], "_type": "ClassLabel"}}}
    path = write(tmp_path, {"fabric": [[1, None], [None]]}, labels=labels)
    assert labels_of(path, FABRIC) == [[0, 1], [-1] * 2]
    path = write(tmp_path, {"fabric": [0, 1]}, labels=labels)
    with pytest.raises(InputError, match="fabric is '0'"):
        labels_of(path, FABRIC)


def test_lists_of_long_texts_are_proposed_like_others(tmp_path):
    cells = [["cotton", "wool"], ["cotton"], ["wool"]] * 4
    path = write(tmp_path, {"fabric": cells}, fabric=pa.large_list(pa.large_string()))
    assert list(propose_schema(path).schema.groups) == ["fabric"]


def test_files_of_one_table_may_order_their_columns_otherwise(tmp_path):
    write(tmp_path, {"sleeve": ["long"], "fit": ["x"]}, "s0.parquet")
    write(tmp_path, {"fit": ["x"], "sleeve": ["short"]}, "s1.parquet")
    assert labels_of(tmp_path / "s*.parquet") == [[0], [1]]


@pytest.mark.parametrize("others", [["short", "long"], None])
def test_class_labels_that_differ_between_files_are_told(tmp_path, others):
    labels = [
        names and {"sleeve": {"names": names, "_type": "ClassLabel"}}
        for names in (["long", "short"], others)
    ]
    write(tmp_path, {"sleeve": [0, 1]}, "s0.parquet", labels[0])
    write(tmp_path, {"sleeve": [0, 1]}, "s1.parquet", labels[1])
    with pytest.raises(InputError, match=r"s1\.parquet has other class labels than .*\(sleeve\)"):
        read_table(tmp_path / "s*.parquet", ["train"], SLEEVE)
