"""Reads the attributes off photographs with a trained run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.command_line import import_tensorflow, run


@dataclass(frozen=True)
class Options:
    run: Annotated[Path, tyro.conf.Positional]
    """Run directory that scripts/train.py made."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Images (JPEG, PNG, GIF, BMP), or folders of them."""
    box: str | None = None
    """Where the garment is in each image, x1,y1,x2,y2 in half-open pixels. None: everywhere."""
    output: Path | None = None
    """File to write, .csv or .json. None: the terminal."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.serving import predict
    from deepfashion_tf.training.run import Run

    box = predict.parse_box(options.box) if options.box else None
    images = predict.find_images(options.images)
    if options.output:
        predict.check_output(options.output)
    predictions = predict.predict(Run.load(options.run), images, box)
    if options.output:
        predict.write_predictions(predictions, options.output)
        print(f"{len(predictions)} predictions: {options.output}")
    else:
        predict.print_predictions(predictions)


if __name__ == "__main__":
    run(main)
