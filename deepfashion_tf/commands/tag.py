"""Predicts a catalogue on all cores or on a Ray cluster; resumes after a stop."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.data.table_options import ImageOptions, KeptOptions
from deepfashion_tf.inference.engine_names import EngineChoice


@dataclass(frozen=True)
class Options(KeptOptions, ImageOptions):
    run: Annotated[Path, tyro.conf.Positional]
    """Run directory, its model.keras, or an export."""
    input: tuple[str, ...]
    """Images, folders, quoted patterns, or tables (CSV, .xlsx, .parquet) with a column image,
    also at s3:// or gs://. Box columns x1, y1, x2, y2 are optional."""
    output: str
    """Folder for the Parquet files, on a disk that all workers share, or s3:// or gs:// and a
    prefix."""
    shard_size: int = 1000
    """Images per file; at most one file is lost when a worker is killed."""
    workers: int = 1
    """Worker processes, each with its own model."""
    threads: int | None = None
    """Cores per worker. None: all cores, divided among the workers."""
    address: str | None = None
    """Address of a Ray cluster: auto or ray://HOST:10001. None: this machine."""
    top: int = 1
    """Attributes per category to write, the likeliest first."""
    threshold: float | None = None
    """Probability below which an answer is "unsure". None: no answer is."""
    accept_accuracy: float | None = None
    """Required accuracy of accepted answers, such as 0.95; all others are "unsure". Thresholds
    come from the calibration on the validation split."""
    engine: EngineChoice = "auto"
    """Inference engine, as in predict."""
    exact: bool = False
    """Compute in float32, as in predict."""
    check_content: bool = False
    """Detect changed images by content instead of by size and modification time, which reads
    all files. Changing this option predicts all images again."""


def main() -> int:
    options = tyro.cli(Options, description=__doc__)
    from deepfashion_tf.serving.catalogue.command import catalogue_command

    return catalogue_command(options)
