"""What is written of answers: tables, JSON lines, Parquet, the challenge's file, the terminal.

Each writer takes batches as they come, keeps none of them, and leaves its file whole or not at
all.
"""

import contextlib
import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from rich.text import Text

from deepfashion_tf.data.split import WHOLE_IMAGE
from deepfashion_tf.data.table_file import BOX
from deepfashion_tf.errors import InputError, printable
from deepfashion_tf.escaping import cell_text
from deepfashion_tf.files import whole_or_nothing
from deepfashion_tf.inference.answers import UNSURE, Wanted, answers_of, columns, rows
from deepfashion_tf.inference.batch import Batch
from deepfashion_tf.progress import console
from deepfashion_tf.serving.submission import SUBMISSION, zip_submission


class Writer(Protocol):
    """Takes batches."""

    def write(self, batch: Batch) -> None: ...


class _Csv:
    def __init__(self, file, wanted: Wanted) -> None:
        self._writer, self._wanted = csv.writer(file, lineterminator="\n"), wanted
        self._writer.writerow(columns(wanted))

    def write(self, batch: Batch) -> None:
        self._writer.writerows(
            [cell_text(value) if isinstance(value, str) else value for value in row]
            for row in rows(batch, self._wanted)
        )


def json_rows(batch: Batch, wanted: Wanted) -> Iterator[dict]:
    """Yields each image's answers as JSON has them: the image, its box, and the categories."""
    for item, answers in answers_of(batch, wanted):
        row: dict = {"image": item.image}
        if wanted.with_boxes:
            row["box"] = None if item.box == WHOLE_IMAGE else list(item.box)
        for category, answer in answers.items():
            row[category] = {
                "attribute": answer.attribute,
                "probability": round(answer.probability, 6),
            }
            if wanted.thresholds is not None:
                row[category]["sure"] = answer.is_sure
            if wanted.top > 1:
                row[category]["others"] = [
                    {"attribute": name, "probability": round(probability, 6)}
                    for name, probability in answer.others
                ]
        yield row


class _JsonLines:
    """A line an image; as a list, the same with commas and brackets."""

    def __init__(self, file, wanted: Wanted, as_list: bool = False) -> None:
        self._file, self._wanted, self._as_list, self._any = file, wanted, as_list, False

    def write(self, batch: Batch) -> None:
        for row in json_rows(batch, self._wanted):
            before = (",\n" if self._any else "[\n") if self._as_list else ""
            after = "" if self._as_list else "\n"
            self._file.write(before + json.dumps(row, ensure_ascii=False, allow_nan=False) + after)
            self._any = True

    def close(self) -> None:
        if self._as_list:
            self._file.write("\n]\n" if self._any else "[]\n")


class _Parquet:
    def __init__(self, path: Path, wanted: Wanted) -> None:
        self._wanted = wanted
        self._schema = parquet_schema(wanted)
        self._writer = pa.parquet.ParquetWriter(path, self._schema)

    def write(self, batch: Batch) -> None:
        table = list(zip(*rows(batch, self._wanted), strict=True))
        if table:
            arrays = [pa.array(v, f.type) for v, f in zip(table, self._schema, strict=True)]
            self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def parquet_schema(wanted: Wanted) -> pa.Schema:
    """Types the columns: texts, boxes as int32, probabilities as float32."""

    def kind(name: str) -> pa.DataType:
        if name in BOX:
            return pa.int32()
        return pa.float32() if name.endswith("_probability") else pa.string()

    return pa.schema([(name, kind(name)) for name in columns(wanted)])


class _Submission:
    """The challenge's rows: a class id a category."""

    def __init__(self, file, wanted: Wanted) -> None:
        self._file, self._schema = file, wanted.schema

    def write(self, batch: Batch) -> None:
        bad = [
            f"{printable(item.image)} {printable(fault)}"
            for item, fault in zip(batch.items, batch.faults, strict=True)
            if fault
        ]
        if bad:
            raise InputError(
                f"A {SUBMISSION} needs a row for every image in its place, and {bad[0]}: mend it, "
                f"or write another format."
            )
        ids = np.stack([batch.probabilities[name].argmax(axis=1) for name in self._schema], axis=1)
        self._file.writelines(" ".join(map(str, row)) + "\n" for row in ids.tolist())


class Terminal:
    """Prints each image's answers below its name: category, attribute, probability."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        names = [name for attributes in wanted.schema.values() for name in (*attributes, UNSURE)]
        self._name, self._width = max(map(len, wanted.schema)), max(map(len, names)) + 2

    def write(self, batch: Batch) -> None:
        for item, answers in answers_of(batch, self._wanted):
            console.print(printable(item.image), style="bold", soft_wrap=True)
            for category, answer in answers.items():
                if answer.attribute is None:
                    text = "not learnt"
                else:
                    text = Text(f"{answer.text:<{self._width}}{answer.probability:>5.0%}")
                    if not answer.is_sure:
                        text = Text(f"{text}  {answer.attribute}?", "dim")
                    for name, probability in answer.others:
                        text.append(f"   {name} {probability:.0%}", "dim")
                line = Text.assemble(f"  {category:<{self._name}} ", text)
                console.print(line, soft_wrap=True)


FORMATS = (".csv", ".json", ".jsonl", ".parquet", ".txt", ".zip")
_HELP = (
    "it must end in .csv, .json, .jsonl, .parquet, or be the challenge's prediction.txt or a .zip "
    "with it"
)


def check_output(path: Path) -> None:
    """Checks a name for `open_writer` before anything is computed.

    Raises:
        InputError: another ending, or the folder does not exist.
    """
    if path.is_dir():
        raise InputError(f"--output {path} is a folder: name a file in it; {_HELP}.")
    if path.suffix not in FORMATS or (path.suffix == ".txt" and path.name != SUBMISSION):
        raise InputError(f"--output {path}: {_HELP}.")
    if not path.parent.is_dir():
        raise InputError(f"The folder of --output {path} does not exist: make it first.")


@contextmanager
def open_writer(path: Path, wanted: Wanted) -> Iterator[Writer]:
    """Opens the writer that a file's name asks for; the file appears when the block ends."""
    with whole_or_nothing(path) as temporary, contextlib.ExitStack() as stack:
        if path.suffix == ".parquet":
            writer = _Parquet(temporary, wanted)
            stack.callback(writer.close)
        else:
            text = temporary.with_suffix(".text") if path.suffix == ".zip" else temporary
            file = stack.enter_context(
                text.open("w", encoding="utf-8", errors="backslashreplace", newline="")
            )
            if path.suffix == ".csv":
                writer = _Csv(file, wanted)
            elif path.suffix in (".json", ".jsonl"):
                writer = _JsonLines(file, wanted, as_list=path.suffix == ".json")
                stack.callback(writer.close)
            else:
                writer = _Submission(file, wanted)
        yield writer
        stack.close()
        if path.suffix == ".zip":
            zip_submission(text.read_text(encoding="utf-8"), temporary)
