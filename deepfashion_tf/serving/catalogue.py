"""Tags a catalogue: any number of photographs, on all cores or a cluster, by Ray.

The images are divided into shards in the order in which they come. A shard is what is done whole
or not at all: a Parquet file that appears when its last image is answered. Whatever is killed, the
same command does the shards that are missing, and no other.
"""

import csv
import functools
import hashlib
import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import pyarrow as pa
import pyarrow.parquet

from deepfashion_tf.errors import InputError, list_some, printable
from deepfashion_tf.files import remove_unfinished, whole_or_nothing, write_atomically
from deepfashion_tf.inference.calibration import Calibration
from deepfashion_tf.inference.items import Item
from deepfashion_tf.progress import console, count_aside, make_progress
from deepfashion_tf.schema import Schema
from deepfashion_tf.serving.answer_files import Wanted, parquet_schema, rows

if TYPE_CHECKING:
    from deepfashion_tf.inference.engines import Running
    from deepfashion_tf.inference.predictor import Predictor

# Who reads the folder as one table passes over names that begin so.
PLAN_FILE = "_catalogue.json"
FAULTS_FILE = "_faults.csv"
_DIGEST = b"deepfashion_tf.items"
_AHEAD = 2  # shards that wait for a worker while it is at one
_RETRIES = 3  # workers that one shard may cost


@dataclass(frozen=True)
class Shard:
    """Some images that follow one another.

    Attributes:
        number: from 0 on.
        items: its images.
    """

    number: int
    items: list[Item]

    @property
    def name(self) -> str:
        return f"part-{self.number:06d}.parquet"

    @property
    def digest(self) -> str:
        """Tells it from a shard of other images."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(repr((item.image, item.box, item.path, item.fault)).encode())
        return digest.hexdigest()


def shards_of(items: Iterable[Item], size: int) -> Iterator[Shard]:
    """Divides images into shards, as they come."""
    # A worker may stand in another folder.
    items = (
        replace(item, path=os.path.abspath(item.path)) if item.path else item  # noqa: PTH100
        for item in items
    )
    for number in itertools.count():
        some = list(itertools.islice(items, size))
        if not some:
            return
        yield Shard(number, some)


def count_done(shard: Shard, folder: Path) -> tuple[int, int] | None:
    """Counts a finished shard's answers and faults; None = it is not finished.

    A file that is broken, or of other images, is none.
    """
    path = folder / shard.name
    try:
        with pa.parquet.ParquetFile(path) as file:
            known = (file.schema_arrow.metadata or {}).get(_DIGEST, b"").decode()
            answered = file.metadata.num_rows
    except (OSError, pa.ArrowException):
        return None
    return (answered, len(shard.items) - answered) if known == shard.digest else None


def tag_shard(
    predictor: "Predictor", wanted: Wanted, shard: Shard, folder: Path
) -> tuple[int, int]:
    """Answers for a shard and writes its file, and another with what could not be read.

    Returns:
        How many images were answered, and how many were not.
    """
    schema = parquet_schema(wanted).with_metadata({_DIGEST: shard.digest.encode()})
    faults: list[tuple[str, str]] = []
    with (
        whole_or_nothing(folder / shard.name) as temporary,
        pa.parquet.ParquetWriter(temporary, schema) as writer,
    ):
        for batch in predictor.stream(shard.items):
            columns = list(zip(*rows(batch, wanted), strict=True))
            if columns:
                arrays = [
                    pa.array(values, field.type)
                    for values, field in zip(columns, schema, strict=True)
                ]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
            faults += [
                (printable(item.image), printable(fault))
                for item, fault in zip(batch.items, batch.faults, strict=True)
                if fault
            ]
        # Before the shard's own file, which says that the shard is done.
        with (
            whole_or_nothing(_faults_path(folder, shard.number)) as path,
            path.open("w", encoding="utf-8", newline="") as file,
        ):
            csv.writer(file, lineterminator="\n").writerows(faults)
    return len(shard.items) - len(faults), len(faults)


def _faults_path(folder: Path, number: int) -> Path:
    return folder / f"_part-{number:06d}.faults.csv"


@contextmanager
def opened(folder: Path, plan: dict) -> Iterator[None]:
    """Makes the folder of a catalogue, or goes on with one of the same plan.

    Args:
        folder: of the catalogue, which nobody else works on in the meantime.
        plan: what decides its answers: model and options. The images are no part of it: a shard
            knows its own.

    Raises:
        InputError: it holds something else, or somebody is at work there.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / PLAN_FILE).is_file():
        raise InputError(f"{folder} is not empty and no catalogue: name another --output.")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            _check_plan(folder / PLAN_FILE, plan)
            remove_unfinished(folder)
            yield
    except filelock.Timeout as error:
        raise InputError(
            f"{folder} is being worked on by another process: wait until it has ended, or name "
            f"another --output."
        ) from error


