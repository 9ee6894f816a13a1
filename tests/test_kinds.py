"""Categories of kind multi and optional categories, from the schema file to the answers."""

import csv
import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from conftest import make_narrow
from PIL import Image

from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.foreign.convert import write_records
from deepfashion_tf.data.foreign.record import Record, Records
from deepfashion_tf.data.labels import LabelReader
from deepfashion_tf.data.schema_proposal import propose_schema
from deepfashion_tf.data.split import WHOLE_IMAGE, Split
from deepfashion_tf.data.table import label_cells, read_table, write_table
from deepfashion_tf.data.wardrobe import write_wardrobe
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.evaluate import Answered
from deepfashion_tf.evaluation.finish import finish_run
from deepfashion_tf.evaluation.scores import Detection, Scores
from deepfashion_tf.export.saved_model import export_run
from deepfashion_tf.inference.answers import Answering, Wanted, answers_of
from deepfashion_tf.inference.calibration import Calibration, decide, fit_threshold
from deepfashion_tf.inference.items import items_of
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.schema import Schema, builtin_schema
from deepfashion_tf.training.train import train

SCHEMA = Schema.of(
    {"sleeve": ["long", "short"], "fabric": ["cotton", "wool", "90 % silk"]},
    multi=["fabric"],
    optional=["sleeve", "fabric"],
)
WRITTEN = """\
categories:
  sleeve:
    optional: true
    attributes: [long, short]
  fabric:
    kind: multi
    optional: true
    column: Material
    loss_weight: 0.5
    synonyms: {cotton: [Baumwolle]}
    attributes: [cotton, wool, 90 % silk]
"""


def saved(folder: Path, text: str = WRITTEN) -> Schema:
    path = folder / "schema.yaml"
    path.write_text(text, encoding="utf-8")
    return Schema.load(path)


def read(folder: Path, cells: list[object], schema: Schema, name: str = "Material") -> np.ndarray:
    """Labels of a table of Parquet with one column beside sleeve."""
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    columns = {
        "image": ["a.png"] * len(cells),
        "split": ["train"] * len(cells),
        "sleeve": ["long"] * len(cells),
        name: cells,
    }
    pa.parquet.write_table(pa.table(columns), folder / "t.parquet")
    (split,) = read_table(folder / "t.parquet", ["train"], schema)
    return split.labels[:, 1:]


def test_a_multi_category_is_a_yes_or_no_question_an_attribute(tmp_path):
    schema = saved(tmp_path)
    assert list(schema.groups) == ["sleeve", "fabric"]
    assert schema["sleeve"] == ("long", "short", "not_applicable")
    assert schema["fabric_wool"] == ("no wool", "wool")
    assert schema["fabric_not_applicable"] == ("applicable", "not_applicable")
    assert schema.loss_weights["fabric_90_silk"] == 0.5
    assert dict(schema) == dict(SCHEMA)


def test_what_it_writes_it_reads(tmp_path):
    schema = saved(tmp_path)
    schema.save(tmp_path / "again.yaml")
    again = Schema.load(tmp_path / "again.yaml")
    assert again == schema
    assert [c.column for c in again.categories] == [c.column for c in schema.categories]
    assert [c.synonyms for c in again.categories] == [c.synonyms for c in schema.categories]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("categories:\n  a: {kind: several, attributes: [x, y]}", "line 2: kind of a is several"),
        ("categories:\n  a: {optional: maybe, attributes: [x]}", "optional of a is maybe: write"),
        ("categories:\n  a: {kind: multi, attributes: []}", "line 2: a has no attributes"),
        ("categories:\n  a: {kind: multi, attributes: [x, x]}", "a has the attribute x 2 times"),
        (
            "categories:\n  a: {kind: multi, attributes: [x, None]}",
            "has the attribute None, which means",
        ),
        (
            "categories:\n  a: {kind: multi, attributes: [accuracy, probability]}",
            "the categories a and a_accuracy would both make a_accuracy",
        ),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_by_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        saved(tmp_path, text)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("cotton;wool", [1, 1, 0, 0]),
        ("Baumwolle", [1, 0, 0, 0]),
        ("60% cotton, 40 % WOOL", [1, 1, 0, 0]),
        ("62,5% cotton; 37,5% wool", [1, 1, 0, 0]),
        ('["wool", "90 % silk"]', [0, 1, 1, 0]),
        ('{"choices": ["wool"]}', [0, 1, 0, 0]),
        ("cotton|90 % silk", [1, 0, 1, 0]),
        ("none", [0, 0, 0, 0]),
        ("n/a", [-1, -1, -1, 1]),
        ("not applicable", [-1, -1, -1, 1]),
        ("", [-1] * 4),
        ("unknown", [-1] * 4),
        (None, [-1] * 4),
    ],
)
def test_reads_cells_of_several_attributes(tmp_path, cell, expected):
    assert read(tmp_path, [cell, "wool"], saved(tmp_path)).tolist()[0] == expected


