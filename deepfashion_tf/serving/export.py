"""Exports a run: a SavedModel that answers for image files as they are, OpenVINO, ONNX, LiteRT."""

import importlib
import io
import json
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.grappler.tf_optimizer import OptimizeGraph

from deepfashion_tf.command_line import hidden_stderr
from deepfashion_tf.data.images import read_crop
from deepfashion_tf.data.reading import crop_batches
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import whole_or_nothing, write_atomically
from deepfashion_tf.inference.calibration import CALIBRATION_FILE, Calibration
from deepfashion_tf.inference.engines import ENGINES, SIGNATURE, EngineName, open_engine
from deepfashion_tf.inference.predictor import (
    RUN_FILE,
    Predictor,
    answering_function,
    digest_of,
)
from deepfashion_tf.models.grouped_convolution import native_grouped_convolution
from deepfashion_tf.serving.onnx_graph import scale_channels_first
from deepfashion_tf.training.run import SCHEMA_FILE, Run

ATTRIBUTES_FILE = "attributes.json"
OPSET = 17
CALIBRATED = 200  # images that the ranges of 8-bit features are taken from
DIFFERENT = 0.2  # between probabilities: more than what bfloat16 rounds
COMPARED = 400  # images that an export's answers are compared on
# What TensorFlow's rewriter reads its lists of operations from.
_KEPT_IN_FLOAT32 = {
    f"TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_{change}": "Softmax"
    for change in ("DENYLIST_ADD", "INFERLIST_REMOVE")
}
# What stays in floating point: OpenVINO cannot open a network with 8-bit integers between a block
# that is looked at and the next, which strides.
_FLOAT = ".*/attention_pooling.*"


def export_run(run: Run) -> Path:
    """Writes ``export/`` into a run directory.

    The SavedModel has two signatures, both answering one named probability tensor
    a category, float32 ``[batch, classes]``:

    - ``serving_default``: ``image_bytes``, string ``[batch]``, JPEG, PNG, GIF, BMP or
      WebP files as they are; ``boxes``, int32 ``[batch, 4]``, x1 y1 x2 y2 in half-open pixels,
      all -1 = the whole image. They are enlarged as the run's padding says.
    - ``images``: ``images``, uint8 ``[batch, size, size, 3]``, ready crops in RGB.

    The probabilities are those of the run's calibration. ``assets/attributes.json`` names the
    attributes in the order of the outputs, ``assets/schema.yaml`` is the run's schema, and
    ``assets/calibration.json`` its temperatures and what may be accepted. A category that no
    training image was labelled in gives all of its attributes the same probability.

    Returns:
        The folder.

    Raises:
        InputError: the run has no model, or the folder cannot be written.
    """
    answering = answering_function(run, run.load_model())
    path = run.directory / "export"
    with whole_or_nothing(path) as temporary:
        _save_model(run, answering, "tensorflow", temporary)
    return path


def export_bfloat16(run: Run) -> Path:
    """Writes ``export-saved_model-bfloat16/``: `export_run`'s SavedModel, in bfloat16.

    TensorFlow's own rewriter chooses what is computed so: convolutions and what stands between
    them. Its weights are 16 bits wide where they can be. It is for processors with units for
    bfloat16; others answer the same, slowly.

    Raises:
        InputError: the run has no model, TensorFlow has no bfloat16 here, what was made of it
            answers otherwise, or the folder cannot be written.
    """
    engine = "tensorflow-bfloat16"
    answering = answering_function(run, run.load_model())
    path = run.directory / ENGINES[engine].folder
    with whole_or_nothing(path) as temporary:
        _save_model(run, answering, engine, temporary)
        _compare(answering, engine, temporary / ENGINES[engine].file)
    return path


