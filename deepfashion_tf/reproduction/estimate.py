"""How long a grid will take, from some training steps on this machine.

    python -m deepfashion_tf.reproduction.estimate CONFIG.json

prints the images a second that a configuration trains, on noise. A process of its own, since
the one that starts the runs must not hold a GPU.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from deepfashion_tf.command_line import import_tensorflow, run
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.jobs import Job
from deepfashion_tf.schema import builtin_schema

_STEPS = 4
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
    import tensorflow as tf

    from deepfashion_tf.training.building import (
        build_initial_model,
        build_optimizer,
        compile_model,
    )

    schema = builtin_schema()
    config, model = build_initial_model(schema, config.for_schema(schema))
    trainer = compile_model(schema, model, config, build_optimizer(model, config, _STEPS))
    rng = np.random.default_rng(0)
    images = rng.normal(size=(config.batch_size, *model.input_shape[1:])).astype("float32")
    labels = {name: np.zeros(config.batch_size, "int32") for name in schema}
    data = tf.data.Dataset.from_tensors((images, labels))

    def train(steps: int) -> float:
        began = time.perf_counter()
        trainer.fit(data.repeat(steps), shuffle=False, verbose=0)
        return time.perf_counter() - began

    train(1)  # compiles
    print(_STEPS * config.batch_size / train(_STEPS))


if __name__ == "__main__":
    run(main)
