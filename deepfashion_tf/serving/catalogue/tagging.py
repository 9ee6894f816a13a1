"""A catalogue's folder: made or gone on with, filled by workers, finished."""

import csv
import hashlib
import io
import itertools
import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.escaping import read_cell
from deepfashion_tf.inference.answers import Wanted
from deepfashion_tf.inference.items import Item
from deepfashion_tf.inference.tally import Tally
from deepfashion_tf.progress import console, count_aside, make_progress
from deepfashion_tf.serving.catalogue.places import Place
from deepfashion_tf.serving.catalogue.shards import Shard, count_done, faults_name, shards_of
from deepfashion_tf.serving.catalogue.workers import RETRIES, WorkerLost, Workers

# Who reads the folder as one table passes over names that begin so.
PLAN_FILE = "_catalogue.json"
FAULTS_FILE = "_faults.csv"
_AHEAD = 2  # shards that wait for a worker while it is at one


@contextmanager
def opened(place: Place, plan: dict) -> Iterator[None]:
    """Makes the place of a catalogue, or goes on with one of the same plan.

    Args:
        place: of the catalogue, which nobody else works on in the meantime.
        plan: what decides its answers: model and options. The images are no part of it: a shard
            knows its own.

    Raises:
        InputError: it holds something else, or somebody is at work there.
    """
    names = place.names()
    if names and PLAN_FILE not in names:
        raise InputError(f"{place} is not empty and no catalogue: name another --output.")
    place.make()
    try:
        with place.lock():
            _check_plan(place, plan, is_there=PLAN_FILE in names)
            place.clean()
            yield
    except filelock.Timeout as error:
        raise InputError(
            f"{place} is being worked on by another process: wait until it has ended, or name "
            f"another --output."
        ) from error


def _check_plan(place: Place, plan: dict, is_there: bool) -> None:
    wanted = json.loads(as_json(plan, default=str))
    if is_there:
        try:
            with place.open(PLAN_FILE) as file:
                known = json.load(file)
        except ValueError as error:
            raise InputError(f"{place}/{PLAN_FILE} is broken: name another --output.") from error
        differences = [
            f"{name} {known.get(name)} (asked: {value})"
            for name, value in wanted.items()
            if known.get(name) != value
        ]
        if differences:
            raise InputError(
                f"{place} holds another catalogue: {'; '.join(differences)}. Name another --output."
            )
    with place.write(PLAN_FILE) as path:
        path.write_text(as_json(wanted, indent=1) + "\n", encoding="utf-8")


def tag_catalogue(
    workers: Workers,
    items: Iterable[Item],
    wanted: Wanted,
    place: Place,
    size: int,
    by_content: bool = False,
) -> tuple[int, int]:
    """Tags images into Parquet files; what is there already is not done again.

    Args:
        workers: who do it.
        items: the images; asked for as they are needed.
        wanted: how answers are given.
        place: of the catalogue, which all workers reach.
        size: images of a shard.
        by_content: whether images are known again by their bytes.

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

        for shard in shards_of(items, size, by_content):
            last = shard.number
            if done := count_done(shard, place):
                add(done, is_new=False)
                continue
            if not free:
                free.append(_wait(workers, waiting, add, failed))
            tagger = free.pop()
            waiting[tagger.tag.remote(shard, wanted, place)] = tagger, shard
        while waiting:
            _wait(workers, waiting, add, failed)
    _check_failed(failed)
    _finish(place, last)
    return answered, faulty


def _check_failed(failed: list[Shard]) -> None:
    if failed:
        images = [f"{shard.items[0].image} to {shard.items[-1].image}" for shard in failed]
        raise InputError(
            f"All else is done, but {list_some(images, separator='; ')} have ended "
            f"{RETRIES + 1} workers each: give the machine more memory, or find the image that "
            f"does it with a smaller --shard-size."
        )


def _wait(workers: Workers, waiting: dict, add, failed: list[Shard]):
    """Waits for one shard, counts it, and gives its worker."""
    told = workers.wait(waiting)
    tagger, shard = waiting.pop(told)
    try:
        add(workers.get(told))
    except WorkerLost:
        failed.append(shard)
    return tagger


def _finish(place: Place, last: int) -> None:
    """Gathers the faults, and removes shards behind the last one, of an input that was longer."""
    place.clean()  # of workers that were killed
    for name in place.names():
        found = re.fullmatch(r"_?part-(\d{6,})\..*", name)
        if found and int(found[1]) > last:
            place.remove(name)
    with (
        place.write(FAULTS_FILE) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        csv.writer(file, lineterminator="\n").writerow(["image", "reason"])
        for number in range(last + 1):
            with place.open(faults_name(number)) as faults:
                file.write(faults.read().decode("utf-8"))


def describe(path: Path) -> dict:
    """Identifies a model: by its path and the digest of what answers."""
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


def tell(answered: int, faulty: int, place: Place, seconds: float, came: Tally) -> None:
    """Returns what came in, what became of it, and where it lies."""
    tally = Tally(answered=answered)
    with place.open(FAULTS_FILE) as opened, io.TextIOWrapper(opened, "utf-8", newline="") as file:
        for row in itertools.islice(csv.reader(file), 1, None):
            tally.add([read_cell(row[-1])])
    for line in came.with_answers(tally).lines():
        console.print(line, style="dim", soft_wrap=True)
    console.print(
        f"{answered} images answered in {place}/part-*.parquet, {faulty} could not be "
        f"({place}/{FAULTS_FILE}); {(answered + faulty) / max(seconds, 1e-9):.1f} images/s.",
        soft_wrap=True,
    )


def columns_of(wanted: Wanted) -> dict:
    """Returns what decides the columns, for comparison."""
    return {
        "top": wanted.top,
        "thresholds": wanted.thresholds,
        "with_boxes": wanted.with_boxes,
        "keep_columns": list(wanted.kept),
        "with_status": True,
        "categories": {name: list(values) for name, values in wanted.schema.items()},
    }
