"""A shop's own table comes back: its columns, its products, its spreadsheet."""

import csv
import shutil
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow.parquet
import pytest

from deepfashion_tf.inference.answers import Wanted
from deepfashion_tf.inference.batch import Batch
from deepfashion_tf.inference.items import Item
from deepfashion_tf.schema import Schema
from deepfashion_tf.serving.products import Products, grouped


@pytest.fixture
def shop(wardrobe, tmp_path) -> Path:
    """Seven photographs of three products, one without a product and one that is missing."""
    for number in range(7):
        shutil.copy(wardrobe / "img" / f"{number:05d}.jpg", tmp_path / f"{number}.jpg")
    rows = [
        ("image", "Product No", "price", "sleeve", "note"),
        *(("0.jpg", "A", "1,5", "short", "=1+2"), ("1.jpg", "B", "2", "", "[b]x")),
        *(("2.jpg", "A", "1,5", "", ""), ("3.jpg", "", "9", "", "ä")),
        *(("missing.jpg", "B", "2", "", ""), ("4.jpg", "C", "", "", "")),
        *(("5.jpg", "A", "1,5", "", ""), ("6.jpg", "C", "7", "", "")),
    ]
    with (tmp_path / "shop.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "shop.csv"


def read(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path).to_pylist()
    if path.suffix == ".xlsx":
        header, *rows = openpyxl.load_workbook(path).active.iter_rows(values_only=True)
        return [dict(zip(header, row, strict=True)) for row in rows]
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def ask(trained, run_here, shop, monkeypatch):
    """Predicts for the shop's table."""

    def predict(output: str, *options: str) -> tuple[int, list[dict] | str]:
        path = shop.with_name(output)
        options = ("--output", path, "--engine", "tensorflow", *options)
        code, _, errors = run_here(
            "predict", trained.run.directory, shop, *options, cwd=shop.parent
        )
        return code, read(path) if path.exists() else errors

    return predict


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet"])
def test_the_tables_columns_come_back(ask, suffix):
    code, rows = ask(f"a{suffix}", "--keep-columns", "all")
    assert code == 1 and len(rows) == 7  # the missing one is reported
    assert list(rows[0])[:9] == [
        *("image", "x1", "y1", "x2", "y2", "Product No", "price", "input_sleeve", "note")
    ]
    assert [row["image"] for row in rows][:2] == ["0.jpg", "1.jpg"]
    assert rows[0]["price"] == "1,5" and rows[0]["input_sleeve"] == "short"
    # A spreadsheet would run a formula of a CSV file; a text of its own cells it does not.
    assert rows[0]["note"] == ("'=1+2" if suffix == ".csv" else "=1+2")
    assert rows[1]["note"] == "[b]x" and rows[3]["note"] == "ä"
    assert rows[0]["sleeve_status"] == "accepted"


def test_some_columns_come_back_in_the_order_asked_for(ask):
    _, rows = ask("a.csv", "--keep-columns", "note", "product_no")
    assert list(rows[0])[5:7] == ["note", "product_no"] and rows[0]["product_no"] == "A"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--keep-columns", "colour"), "no table has this column; their columns are 'Product No'"),
        (("--keep-columns", "all", "--data", "x.csv"), "need a table of images"),
        (("--csv-dialect", "excel-de", "--output", "a.xlsx"), "is a form of .csv: name such"),
        (("--csv-dialect", "excel-de"), "is a form of .csv: name such"),
        (("--group-by", "colour", "--output", "o.csv"), "--group-by colour: no table has this"),
    ],
)
def test_a_column_that_is_not_there_is_refused(trained, run_here, shop, options, message):
    images = () if "--data" in options else (shop,)
    code, _, errors = run_here("predict", trained.run.directory, *images, *options, cwd=shop.parent)
    assert code == 2 and message in " ".join(errors.split())


def test_a_row_a_product(ask):
    _, single = ask("one.csv")
    code, rows = ask("g.csv", "--group-by", "Product No", "--keep-columns", "price")
    assert code == 1
    assert [row["Product No"] for row in rows] == ["A", "B", "", "C"]
    assert [row["photographs"] for row in rows] == ["3", "1", "1", "2"]
    assert rows[3]["price"] == "" and rows[0]["price"] == "1,5"
    alone = {row["image"]: row for row in single}
    for row in rows[1:3]:
        for name in ("sleeve", "fabric"):
            assert row[name] == alone[row["image"]][name]
            assert float(row[f"{name}_probability"]) == pytest.approx(
                float(alone[row["image"]][f"{name}_probability"]), abs=2e-6
            )
            assert row[f"{name}_agreement"] == "1.0"