def _save_model(
    run: Run, answering: tf.types.experimental.PolymorphicFunction, engine: EngineName, path: Path
) -> None:
    module = _module(run.config.image_size, run.config.box_padding, answering, engine)
    with tempfile.TemporaryDirectory() as folder:
        _write_assets(run, Path(folder), engine)
        for asset in Path(folder).iterdir():
            setattr(module, asset.stem, tf.saved_model.Asset(str(asset)))
        try:
            tf.saved_model.save(module, str(path), signatures=module.endpoints)
        except tf.errors.OpError as error:
            raise InputError(
                f"{path.parent} cannot be written to ({error.message}): free some space, or name "
                f"a run in a folder that this user may write to."
            ) from error


def _write_assets(run: Run, folder: Path, engine: EngineName) -> None:
    """Writes what whoever answers needs to know beside the network."""
    write_atomically(folder / ATTRIBUTES_FILE, json.dumps(dict(run.schema), indent=2) + "\n")
    run.schema.save(folder / SCHEMA_FILE)
    Calibration.load(run.directory / CALIBRATION_FILE).save(folder / CALIBRATION_FILE)
    known = {
        "backbone": run.config.backbone,
        "untrained": list(run.config.untrained),
        "image_size": run.config.image_size,
        "box_padding": run.config.box_padding,
        "digest": digest_of(run),
        "engine": engine,
    }
    write_atomically(folder / RUN_FILE, json.dumps(known) + "\n")


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

    As `export_openvino`, for phones and small machines; the signature is ``images``.
    """
    return _export_network(run, "litert", lambda answer, path: _write_litert(answer, path, None))


def export_litert_int8(run: Run) -> Path:
    """Writes ``export-litert-int8/``: a network whose weights and features are 8-bit integers.

    It is calibrated on `CALIBRATED` of the run's training images, is a quarter as large, and
    answers otherwise now and then: see `agreement`.

    Raises:
        InputError: the run has no model, or its training images cannot be read.
    """
    crops = _calibration_crops(run)
    return _export_network(
        run, "litert-int8", lambda answer, path: _write_litert(answer, path, crops)
    )


def _calibration_crops(run: Run) -> np.ndarray:
    split = run.read_split("train")
    rows = np.random.default_rng(0).permutation(len(split))[:CALIBRATED]
    return np.concatenate(list(crop_batches(split.take(rows, "train"), run.config.image_size)))


def _write_litert(answer: Callable, path: Path, calibration: np.ndarray | None) -> None:
    frozen = _frozen(answer.get_concrete_function())
    of_crops = tf.function(frozen, autograph=False, input_signature=answer.input_signature)
    with tempfile.TemporaryDirectory() as folder, hidden_stderr():
        tf.saved_model.save(tf.Module(), folder, signatures={SIGNATURE: of_crops})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        if calibration is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                (SIGNATURE, {"images": crop[None]}) for crop in calibration
            )
        path.write_bytes(converter.convert())


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


def _import(name: str, engine: EngineName):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        about = ENGINES[engine]
        raise InputError(
            f"--formats {about.format} needs {name.partition('.')[0]}: "
            f"pip install -r {about.exporter_file}."
        ) from error


def _export_network(run: Run, engine: EngineName, write: Callable[[Callable, Path], None]) -> Path:
    about = ENGINES[engine]
    answer = answering_function(run, run.load_model())
    path = run.directory / about.folder
    with whole_or_nothing(path) as temporary:
        temporary.mkdir()
        (temporary / "assets").mkdir()
        _write_assets(run, temporary / "assets", engine)
        with native_grouped_convolution():
            write(answer, temporary / about.file)
        # Converters tell of what they could not convert in a log at most.
        if about.is_installed:
            _compare(answer, engine, temporary / about.file)
    return path


def _compare(answer: Callable, engine: EngineName, path: Path) -> None:
    """Refuses a network that cannot be opened, or answers noise otherwise than the model does."""
    (images,) = answer.input_signature
    noise = np.random.default_rng(0).integers(0, 256, (2, *images.shape[1:]), np.uint8)
    expected, found = answer(tf.constant(noise)), open_engine(engine, path)[0](noise)
    apart = max(float(np.abs(found[name] - expected[name]).max()) for name in expected)
    # Noise lies outside of the ranges that 8-bit features were calibrated to.
    if ENGINES[engine].is_exact and not apart < DIFFERENT:
        raise InputError(
            f"The export for {engine} answers otherwise than the model (by {apart:.2g} in a "
            f"probability), and is not kept: export in another format."
        )


def _module(
    size: int,
    padding: float,
    answering: tf.types.experimental.PolymorphicFunction,
    engine: EngineName,
) -> tf.Module:
    module = tf.Module()
    change = _in_bfloat16 if engine == "tensorflow-bfloat16" else None
    answer = _frozen(answering.get_concrete_function(), change)

    @tf.function(autograph=False, input_signature=answering.input_signature)
    def of_crops(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(images)

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None], tf.string, "image_bytes"),
            tf.TensorSpec([None, 4], tf.int32, "boxes"),
        ],
    )
    def of_files(image_bytes: tf.Tensor, boxes: tf.Tensor) -> dict[str, tf.Tensor]:
        crops = tf.map_fn(
            lambda item: read_crop(item[0], item[1], size, padding),
            (image_bytes, boxes),
            fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8),
            parallel_iterations=8,
        )
        return answer(crops)

    module.endpoints = {"serving_default": of_files, "images": of_crops}
    return module


def _frozen(
    traced: tf.types.experimental.ConcreteFunction,
    change: Callable[[tf.types.experimental.ConcreteFunction], Callable] | None = None,
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Makes constants of the weights.

    TensorFlow joins batch norm to convolutions of constants alone, and lays their kernels out
    once, not at each call.

    Args:
        traced: from images to a tensor a category.
        change: what is made of the graph without variables.
    """
    frozen = convert_variables_to_constants_v2(traced)
    if change:
        frozen = change(frozen)
    names = sorted(traced.structured_outputs)  # the order in which a dictionary is flattened

    def call(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            name: tf.identity(value, name)
            for name, value in zip(names, frozen(images), strict=True)
        }

    return call


