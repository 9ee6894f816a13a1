"""Predicts the attributes of photographs with a trained run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deepfashion_tf.data.table_options import CsvDialect, ImageOptions, KeptOptions
from deepfashion_tf.inference.engine_names import EngineChoice


@dataclass(frozen=True)
class Options(KeptOptions, ImageOptions):
    run: Annotated[Path, tyro.conf.Positional]
    """Run directory, its model.keras, or an export."""
    images: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Images, folders, quoted patterns, or tables (CSV, .xlsx, .parquet) with a column image.
    Box columns x1, y1, x2, y2 are optional. Leave images out with --data."""
    box: str | None = None
    """Box of the garment in every image, x1,y1,x2,y2 in half-open pixels. None: the whole
    image."""
    data: str | None = None
    """Folder, table or tfds:NAME whose images are predicted, with their own boxes."""
    schema: Path | None = None
    """YAML file with the categories of the data. None: the run's schema."""
    split: Literal["train", "val", "test"] = "test"
    """Split of --data."""
    output: Path | None = None
    """Output file: .csv, .xlsx, .json, .jsonl, .parquet, or the challenge's prediction.txt or
    .zip. None: the terminal."""
    csv_dialect: CsvDialect = "comma"
    """Form of a .csv: excel-de has semicolons and decimal commas."""
    group_by: str | None = None
    """Table column such as a product number: one row per value, which combines the photographs.
    None: one row per photograph."""
    top: int = 1
    """Attributes per category to print, the likeliest first."""
    threshold: float | None = None
    """Probability below which an answer is "unsure". None: no answer is."""
    accept_accuracy: float | None = None
    """Required accuracy of accepted answers, such as 0.95; all others are "unsure". Thresholds
    come from the calibration on the validation split."""
    engine: EngineChoice = "auto"
    """Inference engine. auto: the fastest installed engine that the run has an export for,
    otherwise TensorFlow."""
    exact: bool = False
    """Compute in float32 where OpenVINO would use bfloat16; takes up to twice as long."""
    embed: Path | None = None
    """Parquet file for the features of each image, float16, as `deepfashion similar` reads it."""
    explain: Path | None = None
    """Folder for Grad-CAM pictures, one per image."""


def main() -> int:
    options = tyro.cli(Options, description=__doc__)
    from deepfashion_tf.serving.predict import predict_command

    return predict_command(options)
