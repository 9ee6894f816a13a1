"""Reads the attributes off photographs with a trained run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deepfashion_tf.command_line import import_tensorflow
from deepfashion_tf.data.table_options import ImageOptions
from deepfashion_tf.inference.engines import EngineChoice


@dataclass(frozen=True)
class Options(ImageOptions):
    run: Annotated[Path, tyro.conf.Positional]
    """Run directory, its model.keras, or an export."""
    images: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Images, folders, patterns in quotes, or tables (CSV, .xlsx, .parquet) with a column image and
    where you wish x1, y1, x2, y2; none where --data is given."""
    box: str | None = None
    """Where the garment is in each image, x1,y1,x2,y2 in half-open pixels. None: everywhere."""
    data: str | None = None
    """A folder, a table or tfds:NAME, whose images are answered with their own boxes."""
    schema: Path | None = None
    """YAML file of the data's categories. None: those of the run."""
    split: Literal["train", "val", "test"] = "test"
    """Which split of --data."""
    output: Path | None = None
    """File to write: .csv, .json, .jsonl, .parquet, or the challenge's prediction.txt or .zip.
    None: the terminal."""
    top: int = 1
    """How many attributes of each category are told, the likeliest first."""
    threshold: float | None = None
    """Probability below which an answer is "unsure". None: none is."""
    accept_accuracy: float | None = None
    """Answers are "unsure" but those of which at least this share is right, as the validation
    split tells: 0.95."""
    engine: EngineChoice = "auto"
    """What answers. auto: of a run, the fastest engine that is installed and that the run has been
    exported for (export RUN --formats openvino); TensorFlow otherwise."""
    exact: bool = False
    """Compute in float32, where OpenVINO would take bfloat16: up to twice as long."""
    explain: Path | None = None
    """Folder for a picture of each image that shows where its answers come from (Grad-CAM)."""


def main() -> int:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.serving.predict import predict_command

    return predict_command(options)
