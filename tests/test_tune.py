"""The search: its rules with trainings that only pretend, its endurance with real ones."""

import csv
import dataclasses
import itertools
import json
import math
import signal
import time
from pathlib import Path
from typing import ClassVar

import optuna
import pytest
from conftest import labelled, small_config
from test_scripts import assert_one_sentence, run, start

from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError
from deepfashion_tf.interrupts import TERMINATED, Terminated
from deepfashion_tf.runs import jobs
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.options import parse_command
from deepfashion_tf.runs.recipe_file import read_recipe_file
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.tuning import outcome, search
from deepfashion_tf.tuning.options import SearchOptions, parse_tune_command
from deepfashion_tf.tuning.space import Space
from deepfashion_tf.tuning.study import Study

SCHEMA = builtin_schema()
SECONDS = 240  # a process may wait for a loaded machine


def quality(config: TrainConfig) -> float:
    """What the pretended training is best at: 1 at a learning rate of 3e-3 and gamma 1."""
    distance = math.log10(config.learning_rate / 3e-3) ** 2 + (config.gamma - 1.0) ** 2 / 10
    return math.exp(-distance)


class PretendedJob(jobs.Job):
    """Leaves the files of a training, one epoch whenever somebody looks."""

    score = staticmethod(lambda config, epoch: quality(config) * epoch / config.epochs)
    started: ClassVar[list["PretendedJob"]] = []

    def start(self, threads=None) -> None:
        self.started.append(self)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config.save(self.directory / "config.json")
        (self.directory / "checkpoints").mkdir(exist_ok=True)
        (self.directory / "checkpoints" / "state").touch()
        self.words, self.is_alive = "It printed nothing.", True

    def is_running(self) -> bool:
        if self.is_alive:
            self.write_epoch(self.epochs_done() + 1)
        return self.is_alive

    def write_epoch(self, epoch: int) -> None:
        with (self.directory / "history.csv").open("a") as file:
            if epoch == 1:
                file.write("epoch,val_mean_accuracy\n")
            file.write(f"{epoch},{self.score(self.config, epoch)}\n")
        (self.directory / "model.keras").write_text("large")
        if epoch == self.config.epochs:
            (self.directory / "metrics.json").write_text("{}")
            self.end(0)

    def end(self, code: int, words: str = "") -> None:
        self.is_alive, self.returncode, self.words = False, code, words
        self.seconds = 1.0

    def terminate(self) -> None:
        self.end(TERMINATED)

    def wait(self, seconds=0) -> None:
        pass

    def last_words(self) -> str:
        return self.words


@pytest.fixture
def pretend(monkeypatch):
    """Puts pretended trainings where the search starts real ones; gives the class."""
    kind = type("Job", (PretendedJob,), {"started": []})
    monkeypatch.setattr(search, "Job", kind)
    monkeypatch.setattr(jobs, "_POLL", 0.0)
    return kind


@pytest.fixture
def base(wardrobe, tmp_path) -> TrainConfig:
    return small_config(wardrobe, tmp_path, epochs=6, output_dir=tmp_path / "search")


def tune(base: TrainConfig, trials: int, **options) -> int:
    return search.tune(base, SearchOptions(trials=trials, **options))


def rows(base: TrainConfig) -> list[dict[str, str]]:
    with (base.output_dir / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def without_seconds(base: TrainConfig) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows(base)]


