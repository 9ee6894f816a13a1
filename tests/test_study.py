"""scripts/reproduce.py --study: gains over the plain recipe, paired, sorted, and as told."""

import dataclasses
import io
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import small_config
from rich.console import Console
from scipy import stats
from test_claims import IMAGES, LABELS, SCHEMA, finish

from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.evaluation.finish import finish_run
from deepfashion_tf.evaluation.scores import Scores
from deepfashion_tf.evaluation.statistics import over_seeds
from deepfashion_tf.reproduction.grid import Grid, quick
from deepfashion_tf.reproduction.reproduce import epochs_to_train
from deepfashion_tf.reproduction.results import collect
from deepfashion_tf.reproduction.studies import STUDIES, Study
from deepfashion_tf.reproduction.study import gains_of, write_study
from deepfashion_tf.runs import jobs
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.recipes import report, strong
from deepfashion_tf.runs.run import Run
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.training.train import train

STUDY = Study(
    "A study",
    "plain",
    {
        "plain": {},
        "decay": {"weight_decay": 0.05},
        "erase": {"erase": 0.1},
        "dropout": {"dropout": 0.98},
    },
    {
        "plain": "focal loss",
        "decay": "with weight decay",
        "erase": "with random erasing",
        "dropout": "with more dropout",
    },
    {"wardrobe_images": (2000, 300, 600), "epochs": 8},
    quick,
)


@pytest.fixture
def grid(tmp_path) -> Grid:
    return Grid(quick(), "quick", 3, tmp_path, ("val", "test"), STUDY)


@pytest.fixture
def results(grid):
    for seed in range(3):
        finish(grid, "plain", seed, 0.6)
        finish(grid, "decay", seed, 0.7)
        finish(grid, "erase", seed, 0.8)
    finish(grid, "dropout", 5, 0.9)  # of a seed that the plain recipe has not
    return collect(
        dataclasses.replace(grid, seeds=6), SCHEMA, "test", {"train": 1, "val": 1, "test": IMAGES}
    )


def test_gains_are_paired_by_seed_and_the_largest_stands_first(results):
    gains = gains_of(results, STUDY)
    assert list(gains) == ["erase", "decay"]
    recalls = {
        name: [run.scores.mean_class_recall for run in results.cells[name].runs.values()]
        for name in ("plain", "decay")
    }
    differences = np.subtract(recalls["decay"], recalls["plain"])
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    seeds = gains["decay"].recall.seeds
    assert seeds.mean == pytest.approx(differences.mean())
    assert (seeds.low, seeds.high) == pytest.approx((expected.low, expected.high))
    assert gains["decay"].recall.images.mean == pytest.approx(differences.mean())


def test_the_mean_over_class_hits_is_the_mean_class_recall(grid):
    finish(grid, "plain", 0, 0.6)
    directory = grid.run_directory("plain", 0)
    answers = Answers.load(directory / "answers-test.csv", SCHEMA)
    assert answers.class_hits.shape == (IMAGES, sum(map(len, SCHEMA.values())))
    assert np.nanmean(np.nanmean(answers.class_hits, axis=0)) == pytest.approx(
        Scores.load(directory / "metrics-test.json").mean_class_recall
    )


def test_the_page_tells_what_the_runs_hold(results):
    shown = write_study(results, STUDY, {"plain, seed 9": "the reason"}, "a command")
    assert shown.row_count == 3
    directory = results.grid.directory
    text = (directory / "RESULTS.md").read_text()
    gain = gains_of(results, STUDY)["erase"]
    assert f"{gain.recall.seeds.mean:+.4f}" in text and "the reason" in text
    assert text.index("random erasing") < text.index("weight decay")
    assert "drawings" in text and "a command" in text
    document = json.loads((directory / "results.json").read_text())
    told = document["cells"]["decay"]
    assert told["gain"]["accuracy"]["seeds"]["mean"] == pytest.approx(
        told["mean_accuracy"]["mean"] - document["cells"]["plain"]["mean_accuracy"]["mean"]
    )
    page = (directory / "report.html").read_text()
    assert "data:image/svg+xml" in page and "http" not in page
    assert (directory / "figures" / "gains.png").stat().st_size


