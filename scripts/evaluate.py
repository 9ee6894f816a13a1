"""Scores a run on a split, beside the majority baseline; writes metrics-SPLIT.json."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

sys.path.insert(0, os.fspath(Path(__file__).resolve().parents[1]))

import tyro

from deepfashion_tf.command_line import import_tensorflow, run


@dataclass(frozen=True)
class Options:
    run: Annotated[Path, tyro.conf.Positional]
    """Run directory that scripts/train.py made."""
    data_dir: Path | None = None
    """Data set to score on. None: the one that the run was trained on."""
    split: Literal["train", "val", "test"] = "val"
    """Which split of it."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.evaluation.evaluate import evaluate
    from deepfashion_tf.evaluation.table import print_scores
    from deepfashion_tf.training.run import Run

    trained = Run.load(options.run)
    scores = evaluate(trained, trained.read_split(options.split, options.data_dir))
    print_scores(scores, str(options.run))
    scores.save(options.run / f"metrics-{options.split}.json")
    print(f"Scores: {options.run / f'metrics-{options.split}.json'}")


if __name__ == "__main__":
    run(main)
