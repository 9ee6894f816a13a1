"""Reads the attributes off photographs with a trained run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deepfashion_tf.command_line import import_tensorflow, run


@dataclass(frozen=True)
class Options:
    run: Annotated[Path, tyro.conf.Positional]
    """Run directory that scripts/train.py made."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Images (JPEG, PNG, GIF, BMP, WebP), or folders of them; none where --data is given."""
    box: str | None = None
    """Where the garment is in each image, x1,y1,x2,y2 in half-open pixels. None: everywhere."""
    data: str | None = None
    """A folder, a table or tfds:NAME, whose images are answered with their own boxes."""
    schema: Path | None = None
    """YAML file of the data's categories. None: those of the run."""
    split: Literal["train", "val", "test"] = "test"
    """Which split of --data."""
    output: Path | None = None
    """File to write, .csv or .json. None: the terminal."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.serving import predict
    from deepfashion_tf.training.run import Run

    if options.output:
        predict.check_output(options.output)
    trained = Run.load(options.run)
    if options.data is not None:
        predict.check_alone(options.images, options.box)
        split = trained.read_split(options.split, options.data, options.schema)
    else:
        box = predict.parse_box(options.box) if options.box is not None else None
        images = predict.find_images(options.images)
        split = predict.open_images(trained.schema, images, box)
    predictions = predict.predict(trained, split)
    if options.output:
        predict.write_predictions(predictions, options.output)
        print(f"{len(predictions)} predictions: {options.output}")
    else:
        predict.print_predictions(predictions)


if __name__ == "__main__":
    run(main)