def test_the_table_fits_a_terminal_and_no_number_is_cut_off(results):
    labels = {name: f"finetune, EfficientNet-Lite0, {name}, 16 epochs" for name in STUDY.cells}
    study = dataclasses.replace(STUDY, labels=labels)
    terminal = Console(width=80, file=io.StringIO())
    terminal.print(write_study(results, study, {}, "a command"))
    shown = terminal.file.getvalue()
    assert max(map(len, shown.splitlines())) <= 80
    for gain in gains_of(results, study).values():
        for part in (gain.accuracy, gain.recall):
            assert f"{part.seeds.mean:+.4f}" in shown


def test_before_there_is_anything_to_compare_the_page_says_so(grid):
    finish(grid, "plain", 0, 0.6)
    found = collect(grid, SCHEMA, "test", {"train": 1, "val": 1, "test": len(LABELS)})
    assert write_study(found, STUDY, {}, "a command") is None
    assert "yet" in (grid.directory / "RESULTS.md").read_text()


def test_cells_differ_from_the_plain_one_in_one_thing(grid):
    plain = dataclasses.asdict(grid.config("plain", 0))
    for cell in STUDY.cells:
        other = dataclasses.asdict(grid.config(cell, 0))
        changed = {name for name in plain if plain[name] != other[name]} - {"output_dir"}
        assert len(changed) == (cell != "plain"), cell
    assert set(STUDY.labels) == set(STUDY.cells)
    assert set(STUDY.size) < {field.name for field in dataclasses.fields(TrainConfig)}


def test_strong_is_compared_with_the_report_and_without_each_of_its_parts(tmp_path):
    study = STUDIES["strong"]
    base = dataclasses.replace(strong(), weights="none", **study.size)
    on_drawings = Grid(base, "quick", 3, tmp_path, ("val", "test"), study)
    # Drawings are no start for drawings.
    assert set(study.cells) - set(on_drawings.cells) == {"no_start"}
    photographs = dataclasses.replace(base, weights="wardrobe", data="photographs.csv")
    grid = dataclasses.replace(on_drawings, base=photographs)
    assert list(grid.cells) == list(study.cells) == list(study.labels)
    plain = dataclasses.asdict(grid.config("strong", 0))
    for cell in set(study.cells) - {"strong", "report"}:
        other = dataclasses.asdict(grid.config(cell, 0))
        changed = {n for n in plain if plain[n] != other[n]} - {"output_dir"}
        assert changed == set(study.cells[cell]), cell
    # But for its size and the average that the heads read, the cell is the recipe.
    ours, theirs = dataclasses.asdict(grid.config("report", 0)), dataclasses.asdict(report())
    sized = {"recipe", "data", "output_dir", "image_size", "epochs", "precision", "heads"}
    sized |= {"wardrobe_images", "weights"}
    assert {name for name in ours if ours[name] != theirs[name]} <= sized


def test_validation_and_test_images_are_scored_together(tmp_path):
    study = STUDIES["strong"]
    grid = Grid(strong(), "quick", 2, tmp_path, ("val", "test"), study)
    for seed in range(2):
        finish(grid, "strong", seed, 0.8, epochs=(0.3, 0.9, 0.8))
        finish(grid, "report", seed, 0.6)
    images = {"train": 1, "val": IMAGES, "test": IMAGES}
    found = collect(grid, SCHEMA, "val+test", images)
    run = found.cells["strong"].runs[0]
    parts = [Scores.load(run.directory / f"metrics-{name}.json") for name in ("val", "test")]
    assert run.scores.images == 2 * IMAGES
    assert run.scores.mean_accuracy == pytest.approx(np.mean([p.mean_accuracy for p in parts]))
    write_study(found, study, {}, "a command")
    text = (tmp_path / "RESULTS.md").read_text()
    assert (
        "strong: 0.0 epochs apart (texture 2.0" in text
        and "costs each 0.0 points" in text
        and "scored together" in text
        and "has no labels" not in text
        and "val+test.json" not in text
        and (tmp_path / "figures/peaks.png").is_file()
    )