def test_reads_lists_of_parquet(tmp_path):
    found = read(tmp_path, [["cotton", "wool"], [], None], saved(tmp_path))
    assert found.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [-1] * 4]


@pytest.mark.parametrize("cell", ["cotton;linen", "cotton;n/a", "linen", '["cotton", 3]'])
def test_a_cell_with_another_word_is_a_fault_of_its_row(tmp_path, cell):
    with pytest.raises(InputError, match=r"row 2: fabric is .*none of them"):
        read(tmp_path, ["wool", cell], saved(tmp_path))


def test_a_word_for_not_applicable_is_an_answer_of_optional_categories_alone(tmp_path):
    schema = Schema.of(
        {"sleeve": ["long", "short"], "fit": ["tight", "loose"]}, optional=["sleeve"]
    )
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("image,split,sleeve,fit\na.png,train,N/A,n/a\n")
    (split,) = read_table(tmp_path / "t.csv", ["train"], schema)
    assert split.labels.tolist() == [[2, -1]]


def test_a_schema_is_proposed_for_cells_of_several_words(tmp_path):
    cells = ["60% cotton, 40% wool", "cotton", "wool;cotton", "none", "n/a", "silk"] * 4
    text = "".join(f'a.png,{"abcd"[n % 4]},"{cell}"\n' for n, cell in enumerate(cells))
    (tmp_path / "t.csv").write_text(f"image,fit,fabric\n{text}")
    found = propose_schema(tmp_path / "t.csv")
    assert list(found.schema.groups) == ["fit", "fabric"]
    assert list(found.schema)[1:] == ["fabric_cotton", "fabric_wool", "fabric_silk"]
    assert found.counts["fabric"] == {"cotton": 12, "wool": 8, "silk": 4}
    assert "fabric: cells hold several words, so it is of kind multi." in found.warnings


def test_lists_of_class_labels_are_their_names(tmp_path):
    label = {"_type": "ClassLabel", "names": ["cotton", "wool"]}
    features = {"fabric": {"_type": "List", "feature": label}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    columns = {"image": ["a.png"] * 8, "split": ["train"] * 8, "fabric": [[0, 1], [1]] * 4}
    table = pa.table(columns).replace_schema_metadata(metadata)
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    schema = propose_schema(tmp_path / "t.parquet").schema
    (split,) = read_table(tmp_path / "t.parquet", ["train"], schema)
    assert list(schema) == ["fabric_wool", "fabric_cotton"]
    assert split.labels.tolist() == [[1, 1], [1, 0]] * 4


def test_several_choices_of_label_studio_are_one_cell(tmp_path):
    records = [Record(f"{n}.jpg", {"fabric": ["a", "b"] if n < 3 else ["a"]}) for n in range(20)]
    records.append(Record("x.jpg", {"fit": ["tight"]}))
    found = Records(records, [])
    assert not write_records(tmp_path / "t.csv", found)
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["fabric"] for row in rows[2:4]] == ["a;b", "a"] and rows[-1]["fabric"] == ""


def split_of(labels: list[list[int]], schema: Schema = SCHEMA, keys=None) -> Split:
    count = len(labels)
    keys = keys or [f"/x/{n}.jpg" for n in range(count)]
    boxes = np.tile(np.int32(WHOLE_IMAGE), (count, 1))
    return Split(schema, "val", lambda row: b"", keys, boxes, np.array(labels, np.int32), "here")


