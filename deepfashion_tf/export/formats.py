"""Exports a run for other engines: OpenVINO, ONNX, LiteRT; and how well those agree."""

import importlib
import io
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import tensorflow as tf

from deepfashion_tf.command_line import hidden_stderr
from deepfashion_tf.data.reading import crop_batches
from deepfashion_tf.errors import InputError
from deepfashion_tf.export.frozen import freeze
from deepfashion_tf.export.litert import order_outputs
from deepfashion_tf.export.onnx_graph import scale_channels_first
from deepfashion_tf.export.saved_model import (
    check_answers,
    export_bfloat16,
    export_run,
    write_assets,
)
from deepfashion_tf.files import whole_or_nothing
from deepfashion_tf.inference.answering import answering_function
from deepfashion_tf.inference.engine_names import EngineName
from deepfashion_tf.inference.engines import ENGINES, SIGNATURE
from deepfashion_tf.inference.exported import seal
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.models.grouped_convolution import native_grouped_convolution
from deepfashion_tf.runs.run import Run

OPSET = 17
CALIBRATED = 200  # images that the ranges of 8-bit features are taken from
COMPARED = 400  # images that an export's answers are compared on
# What stays in floating point: OpenVINO cannot open a network with 8-bit integers between a block
# that is looked at and the next, which strides.
_FLOAT = ".*/attention_pooling.*"


def export_openvino(run: Run) -> Path:
    """Writes ``export-openvino/`` into a run directory: ``model.xml``, ``model.bin``, ``assets/``.

    The network answers ready crops, uint8 ``[batch, size, size, 3]`` in RGB, with a probability
    tensor a category, as the signature ``images`` of the SavedModel does; its weights are float32,
    and OpenVINO computes in bfloat16 where the processor is faster in it.

    Returns:
        The folder.

    Raises:
        InputError: OpenVINO is not installed, the run has no model, or what was made of it answers
            otherwise.
    """
    openvino = _import("openvino", "openvino")

    def write(answer: Callable, path: Path) -> None:
        converted = openvino.convert_model(answer.get_concrete_function())
        openvino.save_model(converted, path, compress_to_fp16=False)

    return _export_network(run, "openvino", write)


def export_openvino_int8(run: Run) -> Path:
    """Writes ``export-openvino-int8/``: `export_openvino`'s network, in 8-bit integers.

    NNCF takes the ranges of the features from `CALIBRATED` of the run's training images. The
    answers are not always the model's: see `agreement`.

    Raises:
        InputError: OpenVINO or NNCF is not installed, the run has no model, or its training images
            cannot be read.
    """
    os.environ.setdefault("NNCF_CI", "1")  # it would report each use to its makers, unasked
    packages = "openvino", "nncf", "nncf.quantization.range_estimator"
    openvino, nncf, ranges = (_import(name, "openvino-int8") for name in packages)
    crops = _calibration_crops(run)

    def write(answer: Callable, path: Path) -> None:
        converted = openvino.convert_model(answer.get_concrete_function())
        nncf.set_log_level(logging.ERROR)
        with redirect_stdout(io.StringIO()):  # it draws bars of its own
            quantized = nncf.quantize(
                converted,
                nncf.Dataset([crop[None] for crop in crops]),
                subset_size=len(crops),
                ignored_scope=nncf.IgnoredScope(
                    names=_softmax_and_after(converted), patterns=[_FLOAT], validate=False
                ),
                # The mean of the images' ranges, its default, cuts off what is rare.
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    activations_range_estimator_params=ranges.RangeEstimatorParametersSet.MINMAX
                ),
            )
        openvino.save_model(quantized, path, compress_to_fp16=False)

    return _export_network(run, "openvino-int8", write)


def _softmax_and_after(network) -> list[str]:
    """Names the operations on probabilities: in 256 steps they would no longer add up to 1."""
    names: dict[str, None] = {}
    for operation in network.get_ordered_ops():
        before = (value.get_source_output().get_node() for value in operation.inputs())
        if operation.get_type_name() == "Softmax" or any(o.get_name() in names for o in before):
            names[operation.get_name()] = None
    return [o.get_friendly_name() for o in network.get_ordered_ops() if o.get_name() in names]


