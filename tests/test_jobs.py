"""Trainings in processes of their own, on drawings."""

import signal
import subprocess
import sys
import time

import pytest
from conftest import small_config

from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.evaluation.scores import Scores
from deepfashion_tf.runs.jobs import Job, run_jobs
from deepfashion_tf.schema import builtin_schema

SECONDS = 240  # a process may wait for a loaded machine
pytestmark = pytest.mark.usefixtures("narrow_processes")


@pytest.mark.slow
def test_one_that_fails_does_not_stop_the_others(wardrobe, tmp_path):
    good = Job(small_config(wardrobe, tmp_path, batch_size=16), ["val", "test"])
    missing = small_config(tmp_path / "nowhere", tmp_path, output_dir=tmp_path / "bad")
    bad = Job(missing, ["test"])
    run_jobs([bad, good], parallel=2)
    assert good.returncode == 0, good.log_path.read_text()
    assert bad.returncode == 2
    assert good.is_done and not bad.is_done
    assert good.epochs_done() == 1 and bad.epochs_done() == 0
    assert "nowhere" in bad.last_words()
    # metrics-test.json and the answers of the same images say the same.
    scores = Scores.load(good.directory / "metrics-test.json")
    answers = Answers.load(good.directory / "answers-test.csv", builtin_schema())
    assert [s.accuracy for s in scores.categories.values()] == pytest.approx(
        answers.hits.mean(axis=0).tolist()
    )


@pytest.mark.slow
def test_the_process_ends_with_its_parent_and_can_be_gone_on_with(wardrobe, tmp_path):
    """The parent is killed by SIGKILL, which it cannot pass on."""
    config = small_config(wardrobe, tmp_path, batch_size=8, epochs=500)
    config.save(tmp_path / "asked.json")
    program = (
        "from pathlib import Path\n"
        "from deepfashion_tf.runs.jobs import Job, run_jobs\n"
        "from deepfashion_tf.runs.config import TrainConfig\n"
        f"run_jobs([Job(TrainConfig.load(Path({str(tmp_path / 'asked.json')!r})))])"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    job = Job(config, ["test"])
    try:
        wait_until(lambda: job.epochs_done() > 1)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_until(lambda: "SIGTERM: " in job.log_path.read_text())
    done = job.epochs_done()
    job.start()
    wait_until(lambda: job.epochs_done() > done)
    job.terminate()
    job.wait()
    assert f"To go on: deepfashion train --resume {job.directory}" in job.last_words()
    assert job.returncode == 128 + signal.SIGTERM
    assert "goes on after epoch" in job.log_path.read_text()


def wait_until(condition) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.2)