def _in_bfloat16(frozen: tf.types.experimental.ConcreteFunction) -> Callable:
    """Rewrites a graph without variables to compute in bfloat16 what loses little by it.

    As ``auto_mixed_precision_onednn_bfloat16`` does at run time, but kept: batch norm is joined to
    the kernels in float32 before, and what follows the cast of a constant is computed here.
    Softmax stays in float32: probabilities of 8 bits would no longer add up to 1.
    """
    outputs = [output.name for output in frozen.outputs]
    graph = tf.compat.v1.train.export_meta_graph(
        graph_def=frozen.graph.as_graph_def(add_shapes=True), graph=frozen.graph
    )
    graph.collection_def["train_op"].node_list.value.extend(outputs)
    config = tf.compat.v1.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.auto_mixed_precision_onednn_bfloat16 = rewriting.ON
    rewriting.optimizers.extend(
        ["constfold", "auto_mixed_precision_onednn_bfloat16", "constfold", "dependency"]
    )
    rewriting.meta_optimizer_iterations = rewriting.ONE
    os.environ |= _KEPT_IN_FLOAT32
    try:
        changed = OptimizeGraph(config, graph)
    finally:
        for name in _KEPT_IN_FLOAT32:
            del os.environ[name]
    # To ask a node for an attribute that it has not would give it one.
    kinds = {node.attr["T"].type for node in changed.node if "T" in node.attr}
    if tf.bfloat16.as_datatype_enum not in kinds:
        raise InputError(
            "TensorFlow leaves all of the network in float32 here, as it does without oneDNN "
            "(TF_ENABLE_ONEDNN_OPTS=0) or on a processor that it has no bfloat16 for: export it on "
            "another machine, or in another format."
        )
    whole = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(changed, name=""), [])
    return whole.prune([given.name for given in frozen.inputs], outputs)


EXPORTERS = {
    "saved_model": export_run,
    "saved_model-bfloat16": export_bfloat16,
    "openvino": export_openvino,
    "openvino-int8": export_openvino_int8,
    "onnx": export_onnx,
    "litert": export_litert,
    "litert-int8": export_litert_int8,
}
