"""How fast several workers train beside one process, and what a checkpoint costs."""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.precision import steps_of
from benchmarks.rates import Rate
from deepfashion_tf.errors import InputError
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.training.state import Checkpoints, Position

ALONE = "one process"
EPOCHS = 3  # the first one compiles, and does not count
_RATE = re.compile(r"([\d.]+) images/s")


def benchmark_workers(config: TrainConfig, workers: int, rounds: int) -> Iterator[list[Rate]]:
    """Trains by scripts/train.py in one process and in several, in turn.

    Also several processes that train on their own, each with its share of the batch, of the
    images and of the cores: what they do together is the most that workers could, if it cost
    nothing to agree on gradients and statistics.

    Args:
        config: backbone, image size, batch size and the wardrobe's sizes.
        workers: how many processes, which share this machine's cores.
        rounds: how often each is measured.

    Yields:
        After each round all rates so far.
    """
    train, *others = config.wardrobe_images
    together = ["--local-workers", str(workers)]
    share = replace(
        config,
        batch_size=config.batch_size // workers,
        wardrobe_images=(train // workers, *others),
    )
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    own = {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads}
    contests: dict[str, Callable[[], list[float]]] = {
        ALONE: lambda: _train([config], []),
        f"{workers} workers": lambda: _train([config], together),
        f"{workers} that train on their own": lambda: _train([share] * workers, [], own),
    }
    values: dict[str, list[float]] = {name: [] for name in contests}
    for number in range(rounds):
        for name, measure in contests.items():
            console.print(f"round {number + 1} of {rounds}: {name}", style="dim")
            values[name] += measure()
        yield [Rate(name, tuple(rates)) for name, rates in values.items()]


def _train(
    configs: list[TrainConfig], more: list[str], environment: dict[str, str] | None = None
) -> list[float]:
    """Trains once each, all at the same time, and adds up their rates, one an epoch."""
    with tempfile.TemporaryDirectory() as folder:
        started = [
            subprocess.Popen(
                _command(config, f"{folder}/run{number}", more),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | (environment or {}),
            )
            for number, config in enumerate(configs)
        ]
        told = [process.communicate() for process in started]
    rates = [[float(rate) for rate in _RATE.findall(out)] for out, _ in told]
    failed = [
        error
        for process, found, (_, error) in zip(started, rates, told, strict=True)
        if process.returncode or len(found) != EPOCHS
    ]
    if failed:
        raise InputError(f"scripts/train.py failed, so nothing was measured:\n{failed[0]}")
    return [sum(epoch) for epoch in zip(*rates, strict=True)][1:]


def _command(config: TrainConfig, run: str, more: list[str]) -> list[str]:
    names = ["backbone", "image_size", "batch_size"]
    values = {f"--{name.replace('_', '-')}": str(getattr(config, name)) for name in names}
    return [
        *(sys.executable, "scripts/train.py", "--epochs", str(EPOCHS)),
        *(part for option in values.items() for part in option),
        *("--wardrobe-images", *map(str, config.wardrobe_images), "--output-dir", run),
        *more,
    ]


def benchmark_saving(config: TrainConfig, images: int, rounds: int) -> None:
    """Saves checkpoints between training steps, and says what share of an epoch that is.

    It says so after each round, of all rounds so far.

    Args:
        config: backbone, image size and batch size.
        images: of an epoch.
        rounds: how often steps and saving are measured.
    """
    run, state = steps_of(config)
    steps, saves = [], []
    with tempfile.TemporaryDirectory(dir=Path()) as folder:
        checkpoints = Checkpoints(Path(folder), "benchmark")
        with checkpoints.locked():
            for number in range(rounds + 1):
                done, seconds = _timed(run)
                position = Position(number)
                path, saving = _timed(lambda at=position: checkpoints.save(state.arrays(), at))
                if number:
                    steps.append(seconds / done)
                    saves.append(saving)
                    _tell_saving(config, images, path.stat().st_size, steps, saves)


def _tell_saving(
    config: TrainConfig, images: int, size: int, steps: list[float], saves: list[float]
) -> None:
    epoch, save = images * statistics.median(steps), statistics.median(saves)
    console.print(
        f"{config.backbone}, {config.image_size} px: a checkpoint of {size / 2**20:.0f} MiB is "
        f"saved in {save:.2f} s (median of {len(saves)}, {min(saves):.2f} to {max(saves):.2f}); an "
        f"epoch of {images} images takes {epoch:.0f} s: {100 * save / epoch:.1f} %.",
        soft_wrap=True,
    )


def _timed(work: Callable):
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began
