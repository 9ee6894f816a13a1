"""Runs the grid, or what is left of it, and writes what came out."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import filelock
from rich.table import Table
from rich.text import Text

from deepfashion_tf.command_line import import_tensorflow
from deepfashion_tf.data.sources import open_splits
from deepfashion_tf.data.split import SPLITS, Split
from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.files import write_atomically
from deepfashion_tf.progress import console, make_progress
from deepfashion_tf.reproduction.claims import Verdict, verdicts
from deepfashion_tf.reproduction.estimate import hours_of
from deepfashion_tf.reproduction.figures import draw_figures, save_figure
from deepfashion_tf.reproduction.grid import FINAL, Grid
from deepfashion_tf.reproduction.results import Results, collect
from deepfashion_tf.reproduction.study import write_study
from deepfashion_tf.reproduction.writing import final_seed, write_results
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.jobs import Job, answers_path, run_jobs
from deepfashion_tf.runs.older import of_today
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.serving.submission import write_submission
from deepfashion_tf.usage import typed

_STATE = "reproduction.json"
_RUN_BYTES = 120e6  # of a finished run; two checkpoints more while it is trained
_HOPELESS = 3  # runs that end with the same words before the others are spared them


def reproduce(grid: Grid, names: list[str], parallel: int) -> int:
    """Runs what is not finished, compares, and writes RESULTS.md, results.json, report.html.

    Args:
        grid: what there is to run.
        names: experiments (of the report's grid) or cells; empty = all.
        parallel: runs at a time.

    Returns:
        The exit code: 1 where a run failed.

    Raises:
        InputError: the data or the weights cannot be used, the directory holds another
            reproduction, or every run fails alike.
    """
    cells = grid.cells_of(names)
    splits = open_splits(grid.base, SPLITS)
    _check(splits)
    with _locked(grid.directory):
        _check_state(grid, splits)
        jobs = [job for job in grid.jobs(cells) if not job.is_done]
        failures: dict[str, str] = {}
        if jobs:
            _prepare(grid, jobs, splits)
            _run(jobs, parallel)
            failures = {_name(job): job.last_words() for job in jobs if not job.is_done}
        results = _collect(grid, splits)
        if grid.study:
            shown = write_study(results, grid.study, failures, typed("reproduce"))
        else:
            shown = _write(results, failures)
    _print(results, shown, failures)
    return 1 if failures else 0


def _check(splits: list[Split]) -> None:
    if splits[0].schema != builtin_schema():
        raise InputError(
            f"{splits[0].source} has the categories {', '.join(splits[0].schema)}, but the "
            f"report's claims are about {', '.join(builtin_schema())}: name data of these."
        )
    if not splits[0].labelled_categories() or not splits[1].labelled_categories():
        raise InputError(
            f"{splits[0].source} and {splits[1].source} must both have labels: one is learnt "
            f"from, the other chooses the best epochs."
        )


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(directory / ".lock", timeout=0):
            yield
    except filelock.Timeout as error:
        raise InputError(
            f"{directory} is being worked on by another process: wait until it has ended, or name "
            f"another --output-dir."
        ) from error


def _check_state(grid: Grid, splits: list[Split]) -> None:
    """Refuses a directory whose runs are of other options or of other data.

    Raises:
        InputError: names what differs.
    """
    digest = hashlib.sha256()
    for split in splits:
        split.add_to(digest)
    wanted = json.loads(as_json({**grid.options(), "data": digest.hexdigest()}, default=str))
    path = grid.directory / _STATE
    if path.is_file():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} is broken: name another --output-dir.") from error
        # An option that is younger than the directory was not thought of when it was made.
        known = {**asdict(TrainConfig()), **of_today(known)}
        differences = [
            name if name == "data" else f"{name} {known.get(name)} (asked: {value})"
            for name, value in wanted.items()
            if known.get(name) != value
        ]
        if differences:
            raise InputError(
                f"{grid.directory} holds a reproduction with other options: "
                f"{', '.join(differences)}. Name another --output-dir."
            )
    elif (grid.directory / "cells").exists():
        raise InputError(f"{grid.directory} has runs but no {_STATE}: name another --output-dir.")
    write_atomically(path, as_json(wanted, indent=1) + "\n")


def _prepare(grid: Grid, jobs: list[Job], splits: list[Split]) -> None:
    """Searches for what would stop every run, and says how long they will take.

    Raises:
        InputError: weights are missing, or the disk is too small.
    """
    needed = len(jobs) * _RUN_BYTES
    free = shutil.disk_usage(grid.directory).free
    if free < needed:
        raise InputError(
            f"{len(jobs)} runs need some {needed / 1e9:.1f} GB, and {grid.directory} has "
            f"{free / 1e9:.1f} GB left: free some space, or name another --output-dir."
        )
    sources = {(job.config.weights, job.config.backbone) for job in jobs}
    sources = {source for source in sources if source[0] not in ("none", "wardrobe")}
    if sources:
        import_tensorflow()
        from deepfashion_tf.models.weights import find_weights

        for weights, backbone in sorted(sources):
            find_weights(weights, backbone, variant=None, offline=grid.base.offline)
    total = len(grid.cells) * grid.seeds
    epochs = sum(epochs_to_train(job, jobs) for job in jobs)
    console.print(
        f"{len(jobs)} runs, {epochs} epochs (all together: {total}), some "
        f"{needed / 1e9:.1f} GB in {grid.directory}/cells/",
        soft_wrap=True,
    )
    if grid.scale == "full":
        trained = [job for job in jobs if epochs_to_train(job, jobs)]
        hours = hours_of(trained, len(splits[0]), len(splits[1]))
        console.print(f"They will take about {hours:.1f} hours on this machine, one at a time.")


def _name(job: Job) -> str:
    return f"{job.directory.parent.name}, seed {job.config.seed}"


def epochs_to_train(job: Job, jobs: list[Job]) -> int:
    """Counts the epochs of a run: none where it only scores the network of another."""
    scores_only = job.like and (
        (job.like / "metrics.json").is_file() or job.like in [other.directory for other in jobs]
    )
    return 0 if scores_only else job.config.epochs


def _run(jobs: list[Job], parallel: int) -> None:
    """Runs the jobs, showing what runs and how much time is left."""
    epochs = {job: epochs_to_train(job, jobs) for job in jobs}
    total = sum(epochs.values())
    before = {job: min(job.epochs_done(), epochs[job]) for job in jobs}
    began = time.monotonic()
    told: set[Job] = set()
    with make_progress("epochs") as bar:
        task = bar.add_task("starting", total=total, completed=sum(before.values()))

        def on_change(running: list[Job]) -> None:
            done = {job: min(job.epochs_done(), epochs[job]) for job in jobs}
            here = ", ".join(f"{_name(job)} ({done[job]})" for job in running)
            bar.update(task, completed=sum(done.values()), description=here)
            news = sum(done.values()) - sum(before.values())
            seconds = (time.monotonic() - began) / max(1, news) * (total - sum(done.values()))
            for job in jobs:
                if job.returncode is not None and job not in told:
                    told.add(job)
                    _tell(job, len(told), len(jobs), seconds)
            _stop_if_hopeless([job for job in jobs if job in told])

        run_jobs(jobs, parallel, on_change)
        on_change([])


def _tell(job: Job, number: int, count: int, left: float) -> None:
    head = f"[{number}/{count}] {_name(job)}"
    if job.is_done:
        console.print(f"{head}: {job.seconds:.0f} s, about {left / 60:.0f} min left")
    else:
        console.print(f"{head} failed: {job.last_words()}", style="red", soft_wrap=True)


def _stop_if_hopeless(ended: list[Job]) -> None:
    """Ends the whole where the first runs have all failed for the same reason.

    Raises:
        InputError: says which.
    """
    if len(ended) == _HOPELESS and not any(job.is_done for job in ended):
        words = {job.last_words() for job in ended}
        if len(words) == 1:
            raise InputError(f"The first {_HOPELESS} runs all failed: {words.pop()}")


def _collect(grid: Grid, splits: list[Split]) -> Results:
    test = splits[SPLITS.index("test")]
    split = "test" if test.labelled_categories() else "val"
    if split == "test" and grid.study and not grid.base.is_wardrobe:
        split = "val+test"
    images = {name: len(found) for name, found in zip(SPLITS, splits, strict=True)}
    return collect(grid, builtin_schema(), split, images)


def _write(results: Results, failures: dict[str, str]) -> Table | None:
    found = verdicts(results) if results.cells else []
    directory = results.grid.directory
    (directory / "figures").mkdir(exist_ok=True)
    figures = []
    for name, figure in draw_figures(results, found):
        save_figure(figure, directory / "figures", name)
        figures.append(name)
    if FINAL in results.cells:
        run = results.grid.run_directory(FINAL, final_seed(results.cells[FINAL]))
        answers = Answers.load(answers_path(run, "test"), results.schema)
        # A category that nobody has labelled has no answers, and the server takes all six.
        if list(answers.schema) == list(results.schema):
            write_submission(answers, directory)
    write_results(results, found, figures, failures, typed("reproduce"))
    return _table(results, found) if found else None


def _table(results: Results, found: list[Verdict]) -> Table:
    table = Table(title=f"The report's claims: {results.source}")
    for name in ("claim", "report", "measured", "verdict"):
        table.add_column(name, justify="left" if name in ("claim", "verdict") else "right")
    shades = {"agrees": "green", "disagrees": "red"}
    for verdict in found:
        digits = ".4f" if verdict.key == "final" else "+.4f"
        shade = shades.get(verdict.verdict, "dim")
        table.add_row(
            verdict.claim,
            "-" if verdict.reported is None else f"{verdict.reported:{digits}}",
            f"{verdict.seeds.mean:{digits}}" + (" epochs" if verdict.unit == "epochs" else ""),
            Text(verdict.verdict, shade),
        )
    return table


def _print(results: Results, shown: Table | None, failures: dict[str, str]) -> None:
    if shown:
        console.print(shown)
    for name, words in failures.items():
        console.print(f"{name} failed: {words}", style="red", soft_wrap=True)
    directory = results.grid.directory
    console.print(
        f"Results: {directory}/RESULTS.md, report.html, results.json, figures/, cells/",
        soft_wrap=True,
    )
