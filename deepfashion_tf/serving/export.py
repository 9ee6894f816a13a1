"""Exports a run as a TensorFlow SavedModel that answers for image files as they are."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from deepfashion_tf.data.images import read_crop
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import whole_or_nothing
from deepfashion_tf.inference.calibration import CALIBRATION_FILE, Calibration
from deepfashion_tf.inference.predictor import RUN_FILE, answering
from deepfashion_tf.training.run import SCHEMA_FILE, Run

ATTRIBUTES_FILE = "attributes.json"


def export_run(run: Run) -> Path:
    """Writes ``export/`` into a run directory.

    The SavedModel has two signatures, both answering one named probability tensor
    a category, float32 ``[batch, classes]``:

    - ``serving_default``: ``image_bytes``, string ``[batch]``, JPEG, PNG, GIF, BMP or
      WebP files as they are; ``boxes``, int32 ``[batch, 4]``, x1 y1 x2 y2 in half-open pixels,
      all -1 = the whole image.
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
    calibration = Calibration.load(run.directory / CALIBRATION_FILE)
    model = run.load_model()
    answer = answering(model, run.normalization, calibration)
    module = _module(model, run.config.image_size, answer)
    path = run.directory / "export"
    with tempfile.TemporaryDirectory() as folder, whole_or_nothing(path) as temporary:
        attributes = Path(folder) / ATTRIBUTES_FILE
        attributes.write_text(json.dumps(dict(run.schema), indent=2) + "\n", encoding="utf-8")
        module.attributes = tf.saved_model.Asset(str(attributes))
        run.schema.save(Path(folder) / SCHEMA_FILE)
        calibration.save(Path(folder) / CALIBRATION_FILE)
        module.calibration = tf.saved_model.Asset(str(Path(folder) / CALIBRATION_FILE))
        known = {"backbone": run.config.backbone, "untrained": list(run.config.untrained)}
        (Path(folder) / RUN_FILE).write_text(json.dumps(known) + "\n", encoding="utf-8")
        module.run = tf.saved_model.Asset(str(Path(folder) / RUN_FILE))
        module.schema = tf.saved_model.Asset(str(Path(folder) / SCHEMA_FILE))
        try:
            tf.saved_model.save(module, str(temporary), signatures=module.endpoints)
        except tf.errors.OpError as error:
            raise InputError(
                f"{path} cannot be written ({error.message}): free some space, or name "
                f"a run in a folder that this user may write to."
            ) from error
    return path


def _module(
    model: keras.Model, size: int, answer: Callable[[tf.Tensor], dict[str, tf.Tensor]]
) -> tf.Module:
    module = tf.Module()
    # What a signature reads must hang on the module, or it is not saved with it.
    module.model_variables = [variable.value for variable in model.variables]

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8, "images")],
    )
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
            lambda item: read_crop(item[0], item[1], size),
            (image_bytes, boxes),
            fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8),
            parallel_iterations=8,
        )
        return answer(crops)

    module.endpoints = {"serving_default": of_files, "images": of_crops}
    return module


EXPORTERS = {"saved_model": export_run}