@pytest.mark.slow
def test_a_search_finds_better_than_the_defaults_and_says_so(base, pretend, capsys):
    assert tune(base, 25) == 0
    found = rows(base)
    assert [int(row["trial"]) for row in found] == list(range(25))
    assert found[0]["untuned"] == "1" and float(found[0]["gamma"]) == base.gamma
    best = max((row for row in found if row["state"] == "complete"), key=score_of)
    assert score_of(best) == pytest.approx(max(quality(job.config) for job in pretend.started))
    assert score_of(best) > score_of(found[0])
    # The recipe file trains what the best trial has trained.
    path = base.output_dir / "best.yaml"
    config = parse_command("", ["--config", str(path)]).config
    directory = base.output_dir / "trials" / f"{int(best['trial']):04d}"
    trained = dataclasses.replace(TrainConfig.load(directory / "config.json"), output_dir=None)
    assert config == trained
    assert f"{score_of(best):.4f} (untuned: {score_of(found[0]):.4f})" in path.read_text()
    told = capsys.readouterr().out
    assert "optimistic" in told and f"deepfashion train --config {path}" in told.replace("\n", " ")
    assert (base.output_dir / "importance.png").read_bytes().startswith(b"\x89PNG")


def score_of(row: dict[str, str]) -> float:
    return float(row["val_mean_accuracy"])


def test_only_the_best_trial_keeps_its_model(base, pretend):
    tune(base, 12)
    folders = sorted(path for path in (base.output_dir / "trials").iterdir() if path.is_dir())
    assert len(folders) == 12
    for path in folders:
        assert (path / "history.csv").is_file() and (path / "config.json").is_file()
        assert not (path / "checkpoints").exists()
    (kept,) = (path for path in folders if (path / "model.keras").exists())
    complete = [row for row in rows(base) if row["state"] == "complete"]
    assert int(kept.name) == int(max(complete, key=score_of)["trial"])


def test_who_falls_behind_is_ended_and_never_at_the_end(base, pretend):
    """After five complete trials, and a third of the epochs, below the median means pruned."""
    # Each trial is worse than those before it.
    pretend.score = staticmethod(lambda config, epoch: epoch / 10 - len(pretend.started) / 100)
    tune(base, 8)
    found = rows(base)
    assert [row["state"] for row in found] == ["complete"] * 5 + ["pruned"] * 3
    assert [int(row["epochs"]) for row in found] == [6] * 5 + [2] * 3
    pretend.score = staticmethod(lambda config, epoch: epoch / 10 - (epoch == 6))
    tune(base, 9)
    assert rows(base)[-1]["state"] == "complete"


def test_nobody_is_ended_without_leave(base, pretend):
    pretend.score = staticmethod(lambda config, epoch: epoch / 10 - len(pretend.started) / 100)
    tune(base, 8, prune=False)
    assert {row["state"] for row in rows(base)} == {"complete"}


def test_a_finished_search_returns_and_a_longer_one_goes_on(base, pretend):
    tune(base, 3)
    before = without_seconds(base)
    tune(base, 3)
    tune(base, 2)
    assert len(pretend.started) == 3 and without_seconds(base) == before
    tune(base, 5)
    assert len(pretend.started) == 5 and without_seconds(base)[:3] == before


@pytest.mark.slow
def test_how_often_somebody_looks_changes_nothing(base, pretend, tmp_path):
    class Fast(pretend):
        def is_running(self) -> bool:
            return super().is_running() and super().is_running() and super().is_running()

    # Rugged, so that the sampler learns nothing and some fall behind.
    pretend.score = staticmethod(
        lambda config, epoch: math.sin(1e6 * config.learning_rate + epoch) + epoch
    )
    tune(base, 14)
    assert "pruned" in {row["state"] for row in rows(base)}
    search.Job = Fast
    other = dataclasses.replace(base, output_dir=tmp_path / "other")
    tune(other, 14)
    assert without_seconds(other) == without_seconds(base)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [KeyboardInterrupt, Terminated])
