"""Asks a TensorFlow Serving server that answers with an export; needs no TensorFlow.

The server's REST interface takes a row an image: the file as it is in base64, and its box.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests

from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.items import Item
from deepfashion_tf.usage import command

Attributes = Mapping[str, Sequence[str]]


def read_attributes(export: Path) -> dict[str, list[str]]:
    """Reads the attributes of each category, in the order of the answers, from an export.

    Raises:
        InputError: the folder is no export.
    """
    path = export / "assets" / "attributes.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error}): name the folder that {command('export')} has made."
        ) from error


def encode_request(items: Sequence[Item]) -> dict:
    """Makes the body of ``POST /v1/models/NAME:predict``.

    Args:
        items: images with their boxes; all -1 = the whole image.

    Returns:
        ``{"instances": [{"image_bytes": {"b64": …}, "boxes": [x1, y1, x2, y2]}, …]}``.

    Raises:
        OSError: a file cannot be read.
    """
    return {
        "instances": [
            {
                "image_bytes": {"b64": base64.b64encode(item.read()).decode("ascii")},
                "boxes": list(item.box),
            }
            for item in items
        ]
    }


def decode_response(document: dict, attributes: Attributes) -> list[dict[str, tuple[str, float]]]:
    """Reads the answers off a response.

    Args:
        document: ``{"predictions": [{category: [probability, …], …}, …]}``.
        attributes: as `read_attributes` gives them.

    Returns:
        For each image category -> the likeliest attribute and its probability.

    Raises:
        InputError: the answers are not of these categories and attributes.
    """
    rows = document.get("predictions", [])
    if any(
        {name: len(values) for name, values in row.items()} != _sizes(attributes) for row in rows
    ):
        raise InputError(
            f"The server answers other categories than {', '.join(attributes)}: name the export "
            f"that it serves."
        )
    return [
        {
            name: max(zip(names, row[name], strict=True), key=lambda pair: pair[1])
            for name, names in attributes.items()
        }
        for row in rows
    ]


def _sizes(attributes: Attributes) -> dict[str, int]:
    return {name: len(names) for name, names in attributes.items()}


def ask(
    url: str, items: Sequence[Item], attributes: Attributes, timeout: float = 30.0
) -> list[dict[str, tuple[str, float]]]:
    """Asks a server for some images at once.

    Args:
        url: of the model: ``http://127.0.0.1:8501/v1/models/garments``.
        items: images; some dozens at most, since all of them go in one request.
        attributes: as `read_attributes` gives them.
        timeout: seconds to wait.

    Raises:
        InputError: the server does not answer, or refuses, which it says why.
    """
    try:
        response = requests.post(f"{url}:predict", json=encode_request(items), timeout=timeout)
        document = response.json()
    except (requests.RequestException, ValueError) as error:
        raise InputError(
            f"{url} does not answer as TensorFlow Serving does ({error}): see docs/serving.md for "
            f"how it is started."
        ) from error
    if not response.ok:
        told = " ".join(str(document.get("error", document)).split())[:300]
        raise InputError(f"{url} refuses ({response.status_code}): {told}.")
    return decode_response(document, attributes)
