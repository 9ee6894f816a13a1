import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from conftest import write_lines

from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.division import SHARES, divide
from deepfashion_tf.data.split import SPLITS
from deepfashion_tf.data.table import infer_schema, read_table, write_table
from deepfashion_tf.errors import InputError
from deepfashion_tf.schema import Schema, builtin_schema

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
        ("img/00001.jpg,1,,,,summer,,train", "line 3: has only some of x1"),
        ("img/00001.jpg,1,2,3.5,9,summer,,train", "line 3: x2 is '3.5': no whole number"),
        ("img/00001.jpg,1,2,1_0,9,summer,,train", "line 3: x2 is '1_0': no whole number"),
        ("img/00001.jpg,1,2,inf,9,summer,,train", "line 3: x2 is 'inf': no whole number"),
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
        ([], "has no column image, season, collar"),
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
    (challenge / "x.csv").write_bytes(b"image,season,collar\nimg/00000.jpg,\xe4,\n")
    with pytest.raises(InputError, match=r"x\.csv cannot be read as a csv table.*UTF-8"):
        read_table(challenge / "x.csv", ["train"], SHOP)
    (challenge / "x.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(InputError, match="cannot be read as a parquet table"):
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
    split_of = divide(labels, np.arange(len(labels)), seed=0)
    for number, name in enumerate(SPLITS):
        assert (split_of == number).mean() == pytest.approx(SHARES[name], abs=1e-3)
        for values in labels.T:
            for value in np.unique(values[values >= 0]):
                found = (split_of[values == value] == number).sum()
                expected = SHARES[name] * (values == value).sum()
                # The rarest have some 23 images.
                assert abs(found - expected) <= 2 + 0.02 * expected, value


def test_no_group_is_cut_and_the_seed_repeats():
    labels = random_labels(5_000)
    groups = np.random.default_rng(1).zipf(1.7, 5_000).clip(max=900)
    split_of = divide(labels, groups, seed=3)
    for group in np.unique(groups):
        assert len(set(split_of[groups == group])) == 1
    np.testing.assert_array_equal(split_of, divide(labels, groups, seed=3))
    assert not np.array_equal(split_of, divide(labels, groups, seed=4))


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
    schema, left_out = infer_schema(path)
    assert dict(schema) == {"colour": ("red", "blue")}
    assert "'is new' cannot name a category" in left_out.pop("is new")
    assert left_out == {
        "number": "12 different values in 12 rows",
        "shop": "1 different values in 12 rows",
    }
    assert len(infer_schema(path, ["number"])[0]["number"]) == 12
    with pytest.raises(InputError, match="no column size"):
        infer_schema(path, ["size"])
    with pytest.raises(InputError, match="looks like a category"):
        infer_schema(write(challenge, ["image,number", *(r[:16] for r in rows[:9])]))