def test_a_search_that_was_stopped_comes_to_the_same(base, pretend, tmp_path, capsys, stop):
    """Also in the middle of trials; what a trial draws hangs on no earlier process."""
    tune(base, 12)
    looks = itertools.count(1)

    class Stopped(pretend):
        def is_running(self) -> bool:
            if next(looks) % 10 == 0:
                raise stop
            return super().is_running()

    other = dataclasses.replace(base, output_dir=tmp_path / "other")
    search.Job = Stopped  # the fixture puts the real one back
    stops = 0
    while True:
        try:
            code = tune(other, 12)
        except Terminated as end:
            assert "To go on: deepfashion tune" in str(end)
            code = TERMINATED
        if code == 0:
            break
        assert code == (130 if stop is KeyboardInterrupt else TERMINATED)
        if code == 130:
            assert "To go on: deepfashion tune" in capsys.readouterr().err
        stops += 1
    assert stops > 3
    assert without_seconds(other) == without_seconds(base)
    assert (other.output_dir / "best.yaml").read_text().partition("#     ")[0] == (
        base.output_dir / "best.yaml"
    ).read_text().partition("#     ")[0]


def test_a_trial_that_ended_while_nobody_watched_is_not_trained_again(base, pretend):
    class Orphan(pretend):
        def is_running(self) -> bool:
            while self.is_alive:
                super().is_running()
            raise KeyboardInterrupt

    search.Job = Orphan
    assert tune(base, 1) == 130
    search.Job = pretend
    assert tune(base, 1) == 0
    assert len(pretend.started) == 1 and rows(base)[0]["state"] == "complete"


def test_a_process_that_others_have_ended_ends_the_search(base, pretend):
    """A batch system asks all processes to end; that is no failure of the trial."""

    class Ended(pretend):
        def is_running(self) -> bool:
            self.end(TERMINATED)
            return False

    search.Job = Ended
    with pytest.raises(Terminated, match="To go on"):
        tune(base, 2)
    search.Job = pretend
    assert tune(base, 2) == 0
    assert [row["state"] for row in rows(base)] == ["complete"] * 2


def test_a_trial_that_fails_is_told_and_the_untuned_one_tried_again(base, pretend, capsys):
    class Failing(pretend):
        def is_running(self) -> bool:
            if len(self.started) in (1, 3):
                self.end(2, f"The loss of trial {len(self.started)} is no number.")
            return super().is_running()

    search.Job = Failing
    assert tune(base, 4) == 0
    found = rows(base)
    assert [row["state"] for row in found] == ["failed", "complete", "failed", "complete"]
    assert [row["untuned"] for row in found] == ["1", "1", "0", "0"]
    assert found[0]["reason"] == "The loss of trial 1 is no number."
    assert "failed: The loss of trial 3 is no number." in capsys.readouterr().out.replace("\n", " ")
    assert not list(base.output_dir.glob("trials/0002/checkpoints"))


def test_when_all_fail_the_reason_is_told(base, pretend):
    class Failing(pretend):
        def is_running(self) -> bool:
            self.end(2, "No space left.")
            return False

    search.Job = Failing
    with pytest.raises(InputError, match="All 2 trials failed, the last one with: No space left"):
        tune(base, 2)
    with pytest.raises(InputError, match="The first 3 trials all failed: No space left"):
        tune(base, 9)
    assert len(pretend.started) == 5
    # What has failed then does not count once it is mended.
    search.Job = pretend
    tune(base, 2)
    tune(base, 2)
    assert [row["state"] for row in rows(base)] == ["failed"] * 5 + ["complete"] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 7}, "--epochs 6, not 7"),
        ({"gamma": 1.0, "seed": 4}, "--gamma 2.0, not 1.0; --seed 0, not 4"),
        ({"loss_weights": {"fit": 2.0}}, "--loss-weights"),
        ({"data": "wardrobe", "wardrobe_images": (8, 4, 2)}, "other data"),
    ],
)
def test_a_search_of_something_else_is_refused(
    base, pretend, tmp_path, monkeypatch, changes, message
):
    monkeypatch.chdir(tmp_path)
    tune(base, 1)
    with pytest.raises(InputError, match=message):
        tune(dataclasses.replace(base, **changes), 1)
    assert len(pretend.started) == 1


