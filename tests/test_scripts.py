"""The command lines as a user types them, in processes of their own."""

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import make_narrow

from deepfashion_tf.models.attribute_model import backbone_of
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()

ROOT = Path(__file__).parents[1]
SCRIPTS = [
    "train",
    "evaluate",
    "predict",
    "export",
    "make_wardrobe",
    "inspect_weights",
    "convert_weights",
    "benchmark",
    "make_schema",
    "tune",
    "reproduce",
    "ask_server",
    "tag_catalogue",
    "demo",
    "serve",
]


def start(script: str, *options, cwd: Path) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *map(str, options)]
    return subprocess.Popen(
        command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run(script: str, *options, cwd: Path) -> tuple[int, str, str]:
    process = start(script, *options, cwd=cwd)
    out, err = process.communicate()
    return process.returncode, out, err


def assert_one_sentence(result, *words: str) -> None:
    code, _, err = result
    assert code == 2, err
    assert "Traceback" not in err
    assert err.startswith("error: ")
    for word in words:
        assert word in err


@pytest.mark.parametrize("script", SCRIPTS)
def test_help(script, tmp_path):
    code, out, _ = run(script, "--help", cwd=tmp_path)
    assert code == 0 and "usage" in out


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_stay_short(script):
    assert len((ROOT / "scripts" / f"{script}.py").read_text().splitlines()) < 60


@pytest.mark.slow
def test_train_on_the_wardrobe_from_nothing(tmp_path):
    """The README's first command, at a reduced size."""
    sizes = ["--wardrobe-images", 32, 16, 4]
    options = ["--backbone", "resnet50", "--image-size", 32, "--epochs", 2]
    code, out, err = run("train", *options, *sizes, cwd=tmp_path)
    assert code == 0, err
    directory = tmp_path / "saved_models" / "resnet50-demo"
    names = {path.name for path in directory.iterdir()}
    assert names >= {"config.json", "history.csv", "metrics.json", "model.keras", "curves.png"}
    assert (directory / "export" / "saved_model.pb").is_file()
    for category in SCHEMA:
        assert category in out
    metrics = json.loads((directory / "metrics.json").read_text())
    assert metrics["split"] == "val" and metrics["images"] == 16
    assert "Traceback" not in err


@pytest.mark.slow
def test_evaluate_writes_the_scores_of_a_split(trained, tmp_path):
    code, out, err = run("evaluate", trained.run.directory, "--split", "test", cwd=tmp_path)
    assert code == 0, err
    metrics = json.loads((trained.run.directory / "metrics-test.json").read_text())
    assert metrics["images"] == 8
    assert "mean accuracy" in out


@pytest.mark.slow
def test_predict_writes_csv_and_json_alike(trained, tmp_path, run_here):
    image = trained.val.keys[0]
    box = ",".join(map(str, trained.val.boxes[0]))
    for suffix in ("csv", "json"):
        options = ["--box", box, "--output", tmp_path / f"answers.{suffix}"]
        code, _, err = run_here("predict", trained.run.directory, image, *options, cwd=tmp_path)
        assert code == 0, err
    with (tmp_path / "answers.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    (entry,) = json.loads((tmp_path / "answers.json").read_text())
    assert row["image"] == entry["image"] == image
    for category, attributes in SCHEMA.items():
        assert row[category] == entry[category]["attribute"]
        assert row[category] in attributes
        assert float(row[f"{category}_probability"]) == entry[category]["probability"]


@pytest.mark.slow
def test_predict_prints_six_answers_an_image_of_a_folder(trained, tmp_path):
    folder = Path(trained.val.keys[0]).parent
    code, out, err = run("predict", trained.run.directory, folder, cwd=tmp_path)
    assert code == 0, err
    images = sorted(folder.iterdir())
    assert [line for line in out.splitlines() if line.startswith(str(folder))] == list(
        map(str, images)
    )
    for category, attributes in SCHEMA.items():
        answers = [line.split() for line in out.splitlines() if line.startswith(f"  {category} ")]
        assert len(answers) == len(images)
        assert all(answer[1] in attributes and answer[2].endswith("%") for answer in answers)


@pytest.mark.slow
def test_export(trained, tmp_path):
    code, out, err = run("export", trained.run.directory, cwd=tmp_path)
    assert code == 0, err
    assert "export" in out


def test_inspect_weights_reads_a_run(trained, tmp_path, run_here, monkeypatch):
    make_narrow(monkeypatch)
    code, out, err = run_here("inspect_weights", trained.run.model_path, cwd=tmp_path)
    assert code == 0, err
    lines = {line[:16].strip(): line[16:].strip() for line in out.splitlines()}
    assert lines["variant"] == "timm.seresnet50"
    assert "stride on the 3x3, pool padded by 1" in lines["network"]
    assert lines["top"] == "1000 logits"
    network = backbone_of(trained.run.load_model())
    assert lines["parameters"].startswith(f"{network.count_params():,} ")
    assert lines["would not load"].startswith("nothing")
    assert_one_sentence(run_here("inspect_weights", "none.h5", cwd=tmp_path), "none.h5")


def test_convert_weights_of_a_run(trained, tmp_path, run_here, monkeypatch):
    make_narrow(monkeypatch)
    path = trained.run.model_path
    code, out, err = run_here("convert_weights", path, "out.weights.h5", cwd=tmp_path)
    assert code == 0, err
    assert "timm.seresnet50" in out
    assert_one_sentence(run_here("convert_weights", path, "out.h5", cwd=tmp_path), ".weights.h5")
    assert_one_sentence(
        run_here("convert_weights", "imagenet", "o.weights.h5", cwd=tmp_path), "which"
    )


@pytest.mark.slow
def test_fine_tuning_from_a_file(trained, wardrobe, tmp_path, run_here, monkeypatch):
    """From another run's weights: the backbone in small steps, batch norm frozen."""
    make_narrow(monkeypatch)
    weights = trained.run.model_path
    options = ["--data-dir", wardrobe, "--weights", weights, "--image-size", 32, "--epochs", 2]
    options += ["--backbone-lr-scale", 0.1, "--freeze-batch-norm"]
    options += ["--recipe", "demo"]
    code, _, err = run_here("train", *options, "--output-dir", "run", cwd=tmp_path)
    assert code == 0, err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["weights"] == str(weights)
    assert config["variant"] == "timm.seresnet50"
    assert config["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    code, _, err = run_here("evaluate", "run", cwd=tmp_path)
    assert code == 0, err


def test_make_wardrobe(tmp_path, run_here):
    options = ["--train", 3, "--val", 2, "--test", 1, "--seed", 4]
    code, out, err = run_here("make_wardrobe", tmp_path / "w", *options, cwd=tmp_path)
    assert code == 0, err
    assert "6 images" in out
    assert len(list((tmp_path / "w" / "img").iterdir())) == 6
    again = run_here("make_wardrobe", tmp_path / "w", *options, cwd=tmp_path)
    assert_one_sentence(again, "not empty")
    assert_one_sentence(run_here("make_wardrobe", cwd=tmp_path), "Nothing to draw")
    sheet = run_here("make_wardrobe", "--contact-sheet", "sheet.txt", cwd=tmp_path)
    assert_one_sentence(sheet, ".jpg or .png")


def test_bad_input_of_train(challenge, tmp_path, run_here):
    assert_one_sentence(
        run_here("train", "--data-dir", tmp_path / "none", cwd=tmp_path), "There is no"
    )
    assert_one_sentence(run_here("train", "--dropout", 2, cwd=tmp_path), "--dropout is 2")
    (tmp_path / "shop.yaml").write_text("categories: {season: [summer, winter]}")
    for option, words in (
        ("--loss-weights.fabric=inf", "--loss-weights holds fabric inf"),
        ("--loss-weights.febric=1", "--loss-weights names febric"),
        ("--weights=", "--weights"),
        ("--data-dir=~nobody-of-this-name", "no such user"),
        ("--schema=none.yaml", "There is no schema"),
        ("--schema=shop.yaml", "has 6 columns: expected 1 class ids"),
        ("--data=wardrobe --schema=shop.yaml", "The wardrobe does not draw season"),
    ):
        options = ["--data-dir", challenge] if "data" not in option else []
        result = run_here("train", *options, *option.split(), cwd=tmp_path)
        assert_one_sentence(result, words)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    full = run_here("train", "--data", challenge, "--output-dir", "full", cwd=tmp_path)
    assert_one_sentence(full, "not empty")
    lines = (challenge / "split" / "train_attr.txt").read_text().replace("5 0", "9 0")
    (challenge / "split" / "train_attr.txt").write_text(lines)
    result = run_here("train", "--data-dir", challenge, cwd=tmp_path)
    assert_one_sentence(result, "train_attr.txt, line 1: texture is 9")
    assert not (tmp_path / "saved_models").exists()


@pytest.mark.slow
def test_bad_input_of_the_other_scripts(trained, tmp_path, run_here):
    run_dir = trained.run.directory
    image = trained.val.keys[0]
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    assert_one_sentence(run_here("evaluate", tmp_path, cwd=tmp_path), "no run directory")
    assert_one_sentence(run_here("export", tmp_path / "none", cwd=tmp_path), "There is no run")
    assert_one_sentence(
        run_here("predict", run_dir, tmp_path / "none.jpg", cwd=tmp_path), "none.jpg"
    )
    assert_one_sentence(run_here("predict", run_dir, text, cwd=tmp_path), "text.jpg", "readable")
    outside = run_here("predict", run_dir, image, "--box", "0,0,9999,5", cwd=tmp_path)
    assert_one_sentence(outside, "lies outside")
    assert_one_sentence(
        run_here("predict", run_dir, image, "--box", "1,2,3", cwd=tmp_path), "--box"
    )
    output = run_here("predict", run_dir, image, "--output", "x.txt", cwd=tmp_path)
    assert_one_sentence(output, "must end in .csv")
    assert_one_sentence(run_here("predict", run_dir, image, "--top", 0, cwd=tmp_path), "--top")
    both = ("--threshold", 0.5, "--accept-accuracy", 0.9)
    assert_one_sentence(run_here("predict", run_dir, image, *both, cwd=tmp_path), "one of them")


def test_more_bad_input_of_predict(trained, tmp_path, run_here):
    run_dir, image = trained.run.directory, trained.val.keys[0]
    assert_one_sentence(run_here("predict", run_dir, cwd=tmp_path), "No image is named")
    for box in ("", "1_0,1,2_0,30", "1,1,2"):
        assert_one_sentence(
            run_here("predict", run_dir, image, f"--box={box}", cwd=tmp_path), "--box"
        )
    (tmp_path / "d.csv").mkdir()
    (tmp_path / "d.csv" / "mine.txt").write_text("mine")
    folder = run_here("predict", run_dir, image, "--output", "d.csv", cwd=tmp_path)
    assert_one_sentence(folder, "d.csv is a folder")
    assert (tmp_path / "d.csv" / "mine.txt").read_text() == "mine"
    both = run_here("predict", run_dir, image, "--data", "wardrobe", cwd=tmp_path)
    assert_one_sentence(both, "leave the others out")


@pytest.mark.slow
def test_a_file_name_in_another_encoding(trained, tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / name).write_bytes(Path(trained.val.keys[0]).read_bytes())
    code, out, err = run("predict", trained.run.directory, tmp_path / name, cwd=tmp_path)
    assert code == 0, err
    assert "caf" in out and "udce9" in out
    options = [tmp_path / name, "--output", "answers.csv"]
    code, _, err = run("predict", trained.run.directory, *options, cwd=tmp_path)
    assert code == 0, err
    assert "caf\\udce9.jpg" in (tmp_path / "answers.csv").read_text(encoding="utf-8")


def test_predict_answers_a_split_with_its_boxes(trained, wardrobe, tmp_path, run_here):
    options = ["--data", wardrobe, "--split", "val", "--output", "answers.csv"]
    code, _, err = run_here("predict", trained.run.directory, *options, cwd=tmp_path)
    assert code == 0, err
    with (tmp_path / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == list(trained.val.keys)


@pytest.mark.slow
def test_scores_of_other_data_have_a_file_of_their_own(trained, wardrobe, tmp_path, run_here):
    copy = shutil.copytree(wardrobe, tmp_path / "copy")
    before = set(trained.run.directory.iterdir())
    code, out, err = run_here("evaluate", trained.run.directory, "--data", copy, cwd=tmp_path)
    assert code == 0, err
    answers, written, relabel, report = sorted(set(trained.run.directory.iterdir()) - before)
    assert relabel.name.startswith("relabel-val-")
    assert written.name.startswith("metrics-val-") and str(written) in out
    assert answers.name.startswith("answers-val-") and str(answers) in out
    assert report.name.startswith("report-val-") and str(report) in out
    assert json.loads(written.read_text())["source"] == str(copy / "split" / "val.txt")


@pytest.mark.slow
def test_a_run_is_evaluated_from_any_folder(tmp_path, run_here, monkeypatch):
    """The wardrobe is not drawn again."""
    make_narrow(monkeypatch)
    sizes = ["--wardrobe-images", 8, 8, 4]
    options = ["--backbone", "seresnet50", "--image-size", 32, "--epochs", 1]
    code, _, err = run_here("train", *options, *sizes, "--output-dir", "run", cwd=tmp_path)
    assert code == 0, err
    (tmp_path / "elsewhere").mkdir()
    code, out, err = run_here("evaluate", tmp_path / "run", cwd=tmp_path / "elsewhere")
    assert code == 0, err
    assert "drawing" not in out
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.slow
def test_ctrl_c_while_training(wardrobe, tmp_path, narrow_processes):
    """A real SIGINT after the first epoch: exit code 130, and a run that answers."""
    options = ["--data-dir", wardrobe, "--weights", "none", "--backbone", "resnet50"]
    options += ["--image-size", 32]
    process = start("train", *options, "--epochs", 500, "--output-dir", "run", cwd=tmp_path)
    history = tmp_path / "run" / "history.csv"
    for _ in range(1200):
        if history.is_file() or process.poll() is not None:
            break
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "mean accuracy" in out
    assert (tmp_path / "run" / "metrics.json").is_file()
    code, _, err = run("predict", tmp_path / "run", wardrobe / "img" / "00000.jpg", cwd=tmp_path)
    assert code == 0, err
