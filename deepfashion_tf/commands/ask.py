"""Requests predictions from a TensorFlow Serving server (docs/serving.md)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.errors import printable
from deepfashion_tf.inference.items import find_items
from deepfashion_tf.serving.client import ask, read_attributes


@dataclass(frozen=True)
class Options:
    url: Annotated[str, tyro.conf.Positional]
    """Address of the model: http://127.0.0.1:8501/v1/models/garments."""
    export: Annotated[Path, tyro.conf.Positional]
    """Export that the server serves; it names the attributes."""
    images: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Images, folders, quoted patterns, or tables with boxes."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    attributes = read_attributes(options.export)
    for item in find_items(options.images):
        (answers,) = ask(options.url, [item], attributes)
        print(printable(item.image))
        for category, (attribute, probability) in answers.items():
            print(f"  {category} {printable(attribute)} {probability:.0%}")
