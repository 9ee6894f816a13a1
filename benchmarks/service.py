"""How fast the service answers many clients, beside its engine alone and a service that one writes.

Clients keep their connection, and each asks again as soon as it is answered. They share the
machine with the service. Beside the rates stands the time of the processors, which depends less on
who else uses the machine.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

from benchmarks.rates import Rate, race
from deepfashion_tf.data.split import Split
from deepfashion_tf.inference.items import Item
from deepfashion_tf.inference.predictor import Predictor

ROOT = Path(__file__).parents[1]
CLIENTS = (1, 8, 32)
ENGINE, PREDICT = "engine alone", "decoding and engine"
_SERVICE, _PLAIN = "service", "plain FastAPI"


class Server:
    """A server in a process of its own.

    Args:
        command: to start it; the line that it prints first names its address.
    """

    def __init__(self, *command: str | Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)], cwd=ROOT, text=True, stdout=subprocess.PIPE
        )
        line = self.process.stdout.readline()
        self.address = urlsplit(re.search(r"http://[\w.:]+", line)[0])

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@dataclass
class Load:
    """What clients have seen.

    Attributes:
        seconds: of each answer.
        refused: answers of another status than 200.
        lost: requests that were sent in whole, and never answered.
        unsent: requests for which there was no connection any more.
        processor: seconds of all processors, of server and clients.
        images: for which these were taken.
    """

    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    lost: int = 0
    unsent: int = 0
    processor: float = 0.0
    images: int = 0

    def percentile(self, share: float) -> float:
        """Returns milliseconds within which a share of the answers came."""
        return 1000 * float(np.quantile(self.seconds, share)) if self.seconds else float("nan")


def ask(server: Server, encoded: Sequence[bytes], clients: int, load: Load) -> int:
    """Asks once for each image, by clients at the same time; returns how many were answered."""
    before = len(load.seconds)
    asyncio.run(_ask(server, iter(encoded), clients, load))
    return len(load.seconds) - before


async def _ask(server: Server, images: Iterator[bytes], clients: int, load: Load) -> None:
    await asyncio.gather(*(_client(server, images, load) for _ in range(clients)))


async def _client(server: Server, images: Iterator[bytes], load: Load) -> None:
    place = server.address.hostname, server.address.port
    connection = None
    for encoded in images:
        is_sent = False
        try:
            if connection is None:
                connection = await asyncio.open_connection(*place)
            reader, writer = connection
            began = time.perf_counter()
            writer.write(_HEAD % len(encoded) + encoded)
            await writer.drain()
            is_sent = True
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
        except (OSError, asyncio.IncompleteReadError):
            load.lost += is_sent
            load.unsent += not is_sent
            return
        if b" 200 " in head[:16]:
            load.seconds.append(time.perf_counter() - began)
        else:
            load.refused += 1
        if b"connection: close" in head.lower():
            writer.close()
            connection = None
    if connection:
        connection[1].close()


_HEAD = (
    b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n"
    b"Content-Length: %d\r\n\r\n"
)


def end_under_load(server: Server, encoded: Sequence[bytes], clients: int) -> tuple[Load, int]:
    """Sends SIGTERM while clients ask; returns what they saw, and the exit code."""
    load = Load()

    async def run() -> None:
        asyncio.get_running_loop().call_later(1.0, server.process.send_signal, signal.SIGTERM)
        await _ask(server, cycle(encoded), clients, load)

    asyncio.run(run())
    return load, server.process.wait(timeout=60)


def benchmark_service(
    path: Path, split: Split, rounds: int, options: Sequence[str] = ()
) -> Iterator[tuple[list[Rate], dict[str, Load]]]:
    """Lets clients ask the service, and a plain one, for a split's images, one in a request.

    Args:
        path: run or export that answers.
        split: the images.
        rounds: how often each is measured.
        options: of `deepfashion serve`.

    Yields:
        After each round all rates so far, and what the clients saw. At last, of one more service
        that SIGTERM ends under load: no rates.
    """
    encoded = [split.encoded(row) for row in range(len(split))]
    predictor = Predictor.load(path)
    items = [Item("image", encoded=image) for image in encoded]
    crops = np.array([crop for _, crop in predictor.read(iter(items))])
    parts = [crops[start : start + 16] for start in range(0, len(crops), 16)]

    def engine() -> int:
        return sum(len(predictor.answer(part)[next(iter(predictor.schema))]) for part in parts)

    def predict() -> int:
        return sum(len(batch.items) for batch in predictor.stream(iter(items), 16))

    script = ROOT / "scripts" / "serve.py"
    with (
        Server(script, path.resolve(), "--port", "0", *options) as service,
        Server("-m", "benchmarks.plain_service", path.resolve()) as plain,
    ):
        loads = {ENGINE: Load(), PREDICT: Load()}
        contestants = {
            ENGINE: _metered(engine, loads[ENGINE]),
            PREDICT: _metered(predict, loads[PREDICT]),
        }
        for name, server in ((_SERVICE, service), (_PLAIN, plain)):
            for clients in CLIENTS:
                called = f"{name}, {clients} client{'s' * (clients > 1)}"
                load = loads[called] = Load()
                asking = partial(ask, server, encoded, clients, load)
                contestants[called] = _metered(asking, load, server)
        for rates in race(contestants, rounds):
            yield rates, loads
        load, code = end_under_load(service, encoded, 8)
        yield [], {f"SIGTERM, exit code {code}": load}


def _metered(
    work: Callable[[], int], load: Load, server: Server | None = None
) -> Callable[[], int]:
    """Notes the time of the processors beside what work does."""
    pids = [os.getpid(), *([server.process.pid] if server else [])]

    def seconds() -> float:
        times = [psutil.Process(pid).cpu_times() for pid in pids]
        return sum(time.user + time.system for time in times)

    def run() -> int:
        before = seconds()
        images = work()
        load.processor += seconds() - before
        load.images += images
        return images

    return run
