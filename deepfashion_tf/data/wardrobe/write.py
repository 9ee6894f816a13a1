"""Writes the wardrobe as files in the challenge layout, on all cores."""

import csv
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from deepfashion_tf.category import NOT_APPLICABLE, Category, parts_of
from deepfashion_tf.data.labels import join_attributes
from deepfashion_tf.data.wardrobe.draw import draw_garment
from deepfashion_tf.data.wardrobe.sampling import BOTTOMS, sample_labels
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import whole_or_nothing
from deepfashion_tf.schema import Schema, builtin_schema

# Goes up when the same seed draws other pictures than before.
WARDROBE_VERSION = 1
_SPLITS = ("train", "val", "test")
_CHUNK = 32
_SECOND = 1 / 3  # share of garments with a second fabric


class Row(NamedTuple):
    """What an image of the wardrobe shows; see `Drawing`."""

    labels: np.ndarray
    box: tuple[int, int, int, int]
    landmarks: np.ndarray
    second_fabric: str | None
    kind: str


def write_wardrobe(
    directory: str | Path,
    *,
    train: int,
    val: int,
    test: int,
    seed: int,
    kinds: bool = False,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draws a data set into a new folder; it is there whole or not at all.

    With `kinds` it has a ``table.csv`` and a ``schema.yaml`` instead of DeepFashion's lists:
    fabric is of kind multi, since a third of the garments have a second one, and sleeve does not
    apply to skirts, shorts and trousers.

    Image i of a split depends on (seed, split, i) alone: the same seed gives the
    same files, however many processes draw.

    Args:
        directory: ``img/`` and ``split/`` are made in it.
        train: how many training images; `val` and `test` likewise.
        seed: >= 0.
        kinds: draw several fabrics, and write which categories apply.
        workers: processes; None = one a core.
        on_progress: called with ``(done, total)``.

    Raises:
        InputError: the folder is there and not empty, the counts make no data set, or the
            processes that draw could not start.
    """
    end_if_reloaded()
    directory = Path(directory)
    counts = dict(zip(_SPLITS, (train, val, test), strict=True))
    if min(counts.values()) < 0 or not any(counts.values()):
        raise InputError(
            f"A wardrobe of {train} + {val} + {test} images cannot be drawn: give counts >= 0, "
            f"at least one of them above 0."
        )
    if seed < 0:
        raise InputError(f"The seed is {seed}, but must be 0 or more.")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"{directory} exists and is not empty: name a new folder, or remove it.")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with whole_or_nothing(directory) as temporary:
        (temporary / "img").mkdir(parents=True)
        rows = _draw_all(temporary, counts, (seed, kinds), workers, on_progress)
        if kinds:
            _write_table(temporary, counts, rows)
            return
        (temporary / "split").mkdir()
        first = 0
        for split, count in counts.items():
            _write_split(temporary / "split", split, first, rows[first : first + count])
            first += count
        _write_attribute_list(temporary / "split")


def end_if_reloaded() -> None:
    """Ends a drawing process that has loaded, and begun to run, the script that started it.

    It would wait without end for what its parent is about to draw.
    """
    # As multiprocessing itself asks before it starts a process.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.exit(1)


def _draw_all(folder: Path, counts: dict, how: tuple, workers: int | None, on_progress) -> list:
    """Draws all images and gives their annotations in the order of their numbers."""
    jobs = []
    first = 0
    for split, count in enumerate(counts.values()):
        for start in range(0, count, _CHUNK):
            jobs.append((folder, how, split, start, min(count, start + _CHUNK), first))
        first += count
    rows: dict[int, Row] = {}
    # A forked child would inherit the threads' locks of whoever has TensorFlow loaded.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers or os.cpu_count(), context, initializer=_start_worker)
    try:
        for finished in as_completed([pool.submit(_draw_chunk, *job) for job in jobs]):
            rows |= finished.result()
            if on_progress:
                on_progress(len(rows), first)
    except BrokenProcessPool as error:
        raise InputError(
            "The processes that draw the wardrobe have ended. Each loads the script that was "
            'started once more: what it does must stand below `if __name__ == "__main__":`. If it '
            "does, memory was short: see that some is free, and start again."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return [rows[number] for number in range(first)]


def _start_worker() -> None:
    # One core a process; the pool shares the machine out.
    cv2.setNumThreads(1)


def _draw_chunk(folder: Path, how: tuple, split: int, start: int, stop: int, first: int) -> dict:
    """Draws images `start` to `stop` of a split; `first` is the number of its image 0.

    Args:
        how: the seed, and whether garments have several fabrics.

    Returns:
        Number -> what is drawn.
    """
    seed, kinds = how
    rows = {}
    for index in range(start, stop):
        rng = np.random.default_rng((seed, split, index))
        labels = sample_labels(rng, 1)[0]
        second = None
        if kinds and rng.random() < _SECOND:
            fabrics = builtin_schema()["fabric"]
            own = fabrics[labels[list(builtin_schema()).index("fabric")]]
            second = str(rng.choice([fabric for fabric in fabrics if fabric != own]))
        drawing = draw_garment(labels, rng, second)
        path = folder / "img" / f"{first + index:05d}.jpg"
        encoded = cv2.imencode(".jpg", drawing.image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 90))[1]
        path.write_bytes(encoded.tobytes())
        rows[first + index] = Row(labels, drawing.box, drawing.landmarks, second, drawing.kind)
    return rows


def _write_split(folder: Path, split: str, first: int, rows: list) -> None:
    """Writes a split's lists; boxes become 1-based and inclusive, as the challenge has them."""
    names = [f"img/{first + row:05d}.jpg" for row in range(len(rows))]
    labels = [" ".join(map(str, row.labels)) for row in rows]
    boxes = [
        f"{x1 + 1:03d} {y1 + 1:03d} {x2:03d} {y2:03d}" for x1, y1, x2, y2 in (r.box for r in rows)
    ]
    landmarks = [" ".join(f"{value + 1}" for value in row.landmarks.ravel()) for row in rows]
    for suffix, lines in (
        ("", names),
        ("_attr", labels),
        ("_bbox", boxes),
        # The challenge's own spelling.
        ("_landmards", landmarks),
    ):
        text = "".join(f"{line}\n" for line in lines)
        (folder / f"{split}{suffix}.txt").write_text(text, encoding="utf-8")


def kinds_schema() -> Schema:
    """Returns the built-in categories, fabric of kind multi, sleeve optional."""
    builtin = builtin_schema()
    parts: list[Category] = []
    for category in builtin.categories:
        is_multi, is_optional = category.name == "fabric", category.name == "sleeve"
        parts += parts_of(category, is_multi=is_multi, is_optional=is_optional)
    return Schema(tuple(parts))


def _write_table(folder: Path, counts: dict, rows: list) -> None:
    """Writes table.csv and schema.yaml of a wardrobe with kinds."""
    builtin = builtin_schema()
    kinds_schema().save(folder / "schema.yaml")
    splits = [split for split, count in counts.items() for _ in range(count)]
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "x1", "y1", "x2", "y2", "split", *builtin])
        for number, (split, row) in enumerate(zip(splits, rows, strict=True)):
            cells = {
                category: attributes[label]
                for (category, attributes), label in zip(builtin.items(), row.labels, strict=True)
            }
            if row.kind in BOTTOMS:
                cells["sleeve"] = NOT_APPLICABLE
            if row.second_fabric:
                cells["fabric"] = join_attributes([cells["fabric"], row.second_fabric])
            writer.writerow([f"img/{number:05d}.jpg", *row.box, split, *cells.values()])


def _write_attribute_list(folder: Path) -> None:
    lines = ["26 ", "attribute_name   attribute_type"]
    for number, attributes in enumerate(builtin_schema().values(), start=1):
        lines += [f"{attribute:<20} {number}" for attribute in attributes]
    (folder / "list_attr_cloth.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
