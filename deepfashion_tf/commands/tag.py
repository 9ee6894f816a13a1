"""Tags a catalogue of photographs on all cores, or on a Ray cluster; goes on where it was."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.data.table_options import ImageOptions
from deepfashion_tf.inference.engines import EngineChoice


@dataclass(frozen=True)
class Options(ImageOptions):
    run: Annotated[Path, tyro.conf.Positional]
    """Run directory, its model.keras, or an export."""
    input: tuple[str, ...]
    """Images, folders, patterns in quotes, or tables (CSV, .xlsx, .parquet) with a column image and
    where you wish x1, y1, x2, y2."""
    output: Path
    """Folder for the Parquet files, on a disk that all workers share."""
    shard_size: int = 1000
    """Images of a file, and what is lost at most where a worker is killed."""
    workers: int = 1
    """Processes, each with a model of its own."""
    threads: int | None = None
    """Cores of each. None: this machine's, divided among the workers."""
    address: str | None = None
    """Of a Ray cluster, such as auto or ray://HOST:10001. None: this machine."""
    top: int = 1
    """How many attributes of each category are told, the likeliest first."""
    threshold: float | None = None
    """Probability below which an answer is "unsure". None: none is."""
    accept_accuracy: float | None = None
    """Answers are "unsure" but those of which at least this share is right, as the validation
    split tells: 0.95."""
    engine: EngineChoice = "auto"
    """What answers; as of predict."""
    exact: bool = False
    """Compute in float32; as of predict."""
    check_content: bool = False
    """Answer an image again where its bytes have changed, which reads all of them. False: where its
    file's size or time of change has. The other way from last time answers all again."""


def main() -> int:
    options = tyro.cli(Options, description=__doc__)
    from deepfashion_tf.serving.catalogue.command import catalogue_command

    return catalogue_command(options)
