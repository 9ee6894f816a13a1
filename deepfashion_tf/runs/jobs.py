"""Trainings in processes of their own, several at a time: started, watched, stopped."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from deepfashion_tf.interrupts import Terminated
from deepfashion_tf.runs.config import CONFIG_FILE, TrainConfig

_POLL = 0.5  # seconds
_GRACE = 30.0  # seconds from SIGTERM to SIGKILL
_NETWORK_FILES = ("model.keras", "history.csv", "schema.yaml")  # of a run, besides its options


class Job:
    """One training: begun, or gone on with, in a process that ends with its parent.

    The process is ``python -m deepfashion_tf.job_process``: it trains, scores, and
    leaves a run directory. When its parent dies, by SIGKILL too, it saves its state and ends.

    Args:
        config: with the `output_dir` to make or to go on with.
        splits: to score on at the end, besides the validation split.
        like: directory of a run that is trained alike and answers otherwise: where it is done by
            the time that this one begins, its network is taken, and only scored.

    Attributes:
        returncode: how it ended; None = it has not, or was never started.
        seconds: how long it has run.
    """

    def __init__(
        self, config: TrainConfig, splits: Sequence[str] = (), like: Path | None = None
    ) -> None:
        self.config = config
        self.splits = splits
        self.like = like
        self.directory = config.output_dir
        self.returncode: int | None = None
        self.seconds = 0.0
        self._process: subprocess.Popen | None = None
        self._log_start = 0  # what stands before it was printed by a process of before

    @property
    def is_done(self) -> bool:
        """Whether its run directory has all that it was to make, by this process or another."""
        answered = all(answers_path(self.directory, split).is_file() for split in self.splits)
        return answered and (self.directory / "metrics.json").is_file()

    @property
    def log_path(self) -> Path:
        """What it has printed."""
        return self.directory.with_name(f"{self.directory.name}.log")

    def start(self, threads: int | None = None) -> None:
        """Starts the process.

        Args:
            threads: cores that it may use; None = all.
        """
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        request = self.directory.with_name(f"{self.directory.name}.json")
        self.config.save(request)
        self._take_network()
        limits = {} if threads is None else {"TF_NUM_INTRAOP_THREADS": str(threads)}
        self._began = time.monotonic()
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "deepfashion_tf.job_process",
                    str(request),
                    *self.splits,
                ],
                # The process reads it to its end, which comes when this one has died.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **limits, "COLUMNS": "100"},
                # Ctrl-C is this process' to handle.
                start_new_session=True,
            )

    def _take_network(self) -> None:
        is_begun = self.directory.exists()
        if self.like is None or is_begun or not (self.like / "metrics.json").is_file():
            return
        partial = self.directory.with_name(f".{self.directory.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name in _NETWORK_FILES:
            shutil.copy2(self.like / name, partial)
        trained = TrainConfig.load(self.like / CONFIG_FILE)
        replace(trained, tta=self.config.tta, output_dir=self.directory).save(partial / CONFIG_FILE)
        partial.rename(self.directory)

    def is_running(self) -> bool:
        """Checks whether it is still at work."""
        if self._process is None or self.returncode is not None:
            return False
        self.returncode = self._process.poll()
        self.seconds = time.monotonic() - self._began
        return self.returncode is None

    def epochs_done(self) -> int:
        """Counts the epochs that are in its history."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.directory / "history.csv").read_text(encoding="utf-8").splitlines()
            return max(0, len(lines) - 1)
        return 0

    def terminate(self) -> None:
        """Asks it to save its state and to end."""
        if self.is_running():
            self._process.terminate()

    def wait(self, seconds: float = _GRACE) -> None:
        """Waits for its end; kills it when that takes too long."""
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.is_running()

    def last_words(self) -> str:
        """Returns the sentence that it ended with: the last one on its log that says "error:"."""
        printed = self.log_path.read_bytes()[self._log_start :]
        lines = printed.decode("utf-8", "replace").splitlines()
        told = [line for line in lines if line.startswith(("error: ", "SIGTERM: "))]
        if told:
            return told[-1].removeprefix("error: ")
        code = self.returncode
        if code is not None and code < 0:
            return f"It was ended by {signal.Signals(-code).name}."
        return next((line for line in reversed(lines) if line.strip()), "It printed nothing.")


def answers_path(directory: Path, split: str) -> Path:
    """Names the file of a split's answers in a run directory."""
    return directory / f"answers-{split}.csv"


def run_jobs(
    jobs: Sequence[Job],
    parallel: int = 1,
    on_change: Callable[[list[Job]], None] = lambda running: None,
) -> None:
    """Runs jobs in their order, some at a time; one that fails does not stop the others.

    SIGTERM and Ctrl-C ask those that run to save their state and wait for it.

    Args:
        jobs: to run.
        parallel: how many at a time; they share the cores.
        on_change: called with those that run, twice a second.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Terminated: SIGTERM.
    """
    threads = max(1, (os.cpu_count() or 1) // parallel) if parallel > 1 else None
    waiting, running = list(jobs), []
    with sigterm_raises():
        try:
            while waiting or running:
                while waiting and len(running) < parallel:
                    running.append(waiting.pop(0))
                    running[-1].start(threads)
                time.sleep(_POLL)
                running = [job for job in running if job.is_running()]
                on_change(running)
        except BaseException:
            for job in running:
                job.terminate()
            for job in running:
                job.wait()
            raise


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """Turns SIGTERM into a Terminated while the block runs."""

    def stop(number, frame) -> None:
        raise Terminated("SIGTERM: what was computed is kept; the same command goes on.")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
