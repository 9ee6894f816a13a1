import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from conftest import write_lines

from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.division import SHARES, divide
from deepfashion_tf.data.schema_proposal import propose_schema
from deepfashion_tf.data.split import SPLITS
from deepfashion_tf.data.table import read_table, write_table
from deepfashion_tf.data.table_options import RowOptions
from deepfashion_tf.errors import InputError
from deepfashion_tf.schema import Category, Schema, builtin_schema

SHOP = Schema.of({"season": ["summer", "winter"], "collar": ["none", "polo", "shirt"]})
HEADER = "image,x1,y1,x2,y2,season,collar,split"
ROWS = [
    "img/00000.jpg,0,1,40,60,summer,polo,train",
    "img/00001.jpg,,,,,winter,,train",
    "img/00002.jpg,1,1,9,9,,none,val",
    "img/00003.jpg,0,0,40,60,summer,shirt,test",
]


def write(folder, lines, name="table.csv"):
    write_lines(folder / name, lines)
    return folder / name


def read_all(path, schema=SHOP):
    return {split.name: split for split in read_table(path, SPLITS, schema)}


def same(one, other) -> bool:
    return all(
        list(one[name].keys) == list(other[name].keys)
        and np.array_equal(one[name].labels, other[name].labels)
        and np.array_equal(one[name].boxes, other[name].boxes)
        for name in SPLITS
    )


def test_reads_a_table(challenge):
    splits = read_all(write(challenge, [HEADER, *ROWS]))
    train = splits["train"]
    assert train.schema == SHOP
    assert train.keys == [str(challenge / "img" / f"0000{i}.jpg") for i in (0, 1)]
    assert train.labels.tolist() == [[0, 1], [1, -1]]
    assert train.boxes.tolist() == [[0, 1, 40, 60], [-1] * 4]
    assert splits["val"].labels.tolist() == [[-1, 0]]
    assert train.encoded(1) == (challenge / "img" / "00001.jpg").read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace(",", " , ").replace(" , ", ",", 7),
        lambda text: text.replace("summer", '"summer"'),
        lambda text: text.replace("train", "Training").replace("val", "validation"),
        lambda text: text.replace("40,60", "40.0,60."),
        lambda text: (
            text.replace("split\n", "split,note\n")
            .replace("n\n", 'n,"two\nlines"\n')
            .replace("l\n", "l,\n")
            .replace("t\n", "t,\n")
            .replace("split,\n", "split,note\n")
        ),
    ],
    ids=["end", "CRLF", "BOM", "semicolon", "tab", "spaces", "quotes", "names", "floats", "notes"],
)
def test_variations_change_nothing(challenge, change):
    expected = read_all(write(challenge, [HEADER, *ROWS]))
    path = challenge / "other.csv"
    path.write_text(change((challenge / "table.csv").read_text()), newline="")
    assert same(read_all(path), expected)


def test_parquet_is_read_alike(challenge):
    expected = read_all(write(challenge, [HEADER, *ROWS]))
    table = pa.csv.read_csv(challenge / "table.csv")
    for number, season in enumerate((pa.string(), pa.dictionary(pa.int8(), pa.string()))):
        path = challenge / f"{number}.parquet"
        column = table.schema.get_field_index("season")
        text = pa.compute.if_else(pa.compute.equal(table["season"], ""), None, table["season"])
        typed = table.set_column(column, "season", text.cast(season))
        pa.parquet.write_table(typed, path)
        assert same(read_all(path), expected)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("img/00001.jpg,,,,,sumer,,train", "line 3: season is 'sumer' (did you mean summer?)"),
        ("img/00001.jpg,,,,,summer,,dev2", "line 3: split is 'dev2'"),
        ("img/00001.jpg,,,,,summer,,", "line 3: split is 'empty'"),
        (",,,,,summer,,train", "line 3: names no image"),
        ("img/none.jpg,,,,,summer,,train", "line 3: PLACE/img/none.jpg is missing"),
        ("img,,,,,summer,,train", "line 3: PLACE/img is"),
        ("table.csv,,,,,summer,,train", "line 3: PLACE/table.csv is not a readable image"),
        (f"{'x' * 300}.jpg,,,,,summer,,train", "line 3: PLACE/xxx"),
        ("img/00001.jpg,1,,,,summer,,train", "line 3: has only some of its box (x1"),
        ("img/00001.jpg,1,2,1_0,9,summer,,train", "line 3: x2 is '1_0': no number"),
        ("img/00001.jpg,1,2,inf,9,summer,,train", "line 3: x2 is 'inf': no number"),
        ("img/00001.jpg,9,2,9,9,summer,,train", "line 3: box 9 2 9 9 has no area"),
        ("img/00001.jpg,-1,2,9,9,summer,,train", "line 3: box -1 2 9 9 has no area"),
        ("img/00001.jpg,0,0,41,60,summer,,train", "line 3: box 0 0 41 60 lies outside 00001.jpg"),
        ("img/00001.jpg,1,2", "line 3: has 3 values where the header has 8"),
    ],
)
def test_a_fault_is_told_with_file_and_line(challenge, row, message):
    path = write(challenge, [HEADER, ROWS[0], row, *ROWS[2:]])
    with pytest.raises(InputError) as raised:
        read_table(path, ["train"], SHOP)
    assert message.replace("PLACE", str(challenge)) in str(raised.value)


