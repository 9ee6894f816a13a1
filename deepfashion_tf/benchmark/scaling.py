"""How fast several workers train beside one process, and what a checkpoint costs."""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from deepfashion_tf.benchmark.precision import steps_of
from deepfashion_tf.benchmark.rates import Rate
from deepfashion_tf.errors import InputError
from deepfashion_tf.progress import console
from deepfashion_tf.training.config import TrainConfig
from deepfashion_tf.training.state import Checkpoints, Position

ALONE = "one process"
EPOCHS = 3  # the first one compiles, and does not count
_RATE = re.compile(r"([\d.]+) images/s")


def benchmark_workers(config: TrainConfig, workers: int, rounds: int) -> list[Rate]:
    """Trains by scripts/train.py in one process and in several, in turn.

    Args:
        config: backbone, image size, batch size and the wardrobe's sizes.
        workers: how many processes, which share this machine's cores.
        rounds: how often each is measured.
    """
    commands = {ALONE: [], f"{workers} workers": ["--local-workers", str(workers)]}
    values: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds):
        for name, more in commands.items():
            console.print(f"[dim]round {number + 1} of {rounds}: {name}[/dim]")
            values[name] += _train(config, more)
    return [Rate(name, tuple(rates)) for name, rates in values.items()]


def _train(config: TrainConfig, more: list[str]) -> list[float]:
    names = ["backbone", "image_size", "batch_size", "wardrobe_train", "wardrobe_val"]
    values = {f"--{name.replace('_', '-')}": str(getattr(config, name)) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                *(sys.executable, "scripts/train.py", "--epochs", str(EPOCHS)),
                *(part for option in values.items() for part in option),
                *("--wardrobe-test", "0", "--output-dir", f"{folder}/run"),
                *more,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    rates = [float(rate) for rate in _RATE.findall(done.stdout)]
    if done.returncode or len(rates) != EPOCHS:
        raise InputError(f"scripts/train.py failed, so nothing was measured:\n{done.stderr}")
    return rates[1:]


def benchmark_saving(config: TrainConfig, images: int, rounds: int) -> None:
    """Saves checkpoints between training steps, and says what share of an epoch that is.

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
        size = path.stat().st_size
    epoch, save = images * statistics.median(steps), statistics.median(saves)
    console.print(
        f"{config.backbone}, {config.image_size} px: a checkpoint of {size / 2**20:.0f} MiB is "
        f"saved in {save:.2f} s (median of {rounds}, {min(saves):.2f} to {max(saves):.2f}); an "
        f"epoch of {images} images takes {epoch:.0f} s: {100 * save / epoch:.1f} %.",
        soft_wrap=True,
    )


def _timed(work: Callable):
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began
