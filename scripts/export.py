"""Exports a run, so that it answers without this package."""

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
    formats: tuple[Literal["saved_model"], ...] = ("saved_model",)
    """What to write: saved_model, a TensorFlow SavedModel in RUN/export."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.serving.export import export_run
    from deepfashion_tf.training.run import Run

    for _ in options.formats:
        print(f"SavedModel: {export_run(Run.load(options.run))}")


if __name__ == "__main__":
    run(main)
