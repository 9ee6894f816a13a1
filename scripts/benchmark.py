"""Measures speed beside a peer and the machine's limit, in turn and in one run."""

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
    what: Annotated[Literal["input"], tyro.conf.Positional]
    """input: images a second from JPEG files into normalized batches."""
    data_dir: Path | None = None
    """Data set whose training images (JPEG, with boxes) are read. None: 512 drawings."""
    image_size: int = 224
    """Side of the crops in pixels."""
    rounds: int = 5
    """How often each contestant is measured; the median counts."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.benchmark.input import LIMIT, PEER, benchmark_input, check_boxes
    from deepfashion_tf.benchmark.rates import print_rates
    from deepfashion_tf.data.sources import read_source
    from deepfashion_tf.training.config import TrainConfig

    config = TrainConfig(
        data_dir=options.data_dir, wardrobe_train=512, wardrobe_val=1, wardrobe_test=0
    )
    split = read_source(config, "train")
    check_boxes(split, split.source)
    rates = benchmark_input(split, options.image_size, options.rounds)
    title = f"Input: {len(split)} images to {options.image_size} px"
    print_rates(title, rates, PEER, LIMIT)


if __name__ == "__main__":
    run(main)