def test_a_table_that_is_written_is_read_the_same(tmp_path):
    labels = [[0, 1, 1, 0, 0], [2, -1, -1, -1, 1], [-1, 0, 0, 0, 0], [1, -1, -1, -1, -1]]
    for number in range(4):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    write_table(
        tmp_path / "t.csv",
        [split_of(labels, keys=[str(tmp_path / f"{n}.png") for n in range(4)])],
    )
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["fabric"] for row in rows] == ["cotton;wool", "not_applicable", "none", ""]
    text = (tmp_path / "t.csv").read_text().replace("image,", "split,image,", 1)
    lines = text.splitlines()
    (tmp_path / "t.csv").write_text("\n".join([lines[0], *(f"val,{x}" for x in lines[1:])]))
    (split,) = read_table(tmp_path / "t.csv", ["val"], SCHEMA)
    assert split.labels.tolist() == labels


def test_deepfashions_rows_with_several_attributes_are_read_where_the_schema_allows_it(tmp_path):
    folder = tmp_path / "Anno_fine"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    (folder / "train.txt").write_text("a.jpg\na.jpg\n")
    row = np.zeros((2, 26), int)
    row[0, [0, 1, 9]] = 1  # floral, graphic; sleeveless
    (folder / "train_attr.txt").write_text("\n".join(" ".join(map(str, r)) for r in row))
    with pytest.raises(InputError, match=r"several attributes in texture.*kind: multi"):
        read_split(tmp_path, "train")
    builtin = builtin_schema()
    schema = Schema.of(dict(builtin), multi=["texture"])
    labels = read_split(tmp_path, "train", schema).labels
    assert labels[0].tolist() == [1, 1, 0, 0, 0, 0, 0, 2, -1, -1, -1, -1]
    assert (labels[1] == -1).all()


def test_loss_weights_of_a_category_are_those_of_its_parts():
    config = TrainConfig(loss_weights={"fabric": 2.0, "fabric_wool": 3.0}).for_schema(SCHEMA)
    assert config.loss_weights["fabric_cotton"] == 2.0 and config.loss_weights["fabric_wool"] == 3.0
    assert "fabric" not in config.loss_weights


def test_a_mean_counts_a_multi_category_once():
    values = dict.fromkeys(SCHEMA, 0.5) | {"sleeve": 1.0, "fabric_wool": float("nan")}
    assert SCHEMA.group_mean(values) == 0.75


def test_average_precision_and_f1_are_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    is_there = rng.random(500) < 0.2
    probabilities = np.round(rng.random(500) * 0.6 + 0.4 * is_there * rng.random(500), 2)
    found = probabilities > 0.5
    ours = Detection.of(probabilities, found, is_there)
    theirs = metrics.average_precision_score(is_there, probabilities)
    assert ours.average_precision == pytest.approx(theirs, abs=1e-12)
    assert ours.f1 == pytest.approx(metrics.f1_score(is_there, found), abs=1e-12)
    assert ours.constant_f1 == pytest.approx(metrics.f1_score(is_there, np.ones(500)), abs=1e-12)


def test_no_other_threshold_has_a_higher_f1():
    rng = np.random.default_rng(1)
    labels = (rng.random(300) < 0.15).astype(int)
    yes = np.round(0.5 * rng.random(300) + 0.3 * labels, 2)
    probabilities = np.stack([1 - yes, yes], axis=1)
    threshold = fit_threshold(probabilities, np.append(labels[:-1], -1))

    def f1(least: float) -> float:
        found = decide(probabilities[:-1], least) == 1
        return Detection.of(yes[:-1], found, labels[:-1] == 1).f1

    assert f1(threshold) == max(f1(least) for least in np.linspace(0, 1, 401))
    assert f1(threshold) > f1(0.5)
    assert fit_threshold(probabilities, np.zeros(300, int)) is None


