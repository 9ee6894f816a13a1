"""What is written of answers: tables, JSON lines, Parquet, the challenge's file, the terminal.

Each writer takes batches as they come, keeps none of them, and leaves its file whole or not at
all.
"""

import contextlib
import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from rich.text import Text

from deepfashion_tf.data.split import WHOLE_IMAGE
from deepfashion_tf.data.table_file import BOX
from deepfashion_tf.data.table_options import CsvDialect
from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import InputError, printable
from deepfashion_tf.escaping import cell_text
from deepfashion_tf.files import whole_or_nothing
from deepfashion_tf.inference.answers import UNSURE, Answer, Wanted, answers_of, columns, rows
from deepfashion_tf.inference.batch import Batch
from deepfashion_tf.outputs import check_local
from deepfashion_tf.progress import console
from deepfashion_tf.serving.submission import SUBMISSION, zip_submission


class Writer(Protocol):
    """Takes batches."""

    def write(self, batch: Batch) -> None: ...


class _Csv:
    def __init__(self, file, wanted: Wanted, dialect: CsvDialect) -> None:
        self._wanted, self._is_german = wanted, dialect == "excel-de"
        form = {"delimiter": ";", "lineterminator": "\r\n"} if self._is_german else {}
        self._writer = csv.writer(file, **({"lineterminator": "\n"} | form))
        self._writer.writerow(map(cell_text, columns(wanted)))

    def write(self, batch: Batch) -> None:
        self._writer.writerows(map(self._cell, row) for row in rows(batch, self._wanted))

    def _cell(self, value: object) -> object:
        if isinstance(value, float) and self._is_german:
            return f"{value:.6f}".rstrip("0").rstrip(".").replace(".", ",")
        return cell_text(value) if isinstance(value, str) else value


class _Excel:
    """A sheet of a workbook, which is saved at the end."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        try:
            import openpyxl
            from openpyxl.cell import WriteOnlyCell
        except ImportError as error:
            raise InputError(
                "openpyxl, which writes .xlsx, is missing: pip install 'deepfashion_tf[excel]', "
                "or write .csv."
            ) from error
        self._path, self._wanted, self._rows = path, wanted, 1
        self._book, self._make_cell = openpyxl.Workbook(write_only=True), WriteOnlyCell
        self._sheet = self._book.create_sheet("answers")
        self._sheet.append([self._cell(name) for name in columns(wanted)])

    def write(self, batch: Batch) -> None:
        for row in rows(batch, self._wanted):
            self._rows += 1
            if self._rows > _MOST_ROWS:
                raise InputError(
                    f"A sheet of .xlsx has {_MOST_ROWS} rows at most, and there are more images: "
                    f"write .csv or .parquet."
                )
            self._sheet.append([self._cell(value) for value in row])

    def _cell(self, value: object) -> object:
        if not isinstance(value, str):
            return value
        cell = self._make_cell(self._sheet, printable(value)[:_MOST_TEXT])
        cell.data_type = "s"  # never a formula
        return cell

    def drop(self) -> None:
        """Closes what is not saved, which complains at the end of Python otherwise."""
        with contextlib.suppress(OSError, ValueError):
            self._sheet.close()

    def close(self) -> None:
        # In memory first: on a full disk, a ZIP file that cannot be closed complains at its end.
        content = io.BytesIO()
        self._book.save(content)
        self._path.write_bytes(content.getbuffer())


def json_rows(batch: Batch, wanted: Wanted) -> Iterator[dict]:
    """Yields each image's answers as JSON has them: the image, its box, and the categories."""
    for item, answers in answers_of(batch, wanted):
        row: dict = {"image": item.image}
        if wanted.with_boxes:
            row["box"] = None if item.box == WHOLE_IMAGE else list(item.box)
        if wanted.kept:
            cells = item.kept or (None,) * len(wanted.kept)
            row["columns"] = dict(zip(wanted.kept, cells, strict=True))
        yield row | _as_objects(answers, wanted)


class _JsonLines:
    """A line an image; as a list, the same with commas and brackets."""

    def __init__(self, file, wanted: Wanted, as_list: bool = False) -> None:
        self._file, self._wanted, self._as_list, self._any = file, wanted, as_list, False

    def write(self, batch: Batch) -> None:
        for row in json_rows(batch, self._wanted):
            before = (",\n" if self._any else "[\n") if self._as_list else ""
            after = "" if self._as_list else "\n"
            self._file.write(before + as_json(row, ensure_ascii=False) + after)
            self._any = True

    def close(self) -> None:
        if self._as_list:
            self._file.write("\n]\n" if self._any else "[]\n")


