"""Rows of Parquet files, those of Hugging Face ``datasets`` with embedded images included."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from deepfashion_tf.data.row import Row
from deepfashion_tf.data.split import split_id
from deepfashion_tf.errors import InputError

_AT_ONCE = 256  # rows, which may hold images


class ParquetRows:
    """The rows of one Parquet file, or of several with the same columns; see `row.Rows`.

    Lists of texts or of class labels become lists of words. Other nested values stay as they are.

    An embedded image, a column of bytes or of ``{bytes, path}``, is a cell of bytes; where only
    its path is given, it is a text. The class labels of Hugging Face become their names. Several
    files whose names begin with train, validation or test have a column ``split`` of these.

    Attributes:
        labels: column -> the names of its class labels, as the metadata of the files list them.
        left_out: column -> why it cannot be read: it is nested.

    Raises:
        InputError: a file is broken, or its columns or class labels differ from the first one's.
    """

    unit = "row"

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths, self.notes, self.empty, self._columns = list(paths), [], 0, None
        schema = self._schema(self.paths[0])
        self.names = list(schema.names)
        self.labels, self._list_labels = _class_labels(schema)
        if twins := sorted(name for name, count in Counter(self.names).items() if count > 1):
            raise InputError(
                f"{self.paths[0]} has several columns {twins[0]}: keep one, or rename one."
            )
        for path in self.paths[1:]:
            self._check_shard(path)
        # The files of Hugging Face are called train-00000-of-00002.parquet.
        words = [split_word(path) for path in self.paths]
        names_split = "split" not in self.names and len(set(words)) > 1 and None not in words
        self._splits = words if names_split else None
        if names_split:
            self.names.append("split")
        self.left_out = {
            field.name: "it is nested"
            for field in schema
            if _is_nested(field.type) and field.name not in self._list_labels
        }

    def choose(self, columns: list[int], image: int | None) -> None:
        self._columns = columns

    def __iter__(self) -> Iterator[Row]:
        chosen = [self.names[c] for c in self._columns] if self._columns else self.names
        stored = [name for name in chosen if name != "split" or not self._splits]
        number = 0
        for place, path in enumerate(self.paths):
            with _opened(path) as file:
                expected = number + file.metadata.num_rows
                for batch in file.iter_batches(batch_size=_AT_ONCE, columns=stored):
                    columns = [
                        self._cells(name, batch.column(name))
                        if name in stored
                        else [self._splits[place]] * batch.num_rows
                        for name in chosen
                    ]
                    for cells in zip(*columns, strict=True):
                        number += 1
                        yield Row(number, list(cells))
                if number != expected:
                    raise ValueError(f"it lists {expected} rows and holds {number}")

    def _check_shard(self, path: Path) -> None:
        schema = self._schema(path)
        if different := sorted(set(schema.names) ^ set(self.names)):
            raise InputError(
                f"{path} has other columns than {self.paths[0]} ({', '.join(different)}): "
                f"name files of one table."
            )
        labels = {**self.labels, **self._list_labels}
        others = {name: names for found in _class_labels(schema) for name, names in found.items()}
        if different := sorted(n for n in labels | others if labels.get(n) != others.get(n)):
            raise InputError(
                f"{path} has other class labels than {self.paths[0]} ({', '.join(different)}), so "
                f"that their numbers mean other attributes: write the names instead."
            )

    def _schema(self, path: Path) -> pa.Schema:
        with _opened(path) as file:
            return file.schema_arrow

    def _cells(self, name: str, column: pa.Array) -> list:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        values = column.to_pylist()
        if names := self._list_labels.get(name):
            return [[_label(one, names) for one in v] if isinstance(v, list) else v for v in values]
        if is_image(column.type) and pa.types.is_struct(column.type):
            return [_embedded(value) for value in values]
        if names := self.labels.get(name):
            return [None if v == -1 else _label(v, names) for v in values]
        return values


def split_word(path: Path) -> str | None:
    """Returns the split that a file's name begins with, None where it begins otherwise."""
    word = re.split(r"[-_.]", path.name, maxsplit=1)[0]
    return None if split_id(word) is None else word


def _label(value: object, names: list[str]) -> object:
    is_id = isinstance(value, int | float) and value in range(len(names))
    return names[int(value)] if is_id else value


def _embedded(value: dict | None) -> bytes | str | None:
    if not value:
        return None
    return value.get("bytes") or value.get("path")


def is_image(type_: pa.DataType) -> bool:
    """Whether a column may hold embedded images."""
    if pa.types.is_struct(type_):
        return any(type_.field(n).name == "bytes" for n in range(type_.num_fields))
    return pa.types.is_binary(type_) or pa.types.is_large_binary(type_)


def _is_nested(type_: pa.DataType) -> bool:
    is_list = pa.types.is_list(type_) or pa.types.is_large_list(type_)
    if is_list and _is_text(type_.value_type):
        return False
    return pa.types.is_nested(type_) and not is_image(type_)


def _is_text(type_: pa.DataType) -> bool:
    if pa.types.is_dictionary(type_):
        return _is_text(type_.value_type)
    return pa.types.is_string(type_) or pa.types.is_large_string(type_)


def _class_labels(schema: pa.Schema) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Reads the names of class labels, and of lists of them, from what ``datasets`` writes."""
    found: tuple[dict[str, list[str]], dict[str, list[str]]] = {}, {}
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        for name, feature in features.items():
            is_list = isinstance(feature, dict) and isinstance(feature.get("feature"), dict)
            label = feature["feature"] if is_list else feature
            if isinstance(label, dict) and label.get("_type") == "ClassLabel":
                found[is_list][name] = [str(one) for one in label["names"]]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}, {}
    return found


@contextmanager
def _opened(path: Path) -> Iterator[pa.parquet.ParquetFile]:
    """Opens a file, and names it where it turns out to be broken.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with pa.parquet.ParquetFile(path) as file:
            yield file
    # A date beyond those of Python is an OverflowError.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} cannot be read as a Parquet table ({reason}): save it anew."
        ) from error
