"""Measures speed beside a peer and the machine's limit, in turn and in one run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deepfashion_tf.command_line import import_tensorflow, run


@dataclass(frozen=True)
class Options:
    what: Annotated[Literal["input"], tyro.conf.Positional]
    """input: images a second from JPEG files into normalized batches."""
    data: str | None = None
    """Data set whose training images (JPEG files with boxes) are read: a folder or a table.
    None: 512 drawings."""
    data_dir: Path | None = None
    """As --data, for folders."""
    schema: Path | None = None
    """YAML file of its categories. None: the built-in ones."""
    image_size: int = 224
    """Side of the crops in pixels."""
    rounds: int = 5
    """How often each contestant is measured; the median counts."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.benchmark.input import LIMIT, PEER, benchmark_input, check_boxes
    from deepfashion_tf.benchmark.rates import print_rates
    from deepfashion_tf.data.sources import open_splits
    from deepfashion_tf.training.config import TrainConfig

    config = TrainConfig(
        data=options.data,
        data_dir=options.data_dir,
        schema=options.schema,
        wardrobe_train=512,
        wardrobe_val=1,
        wardrobe_test=0,
    )
    (split,) = open_splits(config, ["train"])
    check_boxes(split, split.source)
    rates = benchmark_input(split, options.image_size, options.rounds)
    title = f"Input: {len(split)} images to {options.image_size} px"
    print_rates(title, rates, PEER, LIMIT)


if __name__ == "__main__":
    run(main)