def test_data_may_move(base, pretend, wardrobe, tmp_path):
    tune(base, 1)
    (tmp_path / "moved").symlink_to(wardrobe)
    tune(dataclasses.replace(base, data=str(tmp_path / "moved")), 1)
    assert len(pretend.started) == 1


def test_no_lock_is_left_behind(base, pretend):
    tune(base, 1)
    assert not [path for path in base.output_dir.iterdir() if "lock" in path.name]
    # A killed search leaves its file, which keeps nobody out and goes at the next end.
    (base.output_dir / ".lock").touch()
    tune(base, 2)
    assert not (base.output_dir / ".lock").exists()


def test_a_folder_that_is_no_search_is_refused(base, pretend):
    base.output_dir.mkdir()
    (base.output_dir / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty and holds no search"):
        tune(base, 1)
    (base.output_dir / "study.db").write_text("no database at all, by any means")
    with pytest.raises(InputError, match="cannot be used as a study"):
        tune(base, 1)
    (base.output_dir / "study.db").unlink()
    (base.output_dir / "mine.txt").unlink()
    with (
        search.locked(base.output_dir),
        pytest.raises(InputError, match="Another process is searching"),
    ):
        tune(base, 1)


@pytest.mark.parametrize("name", ["a b", "50%", "what?", "a#b", "größe"])
def test_a_folder_may_bear_any_name(base, pretend, tmp_path, name):
    base = dataclasses.replace(base, output_dir=tmp_path / name)
    tune(base, 1)
    assert (tmp_path / name / "study.db").is_file()
    tune(base, 2)
    assert len(rows(base)) == 2


def test_what_is_searched():
    base = TrainConfig(gamma=8.0, learning_rate=1e-5, loss_weights={"fit": 0.0})
    base = base.for_schema(SCHEMA)
    space = Space.around(base, ["texture", "fabric", "fit"])
    assert list(space.defaults()) == [
        "gamma",
        "learning_rate",
        "loss_weights.texture",
        "loss_weights.fabric",
    ]
    for parameter in space.parameters:
        assert parameter.low <= parameter.default <= parameter.high
    assert space.config(space.defaults()) == base
    # Of a single category no weight is above another, and cross-entropy has no gamma.
    single = Space.around(dataclasses.replace(base, gamma=0.0), ["fabric", "fit"])
    assert list(single.defaults()) == ["learning_rate"]


def test_values_are_as_short_as_their_file_and_the_untuned_ones_exact(wardrobe, tmp_path):
    base = TrainConfig(learning_rate=0.00123456).for_schema(SCHEMA)
    space = Space.around(base, list(SCHEMA))
    assert space.rounded(space.defaults()) == space.defaults()
    trial = optuna.create_study().ask()
    assert all(value == float(f"{value:.4g}") for value in space.suggest(trial).values())


def test_importance_names_what_matters(tmp_path):
    """The score is a function of the learning rate alone."""
    base = TrainConfig(output_dir=tmp_path).for_schema(SCHEMA)
    space = Space.around(base, list(SCHEMA))
    study = Study(tmp_path, space, [one_split("train"), one_split("val")])
    for _ in range(40):
        trial = study.next_trial()
        values = space.suggest(trial)
        study.tell_score(trial, -abs(math.log10(values["learning_rate"] / 4e-3)))
    found = study.importances(0.25)
    assert next(iter(found)) == "learning_rate"
    assert sum(found.values()) == pytest.approx(1.0)
    (axis,) = outcome.plot_importance(study).axes
    assert len(axis.patches) == len(space.parameters)


def test_a_folders_name_is_no_option_of_the_recipe_and_no_formula(tmp_path):
    folder = tmp_path / "x\ngamma: 99\n[/b] $a$"
    folder.mkdir(parents=True)
    base = TrainConfig(output_dir=folder).for_schema(SCHEMA)
    study = Study(folder, Space.around(base, list(SCHEMA)), [one_split("train"), one_split("val")])
    trial = study.next_trial()
    study.space.suggest(trial)
    study.tell_score(trial, 0.5)
    assert read_recipe_file(outcome.write_best(study)).get("gamma") != 99


def one_split(name: str) -> Split:
    import numpy as np

    return labelled(np.zeros((3, len(SCHEMA)), np.int32), name)


def test_options_of_the_search(tmp_path):
    command = parse_tune_command("", ["--backbone", "resnet50", "--data", "shop.csv"])
    assert command.search == SearchOptions(trials=20, prune=True)
    assert command.config.output_dir == Path("tuning/resnet50-probe")
    (tmp_path / "mine.yaml").write_text("gamma: 1.5\noutput_dir: here")
    options = ["--config", str(tmp_path / "mine.yaml"), "--trials", "7", "--no-prune"]
    command = parse_tune_command("", options)
    assert (command.config.gamma, command.config.output_dir) == (1.5, Path("here"))
    assert command.search == SearchOptions(trials=7, prune=False)


def test_bad_input_of_tune(tmp_path, run_here):
    assert_one_sentence(run_here("tune", "--trials", 0, cwd=tmp_path), "--trials is 0")
    assert_one_sentence(run_here("tune", "--config", "none.yaml", cwd=tmp_path), "no recipe file")
    assert_one_sentence(run_here("tune", "--data-dir", "none", cwd=tmp_path), "There is no")
    assert_one_sentence(run_here("train", "--config", "none.yaml", cwd=tmp_path), "no recipe file")


@pytest.mark.slow
def test_a_real_search_is_killed_stopped_and_gone_on_with(wardrobe, tmp_path, narrow_processes):
    """SIGKILL and SIGTERM in the first trial; then to the end, and the winner is trained."""
    options = ["--data-dir", wardrobe, "--weights", "none", "--backbone", "resnet50"]
    options += ["--image-size", 32, "--batch-size", 16, "--epochs", 15, "--trials", 2]
    options += ["--output-dir", "search"]
    first = tmp_path / "search" / "trials" / "0000"
    log = first.with_name("0000.log")
    search_process = start("tune", *options, cwd=tmp_path)
    try:
        wait_until(lambda: (first / "history.csv").is_file())
    finally:
        search_process.kill()
        search_process.communicate()
    wait_until(lambda: "SIGTERM" in log.read_text())
    search_process = start("tune", *options, cwd=tmp_path)
    wait_until(lambda: "goes on after" in log.read_text())
    search_process.send_signal(signal.SIGTERM)
    _, err = search_process.communicate(timeout=SECONDS)
    assert search_process.returncode == TERMINATED, err
    assert "To go on: python scripts/tune.py --data-dir" in err and "Traceback" not in err
    code, out, err = run("tune", *options, cwd=tmp_path)
    assert code == 0, err
    assert "Traceback" not in err + log.read_text()
    assert "[2/2] trial 1" in out
    with (tmp_path / "search" / "trials.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["state"], row["epochs"]) for row in found] == [("complete", "15")] * 2
    models = list((tmp_path / "search").glob("trials/*/model.keras"))
    assert len(models) == 1
    began = time.monotonic()
    code, again, err = run("tune", *options, cwd=tmp_path)
    assert code == 0 and "[2/2]" not in again
    assert time.monotonic() - began < 20, "nothing was left to do"
    options = ["--config", "search/best.yaml", "--epochs", 1, "--output-dir", "run"]
    code, _, err = run("train", *options, cwd=tmp_path)
    assert code == 0, err
    trained = json.loads((tmp_path / "run" / "config.json").read_text())
    best = json.loads((models[0].parent / "config.json").read_text())
    assert {k: v for k, v in trained.items() if k not in ("epochs", "output_dir")} == {
        k: v for k, v in best.items() if k not in ("epochs", "output_dir")
    }


def wait_until(condition) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.1)
