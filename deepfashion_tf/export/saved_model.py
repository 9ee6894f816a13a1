"""Exports a run as a SavedModel, which answers for image files as they are."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from deepfashion_tf.data.headers import OTHER_KIND
from deepfashion_tf.data.images import read_crop
from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import InputError
from deepfashion_tf.export.frozen import Network
from deepfashion_tf.files import whole_or_nothing, write_atomically
from deepfashion_tf.inference.answering import answering_function
from deepfashion_tf.inference.calibration import CALIBRATION_FILE, Calibration
from deepfashion_tf.inference.engine_names import EngineName
from deepfashion_tf.inference.engines import ENGINES, open_engine
from deepfashion_tf.inference.exported import ATTRIBUTES_FILE, RUN_FILE, digest_of, seal
from deepfashion_tf.runs.run import SCHEMA_FILE, Run

DIFFERENT = 0.2  # between probabilities: more than what bfloat16 rounds


def export_run(run: Run, model: keras.Model | None = None) -> Path:
    """Writes ``export/`` into a run directory.

    The SavedModel has two signatures, both answering one named probability tensor
    a category, float32 ``[batch, classes]``:

    - ``serving_default``: ``image_bytes``, string ``[batch]``, JPEG, PNG, GIF, BMP or
      WebP files as they are; ``boxes``, int32 ``[batch, 4]``, x1 y1 x2 y2 in half-open pixels,
      all -1 = the whole image. They are enlarged as the run's padding says.
    - ``images``: ``images``, uint8 ``[batch, size, size, 3]``, ready crops in RGB.

    The probabilities are those of the run's calibration. ``assets/attributes.json`` names the
    attributes in the order of the outputs, ``assets/schema.yaml`` is the run's schema, and
    ``assets/calibration.json`` its offsets, its temperatures and what may be accepted. A category
    that no training image was labelled in gives all of its attributes the same probability.

    Args:
        run: trained.
        model: of ``run.load_model()``; None = it is loaded.

    Returns:
        The folder.

    Raises:
        InputError: the run has no model, or the folder cannot be written.
    """
    answering = answering_function(run, model or run.load_model())
    path = run.directory / "export"
    with whole_or_nothing(path) as temporary:
        _save_model(run, answering, "tensorflow", temporary)
        seal(temporary)
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
        check_answers(answering, engine, temporary / ENGINES[engine].file)
        seal(temporary)
    return path


def _save_model(
    run: Run, answering: tf.types.experimental.PolymorphicFunction, engine: EngineName, path: Path
) -> None:
    module = _module(run.config.image_size, run.config.box_padding, answering, engine)
    with tempfile.TemporaryDirectory() as folder:
        write_assets(run, Path(folder), engine)
        for asset in Path(folder).iterdir():
            setattr(module, asset.stem, tf.saved_model.Asset(str(asset)))
        try:
            # Swish has a custom gradient that cannot be saved, and an export has no use for any.
            options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
            tf.saved_model.save(module, str(path), signatures=module.endpoints, options=options)
        except tf.errors.OpError as error:
            raise InputError(
                f"{path.parent} cannot be written to ({error.message}): free some space, or name "
                f"a run in a folder that this user may write to."
            ) from error


def write_assets(run: Run, folder: Path, engine: EngineName) -> None:
    """Writes what whoever answers needs to know beside the network."""
    write_atomically(folder / ATTRIBUTES_FILE, as_json(dict(run.schema), indent=2) + "\n")
    run.schema.save(folder / SCHEMA_FILE)
    Calibration.load(run.directory / CALIBRATION_FILE, run.schema).save(folder / CALIBRATION_FILE)
    known = {
        "backbone": run.config.backbone,
        "untrained": list(run.config.untrained),
        "image_size": run.config.image_size,
        "box_padding": run.config.box_padding,
        "digest": digest_of(run),
        "engine": engine,
    }
    write_atomically(folder / RUN_FILE, as_json(known) + "\n")


def _module(
    size: int,
    padding: float,
    answering: tf.types.experimental.PolymorphicFunction,
    engine: EngineName,
) -> tf.Module:
    module = tf.Module()
    traced = answering.get_concrete_function()
    module.network = Network(traced, engine == "tensorflow-bfloat16")

    def answer(crops: tf.Tensor) -> dict[str, tf.Tensor]:
        # The kernels take no empty batch: it is answered as one of a black image, left out again.
        count = tf.shape(crops)[0]
        filled = tf.pad(crops, [[0, tf.maximum(1 - count, 0)], [0, 0], [0, 0], [0, 0]])
        filled = tf.ensure_shape(filled, [None, size, size, 3])
        return {
            name: tf.identity(found[:count], name)
            for name, found in module.network.answer(filled).items()
        }

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
        image_bytes, boxes = _checked(image_bytes, boxes)
        crops = _decoded(image_bytes, boxes, lambda *item: read_crop(*item, size, padding), size)
        return answer(crops)

    module.endpoints = {"serving_default": of_files, "images": of_crops}
    return module


def _checked(image_bytes: tf.Tensor, boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Refuses what no image can be, or no box, by its place in the batch."""
    counts = [tf.shape(image_bytes)[0], tf.shape(boxes)[0]]
    same = tf.debugging.Assert(
        counts[0] == counts[1], ["give one box for each image; images, boxes:", *counts]
    )
    with tf.control_dependencies([same]):
        heads = tf.strings.join([tf.strings.substr(image_bytes, 0, 12), "\0" * 12])
    known = tf.reduce_any([_begin(heads, parts) for parts in _KINDS], axis=0)
    whole, low, high = tf.reduce_all(boxes == -1, axis=1), boxes[:, :2], boxes[:, 2:]
    fits = whole | tf.reduce_all((low >= 0) & (low < high), axis=1)
    checks = [
        tf.debugging.Assert(
            tf.reduce_all(good), [f"{fault}, counted from 0:", tf.where(~good)[:, 0]], 32
        )
        for fault, good in (
            (f"what {OTHER_KIND}", known),
            ("a box (x1, y1, x2, y2) that has no area or lies outside the image", fits),
        )
    ]
    with tf.control_dependencies(checks):
        return tf.identity(image_bytes), tf.identity(boxes)


