"""What training could gain at most, if another engine computed the stages that do not train."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from benchmarks.precision import steps_of
from benchmarks.rates import Rate, race, repeated
from deepfashion_tf.models.attribute_model import build_model, freeze
from deepfashion_tf.models.folding import fold_model
from deepfashion_tf.models.stages import stage_output
from deepfashion_tf.models.variants import layer_name
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.schema import builtin_schema

FLOAT32, STEP = "training step, float32", "training step, bfloat16"
BY_TENSORFLOW, BY_OPENVINO = "frozen stages, TensorFlow", "frozen stages, OpenVINO"
BOUND = "training step, bfloat16, frozen stages by OpenVINO (computed)"


def benchmark_frozen(config: TrainConfig, rounds: int) -> Iterator[list[Rate]]:
    """Measures steps with frozen stages, and these stages alone by two engines in bfloat16.

    A step takes as long as its frozen stages and the rest. The bound takes OpenVINO's time in
    the place of TensorFlow's, as if nothing were lost between the two.

    Args:
        config: backbone, image size, batch size and frozen stages.
        rounds: how often each is measured.

    Yields:
        After each round all rates so far, the bound among them.
    """
    config = replace(config, freeze_batch_norm=True)
    shape = (config.batch_size, config.image_size, config.image_size, 3)
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    contestants = {
        FLOAT32: steps_of(replace(config, precision="float32"))[0],
        STEP: steps_of(replace(config, precision="mixed_bfloat16"))[0],
        BY_TENSORFLOW: _by_tensorflow(_frozen_part(config, "mixed_bfloat16"), images),
        # It converts no bfloat16, and computes in it by itself.
        BY_OPENVINO: _by_openvino(_frozen_part(config, "float32"), images),
    }
    for rates in race(contestants, rounds):
        _, step, tensorflow, openvino = (np.array(rate.values) for rate in rates)
        bound = 1 / (1 / step - 1 / tensorflow + 1 / openvino)
        yield [*rates, Rate(BOUND, tuple(bound.tolist()))]


def _frozen_part(config: TrainConfig, precision: str) -> keras.Model:
    """Builds the stages that do not train, as a training computes them."""
    model = build_model(
        builtin_schema(),
        config.backbone,
        image_size=config.image_size,
        heads=config.heads,
        precision=precision,
    )
    freeze(model, config.freeze_stages, batch_norm=True)
    network = fold_model(model).get_layer(layer_name(config.backbone))
    return keras.Model(network.input, stage_output(network, config.freeze_stages))


def _by_tensorflow(frozen: keras.Model, images: np.ndarray) -> Callable[[], int]:
    answer = tf.function(lambda given: tf.reduce_sum(frozen(given, training=False)))
    given = tf.constant(images)
    return repeated(lambda: answer(given).numpy(), len(images))


def _by_openvino(frozen: keras.Model, images: np.ndarray) -> Callable[[], int]:
    import openvino

    signature = [tf.TensorSpec(images.shape, tf.float32)]
    graph = tf.function(lambda given: frozen(given, training=False), input_signature=signature)
    converted = openvino.convert_model(graph)
    compiled = openvino.Core().compile_model(converted, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    return repeated(lambda: request.infer([images], share_inputs=True), len(images))
