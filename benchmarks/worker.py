"""A process that works when it is asked to: a peer, or this project, each on its own."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import peer
from deepfashion_tf.errors import InputError
from deepfashion_tf.progress import console

OWN = ("-m", "benchmarks.own")
# A peer must not find this project.
_PATH = {
    "PYTHONPATH": os.pathsep.join(
        filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")])
    )
}


class Worker:
    """A process that speaks as `peer.serve` does.

    Args:
        name: as the table calls it.
        job: for it.
        python: interpreter; None = this one.
        own: whether it is this project's program, `benchmarks.own`.

    Attributes:
        seconds: from its start to the end of its first work.

    Raises:
        InputError: it does not come to work; with the last line that it said.
    """

    def __init__(
        self, name: str, job: dict, python: Path | None = None, *, own: bool = False
    ) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, closed by __exit__
        program = OWN if own else ("-P", peer.__file__)
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [str(python or sys.executable), *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(_PATH if own else {})},
        )
        self._ask(json.dumps(job), "ready")
        self.seconds = time.perf_counter() - began

    def work(self) -> int:
        """Makes it work once; gives on how many images."""
        return int(self._ask("go"))

    def peak_memory(self) -> int:
        """Asks for the most memory that it has had, in MiB."""
        return int(self._ask("memory"))

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _ask(self, question: str, expected: str = "") -> str:
        try:
            print(question, file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline().strip()
        except BrokenPipeError:
            answer = ""
        if not answer or (expected and answer != expected):
            self._process.kill()
            self._process.wait()
            self._log.seek(0)
            said = self._log.read().decode("utf-8", "replace").strip().splitlines()
            raise InputError(
                f"{self.name} does not work: {said[-1] if said else 'it said nothing'}."
            )
        return answer


def open_peers(
    stack: ExitStack, jobs: dict[str, dict], python: Path | None, packages: Sequence[str]
) -> dict[str, Worker]:
    """Starts peers, or says that they are not installed and starts none.

    Args:
        stack: ends them.
        jobs: name -> job.
        python: interpreter; None = this one.
        packages: that they need.
    """
    looking = f"import importlib.util as u; assert all(map(u.find_spec, {list(packages)!r}))"
    command = [str(python or sys.executable), "-c", looking]
    try:
        is_there = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError as error:
        raise InputError(
            f"--peer-python {python} cannot be started ({error.strerror}): name a Python "
            f"interpreter with the extra [bench]."
        ) from error
    if not is_there:
        console.print(
            f"{', '.join(packages)} not installed, so there are no peers: pip install "
            f"'deepfashion_tf[bench]', here or where --peer-python points",
            style="dim",
            soft_wrap=True,
        )
        return {}
    return {name: stack.enter_context(Worker(name, job, python)) for name, job in jobs.items()}
