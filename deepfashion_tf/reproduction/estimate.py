"""How long a grid will take, from some training steps on this machine.

    python -m deepfashion_tf.reproduction.estimate CONFIG.json

prints the images a second that a configuration trains, on noise. A process of its own, since
the one that starts the runs must not hold a GPU.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deepfashion_tf.command_line import import_tensorflow, run
from deepfashion_tf.evaluation.jobs import Job
from deepfashion_tf.progress import console
from deepfashion_tf.training.config import TrainConfig

_PASS = 1 / 3  # what answering for an image costs of training on it: no backward pass


def hours_of(jobs: Sequence[Job], train: int, val: int) -> float:
    """Estimates the hours that jobs take, one after the other.

    Args:
        jobs: to run; of each backbone one is measured.
        train: training images.
        val: validation images.
    """
    rates: dict[str, float] = {}
    seconds = 0.0
    for job in jobs:
        backbone = job.config.backbone
        if backbone not in rates:
            console.print(f"measuring {backbone}, for an estimate", style="dim")
            rates[backbone] = _measure(job.config)
        seconds += job.config.epochs * (train + _PASS * val) / rates[backbone]
    return seconds / 3600


def _measure(config: TrainConfig) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        replace(config, weights="none").save(path)
        command = [sys.executable, "-m", "deepfashion_tf.reproduction.estimate", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    config = TrainConfig.load(Path(sys.argv[1]))
    import_tensorflow()
    from deepfashion_tf.benchmark.precision import steps_of
    from deepfashion_tf.benchmark.rates import race

    work, _ = steps_of(config)
    (rate,) = race({"training": work}, rounds=1)
    print(rate.median)


if __name__ == "__main__":
    run(main)
