"""scripts/reproduce.py: what is finished stays, what is not goes on, and what is wrong is told."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepfashion_tf.runs.config import TrainConfig

SCRIPT = Path(__file__).parents[1] / "scripts" / "reproduce.py"
CELL = Path("cells") / "resnet50-fc0"
SECONDS = 300  # two short runs on a loaded machine


def command(wardrobe: Path, directory: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, str(SCRIPT), "--data-dir", str(wardrobe)),
        *("--output-dir", str(directory), *options),
    ]


def run(args: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(args, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.fixture(scope="module")
def options() -> list[str]:
    return ["--only", "figure6", "--seeds", "2", "--jobs", "1", "--epochs", "2"]


@pytest.fixture(scope="module")
def killed(wardrobe, options, tmp_path_factory, narrow_processes) -> Path:
    """A reproduction that SIGKILL has ended while the second of its runs was at work."""
    directory = tmp_path_factory.mktemp("reproduction") / "it"
    process = subprocess.Popen(command(wardrobe, directory, *options))
    deadline = time.monotonic() + SECONDS
    try:
        while not (directory / CELL / "seed-1" / "config.json").exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return directory


@pytest.mark.slow
def test_a_killed_reproduction_goes_on_and_keeps_what_it_has(killed, wardrobe, options):
    kept = killed / CELL / "seed-0" / "model.keras"
    written = kept.stat().st_mtime_ns
    done = run(command(wardrobe, killed, *options))
    assert done.returncode == 0, done.stderr
    assert "[1/1] resnet50-fc0, seed 1" in done.stdout
    assert kept.stat().st_mtime_ns == written
    document = json.loads((killed / "results.json").read_text())
    assert set(document["cells"]["resnet50-fc0"]["seeds"]) == {"0", "1"}
    for name in ("RESULTS.md", "report.html", "figures/figure6.png", "figures/figure6.svg"):
        assert (killed / name).stat().st_size
    # An option that came later was not thought of when the directory was made.
    state = killed / "reproduction.json"
    known = json.loads(state.read_text())
    state.write_text(json.dumps({name: v for name, v in known.items() if name != "erase"}))
    # Nothing is left to run, so that nothing is said about runs.
    again = run(command(wardrobe, killed, *options))
    assert again.returncode == 0 and "all together" not in again.stdout
    assert json.loads((killed / "results.json").read_text()) == document


@pytest.mark.slow
def test_other_options_or_data_need_a_directory_of_their_own(killed, wardrobe, options, tmp_path):
    other = run(command(wardrobe, killed, *options[:-1], "3"))
    assert_one_sentence(other, "epochs 2 (asked: 3)")
    copy = shutil.copytree(wardrobe, tmp_path / "copy")
    labels = copy / "split" / "val_attr.txt"
    labels.write_text("".join(sorted(labels.read_text().splitlines(keepends=True))))
    assert_one_sentence(run(command(copy, killed, *options)), "with other options: data.")


@pytest.mark.slow
def test_what_cannot_be_run_is_told_in_one_sentence(wardrobe, tmp_path):
    directory = tmp_path / "it"
    unknown = run(command(wardrobe, directory, "--only", "table3"))
    assert_one_sentence(unknown, "--only names table3")
    assert_one_sentence(run([sys.executable, str(SCRIPT), "--scale", "full"]), "--data")
    assert_one_sentence(run(command(tmp_path / "nowhere", directory)), "nowhere")
    offline = run(command(wardrobe, directory, "--weights", "timm:resnet50.tv_in1k", "--offline"))
    assert offline.returncode == 2 and "Traceback" not in offline.stderr
    assert not (directory / "cells").exists()


def assert_one_sentence(done: subprocess.CompletedProcess, part: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert part in done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_an_estimate_measures_training_steps(tmp_path):
    TrainConfig(backbone="resnet50", image_size=32, batch_size=4, weights="none").save(
        tmp_path / "config.json"
    )
    command = [sys.executable, "-m", "deepfashion_tf.reproduction.estimate"]
    done = subprocess.run(
        [*command, str(tmp_path / "config.json")], capture_output=True, text=True, check=True
    )
    assert 0.01 < float(done.stdout) < 1e5
