"""Measures speed beside a peer and the machine's limit, in turn and in one run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deepfashion_tf.command_line import import_tensorflow, run


@dataclass(frozen=True)
class Options:
    what: Annotated[Literal["input", "precision"], tyro.conf.Positional]
    """input: images a second from JPEG files into normalized batches. precision: of training
    steps, in each precision, with and without XLA."""
    data: str | None = None
    """input: data set whose training images (JPEG files with boxes) are read: a folder or a
    table. None: 512 drawings."""
    data_dir: Path | None = None
    """As --data, for folders."""
    schema: Path | None = None
    """YAML file of its categories. None: the built-in ones."""
    image_size: int | None = None
    """Side of the crops in pixels. None: 224, and 64 for precision."""
    backbone: Literal["resnet50", "seresnet50", "seresnext50"] = "seresnet50"
    """precision: network that is trained."""
    batch_size: int = 32
    """precision: images in one step."""
    rounds: int = 5
    """How often each contestant is measured; the median counts."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    if options.what == "input":
        benchmark_input(options)
    else:
        benchmark_precision(options)


def benchmark_input(options: Options) -> None:
    from deepfashion_tf.benchmark import input as contest
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
    contest.check_boxes(split, split.source)
    size = options.image_size or 224
    rates = contest.benchmark_input(split, size, options.rounds)
    title = f"Input: {len(split)} images to {size} px"
    print_rates(title, rates, contest.PEER, contest.LIMIT)


def benchmark_precision(options: Options) -> None:
    from deepfashion_tf.benchmark import precision as contest
    from deepfashion_tf.benchmark.rates import print_rates
    from deepfashion_tf.training.config import TrainConfig

    config = TrainConfig(
        backbone=options.backbone,
        weights="none",
        representation="pooled",
        image_size=options.image_size or 64,
        batch_size=options.batch_size,
    )
    rates = contest.benchmark_precision(config, options.rounds)
    title = f"Training: {config.backbone}, {config.image_size} px, batches of {config.batch_size}"
    print_rates(title, rates, contest.PLAIN)


if __name__ == "__main__":
    run(main)
