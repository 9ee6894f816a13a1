"""The attributes that a model answers, in their order, kept inside its ``model.keras``."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import InputError, list_some

_MEMBER = "deepfashion_attributes.json"
_MOST_BYTES = 2**24


def note_attributes(path: Path, schema: Mapping[str, tuple[str, ...]]) -> None:
    """Adds a schema's attributes to a model file, which Keras loads as before."""
    with zipfile.ZipFile(path, "a") as archive:
        # An entry of a fixed date: the same training writes the same bytes.
        entry = zipfile.ZipInfo(_MEMBER)
        archive.writestr(entry, as_json({name: list(found) for name, found in schema.items()}))


def check_attributes(path: Path, schema_path: Path, schema: Mapping[str, tuple[str, ...]]) -> None:
    """Compares a schema with the attributes that its model was trained in.

    A file that is missing or broken, or of before there was such a note, is not compared.

    Args:
        path: of the model.
        schema_path: of the schema.
        schema: what it holds.

    Raises:
        InputError: a category has as many attributes with other names or in another order.
    """
    for category, noted in _noted(path).items():
        found = list(schema.get(category, noted))
        # Whoever loads the model says where the numbers differ.
        if found != noted and len(found) == len(noted):
            raise InputError(
                f"{schema_path} lists the attributes of {category} as {list_some(found)}, but "
                f"{path.name} beside it was trained with {list_some(noted)}: answers would get "
                f"wrong names; restore that order, or train the run again."
            )


def _noted(path: Path) -> dict[str, list[str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(_MEMBER).file_size > _MOST_BYTES:
                return {}
            found = json.loads(archive.read(_MEMBER))
            return {name: list(map(str, attributes)) for name, attributes in found.items()}
    # Whoever loads the model says what is wrong with the file.
    except (
        *(OSError, KeyError, ValueError, TypeError, AttributeError),
        *(EOFError, RuntimeError, zipfile.BadZipFile),
    ):
        return {}
