"""How fast training steps are in each precision, with and without XLA."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import tensorflow as tf

from deepfashion_tf.benchmark.rates import Rate, race
from deepfashion_tf.progress import console
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.training.building import build_initial_model, build_optimizer, compile_model
from deepfashion_tf.training.config import TrainConfig
from deepfashion_tf.training.state import RunState

PLAIN = "float32"
STEPS = 4


def benchmark_precision(config: TrainConfig, rounds: int) -> list[Rate]:
    """Trains a network on one batch of noise, some steps in turn in each precision.

    Without a GPU float16 stays out: TensorFlow's CPU kernels take a hundred times as long
    for the gradients of its convolutions.

    Args:
        config: backbone, image size and batch size.
        rounds: how often each is measured; the warming up before compiles.
    """
    precisions = ["float32", "mixed_bfloat16"]
    if tf.config.list_physical_devices("GPU"):
        precisions.append("mixed_float16")
    else:
        console.print("[dim]mixed_float16 is for GPUs, and there is none: not measured[/dim]")
    contestants = {}
    for jit in (False, True):
        for precision in precisions:
            name = f"{precision}, jit" if jit else precision
            contestants[name], _ = steps_of(replace(config, precision=precision, jit=jit))
    return race(contestants, rounds)


def steps_of(config: TrainConfig) -> tuple[Callable[[], int], RunState]:
    """Makes a function that trains some steps and says on how many images, and its state."""
    schema = builtin_schema()
    config, model = build_initial_model(schema, config.for_schema(schema))
    optimizer = build_optimizer(model, config, STEPS)
    trainer = compile_model(schema, model, config, optimizer)
    rng = np.random.default_rng(0)
    shape = (config.batch_size, config.image_size, config.image_size, 3)
    labels = {
        category: rng.integers(0, len(attributes), config.batch_size, np.int32)
        for category, attributes in schema.items()
    }
    batch = rng.normal(size=shape).astype("float32"), labels
    data = tf.data.Dataset.from_tensors(batch).repeat(STEPS)

    def run() -> int:
        trainer.fit(data, shuffle=False, verbose=0)
        return STEPS * config.batch_size

    return run, RunState(model, optimizer)
