"""A shard: some of a catalogue's images, and the file of their answers."""

import csv
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet

from deepfashion_tf.escaping import cell_text
from deepfashion_tf.inference.answers import Wanted, rows
from deepfashion_tf.inference.items import Item
from deepfashion_tf.serving.answer_files import parquet_schema
from deepfashion_tf.serving.catalogue.places import Place

if TYPE_CHECKING:
    from deepfashion_tf.inference.predictor import Predictor

_DIGEST = b"deepfashion_tf.items"


@dataclass(frozen=True)
class Shard:
    """Some images that follow one another.

    Attributes:
        number: from 0 on.
        items: its images.
        by_content: whether an image is known again by its bytes, not by its file's size and time.
    """

    number: int
    items: list[Item]
    by_content: bool = False

    @property
    def name(self) -> str:
        return f"part-{self.number:06d}.parquet"

    @property
    def digest(self) -> str:
        """Computes what changes with the images: their names, boxes, and what is in their files.

        Files are asked now: take it before they are read.
        """
        digest = hashlib.sha256(b"content" if self.by_content else b"size and time")
        stamp = _content_of if self.by_content else _stamp_of
        for item in self.items:
            known = item.image, item.box, item.path, item.fault, item.kept, stamp(item)
            digest.update(repr(known).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def _stamp_of(item: Item) -> tuple[int, int] | bytes | None:
    """Returns a file's size and its last change in nanoseconds; of embedded bytes their hash."""
    if item.encoded is not None:
        return _content_of(item)
    if item.path is None or item.fault:
        return None
    try:
        found = os.stat(item.path)  # noqa: PTH116, Path takes as long as the call itself
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def _content_of(item: Item) -> bytes | None:
    if item.fault:
        return None
    try:
        return hashlib.sha256(item.read()).digest()
    except (OSError, ValueError):
        return None


def shards_of(items: Iterable[Item], size: int, by_content: bool = False) -> Iterator[Shard]:
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
        yield Shard(number, some, by_content)


def count_done(shard: Shard, place: Place) -> tuple[int, int] | None:
    """Counts a finished shard's answers and faults; None = it is not finished.

    A file that is broken, or of other images, is none.
    """
    try:
        with place.open(shard.name) as opened, pa.parquet.ParquetFile(opened) as file:
            known = (file.schema_arrow.metadata or {}).get(_DIGEST, b"").decode()
            answered = file.metadata.num_rows
    except (OSError, pa.ArrowException):
        return None
    return (answered, len(shard.items) - answered) if known == shard.digest else None


def tag_shard(
    predictor: "Predictor", wanted: Wanted, shard: Shard, place: Place
) -> tuple[int, int]:
    """Answers for a shard and writes its file, and another with what could not be read.

    Returns:
        How many images were answered, and how many were not.
    """
    schema = parquet_schema(wanted).with_metadata({_DIGEST: shard.digest.encode()})
    faults: list[tuple[str, str]] = []
    with (
        place.write(shard.name) as temporary,
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
                (cell_text(item.image), cell_text(fault))
                for item, fault in zip(batch.items, batch.faults, strict=True)
                if fault
            ]
        # Before the shard's own file, which says that the shard is done.
        with (
            place.write(faults_name(shard.number)) as path,
            path.open("w", encoding="utf-8", newline="") as file,
        ):
            csv.writer(file, lineterminator="\n").writerows(faults)
    return len(shard.items) - len(faults), len(faults)


def faults_name(number: int) -> str:
    """Names the file of what could not be read of a shard."""
    return f"_part-{number:06d}.faults.csv"