def test_many_faults_of_one_kind_are_one(challenge):
    rows = [f"img/00000.jpg,,,,,{['hot', 'summer'][i % 2]},,train" for i in range(400)]
    with pytest.raises(InputError, match="line 2: season is 'hot' and 199 more") as raised:
        read_table(write(challenge, [HEADER, *rows]), ["train"], SHOP)
    assert "faults to mend" not in str(raised.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "is empty: name a table with a header and rows"),
        ([HEADER], "has no row below its header"),
        (["image,season", "img/00000.jpg,summer"], "has no column collar; its columns are"),
        (["image,season,season,collar", "a,b,c,d"], "has several columns season"),
        (["image,season,collar,x1", "a,b,c,d"], "has only some of the columns x1"),
        ([HEADER, *ROWS[:2]], "No image of .* is in the split 'val'"),
    ],
)
def test_tables_that_are_none(challenge, lines, message):
    with pytest.raises(InputError, match=message):
        read_table(write(challenge, lines), ["train", "val"], SHOP)


def test_files_that_are_none(challenge):
    with pytest.raises(InputError, match="There is no table"):
        read_table(challenge / "none.csv", ["train"], SHOP)
    (challenge / "x.csv").write_bytes(b"image,season,collar\nimg/00000.jpg,\x81,\n")
    with pytest.raises(InputError, match=r"x\.csv is neither UTF-8, UTF-16 nor Windows-1252"):
        read_table(challenge / "x.csv", ["train"], SHOP)
    (challenge / "x.xlsx").write_bytes(b"PK\3\4 nonsense")
    with pytest.raises(InputError, match=r"x\.xlsx cannot be read as a spreadsheet"):
        read_table(challenge / "x.xlsx", ["train"], SHOP)
    (challenge / "x.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(InputError, match="cannot be read as a Parquet table"):
        read_table(challenge / "x.parquet", ["train"], SHOP)


def test_without_a_schema_the_columns_are_told(challenge):
    with pytest.raises(InputError, match=r"no column texture, sleeve.*'season'.*--schema"):
        read_table(write(challenge, [HEADER, *ROWS]), ["train"])


def test_a_group_on_both_sides_is_told(challenge, capsys):
    header = HEADER + ",group"
    rows = [f"{row},{group}" for row, group in zip(ROWS, "aaba", strict=True)]
    read_table(write(challenge, [header, *rows]), ["train"], SHOP)
    assert "1 groups of" in " ".join(capsys.readouterr().out.split())


def random_labels(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    sizes = [2, 3, 26]
    labels = np.stack([rng.integers(0, size, count) for size in sizes], axis=1)
    labels[rng.random(count) < 0.2, 1] = -1
    labels[rng.random(count) < 0.97, 2] = -1
    return labels.astype(np.int32)


def test_every_attribute_has_its_share_of_every_split():
    labels = random_labels(20_000)
    split_of = divide(labels, np.arange(len(labels)))
    for number, name in enumerate(SPLITS):
        assert (split_of == number).mean() == pytest.approx(SHARES[name], abs=1e-3)
        for values in labels.T:
            for value in np.unique(values[values >= 0]):
                found = (split_of[values == value] == number).sum()
                expected = SHARES[name] * (values == value).sum()
                # The rarest have some 23 images.
                assert abs(found - expected) <= 2 + 0.02 * expected, value


def test_no_group_is_cut_and_the_division_repeats():
    labels = random_labels(5_000)
    groups = np.random.default_rng(1).zipf(1.7, 5_000).clip(max=900)
    split_of = divide(labels, groups)
    for group in np.unique(groups):
        assert len(set(split_of[groups == group])) == 1
    np.testing.assert_array_equal(split_of, divide(labels, groups))


def test_a_table_without_splits_keeps_products_together(challenge):
    rows = [f"img/0000{i % 6}.jpg,{['summer', 'winter'][i % 2]},,g{i // 4}" for i in range(120)]
    path = write(challenge, ["image,season,collar,group", *rows])
    splits = read_all(path)
    assert sum(map(len, splits.values())) == 120
    assert same(splits, read_all(path))
    # The same picture is one group where no group is named.
    path = write(challenge, ["image,season,collar", *(row[: row.rindex(",")] for row in rows[:60])])
    sides = [set(split.keys) for split in read_table(path, ["train", "val"], SHOP)]
    assert not sides[0] & sides[1]


def test_real_photographs_as_a_table_are_the_same_split(real_photos, tmp_path):
    """A two-category schema of its own, against the challenge layout."""
    schema = builtin_schema().select(["sleeve", "texture"])
    path = tmp_path / "photos.csv"
    lines = ["image,x1,y1,x2,y2,sleeve,texture,split"]
    for name in SPLITS:
        split = read_split(real_photos, name, schema)
        for key, box, labels in zip(split.keys, split.boxes, split.labels, strict=True):
            names = ["" if i < 0 else schema[c][i] for c, i in zip(schema, labels, strict=True)]
            lines.append(",".join([key, *map(str, box), *names, name]))
    write_lines(path, lines)
    for name, found in read_all(path, schema).items():
        expected = read_split(real_photos, name, schema)
        assert list(found.keys) == list(expected.keys)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_array_equal(found.boxes, expected.boxes)


def test_what_is_written_is_read(challenge):
    splits = [read_split(challenge, name) for name in SPLITS]
    write_table(challenge / "out.csv", splits)
    for split, found in zip(splits, read_table(challenge / "out.csv", SPLITS), strict=True):
        assert list(found.keys) == list(split.keys)
        np.testing.assert_array_equal(found.labels, split.labels)
        np.testing.assert_array_equal(found.boxes, split.boxes)


def test_a_schema_is_proposed_from_the_columns(challenge):
    colours = ["red", "blue", "red"]
    rows = [f"img/0000{i % 6}.jpg,P{i},{colours[i % 3]},same,{i % 2}" for i in range(12)]
    path = write(challenge, ["image,number,colour,shop,is new", *rows])
    found = propose_schema(path)
    assert dict(found.schema) == {"colour": ("red", "blue"), "is_new": ("0", "1")}
    assert found.schema.categories[1].column == "is new"
    assert found.counts["colour"] == {"red": 8, "blue": 4}
    assert found.left_out == {
        "number": "12 different values in 12 rows",
        "shop": "1 different values in 12 rows",
    }
    assert len(propose_schema(path, ["number"]).schema["number"]) == 12
    with pytest.raises(InputError, match="no column size"):
        propose_schema(path, ["size"])
    with pytest.raises(InputError, match="looks like a category"):
        propose_schema(write(challenge, ["image,number", *(r[:16] for r in rows[:9])]))


def test_a_proposal_merges_spellings_and_warns_of_what_looks_wrong(challenge):
    words = (
        ["Red"] * 30 + ["red "] * 3 + ["RED"] * 2 + ["green"] * 20 + ["greem"] * 12 + ["n/a"] * 4
    )
    rows = [f"img/00000.jpg,{word}" for word in words]
    found = propose_schema(write(challenge, ["image,colour", *rows, "img/00000.jpg"]))
    assert found.counts == {"colour": {"Red": 35, "green": 20, "greem": 12}}
    text = " ".join(found.warnings)
    for part in ("'n/a' (4)", "'red' (3), 'RED' (2)", "'green' and 'greem'", "1 of 72 rows"):
        assert part in text
    assert "too few" not in text


# --- tables as people have them --------------------------------------------------------


def read_one(path, **options):
    (split,) = read_table(path, ["train"], SHOP, options=RowOptions(**options))
    return split


PLAIN = ["image,season,collar,split", "img/00000.jpg,summer,polo,train"]
BOXED = "image,{},season,collar,split"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_encodings_are_detected(challenge, capsys, encoding):
    schema = Schema.of({"season": ["summer", "été"], "collar": ["none", "polo"]})
    text = "image,season,collar,split\n" + "img/00000.jpg,été,polo,train\n" * 3
    (challenge / "t.csv").write_bytes(text.encode(encoding))
    (split,) = read_table(challenge / "t.csv", ["train"], schema)
    assert split.labels.tolist() == [[1, 1]] * 3
    told = capsys.readouterr().out
    assert ("UTF-16" in told) == ("16" in encoding) and ("UTF-32" in told) == ("32" in encoding)
    assert ("Windows-1252" in told) == (encoding == "cp1252")


@pytest.mark.parametrize("content", [b"", b"\n\n\n", b"\xef\xbb\xbf"])
def test_an_empty_table_is_told(challenge, content):
    (challenge / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"t\.csv is empty: name a table"):
        read_table(challenge / "t.csv", ["train"])


def test_one_bad_byte_is_a_fault_of_its_row_alone(challenge):
    rows = ["img/00000.jpg,été,,train", "img/00001.jpg,été,,train", "img/0000\xff.jpg,été,,train"]
    schema = Schema.of({"season": ["summer", "été"], "collar": ["none", "polo"]})
    text = "\n".join(["image,season,collar,split", *rows]).encode().replace(b"\xc3\xbf", b"\xff")
    (challenge / "t.csv").write_bytes(text)
    options = RowOptions(on_bad_row="skip")
    (split,) = read_table(challenge / "t.csv", ["train"], schema, options=options)
    assert len(split) == 2
    assert split.left_out == [
        (f"{challenge}/t.csv, line 4", "names an image by bytes that are no UTF-8")
    ]


@pytest.mark.parametrize(
    "damage",
    [
        '5.jpg,"never closed,polo,train',
        '5.jpg,"never closed, but quoted "" twice,polo,train',
        '5.jpg,"early "end,polo,train',
        "5.jpg,summer",
        "5.jpg,summer,polo,train,more",
        'img/00000.jpg,summer,polo,"train',
    ],
)
@pytest.mark.parametrize("place", [0, 5, 47])
def test_no_damage_loses_another_row(challenge, damage, place):
    """In = read + reported, whatever a row does to those that follow."""
    rows = ["img/00000.jpg,summer,polo,train"] * 48
    rows[place] = damage
    path = write(challenge, ["image,season,collar,split", *rows])
    split = read_one(path, on_bad_row="skip")
    assert len(split) == 47
    assert [where for where, _ in split.left_out] == [f"{path}, line {place + 2}"]
    with pytest.raises(InputError, match=f"line {place + 2}: "):
        read_one(path)


def test_a_table_without_a_sound_row_is_told_even_where_rows_are_skipped(challenge):
    path = write(challenge, [HEADER, "img/none.jpg,1,,,,summer,,train", "img/00000.jpg,1"])
    with pytest.raises(InputError, match="2 faults to mend"):
        read_table(path, ["train"], SHOP, options=RowOptions(on_bad_row="skip"))


def test_a_cell_that_closes_in_the_next_row_swallows_none(challenge):
    rows = ["img/00000.jpg,summer,polo,train"] * 8
    rows[3:5] = ['img/00000.jpg,"summer,polo,train', 'img/00000.jpg,summer",polo,train']
    split = read_one(write(challenge, ["image,season,collar,split", *rows]), on_bad_row="skip")
    assert len(split) + len(split.left_out) == 8
    assert len(split) >= 6


def test_true_line_ends_in_cells_are_read_and_counted(challenge, capsys):
    rows = [f'"a coat,\nwarm; {i}",img/00000.jpg,summer,polo,train' for i in range(9)]
    path = write(challenge, ["text,image,season,collar,split", *rows])
    assert len(read_one(path)) == 9
    assert "9 cells with line ends, first in line 2" in flat(capsys)


def test_a_spreadsheet_is_read_as_csv_is(challenge, capsys):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (
        ["Image ", "X1", "y1", "x2", "y2", " Season", "COLLAR", "Split"],
        [None] * 8,
        ["img/00000.jpg", 0, 1, 40.0, 60, "Summer", "polo", "train"],
        ["img/00001.jpg", None, None, None, None, "winter", "n/a", "Train"],
    ):
        sheet.append(row)
    book.create_sheet("empty")
    book.save(challenge / "t.xlsx")
    split = read_one(challenge / "t.xlsx")
    assert split.labels.tolist() == [[0, 1], [1, -1]]
    assert split.boxes.tolist() == [[0, 1, 40, 60], [-1] * 4]
    told = flat(capsys)
    assert "2 rows, 2 read, 0 left out" in told
    assert "has 1 empty row, ignored" in told
    assert "'n/a' (1) as not labelled" in told
    assert "'Summer' as summer (1)" in told


@pytest.mark.parametrize(
    ("columns", "cells", "convention", "box"),
    [
        ("x1,y1,x2,y2", "1,2,3,4", None, (1, 2, 3, 4)),
        ("xmin,ymin,xmax,ymax", "1,2,3,4", None, (1, 2, 3, 4)),
        ("x,y,width,height", "1,2,3,4", None, (1, 2, 4, 6)),
        ("x,y,w,h", "1,2,3,4", None, (1, 2, 4, 6)),
        ("x1,y1,x2,y2", "1,2,3,4", "xywh", (1, 2, 4, 6)),
        ("x1,y1,x2,y2", "0.1,0.5,0.55,1", "normalised", (4, 30, 22, 60)),
        ("x1,y1,x2,y2", "1.5,2.5,3.2,4.0", None, (1, 2, 4, 4)),
        ("bbox", '"[1, 2, 3, 4.5]"', "coco", (1, 2, 4, 7)),
        ("bbox", "1 2 3 4", "xyxy", (1, 2, 3, 4)),
        ("bbox", "", "coco", (-1, -1, -1, -1)),
    ],
)
def test_conventions_of_boxes(challenge, columns, cells, convention, box):
    path = write(challenge, [BOXED.format(columns), f"img/00000.jpg,{cells},summer,polo,train"])
    assert read_one(path, boxes=convention).boxes.tolist() == [list(box)]


def test_decimal_commas(challenge, capsys):
    lines = ["sep=;", "image;x1;y1;x2;y2;season;collar;split"]
    path = write(challenge, [*lines, "img/00000.jpg;1,5;2;3,25;4;summer;polo;train", ";;;;;;;"])
    assert read_one(path).boxes.tolist() == [[1, 2, 4, 4]]
    assert "boxes with decimals, rounded outwards (1)" in flat(capsys)


@pytest.mark.parametrize(
    ("boxes", "convention", "message"),
    [
        (["0,0,1,1"] * 12, None, "say --boxes normalised"),
        (["0.1,0.1,0.9,0.8"] * 3, None, "say --boxes normalised"),
        (["0,0,1,1"] * 12, "xywh", "say --boxes normalised"),
        (["30,50,10,10"] * 12, None, "say --boxes xywh"),
        (["30,50,40,60"] * 12, "xywh", "say --boxes xyxy"),
        (["0,20,60,40"] * 12, None, "write x before y"),
        (["1,1,41,61"] * 12, None, "pixels counted from 1"),
        (["0,0,2,3"] * 12, None, "less than a hundredth"),
    ],
)
def test_the_likely_convention_is_named(challenge, boxes, convention, message):
    rows = [f"img/00000.jpg,{box},summer,polo,train" for box in boxes]
    with pytest.raises(InputError, match=message):
        read_one(write(challenge, [BOXED.format("x1,y1,x2,y2"), *rows]), boxes=convention)


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e999", "9999999999", "0x10", "1_0", "١"])
def test_every_number_goes_through_one_reader(challenge, value):
    rows = [f"img/00000.jpg,0,0,{value},9,summer,polo,train", "img/00000.jpg,0,0,9,9,summer,,train"]
    split = read_one(write(challenge, [BOXED.format("x1,y1,x2,y2"), *rows]), on_bad_row="skip")
    assert (len(split), len(split.left_out)) == (1, 1)


def test_columns_by_names_of_the_users_own(challenge):
    lines = ["Photo ID,Product,Set,Season Type,collar", "0,P1,train,summer,polo", "1,P1,val,,none"]
    schema = Schema(
        (
            Category("season", ("summer", "winter"), column="season_type"),
            Category("collar", ("none", "polo")),
        )
    )
    options = RowOptions(
        image_column="img/0000{photo id}.jpg", group_column="product", split_column="set"
    )
    (split,) = read_table(write(challenge, lines), ["train"], schema, options=options)
    assert split.keys == [f"{challenge}/img/00000.jpg"]
    assert split.labels.tolist() == [[0, 1]]
    with pytest.raises(InputError, match="has no column number"):
        read_one(challenge / "table.csv", image_column="{number}.jpg")
    with pytest.raises(InputError, match="names no column in plain braces"):
        read_one(challenge / "table.csv", image_column="{a!r}.jpg")


def test_words_that_mean_the_same(challenge):
    schema = Schema(
        (
            Category("season", ("summer", "winter"), synonyms={"summer": ("été", "SS 24")}),
            Category("collar", ("none", "crew_neck")),
        ),
        ("tbd",),
    )
    words = ["ÉTÉ,Crew Neck", "ss-24,crew-neck", "TBD,None", " Winter ,"]
    lines = ["image,season,collar", *(f"img/00000.jpg,{one}" for one in words)]
    path = write(challenge, [lines[0] + ",split", *(f"{line},train" for line in lines[1:])])
    (split,) = read_table(path, ["train"], schema)
    assert split.labels.tolist() == [[0, 1], [0, 1], [-1, 0], [1, -1]]
    # A list of one's own replaces the usual one.
    write(challenge, [lines[0], "img/00000.jpg,n/a,"], "other.csv")
    with pytest.raises(InputError, match="season is 'n/a'"):
        read_table(challenge / "other.csv", ["train"], schema)


@pytest.mark.parametrize(
    "text",
    [
        "img\\00000.jpg",
        "C:\\shop\\export\\img\\00000.jpg",
        "/mnt/other/img/00000.jpg",
        "img/00000.JPG",
        "IMG/00000.jpeg.jpg",
        "img/e\u0301te\u0301.jpg",
    ],
)
def test_paths_are_repaired_where_one_file_fits(challenge, capsys, text):
    picture = (challenge / "img" / "00000.jpg").read_bytes()
    (challenge / "img" / "00000.jpeg.jpg").write_bytes(picture)
    (challenge / "img" / "\u00e9t\u00e9.jpg").write_bytes(picture)
    split = read_one(write(challenge, [PLAIN[0], f'"{text}",summer,polo,train']))
    assert split.encoded(0) == picture
    assert "1 of the paths repaired" in flat(capsys)


def test_a_path_that_several_files_fit_is_a_fault(challenge):
    for name in ("A.jpg", "a.JPG"):
        (challenge / "img" / name).write_bytes((challenge / "img" / "00000.jpg").read_bytes())
    with pytest.raises(InputError, match=r"several files fit: .*A\.jpg, .*a\.JPG"):
        read_one(write(challenge, [PLAIN[0], "img/a.jpg,summer,polo,train"]))


def test_images_inside_parquet(challenge, capsys):
    """The layout of Hugging Face ``datasets``: bytes and path, class labels by number."""
    picture = (challenge / "img" / "00000.jpg").read_bytes()
    features = {"season": {"names": ["winter", "summer"], "_type": "ClassLabel"}}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for shard in range(2):
        table = pa.table(
            {
                "image": pa.array(
                    [{"bytes": picture, "path": "x.jpg"}, {"bytes": None, "path": "img/00001.jpg"}]
                    + [{"bytes": b"\x1b[31m\0nonsense", "path": None}],
                    kind,
                ),
                "season": pa.array([0, 1, -1]),
                "collar": ["polo", "none", None],
                "split": ["train"] * 3,
                "objects": pa.array([[1], [2], [3]]),
            }
        )
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        pa.parquet.write_table(
            table.replace_schema_metadata(metadata), challenge / f"train-{shard}.parquet"
        )
    pattern = challenge / "train-*.parquet"
    found = propose_schema(pattern)
    assert found.schema["season"] == ("winter", "summer")
    assert found.left_out == {"objects": "it is nested"}
    split = read_one(pattern, on_bad_row="skip")
    assert [split.encoded(row) == picture for row in range(4)] == [True, False] * 2
    assert split.labels.tolist() == [[1, 1], [0, 0]] * 2
    assert split.left_out == [
        (f"{pattern}, row {row}", "is not a readable image") for row in (3, 6)
    ]
    told = capsys.readouterr().out
    assert told.isprintable() or "\x1b" not in told
    assert "nonsense" not in told


def test_names_of_several_parquet_files_are_their_splits(challenge):
    for name, count in {"train": 5, "validation": 2, "test": 3}.items():
        seasons = ["summer", "winter"] * count
        columns = {"image": ["img/00000.jpg"] * count, "season": seasons[:count]}
        table = pa.table(columns | {"collar": ["polo"] * count})
        pa.parquet.write_table(table, challenge / f"{name}-00000-of-00001.parquet")
    splits = read_table(challenge / "*-00000-*.parquet", SPLITS, SHOP)
    assert [len(split) for split in splits] == [5, 2, 3]
    found = propose_schema(challenge / "*-00000-*.parquet")
    assert found.counts == {"season": {"summer": 6, "winter": 4}}


def flat(capsys) -> str:
    return " ".join(capsys.readouterr().out.split())