def export_onnx(run: Run) -> Path:
    """Writes ``export-onnx/`` into a run directory: ``model.onnx`` and ``assets/``.

    As `export_openvino`; in opset `OPSET`.

    Raises:
        InputError: tf2onnx is not installed, or the run has no model.
    """
    convert = _import("tf2onnx.convert", "onnxruntime")

    def write(answer: Callable, path: Path) -> None:
        logging.getLogger("tf2onnx").setLevel(logging.ERROR)
        model, _ = convert.from_function(answer, answer.input_signature, opset=OPSET)
        scale_channels_first(model.graph)
        path.write_bytes(model.SerializeToString())

    return _export_network(run, "onnxruntime", write)


def export_litert(run: Run) -> Path:
    """Writes ``export-litert/`` into a run directory: ``model.tflite`` and ``assets/``.

    As `export_openvino`, for phones and small machines; the signature is ``images``. The outputs
    are in the order of the schema's categories, and named after them.
    """
    return _export_network(
        run, "litert", lambda answer, path: _write_litert(answer, path, list(run.schema), None)
    )


def export_litert_int8(run: Run) -> Path:
    """Writes ``export-litert-int8/``: a network whose weights and features are 8-bit integers.

    It is calibrated on `CALIBRATED` of the run's training images, is a quarter as large, and
    answers otherwise now and then: see `agreement`.

    Raises:
        InputError: the run has no model, or its training images cannot be read.
    """
    crops = _calibration_crops(run)
    return _export_network(
        run,
        "litert-int8",
        lambda answer, path: _write_litert(answer, path, list(run.schema), crops),
    )


def _calibration_crops(run: Run) -> np.ndarray:
    split = run.read_split("train")
    rows = np.random.default_rng(0).permutation(len(split))[:CALIBRATED]
    return np.concatenate(list(crop_batches(split.take(rows, "train"), run.config.image_size)))


def _write_litert(
    answer: Callable, path: Path, categories: Sequence[str], calibration: np.ndarray | None
) -> None:
    frozen = freeze(answer.get_concrete_function())
    of_crops = tf.function(frozen, autograph=False, input_signature=answer.input_signature)
    with tempfile.TemporaryDirectory() as folder, hidden_stderr():
        tf.saved_model.save(tf.Module(), folder, signatures={SIGNATURE: of_crops})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        if calibration is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                (SIGNATURE, {"images": crop[None]}) for crop in calibration
            )
        path.write_bytes(order_outputs(converter.convert(), categories))


def _export_network(run: Run, engine: EngineName, write: Callable[[Callable, Path], None]) -> Path:
    about = ENGINES[engine]
    answer = answering_function(run, run.load_model())
    path = run.directory / about.folder
    with whole_or_nothing(path) as temporary:
        temporary.mkdir()
        (temporary / "assets").mkdir()
        write_assets(run, temporary / "assets", engine)
        with native_grouped_convolution():
            write(answer, temporary / about.file)
        seal(temporary)
        # Converters tell of what they could not convert in a log at most.
        if about.is_installed:
            check_answers(answer, engine, temporary / about.file)
    return path


def _import(name: str, engine: EngineName):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        about = ENGINES[engine]
        raise InputError(
            f"--formats {about.format} needs {name.partition('.')[0]}: {about.export_install}."
        ) from error


def agreement(run: Run, engine: EngineName) -> tuple[int, float]:
    """Counts how often an export's most probable attribute is the model's.

    Args:
        run: exported.
        engine: that is installed.

    Returns:
        Of how many validation images, and the share of answers, all categories together.

    Raises:
        InputError: the validation images cannot be read.
    """
    split = run.read_split("val")
    split = split.take(np.arange(min(COMPARED, len(split))), "val")
    crops = np.concatenate(list(crop_batches(split, run.config.image_size)))
    expected = Predictor.of_run(run).answer(crops)
    found = Predictor.load(run.directory, engine).answer(crops)
    same = [found[c].argmax(axis=1) == expected[c].argmax(axis=1) for c in run.trained]
    return len(split), float(np.mean(same))


EXPORTERS = {
    "saved_model": export_run,
    "saved_model-bfloat16": export_bfloat16,
    "openvino": export_openvino,
    "openvino-int8": export_openvino_int8,
    "onnx": export_onnx,
    "litert": export_litert,
    "litert-int8": export_litert_int8,
}