def _decoded(
    image_bytes: tf.Tensor, boxes: tf.Tensor, read: Callable[..., tf.Tensor], size: int
) -> tf.Tensor:
    """Reads the images of a batch; where some cannot be read, the error names their places.

    Of TensorFlow's operations, only those of data sets pass over an error.
    """
    count = tf.shape(image_bytes, tf.int64)[0]
    places = tf.data.Dataset.range(count)
    items = tf.data.Dataset.zip(
        places, tf.data.Dataset.from_tensor_slices((image_bytes, boxes))
    ).map(lambda place, item: (place, read(*item)), tf.data.AUTOTUNE, deterministic=True)
    # A last image, so that there is one where the batch is empty.
    last = tf.data.Dataset.from_tensors((count, tf.zeros([size, size, 3], tf.uint8)))
    found = items.ignore_errors(log_warning=True).concatenate(last).batch(count + 1)
    places, crops = found.get_single_element()
    wrong = tf.where(tf.reduce_all(tf.range(count)[:, None] != places, axis=1))[:, 0]
    fault = "an image that cannot be decoded, or does not hold its box, counted from 0:"
    check = tf.debugging.Assert(tf.size(wrong) == 0, [fault, wrong, "of", count], 32)
    with tf.control_dependencies([check]):
        return tf.ensure_shape(crops[:-1], [None, size, size, 3])


def _begin(heads: tf.Tensor, parts: dict[int, bytes]) -> tf.Tensor:
    found = [tf.strings.substr(heads, at, len(text)) == text for at, text in parts.items()]
    return tf.reduce_all(found, axis=0)


# How the files begin that are read: JPEG, PNG, GIF, BMP, WebP.
_KINDS = (
    {0: b"\xff\xd8\xff"},
    {0: b"\x89PNG\r\n\x1a\n"},
    {0: b"GIF8"},
    {0: b"BM"},
    {0: b"RIFF", 8: b"WEBP"},
)


def check_answers(answer: Callable, engine: EngineName, path: Path) -> None:
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
