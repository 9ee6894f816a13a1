"""Scores a run on a split; writes metrics-SPLIT.json, answers-SPLIT.csv, report-SPLIT.html."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deepfashion_tf.command_line import import_tensorflow
from deepfashion_tf.inference.engines import EngineChoice
from deepfashion_tf.runs.config import Views


@dataclass(frozen=True)
class Options:
    run: Annotated[Path, tyro.conf.Positional]
    """Run directory."""
    data: str | None = None
    """Folder, table, tfds:NAME or wardrobe to score on. None: what the run was trained on."""
    data_dir: Path | None = None
    """As --data, for folders."""
    schema: Path | None = None
    """YAML file of the data's categories. None: the run's."""
    split: Literal["train", "val", "test"] = "val"
    """Which split of it."""
    engine: EngineChoice = "tensorflow"
    """What answers: the model itself, or an export, whose answers may differ by some bits."""
    tta: Views | None = None
    """Answer with the mean over these views of an image, to see what that gains and costs. None: as
    the run was trained to answer."""
    recall_price: float | None = None
    """Points of mean accuracy that mean class recall may cost, such as 1.5; the run answers so from
    now on. 0: answers as trained. None: as before. Needs --split val."""
    report: bool = True
    """Also write report-SPLIT.html: confusions, calibration, coverage, the surest mistakes."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.evaluation.command import evaluate_command

    evaluate_command(options)
