"""What a `Predictor` that answers by TensorFlow consists of: crops, a run's model, a SavedModel."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from deepfashion_tf.data.damage import jpeg_damage
from deepfashion_tf.data.decode import image_fault
from deepfashion_tf.data.headers import UNREADABLE, reading_fault
from deepfashion_tf.data.plain import make_plain, plain_crop
from deepfashion_tf.inference.answering import answering_function
from deepfashion_tf.inference.engines import Answer, Running, answer_of_saved_model
from deepfashion_tf.inference.exported import Assets, broken_export, check_outputs
from deepfashion_tf.inference.graph_check import check_saved_model
from deepfashion_tf.inference.items import Item
from deepfashion_tf.runs.run import Run

_Graph = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def running(precision: str) -> Running:
    """Names TensorFlow as what answers."""
    return Running("tensorflow", tf.__version__, precision)


def answer_of_run(run: Run, model: keras.Model) -> Answer:
    """Makes a function from ready crops to the calibrated probabilities of a run's model."""
    answer = answering_function(run, model)
    return lambda crops: {name: value.numpy() for name, value in answer(tf.constant(crops)).items()}


def open_saved_model(path: Path, assets: Assets) -> tuple[Answer, int]:
    """Loads an export for TensorFlow.

    Args:
        path: its folder.
        assets: what stands beside it.

    Returns:
        What answers, and the side of the crops in pixels.

    Raises:
        InputError: it is broken, or not what its assets tell.
    """
    check_saved_model(path)
    try:
        loaded = tf.saved_model.load(str(path))
        signature = loaded.signatures["images"]
        size = signature.structured_input_signature[1]["images"].shape[1]
        widths = {name: spec.shape[-1] for name, spec in signature.structured_outputs.items()}
    # What a damaged file leads the loader to is anything.
    except Exception as error:
        raise broken_export(path, error) from error
    if assets.image_size not in (None, size):
        raise broken_export(
            path, ValueError(f"its network takes {size} pixels, not {assets.image_size}")
        )
    # Its signature says what it answers. Run here, it would change how TensorFlow rounds in
    # this process afterwards: a training would not repeat to the last bit.
    check_outputs(path, widths, assets)
    return answer_of_saved_model(loaded), size


def cropper(size: int) -> Callable[[Sequence[Item], float, bool], list[str | np.ndarray]]:
    """Makes a function that reads, decodes, crops and resizes images as training does.

    Args:
        size: side of the crops in pixels.

    Returns:
        What takes items, the padding of their boxes and whether damaged JPEGs are accepted, and
        returns uint8 ``[size, size, 3]``, or a fault each.
    """
    graph = _graph(size)

    def crop(items: Sequence[Item], padding: float, accept_damaged: bool) -> list[str | np.ndarray]:
        found: list[str | np.ndarray | None] = [item.fault for item in items]
        plain, places = [], []
        for place, item in enumerate(items):
            if item.fault:
                continue
            encoded = None
            try:
                encoded = item.read()
                if not accept_damaged and (damage := jpeg_damage(encoded)):
                    found[place] = image_fault(encoded, item.box, padding) or damage
                    continue
                plain.append(make_plain(encoded, item.box, padding, size))
                places.append(place)
            except (OSError, ValueError, tf.errors.OpError) as error:
                if encoded is None:
                    found[place] = reading_fault(error)
                else:
                    found[place] = image_fault(encoded, item.box, padding) or UNREADABLE
        if plain:
            for place, one in zip(places, _crop_plain(graph, plain), strict=True):
                found[place] = one
        return found

    return crop


def _crop_plain(graph: _Graph, plain: list[tuple[bytes, tuple]]) -> list[str | np.ndarray]:
    encoded, boxes = zip(*plain, strict=True)
    try:
        return list(graph(tf.constant(encoded), tf.constant(boxes, tf.int32)).numpy())
    except tf.errors.OpError:
        if len(plain) == 1:
            return [image_fault(encoded[0], boxes[0]) or UNREADABLE]
    return [_crop_plain(graph, [one])[0] for one in plain]


def _graph(size: int) -> _Graph:
    # One image after the other: the threads that call it are what works at the same time.
    return tf.function(
        lambda encoded, boxes: tf.map_fn(
            lambda image: plain_crop(*image, size),
            (encoded, boxes),
            fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8),
            parallel_iterations=1,
        ),
        autograph=False,
        input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None, 4], tf.int32)],
    ).get_concrete_function()
