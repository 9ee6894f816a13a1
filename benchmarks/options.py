"""The options of scripts/benchmark.py. No TensorFlow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Options:
    what: Annotated[
        Literal[
            "input",
            "table",
            "augmentation",
            "predict",
            "inference",
            "service",
            "catalogue",
            "step",
            "first-step",
            "memory",
            "precision",
            "frozen",
            "depthwise",
            "workers",
            "saving",
            "explanations",
            "noise",
        ],
        tyro.conf.Positional,
    ]
    """input: images a second from JPEG files into normalized batches. table: processor seconds for
    200,000 rows of CSV, Parquet and a spreadsheet. augmentation: changed at
    random, beside the layers of Keras and KerasCV. predict: from files to answers. inference: from
    ready crops to answers, by each engine. service: requests of 1, 8 and 32 clients, beside the
    engine alone and a service without batches. catalogue: rows of tiny pictures a second, memory,
    and the cost of restarts. step: of training steps, beside Keras' own layers
    and PyTorch. first-step: seconds from a process' start to the end of its first step. memory: of
    training and answering. precision: of training steps, in each precision. frozen: of steps whose
    lower stages are frozen, and what another engine for these could gain. depthwise: of the
    gradients of depthwise convolutions, beside TensorFlow's own. workers: of a training
    by two processes beside one. saving: what a checkpoint costs. And no speed, but on drawings:
    explanations: whether the heat for sleeves and necklines lies on them. noise: whether swapped
    labels are found."""
    run: Path | None = None
    """predict, inference, service, catalogue, explanations: the run that answers. noise: whose
    options are taken."""
    data: Annotated[str | None, tyro.conf.arg(aliases=("--data-dir",))] = None
    """input: data set whose training images (JPEG files with boxes) are read: a folder or a
    table. None: 512 drawings."""
    schema: Path | None = None
    """YAML file of its categories. None: the built-in ones."""
    image_size: int | None = None
    """Side of the crops in pixels. None: 224 for input, and 64."""
    backbone: str = "seresnet50"
    """Network that is trained, as `deepfashion train` names it. step, first-step, memory: none of
    keras:NAME."""
    freeze_batch_norm: bool = False
    """step, first-step, memory: keep the statistics of batch norm, as fine-tuning does."""
    freeze_stages: int = 3
    """frozen: stages that are not trained."""
    batch_size: int = 32
    """Images in one step."""
    images: int = 640
    """workers: images of an epoch. predict, service: images answered (of the test split, some
    twice). catalogue: rows. explanations, noise: drawings."""
    rounds: int = 5
    """How often each contestant is measured; the median counts, and is printed after each round."""
    peer_python: Path | None = None
    """input, step, first-step, memory, inference: interpreter with the extra [bench].
    None: this one."""
    output_dir: Path | None = None
    """noise: folder of its models; what is done there is not done again. None:
    saved_models/benchmark-noise."""
