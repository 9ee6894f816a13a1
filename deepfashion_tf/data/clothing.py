"""Real photographs without registering: the clothing dataset that A. Grigorev collected.

``clothing-dataset-small`` on GitHub has photographs that people took of their own clothes, given
to the public domain (CC0), in folders by split and by kind of garment. A kind is no attribute of
ours; but some kinds imply one, and those labels it gets, the rest are "not labelled".
"""

import os
import re
import tempfile
import zipfile
import zlib
from pathlib import Path

import filelock
import numpy as np

from deepfashion_tf.data.split import FileReader, Split, whole_images
from deepfashion_tf.data.table import write_table
from deepfashion_tf.downloads import download
from deepfashion_tf.errors import InputError
from deepfashion_tf.progress import progress_bar
from deepfashion_tf.schema import UNLABELLED, Schema, builtin_schema

NAME = "clothing-dataset-small"
ADDRESS = "https://github.com/alexeygrigorev/clothing-dataset-small/archive"
COMMIT = "36364be1969242c019705255cd87aed00c73a939"
TABLE = "table.csv"
_SPLITS = {"train": "train", "validation": "val", "test": "test"}
_NO_DRESS = {"length": "no_dress"}
# What each kind of garment implies; of hats and shoes our categories say nothing.
LABELS: dict[str, dict[str, str]] = {
    "t-shirt": {"sleeve": "short_sleeve", **_NO_DRESS},
    "longsleeve": {"sleeve": "long_sleeve", **_NO_DRESS},
    "shirt": _NO_DRESS,
    "outwear": _NO_DRESS,
    "pants": _NO_DRESS,
    "shorts": _NO_DRESS,
    "skirt": _NO_DRESS,
    "dress": {},
    "hat": {},
    "shoes": {},
}
# Nothing but such a name is taken out of the archive.
_MEMBER = re.compile(r"[^/]+/(train|validation|test)/([a-z-]+)/([\w-]+\.jpe?g)", re.ASCII)


def fetch_clothing(folder: Path, offline: bool = False) -> Path:
    """Fetches the photographs unless they are there, and writes the table that names them.

    GitHub makes archives anew when they are asked for, so that their bytes have no hash one could
    rely on; what is verified is the commit, whose hash the archive bears, and the checksum of
    every file in it.

    Args:
        folder: appears when all is in it.
        offline: fetch nothing.

    Returns:
        The table, as `read_table` takes it.

    Raises:
        InputError: offline, no connection, a cut one, or another archive.
    """
    table = folder / TABLE
    if table.is_file():
        return table
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Who comes second waits, and reads what the first has fetched.
    with filelock.FileLock(folder.with_name(f".{folder.name}.lock")):
        if not table.is_file():
            if folder.exists():
                raise InputError(f"{folder} is there, but has no {TABLE}: remove it, or rename it.")
            archive = folder.with_name(f"{NAME}-{COMMIT}.zip")
            download(
                f"{os.environ.get('DEEPFASHION_CLOTHING', ADDRESS)}/{COMMIT}.zip",
                archive,
                None,
                offline=offline,
                otherwise="or name other --data",
            )
            _unpack(archive, folder)
            archive.unlink()
    return table


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with (
            zipfile.ZipFile(archive) as opened,
            tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary,
        ):
            if opened.comment.decode("ascii", "replace") != COMMIT:
                raise InputError(_other(archive, "it is not of that commit"))
            unpacked = Path(temporary) / "unpacked"
            unpacked.mkdir()
            found = [match for name in opened.namelist() if (match := _MEMBER.fullmatch(name))]
            kinds = {match[2] for match in found}
            if not found or kinds - LABELS.keys():
                raise InputError(_other(archive, f"its kinds are {', '.join(sorted(kinds))}"))
            with progress_bar("unpacking", len(found)) as on_progress:
                for number, match in enumerate(found, 1):
                    path = unpacked.joinpath(*match.groups())
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(opened.read(match[0]))  # which checks it
                    on_progress(number, len(found))
            _write_table(unpacked)
            unpacked.rename(folder)
    # Damaged, cut, damaged inside, and encrypted or packed in a way that zipfile does not know.
    except (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:
        raise InputError(_other(archive, str(error))) from error


def _other(archive: Path, reason: str) -> str:
    return f"{archive} is not the archive that was meant ({reason}): remove it and try again."


def _write_table(folder: Path) -> None:
    schema, splits = builtin_schema(), []
    for name, own in _SPLITS.items():
        keys = sorted(str(path.resolve()) for path in (folder / name).glob("*/*"))
        labels = np.array([_labels(schema, Path(key).parent.name) for key in keys], np.int32)
        splits.append(
            Split(schema, own, FileReader(keys), keys, whole_images(len(keys)), labels, NAME)
        )
    write_table(folder / TABLE, splits)


def _labels(schema: Schema, kind: str) -> list[int]:
    return [
        schema[category].index(LABELS[kind][category]) if category in LABELS[kind] else UNLABELLED
        for category in schema
    ]
