"""How fast training steps are in each precision."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from benchmarks.rates import Rate, race
from deepfashion_tf.data.reading import on_own_threads
from deepfashion_tf.models.attribute_model import build_model
from deepfashion_tf.models.average import MapAverage
from deepfashion_tf.models.batch_norm import FusedBatchNormalization
from deepfashion_tf.models.convolution import Conv2D
from deepfashion_tf.models.grouped_convolution import GroupedConv2D
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.training.building import build_initial_model, build_optimizer, compile_model
from deepfashion_tf.training.state import RunState

PLAIN = "float32"
STEPS = 4


def benchmark_precision(config: TrainConfig, rounds: int) -> Iterator[list[Rate]]:
    """Trains a network on one batch of noise, some steps in turn in each precision.

    Without a GPU float16 stays out: TensorFlow's CPU kernels take a hundred times as long
    for the gradients of its convolutions.

    Args:
        config: backbone, image size and batch size.
        rounds: how often each is measured; the warming up before compiles.

    Yields:
        After each round all rates so far.
    """
    precisions = ["float32", "mixed_bfloat16"]
    if tf.config.list_physical_devices("GPU"):
        precisions.append("mixed_float16")
    else:
        console.print("mixed_float16 is for GPUs, and there is none: not measured", style="dim")
    contestants = {name: steps_of(replace(config, precision=name))[0] for name in precisions}
    yield from race(contestants, rounds)


def steps_of(config: TrainConfig, steps: int = STEPS) -> tuple[Callable[[], int], RunState]:
    """Makes a function that trains some steps and says on how many images, and its state.

    The first time it trains one step, which compiles.
    """
    schema = builtin_schema()
    config, model = build_initial_model(schema, config.for_schema(schema))
    optimizer = build_optimizer(model, config, steps)
    trainer = compile_model(schema, model, config, optimizer)
    return _repeat(trainer, config, steps), RunState(model, optimizer)


def plain_steps_of(config: TrainConfig, steps: int) -> Callable[[], int]:
    """Does as `steps_of` with Keras' own layers, optimizer, loss and `fit`."""
    schema = builtin_schema()
    model = build_model(
        schema,
        config.backbone,
        image_size=config.image_size,
        heads=config.heads,
        precision=config.precision,
        variant=config.variant,
    )
    trainer = keras.models.clone_model(model, clone_function=_plain)
    if config.freeze_batch_norm:
        for layer in trainer.get_layer(config.backbone).layers:
            layer.trainable &= not isinstance(layer, keras.layers.BatchNormalization)
    trainer.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss=dict.fromkeys(schema, "sparse_categorical_crossentropy"),
    )
    return _repeat(trainer, config, steps)


def _plain(layer: keras.Layer) -> keras.Layer:
    """Returns Keras' own layer in the place of one of this project.

    Keras has none like `Squeeze` and `Residual`, which are the ops of Keras' own layers where
    nothing trains in bfloat16.
    """
    if isinstance(layer, keras.Model):
        return keras.models.clone_model(layer, clone_function=_plain)
    kind, config = type(layer), layer.get_config()
    if kind in (Conv2D, MapAverage):
        kind = kind.__base__
    elif kind is FusedBatchNormalization:
        kind = keras.layers.BatchNormalization
        del config["freeze_statistics"]
    elif kind is GroupedConv2D:
        kind = keras.layers.Conv2D
        config |= {
            "filters": layer.kernel.shape[-1],
            "kernel_size": layer.KERNEL_SIZE,
            # At the end alone where the stride is 2: as fast, and nobody looks at the result.
            "padding": "same",
            "use_bias": False,
        }
    return kind.from_config(config)


def _repeat(trainer: keras.Model, config: TrainConfig, steps: int) -> Callable[[], int]:
    rng = np.random.default_rng(0)
    shape = (config.batch_size, config.image_size, config.image_size, 3)
    labels = {
        category: rng.integers(0, len(attributes), config.batch_size, np.int32)
        for category, attributes in builtin_schema().items()
    }
    images = rng.normal(size=shape).astype("float32")
    data = on_own_threads(tf.data.Dataset.from_tensors((images, labels)))
    numbers = itertools.chain([1], itertools.repeat(steps))

    def run() -> int:
        number = next(numbers)
        trainer.fit(data.repeat(number), shuffle=False, verbose=0)
        return number * config.batch_size

    return run
