"""The data doctor: planted faults of every kind are found, and nothing in a clean wardrobe."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from conftest import labelled
from PIL import Image, ImageOps

from deepfashion_tf.data.table import read_table
from deepfashion_tf.data.wardrobe import write_wardrobe
from deepfashion_tf.doctor.check import check_data
from deepfashion_tf.doctor.duplicates import Pair, group
from deepfashion_tf.doctor.examination import Examined, examine, existing_splits
from deepfashion_tf.doctor.findings import KINDS, Rows, count_labels, recall_interval
from deepfashion_tf.doctor.options import Options
from deepfashion_tf.errors import InputError
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()
HEADER = ["image", "x1", "y1", "x2", "y2", "split", "sleeve", "group"]


@pytest.fixture(scope="module")
def drawings(tmp_path_factory) -> list[Path]:
    """60 drawings, without their labels."""
    folder = tmp_path_factory.mktemp("drawings")
    write_wardrobe(folder / "w", train=60, val=1, test=1, seed=5, workers=2)
    return sorted((folder / "w" / "img").glob("*.jpg"))[:60]


class Table:
    """A table that grows by rows, on copies of drawings."""

    def __init__(self, folder: Path, drawings: list[Path]) -> None:
        self.folder, self.drawings, self.rows = folder, drawings, []
        for number, path in enumerate(drawings):
            self.add(f"{number}.jpg", path.read_bytes(), split=("train", "val", "test")[number % 3])

    def add(self, name: str, encoded: bytes | None = None, **values) -> None:
        if encoded is not None:
            (self.folder / name).write_bytes(encoded)
        self.rows.append({"image": name, "split": "train", "sleeve": "long_sleeve", **values})

    def image(self, number: int) -> Image.Image:
        return Image.open(self.drawings[number]).convert("RGB")

    @property
    def schema(self) -> Path:
        path = self.folder / "schema.yaml"
        SCHEMA.select(["sleeve"]).save(path)
        return path

    def write(self) -> Path:
        with (self.folder / "t.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, HEADER)
            writer.writeheader()
            writer.writerows(self.rows)
        return self.folder / "t.csv"

    def examine(self) -> Examined:
        config = TrainConfig(data=str(self.write()), schema=self.schema)
        return examine(config.data_name, existing_splits(config))


@pytest.fixture
def table(tmp_path, drawings) -> Table:
    return Table(tmp_path, drawings)


def encode(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def names(examined: Examined, kind: str) -> set[tuple[str, ...]]:
    return {
        tuple(sorted(Path(examined.rows.key(row)).name for row in finding.rows))
        for finding in examined.of_kind(kind)
    }


def test_in_clean_drawings_nothing_is_found(table):
    examined = table.examine()
    assert examined.findings == [] and not examined.is_spoilt


@pytest.mark.slow
def test_in_a_clean_wardrobe_nothing_is_found(tmp_path, capsys):
    write_wardrobe(tmp_path / "w", train=800, val=100, test=100, seed=3, workers=2)
    assert check_data(Options(str(tmp_path / "w"))) == 0
    assert "Nothing is wrong" in capsys.readouterr().out


def test_real_photographs_are_all_different(real_photos):
    config = TrainConfig(data=str(real_photos))
    examined = examine("photographs", existing_splits(config))
    for kind in ("leak", "repeated", "conflict", "unreadable", "outside"):
        assert not examined.of_kind(kind)


def copies(image: Image.Image) -> dict[str, bytes]:
    smaller = image.resize((image.width * 4 // 5, image.height * 4 // 5))
    return {
        "again.jpg": encode(image, quality=60),
        "smaller.jpg": encode(smaller, quality=75),
        "mirrored.png": encode(ImageOps.mirror(image), "PNG"),
        "all.webp": encode(ImageOps.mirror(smaller), "WEBP", quality=60),
        "brighter.jpg": encode(image.point(lambda value: min(255, round(1.1 * value)))),
        "grown.jpg": encode(image.resize((image.width * 6 // 5, image.height * 6 // 5))),
    }


@pytest.mark.slow
def test_a_picture_is_known_however_it_was_saved(table):
    """Each drawing gets one copy in its own split, ten of each kind."""
    expected = set()
    for number in range(60):
        kind, encoded = list(copies(table.image(number)).items())[number % 6]
        name = f"{number}-{kind}"
        table.add(name, encoded, split=table.rows[number]["split"])
        expected.add(tuple(sorted([f"{number}.jpg", name])))
    examined = table.examine()
    assert names(examined, "repeated") == expected
    assert {finding.kind for finding in examined.findings} == {"repeated"}
    assert not examined.is_spoilt


def test_the_same_picture_in_two_splits_is_a_leak_and_other_labels_a_conflict(table):
    table.add("leak.jpg", encode(table.image(0), quality=60), split="val")
    table.add("other.jpg", table.drawings[3].read_bytes(), sleeve="sleeveless")
    table.add("unknown.jpg", table.drawings[6].read_bytes(), sleeve="")
    examined = table.examine()
    assert names(examined, "leak") == {("0.jpg", "leak.jpg")}
    assert names(examined, "conflict") == {("3.jpg", "other.jpg")}
    assert names(examined, "repeated") == {("3.jpg", "other.jpg"), ("6.jpg", "unknown.jpg")}
    (conflict,) = examined.of_kind("conflict")
    assert conflict.text == "are one picture, but their sleeve is long_sleeve, sleeveless"
    assert examined.is_spoilt


def test_two_garments_of_one_picture_are_two(table):
    width, height = table.image(0).size
    above = {"x1": 0, "y1": 0, "x2": width, "y2": height // 2}
    below = {"x1": 0, "y1": height // 2, "x2": width, "y2": height}
    table.rows[0] |= above
    table.add("0.jpg", sleeve="sleeveless", **below)
    assert table.examine().findings == []
    # The mirror image's left is the picture's right.
    left = {"x1": 0, "y1": 0, "x2": width // 2, "y2": height}
    right = {"x1": width - width // 2, "y1": 0, "x2": width, "y2": height}
    table.rows[3] |= left
    table.add("m.png", encode(ImageOps.mirror(table.image(3)), "PNG"), **right)
    assert names(table.examine(), "repeated") == {("3.jpg", "m.png")}


def test_the_same_garment_in_another_colour_is_another_picture(table):
    image = table.image(0)
    red, green, blue = image.split()
    table.add("blue.jpg", encode(Image.merge("RGB", (blue, red, green))))
    grey = image.convert("L").convert("RGB")
    # Drawings have colours enough for this to say something.
    assert np.abs(np.asarray(grey).astype(int) - np.asarray(image)).mean() > 5
    assert table.examine().findings == []


def test_what_cannot_be_used_is_named(table):
    table.add("text.jpg", b"this is text")
    table.add("cut.jpg", table.drawings[0].read_bytes()[:2000], split="val")
    table.add("gone.jpg")
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    table.add("tiny.png", encode(Image.fromarray(noise[:20]), "PNG"))
    table.add("print.jpg", encode(Image.fromarray(np.tile(noise, (2, 2, 1))).convert("CMYK")))
    box = {"x1": 0, "y1": 0, "x2": 4000, "y2": 30}
    table.rows[0] |= box
    table.rows[1] |= {**box, "x2": 33, "y2": 31}
    examined = table.examine()
    assert names(examined, "unreadable") == {("text.jpg",), ("cut.jpg",), ("gone.jpg",)}
    assert names(examined, "tiny") == {("tiny.png",)}
    assert names(examined, "cmyk") == {("print.jpg",)}
    assert names(examined, "outside") == {("0.jpg",)}
    assert names(examined, "tiny box") == {("1.jpg",)}
    assert len(examined.findings) == 7


def test_a_group_in_two_splits_is_told(table):
    for number in (0, 3, 6, 4):  # 4 is in val
        table.rows[number]["group"] = "anna"
    (finding,) = table.examine().of_kind("cut group")
    assert finding.text == "are one group (3 in train, 1 in val)" and len(finding.rows) == 4


def test_the_mended_table_has_nothing_left_to_mend(table, tmp_path, capsys):
    table.add("leak.jpg", encode(table.image(1), quality=60))  # 1 is in val
    table.add("other.jpg", table.drawings[3].read_bytes(), sleeve="sleeveless")
    table.add("text.jpg", b"this is text")
    table.rows[9] |= {"x1": 0, "y1": 0, "x2": 4000, "y2": 30}
    for number in (12, 13):
        table.rows[number]["group"] = "anna"
    page, mended = tmp_path / "page.html", tmp_path / "mended.csv"
    options = Options(str(table.write()), table.schema, html=page, fix=mended)
    assert check_data(options) == 1
    out = capsys.readouterr().out
    assert "1 images cannot be read" in out and str(mended) in out
    text = page.read_text()
    assert all(about.title in text for about in KINDS.values() if about.spoils)
    assert text.count("data:image/jpeg") == 5  # a gallery of each kind but the unreadable
    assert check_data(Options(str(mended), table.schema)) == 0
    assert "Nothing is wrong" in capsys.readouterr().out
    splits = read_table(mended, ("train", "val", "test"), SCHEMA.select(["sleeve"]))
    kept = {
        Path(key).name: label[0]
        for s in splits
        for key, label in zip(s.keys, s.labels, strict=True)
    }
    assert len(kept) == 60 - 2  # 9 has a wrong box, and 12 is in train and of 13's group
    assert "1.jpg" in kept and kept["3.jpg"] == -1


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"html": Path("page.pdf")}, r"\.html"),
        ({"fix": Path("out.xlsx")}, r"\.csv"),
        ({"folds": 5}, "--run"),
        ({"folds": 1, "run": Path("run")}, "between 2 and 100"),
        ({"relabel": Path("a.csv")}, "--fix"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, match):
    with pytest.raises(InputError, match=match):
        Options("wardrobe", **options)


def test_groups_are_connected_pairs():
    pairs = [Pair(0, 4, True, False), Pair(4, 7, False, True), Pair(2, 3, True, False)]
    assert [found.tolist() for found in group(pairs, 9)] == [[0, 4, 7], [2, 3]]
    assert group([], 9) == []


def test_labels_are_counted_by_split():
    train, val = (
        labelled(np.array(values), name)
        for name, values in (("train", [[0] * 6, [1] * 6]), ("val", [[-1, 2, 0, 0, 0, 0]]))
    )
    rows = Rows.of([train, val])
    assert count_labels(rows, "sleeve").tolist() == [[1, 1, 0, 0], [0, 0, 1, 0]]
    assert count_labels(rows, "texture")[1].tolist() == [0] * 7 + [1]
    assert rows.place(2) == (val, 0) and rows.split_name(2) == "val"


def test_few_images_tell_little():
    assert recall_interval(0) == (0.0, 1.0)
    low, high = recall_interval(30)
    assert 0.31 < low < 0.32 and 0.68 < high < 0.69  # scipy's, Clopper and Pearson