def answered(count: int = 400) -> Answered:
    """Answers that are better than chance, of categories of every kind."""
    rng = np.random.default_rng(2)
    labels = np.stack([rng.integers(0, len(v), count) for v in SCHEMA.values()], axis=1)
    applies = labels[:, -1] == 0
    labels[~applies, 1:-1] = -1
    raw = {}
    for column, (name, attributes) in enumerate(SCHEMA.items()):
        noise = rng.dirichlet(np.ones(len(attributes)), count)
        truth = np.eye(len(attributes))[np.maximum(labels[:, column], 0)]
        raw[name] = 0.6 * noise + 0.4 * truth
    split = split_of(labels.tolist())
    parts = [part.name for part in SCHEMA.categories if part.part_of]
    fitted = Calibration.fit(raw, {n: split.labels_of(n) for n in SCHEMA}, parts=parts)
    return Answered(split, raw, fitted)


def test_scores_say_how_well_attributes_are_found(tmp_path):
    found = answered()
    scores = found.scores()
    assert list(scores.groups) == ["sleeve", "fabric"]
    assert set(scores.detections) == {"fabric_cotton", "fabric_wool", "fabric_90_silk"}
    assert set(scores.applicability) == {"sleeve", "fabric"}
    for one in [*scores.detections.values(), *scores.applicability.values()]:
        assert one.average_precision > one.share + 0.1 and one.f1 > one.constant_f1
    expected = np.mean([one.average_precision for one in scores.detections.values()])
    assert scores.mean_average_precision == pytest.approx(expected)
    scores.save(tmp_path / "metrics.json")
    assert Scores.load(tmp_path / "metrics.json") == scores
    intervals = found.detection_intervals()
    assert intervals["mean_f1"].mean == pytest.approx(scores.mean_f1)
    for interval in intervals.values():
        assert interval.low < interval.mean < interval.high


def test_exact_match_asks_for_no_attributes_where_a_category_does_not_apply():
    found = answered()
    scores = found.scores()
    assert scores.exact_match_images == len(found.split)
    right = np.ones(len(found.split), bool)
    is_na = found.split.labels_of("fabric_not_applicable") == 1
    for name in SCHEMA:
        hit = found.answers[name] == found.split.labels_of(name)
        if name.startswith("fabric") and not name.endswith("applicable"):
            hit = hit | is_na
        right &= hit
    assert scores.exact_match == pytest.approx(right.mean())


