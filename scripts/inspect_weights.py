"""Says what a weights file is: which network, how many parameters, what would not load."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.command_line import import_tensorflow, run


@dataclass(frozen=True)
class Options:
    file: Annotated[Path, tyro.conf.Positional]
    """Weights: .safetensors, .pth, .h5, .weights.h5 or .keras."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.errors import printable
    from deepfashion_tf.models.weights.describe import describe

    for heading, text in describe(options.file):
        print(f"{heading:<16}{printable(text)}")


if __name__ == "__main__":
    run(main)
