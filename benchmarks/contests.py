"""What scripts/benchmark.py can measure, each from its options to its table."""

import math
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.table import Table

from benchmarks import (
    catalogue,
    depthwise,
    engines,
    frozen,
    limit,
    precision,
    prediction,
    scaling,
    service,
    tables,
    training,
)
from benchmarks import input as reading
from benchmarks.labels import (
    find_swapped,
    swapped_table,
)
from benchmarks.options import Options
from benchmarks.rates import machine, of_rounds, print_rates, print_rounds
from benchmarks.sanity import heat_on_parts, heat_table
from deepfashion_tf.data.sources import open_splits
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.run import Run


def contest_input(options: Options) -> None:
    """Images a second from JPEG files into normalized batches."""
    config = TrainConfig(
        data=options.data,
        schema=options.schema,
        wardrobe_images=(512, 1, 0),
    )
    (split,) = open_splits(config, ["train"])
    reading.check_boxes(split, split.source)
    size = options.image_size or 224
    found = reading.benchmark_input(split, size, options.rounds, options.peer_python)
    title = f"Input: {len(split)} images to {size} px"
    print_rounds(title, found, options.rounds, reading.LIMIT, peers="torchvision")


def contest_table(options: Options) -> None:
    """Processor seconds for the rows of a table, in each of its formats."""
    for number, seconds in enumerate(tables.benchmark_tables(rounds=options.rounds), start=1):
        title = of_rounds(f"Table: {tables.ROWS:,} rows, processor seconds", number, options.rounds)
        _print_seconds(title, seconds, ".csv")


def contest_catalogue(options: Options) -> None:
    """Rates, memory and restarts of a catalogue of tiny pictures."""
    run = _run(options).directory
    table = Table(
        title=f"Catalogue: {options.images:,} embedded JPEGs, shards of {catalogue.SHARD:,}",
        caption=machine(),
    )
    table.add_column("", no_wrap=True)
    for name in ("seconds", "rows/s", "main MiB", "worker MiB", "after kill"):
        table.add_column(name, justify="right")
    for name, found in catalogue.benchmark_catalogue(run, options.images, workers=1):
        rate = found.rows / found.seconds
        lost = "" if found.lost is None else f"{found.lost:.1f} s"
        table.add_row(
            name,
            f"{found.seconds:.1f}",
            f"{rate:.0f}",
            f"{found.command:.0f}",
            f"{found.worker:.0f}",
            lost,
        )
        console.print(table)


def contest_augmentation(options: Options) -> None:
    """Images a second that are changed at random, beside Keras' and KerasCV's layers."""
    # Here, since nobody else waits for KerasCV.
    from benchmarks.augmentation import benchmark_augmentation

    size = options.image_size or 64
    found = benchmark_augmentation(size, options.batch_size, options.rounds)
    title = f"Augmentation: {size} px, batches of {options.batch_size}, one thread"
    print_rounds(title, found, options.rounds)


def contest_step(options: Options) -> None:
    """Training steps beside Keras' own layers and PyTorch."""
    config = _config(options)
    found = training.benchmark_training(config, options.rounds, options.peer_python)
    others = training.PEER, training.PEER_BFLOAT16, limit.BFLOAT16
    print_rounds(_title(config), found, options.rounds, *others, peers="PyTorch")


def contest_first_step(options: Options) -> None:
    """Seconds until the first training step is done."""
    config = _config(options)
    found = training.benchmark_first_step(config, options.rounds, options.peer_python)
    for number, seconds in enumerate(found, start=1):
        title = of_rounds(f"First step: {_title(config)}", number, options.rounds)
        _print_seconds(title, seconds, training.PLAIN)


def _print_seconds(title: str, seconds: dict[str, list[float]], plain: str) -> None:
    table = Table(title=title, caption=f"medians; {machine()}")
    for name in ("", "seconds", "lowest", "highest", f"/ {plain}"):
        table.add_column(name, justify="right" if name else "left", no_wrap=not name)
    own = statistics.median(seconds.get(plain, [math.nan]))
    for name, values in seconds.items():
        numbers = [statistics.median(values), min(values), max(values)]
        ratio = "-" if math.isnan(own) else f"{numbers[0] / own:.2f}"
        table.add_row(name, *(f"{number:.1f}" for number in numbers), ratio)
    console.print(table)


def contest_memory(options: Options) -> None:
    """The most memory that training takes, and answering, if a run is named."""
    config = _config(options)
    found = training.benchmark_memory(
        config, options.run and Run.load(options.run), options.peer_python
    )
    table = Table(title=f"Peak memory: {_title(config)}", caption=machine())
    table.add_column("", no_wrap=True)
    table.add_column("MiB", justify="right")
    for name, size in found.items():
        table.add_row(name, str(size))
    console.print(table)


def contest_precision(options: Options) -> None:
    """Training steps in each precision."""
    config = _config(options)
    found = precision.benchmark_precision(config, options.rounds)
    print_rounds(_title(config), found, options.rounds, precision.PLAIN)


def contest_frozen(options: Options) -> None:
    """Training steps with frozen stages, and the most that another engine could gain."""
    config = replace(_config(options), freeze_stages=options.freeze_stages)
    found = frozen.benchmark_frozen(config, options.rounds)
    title = f"{_title(config)}, {options.freeze_stages} frozen stages"
    print_rounds(title, found, options.rounds, frozen.STEP)