def _as_objects(answers: dict[str, Answer], wanted: Wanted) -> dict[str, dict]:
    """Returns answers as JSON holds them: category -> attribute, probability, status.

    Of kind multi there is a list ``attributes``, instead of ``attribute``; ``others`` is there
    where more than one attribute is asked for.
    """
    found = {}
    for category, answer in answers.items():
        values = {"probability": round(answer.probability, 6), "status": answer.status}
        if category in wanted.schema:
            found[category] = {"attribute": answer.attribute, **values}
        else:
            found[category] = {"attributes": _ranked(answer.attributes), **values}
        if wanted.top > 1:
            found[category]["others"] = _ranked(answer.others)
    return found


def _ranked(attributes: Iterable[tuple[str, float]]) -> list[dict]:
    return [{"attribute": name, "probability": round(p, 6)} for name, p in attributes]


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
    """Types the columns: texts, boxes as int32, probabilities as float32, kept ones as they are."""
    first = 1 + len(BOX) * wanted.with_boxes

    def kind(place: int, name: str) -> str:
        if 1 <= place < first:
            return "int32"
        if first <= place < first + len(wanted.kept):
            return list(wanted.kept.values())[place - first]
        return "float32" if name.endswith("_probability") else "string"

    names = enumerate(columns(wanted))
    return pa.schema([(name, pa.type_for_alias(kind(n, name))) for n, name in names])


class _Submission:
    """The challenge's rows: a class id a category."""

    def __init__(self, file, wanted: Wanted) -> None:
        self._file, self._schema = file, wanted.schema
        multi = [name for name in wanted.schema.groups if name not in wanted.schema]
        if multi:
            raise InputError(
                f"A {SUBMISSION} has one class a category, and {', '.join(multi)} is of kind "
                f"multi: write another format."
            )

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
        names = [name for attributes in wanted.schema.values() for name in attributes]
        self._name, self._width = max(map(len, wanted.schema.groups)), max(map(len, names)) + 2

    def write(self, batch: Batch) -> None:
        for item, answers in answers_of(batch, self._wanted):
            console.print(printable(item.image), style="bold", soft_wrap=True)
            for category, answer in answers.items():
                if answer.attribute is None:
                    text = "not learnt"
                else:
                    text = Text(f"{answer.attribute:<{self._width}}{answer.probability:>5.0%}")
                    if not answer.is_sure:
                        text = Text(f"{text}  {UNSURE}", "dim")
                    for name, probability in answer.others:
                        text.append(f"   {name} {probability:.0%}", "dim")
                line = Text.assemble(f"  {category:<{self._name}} ", text)
                console.print(line, soft_wrap=True)


FORMATS = (".csv", ".xlsx", ".json", ".jsonl", ".parquet", ".txt", ".zip")
_MOST_ROWS = 2**20  # of a sheet
_MOST_TEXT = 32767  # characters of a cell
_HELP = (
    "it must end in .csv, .xlsx, .json, .jsonl, .parquet, or be the challenge's prediction.txt or "
    "a .zip with it"
)


def check_output(path: Path) -> None:
    """Checks a name for `open_writer` before anything is computed.

    Raises:
        InputError: another ending, an address, or the folder does not exist.
    """
    check_local("--output", path)
    if path.is_dir():
        raise InputError(f"--output {path} is a folder: name a file in it; {_HELP}.")
    if path.suffix not in FORMATS or (path.suffix == ".txt" and path.name != SUBMISSION):
        raise InputError(f"--output {path}: {_HELP}.")
    if not path.parent.is_dir():
        raise InputError(f"The folder of --output {path} does not exist: make it first.")


@contextmanager
def open_writer(path: Path, wanted: Wanted, dialect: CsvDialect = "comma") -> Iterator[Writer]:
    """Opens the writer that a file's name asks for; the file appears when the block ends.

    Args:
        path: of the file, as `check_output` takes it.
        wanted: how answers are returned.
        dialect: of CSV: excel-de has semicolons, decimal commas and the mark of UTF-8.
    """
    with whole_or_nothing(path) as temporary, contextlib.ExitStack() as stack:
        if path.suffix == ".xlsx":
            writer = _Excel(temporary, wanted)
            try:
                yield writer
            except BaseException:
                writer.drop()
                raise
            writer.close()
            return
        if path.suffix == ".parquet":
            writer = _Parquet(temporary, wanted)
            stack.callback(writer.close)
        else:
            text = temporary.with_suffix(".text") if path.suffix == ".zip" else temporary
            is_marked = path.suffix == ".csv" and dialect == "excel-de"
            encoding = "utf-8-sig" if is_marked else "utf-8"
            file = stack.enter_context(
                text.open("w", encoding=encoding, errors="backslashreplace", newline="")
            )
            if path.suffix == ".csv":
                writer = _Csv(file, wanted, dialect)
            elif path.suffix in (".json", ".jsonl"):
                writer = _JsonLines(file, wanted, as_list=path.suffix == ".json")
                stack.callback(writer.close)
            else:
                writer = _Submission(file, wanted)
        yield writer
        stack.close()
        if path.suffix == ".zip":
            zip_submission(text.read_text(encoding="utf-8"), temporary)