def test_a_csv_for_a_german_spreadsheet(ask, shop):
    ask("g.csv", "--csv-dialect", "excel-de", "--group-by", "Product No")
    content = shop.with_name("g.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfimage;") and content.count(b"\r\n") == 5
    row = next(csv.DictReader(content.decode("utf-8-sig").splitlines(), delimiter=";"))
    assert row["photographs"] == "3" and row["sleeve_probability"].startswith("0,")


def test_probabilities_of_a_product_are_normalized_geometric_means():
    schema = Schema.of({"sleeve": ["long", "short"], "fabric": ["a", "b"]}, multi=["fabric"])
    wanted = grouped(Wanted(schema, kept={"product": "string"}))
    written: list[Batch] = []

    class Writer:
        def write(self, batch: Batch) -> None:
            written.append(batch)

    products = Products(Writer(), wanted)
    long = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    yes = np.array([[0.3, 0.7], [0.6, 0.4], [0.1, 0.9]])
    items = [Item(str(n), kept=("P",), group="P") for n in range(3)]
    for some in (slice(0, 2), slice(2, 3)):
        values = {"sleeve": long[some], "fabric_a": yes[some], "fabric_b": yes[some]}
        products.write(Batch(items[some], [None] * len(items[some]), np.empty(0), values))
    assert products.finish() == 1
    (batch,) = written
    means = np.exp(np.log(long).mean(axis=0))
    np.testing.assert_allclose(batch.probabilities["sleeve"][0], means / means.sum(), atol=1e-12)
    (item,) = batch.items
    # product, photographs, the agreement of sleeve and of fabric
    assert item.kept == ("P", 3, pytest.approx(0.6667), pytest.approx(0.6667))


def test_a_mended_table_keeps_its_columns(run_here, wardrobe, tmp_path):
    lines = ["image,split,sleeve,sku,=x"]
    splits = ["train"] * 4 + ["val"] * 2
    for number, split in enumerate(splits):
        shutil.copy(wardrobe / "img" / f"{number:05d}.jpg", tmp_path / f"{number}.jpg")
        lines.append(f"{number}.jpg,{split},{'long' if number % 2 else 'short'},S{number},y")
    (tmp_path / "2.jpg").write_bytes(b"broken")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    (tmp_path / "s.yaml").write_text("categories: {sleeve: [long, short]}")
    options = ("--schema", "s.yaml", "--fix", "fixed.csv", "--keep-columns", "all")
    code, _, _ = run_here("check_data", "t.csv", *options, cwd=tmp_path)
    assert code == 1
    rows = read(tmp_path / "fixed.csv")
    assert [row["sku"] for row in rows] == ["S0", "S1", "S3", "S4", "S5"]
    assert [row["image"] for row in rows] == ["0.jpg", "1.jpg", "3.jpg", "4.jpg", "5.jpg"]
    assert rows[0]["'=x"] == "y"


def test_a_catalogue_keeps_columns(trained, shop, tmp_path):
    from deepfashion_tf.data.table_options import ImageOptions
    from deepfashion_tf.inference.items import find_items, kept_columns
    from deepfashion_tf.inference.predictor import Predictor
    from deepfashion_tf.serving.catalogue.places import Disk
    from deepfashion_tf.serving.catalogue.shards import shards_of, tag_shard

    predictor = Predictor.of_run(trained.run)
    kept = kept_columns([str(shop)], ["price"], ImageOptions())
    wanted = Wanted(predictor.schema, kept=dict.fromkeys(kept, "string"))
    (shard,) = shards_of(find_items([str(shop)], kept=kept), 100)
    assert tag_shard(predictor, wanted, shard, Disk(tmp_path)) == (7, 1)
    rows = read(tmp_path / shard.name)
    assert [row["price"] for row in rows] == ["1,5", "2", "1,5", "9", None, "1,5", "7"]


def test_columns_that_are_called_as_those_of_answers_have_names_of_their_own(ask, shop):
    names = ["sleeve", "input_sleeve", "photographs", "sleeve_agreement"]
    lines = [",".join(["image", "product", *names]), "0.jpg,A,a,b,c,d", "1.jpg,A,a,b,c,d"]
    shop.write_text("\n".join(lines))
    for suffix in (".csv", ".parquet"):
        code, rows = ask(f"o{suffix}", "--keep-columns", "all", "--group-by", "product")
        assert code == 0
        (row,) = rows
        assert (row["input_input_sleeve"], row["input_sleeve"]) == ("a", "b")
        assert (row["input_photographs"], row["input_sleeve_agreement"]) == ("c", "d")
        assert int(row["photographs"]) == 2