def test_thresholds_are_kept_with_the_calibration(tmp_path):
    fitted = answered().calibration
    assert set(fitted.decisions) == {part.name for part in SCHEMA.categories if part.part_of}
    fitted.save(tmp_path / "calibration.json")
    assert Calibration.load(tmp_path / "calibration.json", SCHEMA) == fitted
    document = json.loads((tmp_path / "calibration.json").read_text())
    assert "threshold" not in document["categories"]["sleeve"]
    document["categories"]["fabric_wool"]["threshold"] = 1.5
    (tmp_path / "calibration.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="threshold"):
        Calibration.load(tmp_path / "calibration.json", SCHEMA)


def answers_for(values: dict[str, list[float]], **options) -> dict:
    probabilities = {name: np.array([row]) for name, row in values.items()}
    return Answering(probabilities, Wanted(SCHEMA, **options)).row(0)


PROBABILITIES = {
    "sleeve": [0.2, 0.1, 0.7],
    "fabric_cotton": [0.1, 0.9],
    "fabric_wool": [0.6, 0.4],
    "fabric_90_silk": [0.8, 0.2],
    "fabric_not_applicable": [0.95, 0.05],
}


def test_an_answer_lists_what_was_found():
    found = answers_for(PROBABILITIES, top=2)
    assert (found["sleeve"].attribute, found["sleeve"].status) == ("not_applicable",) * 2
    fabric = found["fabric"]
    assert (fabric.attribute, fabric.attributes) == ("cotton", (("cotton", 0.9),))
    assert fabric.probability == pytest.approx(0.6) and fabric.status == "accepted"
    assert fabric.others == [("wool", 0.4)] and fabric.part == "fabric_cotton"


def test_thresholds_decide_what_is_found_and_what_is_unsure():
    found = answers_for(PROBABILITIES, decisions={"fabric_wool": 0.3})
    assert found["fabric"].attribute == "cotton;wool"
    assert found["fabric"].probability == pytest.approx(0.4)
    unsure = answers_for(PROBABILITIES, thresholds={"fabric_wool": 0.7, "sleeve": 0.9})
    assert unsure["fabric"].status == unsure["sleeve"].status == "unsure"
    assert unsure["sleeve"].attribute == "not_applicable"


def test_a_multi_answer_may_be_none_or_that_it_does_not_apply():
    nothing = PROBABILITIES | {"fabric_cotton": [0.9, 0.1]}
    assert answers_for(nothing)["fabric"].attribute == "none"
    none = answers_for(PROBABILITIES | {"fabric_not_applicable": [0.1, 0.9]})["fabric"]
    assert (none.attribute, none.status) == ("not_applicable", "not_applicable")
    assert none.probability == pytest.approx(0.9)
    untrained = tuple(name for name in SCHEMA if name.startswith("fabric"))
    assert answers_for(PROBABILITIES, untrained=untrained)["fabric"].status == "not_learnt"


@pytest.mark.slow
def test_a_wardrobe_with_kinds_trains_answers_and_is_exported(tmp_path, monkeypatch):
    """Losses, scores and answers of every kind, from the table to the export."""
    make_narrow(monkeypatch)
    write_wardrobe(tmp_path / "w", train=64, val=32, test=4, seed=0, kinds=True)
    result = train(
        TrainConfig(
            data=str(tmp_path / "w" / "table.csv"),
            schema=tmp_path / "w" / "schema.yaml",
            weights="none",
            output_dir=tmp_path / "run",
            image_size=32,
            epochs=2,
            batch_size=16,
        )
    )
    scores = finish_run(result.run, result.val, export=export_run)
    assert list(scores.groups) == list(builtin_schema()) and "sleeve" in scores.applicability
    assert len(scores.detections) == 6 and 0 < scores.mean_average_precision <= 1
    kinds = Schema.load(result.run.directory / "schema.yaml")
    history = (result.run.directory / "history.csv").read_text().splitlines()
    assert history[0].split(",")[3:6] == ["texture_loss", "sleeve_loss", "length_loss"]
    row = dict(zip(history[0].split(","), map(float, history[-1].split(",")), strict=True))
    expected = kinds.group_mean({c: row[f"val_{c}_accuracy"] for c in kinds})
    assert row["val_mean_accuracy"] == pytest.approx(expected)
    items = list(items_of(result.val))
    found = []
    for path in (result.run.directory, result.run.directory / "export"):
        predictor = Predictor.load(path, "auto" if path.name == "export" else "tensorflow")
        decisions = predictor.calibration.decisions
        assert set(decisions) == {c for c in kinds if c.startswith("fabric")}
        (batch,) = predictor.stream(items)
        wanted = Wanted(predictor.schema, decisions=decisions)
        found.append([answers for _, answers in answers_of(batch, wanted)])
    assert [{c: a.attribute for c, a in row.items()} for row in found[0]] == [
        {c: a.attribute for c, a in row.items()} for row in found[1]
    ]
    assert list(found[0][0]) == list(builtin_schema())


@pytest.mark.parametrize("is_optional", [False, True])
def test_any_attributes_that_are_written_are_read_again(is_optional):
    names = ["a", "b", "a;b", "a,b", "80 %", "80% a", "[x]", "{}", '"q"', "n/a", "null", "-", "1,5"]
    names += ["+1", "1", "12%", "no a", "true", "=1+1", "\\", "unknown", "b|a", "ß", "50% b"]
    optional = ["fabric"] if is_optional else []
    schema = Schema.of({"fabric": names}, multi=["fabric"], optional=optional)
    rng = np.random.default_rng(0)
    for share in (0.0, 0.04, 0.08, 0.5, 1.0) * 40:
        has = rng.random(len(names)) < share
        labels = [*has.astype(int), *[0] * is_optional]
        (cell,) = label_cells(schema, np.array(labels))
        assert LabelReader("fabric", schema).read_cell(cell) == tuple(labels), cell
    (cell,) = label_cells(schema, np.array([1, 1, *[0] * (len(schema) - 2)]))
    assert cell == '["a", "b"]'


@pytest.mark.parametrize("cell", ["1" * 10**6, "1,5" * 10**5])
def test_a_long_cell_is_read_at_once(cell):
    reader = LabelReader("fabric", SCHEMA)
    began = time.monotonic()
    assert reader.read_cell(f"{cell};wool") is None
    assert time.monotonic() - began < 5
