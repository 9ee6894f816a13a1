"""Real processes of scripts/train.py, killed at random moments and resumed.

``DEEPFASHION_KILLS=20 python -m pytest -n 0 -m slow tests/test_kills.py`` kills twenty times.
"""

import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KILLS = int(os.environ.get("DEEPFASHION_KILLS", "1"))
LIMIT = 420  # seconds for one process on a busy machine


@pytest.fixture(scope="module")
def command(wardrobe, narrow_processes):
    """Gives the command that begins a run in a folder, or goes on with it."""

    def of(run: Path, *more: str) -> list[str]:
        options = "--backbone resnet50 --image-size 32 --epochs 3 --batch-size 16 --jitter 1"
        options += " --heads pooled --weights none --checkpoint-every-steps 2"
        folders = ["--data-dir", str(wardrobe), "--output-dir", str(run), "--resume", str(run)]
        return [sys.executable, "scripts/train.py", *options.split(), *folders, *more]

    return of


@pytest.fixture(scope="module")
def uninterrupted(command, tmp_path_factory):
    """A run that nobody has stopped, and how many seconds it took."""
    run = tmp_path_factory.mktemp("runs") / "uninterrupted"
    began = time.monotonic()
    subprocess.run(command(run), cwd=ROOT, check=True, timeout=LIMIT)
    return run, time.monotonic() - began


def weights(run: Path) -> bytes:
    """The weights in model.keras, as they are; around them it holds the time."""
    with zipfile.ZipFile(run / "model.keras") as archive:
        return archive.read("model.weights.h5")


def assert_same(run: Path, expected: Path) -> None:
    assert (run / "history.csv").read_text() == (expected / "history.csv").read_text()
    assert (run / "metrics.json").read_text() == (expected / "metrics.json").read_text()
    assert weights(run) == weights(expected)
    assert sorted(p.name for p in run.iterdir()) == sorted(p.name for p in expected.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(KILLS))
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    command, uninterrupted, tmp_path, trial, capsys
):
    expected, seconds = uninterrupted
    moment = random.SystemRandom().uniform(0.1, 1.0) * seconds
    process = subprocess.Popen(command(tmp_path / "run"), cwd=ROOT, stdout=subprocess.PIPE)
    try:
        process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    said = process.communicate()[0].decode()
    with capsys.disabled():
        print(f"killed after {moment:.1f} of {seconds:.1f} s, after: {said.splitlines()[-1:]}")
    subprocess.run(command(tmp_path / "run"), cwd=ROOT, check=True, timeout=LIMIT)
    assert_same(tmp_path / "run", expected)


@pytest.mark.slow
def test_sigterm_saves_and_says_how_to_go_on(command, uninterrupted, tmp_path):
    process = subprocess.Popen(
        command(tmp_path / "run"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    for line in process.stdout:
        if line.startswith(b"epoch 1"):
            break
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    said = process.communicate(timeout=LIMIT)[1].decode()
    assert process.returncode == 143
    assert time.monotonic() - asked < 20
    assert f"--resume {tmp_path / 'run'}" in said and "Traceback" not in said
    # The run alone is enough to go on with.
    resume = [sys.executable, "scripts/train.py", "--resume", str(tmp_path / "run")]
    subprocess.run(resume, cwd=ROOT, check=True, timeout=LIMIT)
    assert_same(tmp_path / "run", uninterrupted[0])
    # A complete run is not trained again.
    again = subprocess.run(resume, cwd=ROOT, check=True, timeout=LIMIT, capture_output=True)
    assert b"epoch 1" not in again.stdout
    assert_same(tmp_path / "run", uninterrupted[0])