def _check_plan(path: Path, plan: dict) -> None:
    wanted = json.loads(json.dumps(plan, default=str))
    if path.is_file():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} is broken: name another --output.") from error
        differences = [
            f"{name} {known.get(name)} (asked: {value})"
            for name, value in wanted.items()
            if known.get(name) != value
        ]
        if differences:
            raise InputError(
                f"{path.parent} holds another catalogue: {'; '.join(differences)}. Name another "
                f"--output."
            )
    write_atomically(path, json.dumps(wanted, indent=1) + "\n")


@dataclass(frozen=True)
class Model:
    """What a worker tells of the model that it has loaded.

    Attributes:
        name: of what was loaded.
        schema: its categories.
        untrained: those that it cannot answer.
        calibration: of its probabilities.
        engine: that answers.
    """

    name: str
    schema: Schema
    untrained: tuple[str, ...]
    calibration: Calibration
    engine: "Running"


class _Tagger:
    """What works in a process of its own: TensorFlow and the model are loaded there alone."""

    def __init__(self, run: Path, threads: int, engine: str) -> None:
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        self._run, self._engine = run, engine

    @functools.cached_property
    def _predictor(self) -> "Predictor":
        from deepfashion_tf.inference.predictor import Predictor

        return Predictor.load(self._run, self._engine)

    def describe(self) -> Model:
        found = self._predictor
        return Model(
            found.name, found.schema, tuple(found.untrained), found.calibration, found.engine
        )

    def tag(self, shard: Shard, wanted: Wanted, folder: Path) -> tuple[int, int]:
        return tag_shard(self._predictor, wanted, shard, folder)


@dataclass(frozen=True)
class Crew:
    """Who does the work.

    Attributes:
        workers: processes.
        threads: cores of each.
        address: of a Ray cluster; None = this machine.
        engine: that they answer by, as `Predictor.load` takes it.
    """

    workers: int
    threads: int
    address: str | None = None
    engine: str = "auto"


class Workers:
    """Processes that answer, started by Ray: they load the model while this one does other things.

    Args:
        run: the model, as `Predictor.load` takes it.
        crew: how many, and where.

    Raises:
        InputError: Ray is not installed.
    """

    def __init__(self, run: Path, crew: Crew) -> None:
        self._ray = _start_ray(crew)
        tagger = self._ray.remote(
            num_cpus=crew.threads, max_restarts=-1, max_task_retries=_RETRIES
        )(_Tagger)
        self.taggers = [
            tagger.remote(run.resolve(), crew.threads, crew.engine) for _ in range(crew.workers)
        ]
        # All of them load; the first one tells.
        self._descriptions = [tagger.describe.remote() for tagger in self.taggers]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_) -> None:
        self._ray.shutdown()

    def describe(self) -> Model:
        """Tells what the model is.

        Raises:
            InputError: it cannot be loaded.
        """
        try:
            return self.get(self._descriptions[0])
        except WorkerLost as error:
            raise InputError(
                f"The workers ended before one had loaded the model: give the machine more memory, "
                f"or take fewer --workers ({error})."
            ) from error

    def wait(self, waiting: Iterable):
        """Waits for one of several results."""
        (told,), _ = self._ray.wait(list(waiting))
        return told

    def get(self, told):
        """Gives a result, or raises what the worker raised.

        Raises:
            WorkerLost: the workers that were to give it have ended, one after the other.
        """
        try:
            return self._ray.get(told)
        except self._ray.exceptions.RayActorError as error:
            raise WorkerLost(" ".join(str(error).split())[-200:]) from error
        except self._ray.exceptions.RayTaskError as error:
            # The worker's own exception; Ray's has a page of where it came from.
            raise error.cause from error


def _start_ray(crew: Crew):
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "Tagging a catalogue needs Ray: pip install -r requirements-catalogue.txt."
        ) from error
    local = {} if crew.address else {"num_cpus": crew.workers * crew.threads}
    ray.init(
        address=crew.address or "local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        **local,
    )
    return ray


