"""Exports a run for inference without this package."""

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
    """Formats to write. SavedModels in RUN/export read image files; saved_model-bfloat16 is for
    processors with bfloat16 units. The others, in RUN/export-FORMAT, read uint8 crops. Formats
    with int8 are 8-bit networks, calibrated on training images."""
    warmup: bool = False
    """Add warm-up requests for TensorFlow Serving."""


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
