"""Verdicts, on finished runs that were made up so that the truth is known."""

import csv
import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import labelled
from scipy import stats

from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.evaluation.scores import score
from deepfashion_tf.reproduction.claims import verdicts
from deepfashion_tf.reproduction.grid import CELLS, EXPERIMENTS, FINAL, Grid, full, quick
from deepfashion_tf.reproduction.results import collect, open_results
from deepfashion_tf.reproduction.writing import write_results
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.serving.submission import write_submission
from deepfashion_tf.training.callbacks import history_columns

SCHEMA = builtin_schema()
SIZES = np.array([len(attributes) for attributes in SCHEMA.values()])
IMAGES = 400
LABELS = np.random.default_rng(7).integers(0, SIZES, (IMAGES, 6)).astype(np.int32)


@pytest.fixture
def grid(tmp_path) -> Grid:
    return Grid(quick(), "quick", 3, tmp_path, ("val", "test"))


def finish(grid: Grid, cell: str, seed: int, accuracy: float, epochs=(0.3, 0.8, 0.9)) -> None:
    """Writes what a run leaves, one that answers rightly with a probability."""
    directory = grid.run_directory(cell, seed)
    directory.mkdir(parents=True)
    rng = np.random.default_rng([seed, *cell.encode()])
    wrong = (LABELS + rng.integers(1, SIZES, LABELS.shape)) % SIZES
    given = np.where(rng.random(LABELS.shape) < accuracy, LABELS, wrong)
    for name in ("val", "test"):
        split = labelled(LABELS, name)
        probabilities = {
            category: np.eye(len(attributes))[given[:, column]]
            for column, (category, attributes) in enumerate(SCHEMA.items())
        }
        Answers.of(split, probabilities).save(directory / f"answers-{name}.csv")
        score(split, given).save(directory / f"metrics-{name}.json")
    score(labelled(LABELS), given).save(directory / "metrics.json")
    with (directory / "history.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(history_columns(SCHEMA))
        for epoch, value in enumerate(epochs, start=1):
            writer.writerow([epoch, *[value] * (len(history_columns(SCHEMA)) - 1)])


def judge(grid: Grid) -> dict:
    results = collect(grid, SCHEMA, "test", {"train": 1, "val": IMAGES, "test": IMAGES})
    return {verdict.key: verdict for verdict in verdicts(results)}


@pytest.mark.parametrize(
    ("se", "plain", "word"),
    [(0.9, 0.6, "agrees"), (0.6, 0.9, "disagrees"), (0.75, 0.75, "undecided")],
)
def test_a_verdict_follows_the_truth(grid, se, plain, word):
    for seed in range(3):
        finish(grid, "seresnet50-fc0", seed, se)
        finish(grid, "resnet50-fc0", seed, plain)
    verdict = judge(grid)["se"]
    assert verdict.verdict == word
    assert verdict.reported == pytest.approx(0.8235 - 0.7985)


def test_a_claim_that_something_is_worse_agrees_below_zero(grid):
    for seed in range(3):
        finish(grid, "resnet50-fc0", seed, 0.9)
        finish(grid, "resnet50-fc4", seed, 0.6)
    assert judge(grid)["resnet50-fc4"].verdict == "agrees"
    assert "resnet50-fc2" not in judge(grid), "nobody has run it"


def test_one_seed_decides_nothing(grid):
    finish(grid, "seresnet50-fc0", 0, 0.9)
    finish(grid, "resnet50-fc0", 0, 0.3)
    verdict = judge(grid)["se"]
    assert verdict.verdict == "undecided" and "one seed" in verdict.note
    assert verdict.images.low > 0


def test_seeds_that_only_one_of_two_has_are_left_out(grid):
    for seed in (0, 1):
        finish(grid, "resnet50-fc0", seed, 0.5)
    for seed in (1, 2):
        finish(grid, "seresnet50-fc0", seed, 0.8)
    assert judge(grid)["se"].seeds.low is None


def test_the_final_score_is_compared_on_the_reports_data_and_recipe_alone(grid, tmp_path):
    for seed in range(3):
        finish(grid, FINAL, seed, 0.95)
    assert judge(grid)["final"].verdict == "not comparable"
    base = dataclasses.replace(full(), data="FashionDataset")
    assert judge(dataclasses.replace(grid, base=base, scale="full"))["final"].verdict == "disagrees"


def test_what_is_written_can_be_computed_from_the_runs_by_another_program(grid):
    for seed, (se, plain) in enumerate([(0.9, 0.7), (0.85, 0.72), (0.88, 0.74)]):
        finish(grid, "seresnet50-fc0", seed, se)
        finish(grid, "resnet50-fc0", seed, plain)
    results = collect(grid, SCHEMA, "test", {"train": 1, "val": IMAGES, "test": IMAGES})
    write_results(results, verdicts(results), [], {"a cell, seed 1": "the reason"}, "a command")
    means = {
        cell: [
            json.loads((grid.run_directory(cell, seed) / "metrics-test.json").read_text())[
                "mean_accuracy"
            ]
            for seed in range(3)
        ]
        for cell in ("seresnet50-fc0", "resnet50-fc0")
    }
    differences = np.subtract(means["seresnet50-fc0"], means["resnet50-fc0"])
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    document = json.loads((grid.directory / "results.json").read_text())
    verdict = next(verdict for verdict in document["verdicts"] if verdict["key"] == "se")
    assert verdict["seeds"]["mean"] == pytest.approx(differences.mean())
    assert verdict["seeds"]["low"] == pytest.approx(expected.low)
    assert verdict["seeds"]["high"] == pytest.approx(expected.high)
    text = (grid.directory / "RESULTS.md").read_text()
    assert f"{differences.mean():+.4f} | {expected.low:+.4f} … {expected.high:+.4f}" in text
    assert "the reason" in text and "drawings" in text
    page = (grid.directory / "report.html").read_text()
    assert "<table>" in page and "http" not in page


def test_a_directory_is_opened_as_it_was_collected(grid):
    for seed in range(3):
        finish(grid, "seresnet50-fc0", seed, 0.9)
        finish(grid, "resnet50-fc0", seed, 0.7)
    finish(grid, "resnet50-fc2", 0, 0.7)
    results = collect(grid, SCHEMA, "test", {"train": 1, "val": IMAGES, "test": IMAGES})
    write_results(results, verdicts(results), [], {}, "a command")
    # Finished since: what is opened is what the written results tell of.
    finish(grid, "resnet50-fc2", 1, 0.7)
    opened = open_results(grid.directory)
    assert opened.source == results.source and opened.images == results.images
    assert verdicts(opened) == verdicts(results)
    assert opened.speeds("resnet50-fc0") == results.speeds("resnet50-fc0")


def test_the_results_in_docs_follow_from_the_runs_beside_them():
    directory = Path(__file__).parents[1] / "docs" / "reproduction"
    document = json.loads((directory / "results.json").read_text())
    opened = open_results(directory)
    assert set(opened.cells) == set(CELLS)
    for name, cell in opened.cells.items():
        told = document["cells"][name]
        assert len(cell.runs) == 3
        assert told["mean_accuracy"]["mean"] == pytest.approx(cell.accuracy.mean)
        assert told["mean_accuracy"]["high"] == pytest.approx(cell.accuracy.high)
        assert told["val_mean_loss"]["mean"] == pytest.approx(cell.loss.mean)
    verdict = next(verdict for verdict in document["verdicts"] if verdict["key"] == "crop")
    with_box, without = (opened.cells[f"resnet50-fc0{end}"].runs for end in ("", "-no_crop"))
    differences = [
        with_box[seed].scores.mean_accuracy - without[seed].scores.mean_accuracy
        for seed in range(3)
    ]
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert verdict["seeds"]["low"] == pytest.approx(expected.low)
    assert verdict["verdict"] == "agrees" and expected.low > 0


@pytest.mark.parametrize(
    ("text", "told"), [(None, "is missing"), ("{}", "cannot be read"), ("[", "cannot be read")]
)
def test_what_is_no_reproduction_is_refused(tmp_path, text, told):
    if text:
        (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match=told):
        open_results(tmp_path)


def test_every_experiment_is_made_of_cells_and_table_2_has_nine(grid):
    assert set(grid.cells_of(list(EXPERIMENTS))) == set(grid.cells_of([])) == set(CELLS)
    assert len(EXPERIMENTS["table2"]) == 9
    assert grid.cells_of(["figure9", "resnet50-fc0"]) == ["resnet50-fc0", "seresnet50-fc0"]


def test_cells_differ_from_one_another_only_in_what_they_compare(grid):
    plain = dataclasses.asdict(grid.config("seresnet50-fc0", 0))
    for cell, changed in (
        ("seresnet50-fc0-cross_entropy", {"gamma"}),
        ("seresnet50-fc0-gamma5", {"gamma"}),
        ("seresnet50-fc4", {"fc_layers"}),
        (FINAL, {"loss_weights"}),
    ):
        other = dataclasses.asdict(grid.config(cell, 0))
        assert {name for name in plain if plain[name] != other[name]} == changed | {"output_dir"}


def test_a_submission_is_a_row_of_ids_an_image_alone_in_its_archive(grid, tmp_path):
    finish(grid, FINAL, 0, 0.5)
    answers = Answers.load(grid.run_directory(FINAL, 0) / "answers-test.csv", SCHEMA)
    path = write_submission(answers, tmp_path)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["prediction.txt"]
        rows = [list(map(int, row.split())) for row in archive.read("prediction.txt").splitlines()]
    np.testing.assert_array_equal(rows, answers.answers)
    assert path.read_bytes() == write_submission(answers, tmp_path).read_bytes()
