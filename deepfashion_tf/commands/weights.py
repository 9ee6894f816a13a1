"""Describes a weights file, or converts published weights to Keras' .weights.h5."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deepfashion_tf.command_line import import_tensorflow
from deepfashion_tf.errors import InputError, printable
from deepfashion_tf.outputs import check_outputs


@dataclass(frozen=True)
class Options:
    source: Annotated[str, tyro.conf.Positional]
    """A file (.safetensors, .pth, .h5, .weights.h5 or .keras), imagenet, or timm:MODEL."""
    output: Annotated[Path | None, tyro.conf.Positional] = None
    """File to write, ending in .weights.h5. None: the source is described."""
    backbone: Literal["resnet50", "seresnet50", "seresnext50"] | None = None
    """Backbone, required for imagenet. None: as the weights name it."""
    variant: str | None = None
    """Network variant, for a file that fits several."""
    offline: bool = False
    """Download nothing."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    if options.output is None:
        import_tensorflow()
        from deepfashion_tf.models.weights.describe import describe

        for heading, text in describe(Path(options.source)):
            print(f"{heading:<16}{printable(text)}")
        return
    if not options.output.name.endswith(".weights.h5"):
        raise InputError(f"{options.output} must end in .weights.h5, as Keras wants it.")
    if not options.output.parent.is_dir():
        raise InputError(f"The folder of {options.output} does not exist: make it first.")
    check_outputs({"The output": options.output}, [options.source])
    import_tensorflow()
    from deepfashion_tf.models.weights import convert_weights, find_weights

    weights = find_weights(
        options.source, options.backbone, variant=options.variant, offline=options.offline
    )
    convert_weights(weights, options.output)
    print(f"Weights of {weights.variant}: {printable(options.output)}")
