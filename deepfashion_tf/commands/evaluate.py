"""Scores a run on a split; writes scores, answers, a report page and mistakes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deepfashion_tf.command_line import import_tensorflow
from deepfashion_tf.inference.engine_names import EngineChoice
from deepfashion_tf.runs.config import Views


@dataclass(frozen=True)
class Options:
    run: Annotated[Path, tyro.conf.Positional]
    """Run directory."""
    data: Annotated[str | None, tyro.conf.arg(aliases=("--data-dir",))] = None
    """Folder, table, tfds:NAME or wardrobe to score on. None: the training data set."""
    schema: Path | None = None
    """YAML file with the categories of the data. None: the run's schema."""
    split: Literal["train", "val", "test"] = "val"
    """Split to score."""
    engine: EngineChoice = "tensorflow"
    """Inference engine: the model itself or an export. Scores of exports may differ
    slightly."""
    tta: Views | None = None
    """Test-time augmentation to compare. None: the run's own."""
    recall_price: float | None = None
    """Points of mean accuracy that mean class recall may cost, such as 1.5. The run keeps the
    setting; 0 removes it. It needs --split val. None: unchanged."""
    report: bool = True
    """Also write report-SPLIT.html with confusion matrices, calibration, coverage and confident
    mistakes, and relabel-SPLIT.csv with the mistakes for correction."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.evaluation.command import evaluate_command

    evaluate_command(options)
