"""Exports a run, so that it answers without this package."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deepfashion_tf.command_line import import_tensorflow, run


@dataclass(frozen=True)
class Options:
    run: Annotated[Path, tyro.conf.Positional]
    """Run directory that scripts/train.py made."""
    formats: tuple[Literal["saved_model", "openvino", "onnx"], ...] = ("saved_model",)
    """What to write: saved_model, a TensorFlow SavedModel in RUN/export, that answers for image
    files; openvino and onnx, networks in RUN/export-openvino and RUN/export-onnx, that answer for
    ready crops."""
    warmup: bool = False
    """Add the requests that TensorFlow Serving answers for itself when it starts."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.serving.export import EXPORTERS
    from deepfashion_tf.training.run import Run

    trained = Run.load(options.run)
    for name in dict.fromkeys(options.formats):
        print(f"{name}: {EXPORTERS[name](trained)}")
    if options.warmup:
        from deepfashion_tf.serving.warmup import write_warmup

        write_warmup(trained)


if __name__ == "__main__":
    run(main)