class WorkerLost(Exception):
    """Says that several workers have ended while at the same work."""


def tag_catalogue(
    workers: Workers, items: Iterable[Item], wanted: Wanted, folder: Path, size: int
) -> tuple[int, int]:
    """Tags images into a folder of Parquet files; what is there already is not done again.

    Args:
        workers: who do it.
        items: the images; asked for as they are needed.
        wanted: how answers are given.
        folder: of the catalogue, on a disk that all workers share.
        size: images of a shard.

    Returns:
        How many images are answered, and how many could not be.

    Raises:
        InputError: shards have ended several workers each.
    """
    answered = faulty = 0
    failed: list[Shard] = []
    waiting: dict = {}  # what a worker will tell -> the worker and the shard
    free = workers.taggers * _AHEAD
    last = -1
    with make_progress() as progress:
        bar = progress.add_task("tagging", total=None)
        count_aside(progress, bar, items)
        began, new = time.monotonic(), 0

        def add(counts: tuple[int, int], is_new: bool = True) -> None:
            nonlocal answered, faulty, new
            answered, faulty = answered + counts[0], faulty + counts[1]
            new += sum(counts) * is_new
            rate = new / (time.monotonic() - began)
            progress.update(bar, advance=sum(counts), description=f"{rate:.0f} images/s")

        for shard in shards_of(items, size):
            last = shard.number
            if done := count_done(shard, folder):
                add(done, is_new=False)
                continue
            if not free:
                free.append(_wait(workers, waiting, add, failed))
            tagger = free.pop()
            waiting[tagger.tag.remote(shard, wanted, folder.resolve())] = tagger, shard
        while waiting:
            _wait(workers, waiting, add, failed)
    if failed:
        images = [f"{shard.items[0].image} to {shard.items[-1].image}" for shard in failed]
        raise InputError(
            f"All else is done, but {list_some(images, separator='; ')} have ended "
            f"{_RETRIES + 1} workers each: give the machine more memory, or find the image that "
            f"does it with a smaller --shard-size."
        )
    _finish(folder, last)
    return answered, faulty


def _wait(workers: Workers, waiting: dict, add, failed: list[Shard]):
    """Waits for one shard, counts it, and gives its worker."""
    told = workers.wait(waiting)
    tagger, shard = waiting.pop(told)
    try:
        add(workers.get(told))
    except WorkerLost:
        failed.append(shard)
    return tagger


def _finish(folder: Path, last: int) -> None:
    """Gathers the faults, and removes shards behind the last one, of an input that was longer."""
    remove_unfinished(folder)  # of workers that were killed
    for path in folder.glob("*part-*"):
        if int(path.name.removeprefix("_")[5:11]) > last:
            path.unlink()
    with (
        whole_or_nothing(folder / FAULTS_FILE) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        csv.writer(file, lineterminator="\n").writerow(["image", "reason"])
        for number in range(last + 1):
            file.write(_faults_path(folder, number).read_text(encoding="utf-8"))


def describe(path: Path) -> dict:
    """Tells a model from another: where it lies, and the digest of what answers."""
    files = (
        *("model.keras", "calibration.json", "saved_model.pb", "variables/variables.index"),
        *("model.xml", "model.bin", "model.onnx"),
    )
    digest = hashlib.sha256()
    for name in files:
        file = path.with_name(name) if path.suffix == ".keras" else path / name
        if file.is_file():
            digest.update(hashlib.file_digest(file.open("rb"), "sha256").digest())
    return {"model": str(path), "model_digest": digest.hexdigest()}


def tell(answered: int, faulty: int, folder: Path, seconds: float) -> None:
    """Says what was done, and where it lies."""
    console.print(
        f"{answered} images answered in {folder}/part-*.parquet, {faulty} could not be "
        f"({folder}/{FAULTS_FILE}); {(answered + faulty) / max(seconds, 1e-9):.1f} images/s.",
        soft_wrap=True,
    )


def columns_of(wanted: Wanted) -> dict:
    """Gives what decides the columns, for comparison."""
    return {
        "top": wanted.top,
        "thresholds": wanted.thresholds,
        "with_boxes": wanted.with_boxes,
        "categories": {name: list(values) for name, values in wanted.schema.items()},
    }
