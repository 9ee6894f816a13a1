"""Exports a run, so that it answers without this package."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deepfashion_tf.command_line import import_tensorflow


@dataclass(frozen=True)
class Options:
    run: Annotated[Path, tyro.conf.Positional]
    """Run directory."""
    formats: tuple[
        Literal[
            "saved_model",
            "saved_model-bfloat16",
            "openvino",
            "openvino-int8",
            "onnx",
            "litert",
            "litert-int8",
        ],
        ...,
    ] = ("saved_model",)
    """What to write: saved_model, a TensorFlow SavedModel in RUN/export, that answers for image
    files; saved_model-bfloat16, the same for processors with units for bfloat16;
    openvino, onnx, litert, networks in RUN/export-FORMAT that answer for ready crops;
    openvino-int8, litert-int8, such of 8-bit integers, calibrated on the run's training images."""
    warmup: bool = False
    """Add the requests that TensorFlow Serving answers for itself when it starts."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.errors import printable
    from deepfashion_tf.export.formats import EXPORTERS, agreement
    from deepfashion_tf.inference.engines import ENGINES
    from deepfashion_tf.runs.run import Run

    trained = Run.load(options.run)
    for name in dict.fromkeys(options.formats):
        print(f"{name}: {printable(EXPORTERS[name](trained))}")
        if name.endswith("int8") and ENGINES[name].is_installed:
            images, share = agreement(trained, name)
            print(f"  answers as the model does in {share:.1%}, on {images} validation images")
    if options.warmup:
        from deepfashion_tf.export.warmup import write_warmup

        write_warmup(trained)