def test_a_category_of_one_attribute_has_no_best_epoch(tmp_path):
    grid = Grid(strong(), "quick", 1, tmp_path, ("val",), STUDIES["strong"])
    finish(grid, "strong", 0, 0.8)
    path = grid.run_directory("strong", 0) / "metrics.json"
    scores = Scores.load(path)
    categories = dict(scores.categories)
    categories["length"] = dataclasses.replace(categories["length"], majority_baseline=1.0)
    dataclasses.replace(scores, categories=categories).save(path)
    (cell,) = collect(grid, SCHEMA, "val", {"train": 1, "val": IMAGES}).cells.values()
    assert set(cell.best_epochs()) == set(SCHEMA) - {"length"}
    assert cell.shared_epoch_cost == 0
    history = cell.runs[0].history
    history["val_length_accuracy"] = np.array([1.0, 0.0, 0.0])
    assert cell.shared_epoch_cost == 0
    history["val_fabric_accuracy"] = np.array([0.95, 0.8, 0.85])  # the third epoch is kept
    assert cell.shared_epoch_cost == pytest.approx(0.1 / 5)


def test_cells_of_other_views_come_last_and_take_the_network_of_the_plain_one(tmp_path):
    grid = Grid(strong(), "quick", 2, tmp_path, ("val", "test"), STUDIES["strong"])
    jobs = grid.jobs(["flip", "strong", "no_jitter"])
    names = [job.directory.parent.name for job in jobs]
    assert names == ["strong", "no_jitter"] * 2 + ["flip"] * 2
    plain = [job.directory for job in jobs if job.directory.parent.name == "strong"]
    assert [job.like for job in jobs] == [None] * 4 + plain
    # Their epochs are nobody's work, unless the plain cell is not run either.
    assert [epochs_to_train(job, jobs) for job in jobs] == [30] * 4 + [0] * 2
    assert epochs_to_train(jobs[-1], jobs[-1:]) == 30


@pytest.mark.slow
def test_what_only_answers_otherwise_is_not_trained_again(tiny, challenge, tmp_path, monkeypatch):
    first = train(small_config(challenge, tmp_path)).run
    config = dataclasses.replace(first.config, output_dir=tmp_path / "views", tta="crops")

    def start() -> None:
        # The process that a job starts has no narrow network; what it would do is done below.
        with monkeypatch.context() as patch:
            patch.setattr(jobs.subprocess, "Popen", lambda *_, **__: None)
            jobs.Job(config, like=first.directory).start()

    start()
    assert not (config.output_dir / "model.keras").exists()  # the other one is not done
    finish_run(first, first.read_split("val"))
    start()
    run = Run.load(config.output_dir)
    assert run.config == config
    trained = train(config, RuntimeOptions(resume=config.output_dir))
    assert run.model_path.read_bytes() == first.model_path.read_bytes()
    finish_run(trained.run, trained.val)
    assert (run.directory / "metrics.json").is_file()


@pytest.mark.parametrize("data", ["photographs", "wardrobe"])
def test_the_results_have_the_cost_of_one_epoch_for_all_categories(data):
    root = Path(__file__).parents[1]
    text = (root / "docs" / "strong" / data / "RESULTS.md").read_text()
    found = r"(report's recipe|strong): ([\d.]+) epochs apart .*?costs each ([\d.]+) points"
    (_, away, other_cost), (_, apart, cost) = re.findall(found, text)
    page = (root / "docs" / "results.md").read_text()
    (line,) = (line for line in page.splitlines() if line.startswith(f"*{data}*:"))
    numbers = re.findall(r"\d+\.\d+", line)
    for pair in ((cost, other_cost), (apart, away)):
        assert any((a, b) == pair for a, b in itertools.pairwise(numbers)), pair