def contest_depthwise(options: Options) -> None:
    """Gradients of depthwise convolutions beside TensorFlow's own."""
    title = f"Depthwise convolutions with their gradients, batches of {options.batch_size}"
    table = Table(title=title, caption=f"milliseconds, medians; {machine()}", title_justify="left")
    table.add_column("")
    for heading in ("TensorFlow", "deepfashion_tf", "ratio"):
        table.add_column(heading, justify="right", min_width=5)
    for name, *rates in depthwise.benchmark_depthwise(options.batch_size, options.rounds):
        theirs, ours = (1000 * options.batch_size / rate.median for rate in rates)
        table.add_row(name, f"{theirs:.1f}", f"{ours:.1f}", f"{theirs / ours:.1f}")
        console.print(name, style="dim")
    console.print(table)


def contest_workers(options: Options) -> None:
    """A training by two workers beside one process."""
    config = _config(options)
    found = scaling.benchmark_workers(config, workers=2, rounds=options.rounds)
    print_rounds(_title(config), found, options.rounds, scaling.ALONE)


def contest_predict(options: Options) -> None:
    """Answers from files into a table, beside what makes the crops and what answers for them.

    Raises:
        InputError: no run is named.
    """
    run, split = _run_and_images(options)
    found = prediction.benchmark_prediction(run, split, options.rounds)
    title = f"Prediction: {run.config.backbone}, {run.config.image_size} px, {len(split)} images"
    print_rounds(title, found, options.rounds, prediction.INPUT, prediction.ENGINE)


def contest_inference(options: Options) -> None:
    """Answers for ready crops by each engine that is installed.

    Raises:
        InputError: no run is named.
    """
    run = _run(options)
    about = f"Inference: {run.config.backbone}, {run.config.image_size} px"
    others = engines.PLAIN, "timm, OpenVINO", limit.BFLOAT16
    for batch, found in engines.benchmark_engines(run, options.rounds, options.peer_python):
        title = f"{about}, batches of {batch}"
        print_rounds(title, found, options.rounds, *others, peers="timm, PyTorch")


def contest_service(options: Options) -> None:
    """Requests of clients to the service, beside its engine alone and a plain service.

    Raises:
        InputError: no run is named.
    """
    run, split = _run_and_images(options)
    title = f"Service: {run.config.backbone}, {run.config.image_size} px, {len(split)} images"
    found = service.benchmark_service(run.directory, split, options.rounds)
    for number, (rates, loads) in enumerate(found, start=1):
        if rates:
            others = service.ENGINE, service.PREDICT
            print_rates(of_rounds(title, number, options.rounds), rates, *others)
        console.print(_loads_table(loads))


def _loads_table(loads: dict[str, service.Load]) -> Table:
    table = Table(title="Milliseconds of processors an image, and of an answer")
    names = ("processors", "engine / it", "p50", "p99", "refused", "lost", "not sent")
    for name in ("", *names):
        table.add_column(name, justify="right" if name else "left", no_wrap=not name)
    costs = {name: load.processor / load.images for name, load in loads.items() if load.images}
    for name, load in loads.items():
        cells = ["-"] * 4
        if name in costs:
            cells[:2] = [f"{1000 * costs[name]:.2f}", f"{costs[service.ENGINE] / costs[name]:.2f}"]
        if load.seconds:
            cells[2:] = [f"{load.percentile(share):.0f}" for share in (0.5, 0.99)]
        table.add_row(name, *cells, *map(str, (load.refused, load.lost, load.unsent)))
    return table


def contest_saving(options: Options) -> None:
    """What a checkpoint costs of an epoch of 5,000 images."""
    scaling.benchmark_saving(_config(options), images=5000, rounds=options.rounds)


def contest_explanations(options: Options) -> None:
    """Whether the heat for sleeves and necklines lies on them, in drawings.

    Raises:
        InputError: no run is named.
    """
    console.print(heat_table(heat_on_parts(_run(options), options.images)))


def contest_noise(options: Options) -> None:
    """Whether swapped labels of drawings stand among the least believed.

    Raises:
        InputError: no run is named.
    """
    directory = options.output_dir or Path("saved_models") / "benchmark-noise"
    console.print(swapped_table(find_swapped(_run(options), options.images, directory)))
    console.print(f"The models of its folds: {directory}", soft_wrap=True)


def _run(options: Options) -> Run:
    if not options.run:
        raise InputError(f"benchmark.py {options.what} needs a trained run: name it with --run.")
    return Run.load(options.run)


def _run_and_images(options: Options) -> tuple[Run, Split]:
    """Opens the run that is named, and --images images of the test split, some twice."""
    run = _run(options)
    split = run.read_split("test", options.data, options.schema)
    return run, split.take(np.arange(options.images) % len(split), "test")


def _config(options: Options) -> TrainConfig:
    return TrainConfig(
        backbone=options.backbone,
        weights="none",
        heads="pooled",
        image_size=options.image_size or 64,
        batch_size=options.batch_size,
        freeze_batch_norm=options.freeze_batch_norm,
        wardrobe_images=(options.images, 64, 0),
    )


def _title(config: TrainConfig) -> str:
    parts = [config.backbone, f"{config.image_size} px", f"batches of {config.batch_size}"]
    if config.freeze_batch_norm:
        parts.append("frozen batch norm")
    return f"Training: {', '.join(parts)}"


CONTESTS = {
    "input": contest_input,
    "table": contest_table,
    "catalogue": contest_catalogue,
    "augmentation": contest_augmentation,
    "step": contest_step,
    "first-step": contest_first_step,
    "memory": contest_memory,
    "precision": contest_precision,
    "frozen": contest_frozen,
    "depthwise": contest_depthwise,
    "predict": contest_predict,
    "inference": contest_inference,
    "service": contest_service,
    "workers": contest_workers,
    "saving": contest_saving,
    "explanations": contest_explanations,
    "noise": contest_noise,
}
