"""Starts the workers of a training on this machine, as processes on 127.0.0.1."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from deepfashion_tf.documents import as_json

_GRACE = 60.0  # seconds in which the others end by themselves after one has died


def launch_workers(count: int, args: Sequence[str]) -> int:
    """Runs a program in several processes that know each other by TF_CONFIG.

    The first is the chief, and its output is this process' own; the others are heard only
    where they fail. SIGTERM and Ctrl-C are passed on. When one dies, the others have a
    minute to say so and to end.

    Args:
        count: how many.
        args: of Python: what it runs, and the options of that.

    Returns:
        The exit code: 0 when all have ended with 0, else that of the chief, or of the
        first that failed.
    """
    processes: list[subprocess.Popen] = []
    with _passed_on(processes):
        addresses = [f"127.0.0.1:{port}" for port in _free_ports(count)]
        for index in range(count):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": addresses}, "task": task}
            # The cores are shared; a process that takes them all slows the others down.
            threads = str(max(1, (os.cpu_count() or 1) // count))
            environment = {
                "TF_NUM_INTRAOP_THREADS": threads,
                **os.environ,
                "TF_CONFIG": as_json(config),
            }
            processes.append(
                subprocess.Popen(
                    [sys.executable, *args],
                    env=environment,
                    stdout=None if index == 0 else subprocess.DEVNULL,
                )
            )
        codes = _wait(processes)
    failed = [code for code in codes if code]
    return codes[0] or (failed[0] if failed else 0)


def _wait(processes: list[subprocess.Popen]) -> list[int]:
    """Waits for all; kills what does not end after another has failed."""
    deadline = None
    while any(process.poll() is None for process in processes):
        failed = [i for i, process in enumerate(processes) if process.poll() not in (None, 0)]
        if failed and deadline is None:
            deadline = time.monotonic() + _GRACE
            code = processes[failed[0]].returncode
            if code < 0:
                print(
                    f"Worker {failed[0]} was ended by {signal.Signals(-code).name}.",
                    file=sys.stderr,
                    flush=True,
                )
        if deadline is not None and time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(0.1)
    return [p.returncode if p.returncode >= 0 else 128 - p.returncode for p in processes]


@contextlib.contextmanager
def _passed_on(processes: list[subprocess.Popen]) -> Iterator[None]:
    """Passes signals on to the processes."""

    def pass_on(number, frame) -> None:
        for process in processes:
            process.send_signal(number)

    # A terminal sends Ctrl-C to all of them by itself.
    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
        signal.SIGINT: signal.signal(
            signal.SIGINT, signal.SIG_IGN if sys.stdin and sys.stdin.isatty() else pass_on
        ),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for process in processes:
            if process.poll() is None:
                process.kill()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