@pytest.mark.parametrize("data", ["photographs", "wardrobe"])
def test_the_results_have_the_gain_of_strong(data):
    root = Path(__file__).parents[1]
    page = (root / "docs" / "results.md").read_text()
    document = json.loads((root / "docs" / "strong" / data / "results.json").read_text())
    rows = [line for line in page.splitlines() if line.startswith(f"| {data} | ")]
    cells = {name: document["cells"][name] for name in ("report", "strong")}
    assert all(len(cell["seeds"]) == 3 for cell in cells.values())
    (row,) = rows
    for score in ("mean_accuracy", "mean_class_recall"):
        means = {
            name: np.mean([seed[score] for seed in cell["seeds"].values()])
            for name, cell in cells.items()
        }
        assert f"| {means['report']:.4f} | {means['strong']:.4f} | " in row
        interval = cells["report"]["gain"][score.removeprefix("mean_").removeprefix("class_")]
        gain = 100 * (means["strong"] - means["report"])
        low, high = (-100 * interval["seeds"][end] for end in ("high", "low"))
        told = f"{gain:+.1f} ({low:+.1f} … {high:+.1f})".replace("-", "−")
        assert told in row, told


def test_the_results_have_the_gain_of_each_part_of_strong():
    root = Path(__file__).parents[1]
    page = (root / "docs" / "results.md").read_text()
    told = {}
    for data in ("photographs", "wardrobe"):
        path = root / "docs" / "strong" / data / "results.json"
        for name, cell in json.loads(path.read_text())["cells"].items():
            if name in ("strong", "report"):
                continue
            assert len(cell["seeds"]) == 3
            ((option, value),) = STUDIES["strong"].cells[name].items()
            row = told.setdefault(f"`--{option.replace('_', '-')} {value or 0}`", {})
            for score in ("accuracy", "recall"):
                found = cell["gain"][score]["seeds"]
                mean, low, high = (f"{100 * found[end]:+.1f}" for end in ("mean", "low", "high"))
                row[data, score] = f"{mean} ({low} … {high})".replace("-", "−")
    columns = list(itertools.product(("photographs", "wardrobe"), ("accuracy", "recall")))
    for option, row in told.items():
        line = f" | {option} |{' |'.join(f' {row[c]}' if c in row else '' for c in columns)} |\n"
        assert line in page, line


@pytest.mark.parametrize("data", ["photographs", "wardrobe"])
def test_the_recipes_have_the_gain_of_imagenet_weights(data):
    root = Path(__file__).parents[1]
    page = (root / "docs" / "recipes.md").read_text()

    path = root / "docs" / "pretrained" / data / "results.json"
    found = json.loads(path.read_text())["cells"]
    strong = found["strong"]["seeds"]
    for name, label in (
        ("epochs16", "`finetune`, EfficientNet-Lite0, 16 epochs"),
        ("finetune-lite2", "`finetune`, EfficientNet-Lite2, 260 px"),
        ("finetune", "`finetune`, EfficientNet-Lite0, 224 px"),
        ("float32", "`finetune`, EfficientNet-Lite0, float32"),
        ("probe-lite2", "`probe`, EfficientNet-Lite2, 260 px"),
        ("probe", "`probe`, EfficientNet-Lite0, 224 px"),
        ("report", "`report`, SE-ResNet-50, 64 px, random weights"),
    ):
        row, seeds = f"| {label} |", found[name]["seeds"]
        assert len(seeds) == 3
        for score in ("mean_accuracy", "mean_class_recall"):
            gain = over_seeds([100 * (seeds[s][score] - strong[s][score]) for s in sorted(seeds)])
            row += f" {np.mean([run[score] for run in seeds.values()]):.4f} |"
            told = f" {gain.mean:+.1f} ({gain.low:+.1f} … {gain.high:+.1f}) |"
            row += told.replace("-", "−")
        assert f"\n{row}" in page, row
