"""Broken annotation files by the hundred: each is read, or told in one sentence.

``DEEPFASHION_FUZZ=10000 pytest -n 0 tests/test_mutated_annotations.py`` tries more of them.
"""

import os
import time

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from conftest import write_lines

from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.schema_proposal import propose_schema
from deepfashion_tf.data.table import read_table
from deepfashion_tf.errors import InputError
from deepfashion_tf.schema import Schema, builtin_schema

COUNT = int(os.environ.get("DEEPFASHION_FUZZ", "400"))
# What people's programs and fingers leave in such files.
PIECES = [
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n\n", b'"', b"'", b",", b";", b"\t", b"#"),
    *(b"-1", b"-99999999999999999999", b"1e400", b"nan", b"0x1", b"1_0", "٣".encode(), b"NULL"),
    *(b"../" * 50, b"x" * 5000, b"/dev/zero", b"/", b"~", b": ", b"- ", b"[", b"{", b"&a *a"),
    *(
        b"!!python/object:os.system",
        b"<<: *a",
        b"? ",
        b"|",
        b"%YAML 9",
        b"---",
        "é".encode("cp1252"),
    ),
]


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, len(data) + 1))
        stop = place + int(rng.integers(1, 40))
        match rng.integers(0, 9):
            case 0:
                data[place : place + 1] = rng.bytes(1)
            case 1:
                data[place:stop] = b""
            case 2:
                data[place:place] = data[: stop - place]
            case 3:
                del data[place:]
            case 4:
                data[place:place] = PIECES[rng.integers(0, len(PIECES))]
            case 5:
                data[place:stop] = PIECES[rng.integers(0, len(PIECES))]
            case _:
                # One word for another, which is often as good.
                words = bytes(data).split(b" ")
                i, j = rng.integers(0, len(words), 2)
                words[i], words[j] = words[j], words[i]
                data = bytearray(b" ".join(words))
    return bytes(data)


def try_to(read, outcomes: dict[str, int], where) -> None:
    """Reads a broken file: it is read, or refused by a sentence that is no dump of it."""
    try:
        read()
        outcomes["read"] += 1
    except InputError as error:
        outcomes["told"] += 1
        assert len(str(error)) < 20_000 and "\0" not in str(error), where
    except OSError as error:
        # Told by the command line, with the name of the file.
        assert error.filename, where


def test_mutated_annotations(challenge):
    """The files of the challenge layout, a table in both formats, and a schema."""
    folder = challenge / "split"
    attributes = [(a, i + 1) for i, names in enumerate(builtin_schema().values()) for a in names]
    lines = ["26", "attribute_name attribute_type", *(f"{a} {i}" for a, i in attributes)]
    write_lines(folder / "list_attr_cloth.txt", lines)
    schema = Schema.of({"season": ["summer", "winter"], "collar": ["none", "polo", "shirt"]})
    schema.save(challenge / "schema.yaml")
    rows = [f"img/0000{i}.jpg,0,1,40,60,summer,polo,train,g{i}" for i in range(6)]
    write_lines(challenge / "t.csv", ["image,x1,y1,x2,y2,season,collar,split,group", *rows])
    pa.parquet.write_table(pa.csv.read_csv(challenge / "t.csv"), challenge / "t.parquet")
    readers = {
        **{
            folder / name: lambda: read_split(challenge, "train")
            for name in ("train.txt", "train_attr.txt", "train_bbox.txt", "list_attr_cloth.txt")
        },
        challenge / "schema.yaml": lambda: Schema.load(challenge / "schema.yaml"),
        challenge / "t.csv": lambda: (
            read_table(challenge / "t.csv", ["train"], schema),
            propose_schema(challenge / "t.csv"),
        ),
        challenge / "t.parquet": lambda: read_table(challenge / "t.parquet", ["train"], schema),
    }
    originals = {path: path.read_bytes() for path in readers}
    outcomes = {"read": 0, "told": 0}
    for number in range(COUNT):
        rng = np.random.default_rng(number)
        path = list(readers)[number % len(readers)]
        path.write_bytes(mutate(originals[path], rng))
        began = time.monotonic()
        try_to(readers[path], outcomes, (number, path))
        assert time.monotonic() - began < 10, (number, path)
        path.write_bytes(originals[path])
    assert min(outcomes.values()) > COUNT / 30, outcomes
