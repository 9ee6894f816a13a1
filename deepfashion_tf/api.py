"""The verbs of the package: load, train, dataset. `deepfashion_tf` exports them lazily."""

import difflib
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepfashion_tf.command_line import import_tensorflow
from deepfashion_tf.data.normalization import NORMALIZATIONS
from deepfashion_tf.data.sources import open_splits
from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.acceptance import check_shares, thresholds
from deepfashion_tf.inference.answers import Wanted
from deepfashion_tf.inference.engine_names import EngineChoice
from deepfashion_tf.inference.inputs import Boxes, Images, is_single, items_from
from deepfashion_tf.inference.predictions import Prediction, Predictions, predictions_of
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.models.variants import find_variant, known_backbone, published_variant
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import FOUND_OUT, TrainConfig
from deepfashion_tf.runs.older import REPLACED
from deepfashion_tf.runs.options import recipe_for
from deepfashion_tf.runs.run import Run
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.schema import Schema

if TYPE_CHECKING:
    import tensorflow as tf

    from deepfashion_tf.evaluation.scores import Scores

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


class Model:
    """A trained model: predicts, embeds, and, where it is a run, evaluates and exports.

    `load` and `train` return one.

    Attributes:
        path: run directory or export.
        schema: the categories and their attributes.
        image_size: side of the network's square input in pixels.
        engine: what computes the answers.
    """

    def __init__(self, path: Path, engine: EngineChoice = "auto", exact: bool = False) -> None:
        self.path, self._predictor = path, Predictor.load(path, engine, exact)
        self.schema: Schema = self._predictor.schema
        self.image_size: int = self._predictor.image_size
        self.engine = str(self._predictor.engine)

    def __repr__(self) -> str:
        return f"<deepfashion_tf model {self.path}: {', '.join(self.schema)}>"

    def predict(
        self,
        images: Images,
        boxes: Boxes | None = None,
        *,
        top: int = 1,
        threshold: float | None = None,
        accept_accuracy: float | None = None,
        batch_size: int | None = None,
    ) -> Prediction | Predictions:
        """Predicts the attributes of one image or several.

        Args:
            images: a path or address, encoded bytes, a PIL image, uint8 RGB pixels ``[height,
                width, 3]``; a folder, a pattern or a table of images; or a list or an iterator of
                images.
            boxes: where the garments are, x1, y1, x2, y2 in half-open pixels: one box for all
                images, one for each (None = the whole image), or a dict from image to box.
            top: how many attributes of each category are kept, the likeliest first.
            threshold: probability below which an answer is not sure.
            accept_accuracy: share of the sure answers that is right, 0 to 1, by the calibration
                on the validation images.
            batch_size: images in one step of the network; None = chosen by image size.

        Returns:
            Of one image a `Prediction`: ``["sleeve"].attribute``, ``["sleeve"].probability``. Of
            several a list of them, `Predictions`, in the order of the images; an image that
            cannot be read has a ``fault``.

        Raises:
            InputError: the only image cannot be read, a table cannot be read, or a box has no
                area.
            TypeError: something that is no image.
        """
        wanted = self._wanted(top, threshold, accept_accuracy, boxes is not None)
        found = self._stream(images, boxes, wanted, batch_size)
        if not is_single(images):
            return Predictions(list(found), wanted)
        (only,) = found
        if only.fault:
            raise InputError(f"{only.image} {only.fault}.")
        return only

    def stream(
        self, images: Images, boxes: Boxes | None = None, *, top: int = 1
    ) -> Iterator[Prediction]:
        """Yields predictions one after the other, in bounded memory: see `predict`."""
        return self._stream(images, boxes, self._wanted(top, None, None, True), None)

    def embed(
        self, images: Images, boxes: Boxes | None = None, *, batch_size: int | None = None
    ) -> np.ndarray:
        """Computes the features that the heads read, for similarity search.

        Args:
            images: as `predict` takes them.
            boxes: as `predict` takes them.
            batch_size: as `predict` takes it.

        Returns:
            float32 ``[n, d]``, one row an image; of a single image ``[d]``.

        Raises:
            InputError: an image cannot be read, or the model is an export or an ensemble.
        """
        found = []
        for batch in self._predictor.stream(
            items_from(images, boxes), batch_size, answer=self._embed
        ):
            for item, fault in zip(batch.items, batch.faults, strict=True):
                if fault:
                    raise InputError(f"{item.image} {fault}.")
            found.append(batch.probabilities["features"])
        if not found:
            raise InputError("There is no image to embed.")
        features = np.concatenate(found)
        return features[0] if is_single(images) else features

    def evaluate(
        self,
        split: str = "test",
        data: str | PathLike[str] | None = None,
        *,
        schema: str | PathLike[str] | None = None,
    ) -> "Scores":
        """Scores the run on a split of its own data, or of other data.

        Args:
            split: "train", "val" or "test".
            data: as ``--data``; None = what the run was trained on.
            schema: YAML file of the data's categories; None = the run's.

        Returns:
            `Scores`: mean_accuracy, mean_class_recall, exact match and the majority baseline.

        Raises:
            InputError: the model is an export, or the data cannot be used.
        """
        import_tensorflow()
        from deepfashion_tf.evaluation.evaluate import evaluate

        path = None if schema is None else Path(schema)
        data = None if data is None else fspath(data)
        return evaluate(self._run, self._run.read_split(split, data, path))

    def export(self, format: str = "saved_model") -> Path:
        """Exports the run for an engine, into the run directory.

        Args:
            format: saved_model, saved_model-bfloat16, openvino, openvino-int8, onnx, litert or
                litert-int8.

        Returns:
            The export's folder, which `load` takes.

        Raises:
            InputError: an unknown format, the engine's package is missing, or the model is an
                export itself.
        """
        import_tensorflow()
        from deepfashion_tf.export.formats import EXPORTERS

        if format not in EXPORTERS:
            raise InputError(f"There is no format {format!r}: choose {', '.join(EXPORTERS)}.")
        return EXPORTERS[format](self._run)

    def push_to_hub(self, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
        """Uploads the run with a model card to a Hugging Face repository.

        Args:
            repo_id: "user/name"; is created if it does not exist.
            private: whether a new repository is private.
            token: of the account; None = the one that ``hf auth login`` has stored.

        Returns:
            The address of the commit.

        Raises:
            InputError: the model is an export, or the hub refuses or cannot be reached.
        """
        from deepfashion_tf.runs import hub

        return hub.push(self._run, repo_id, private=private, token=token)

    @cached_property
    def _run(self) -> Run:
        if not (self.path / "config.json").is_file():
            raise InputError(f"{self.path} is an export: load the run directory for this.")
        return Run.load(self.path)

    @cached_property
    def _embed(self) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        import_tensorflow()
        from deepfashion_tf.inference.embedding import embedder

        embed = embedder(self._run)
        return lambda crops: {"features": embed(crops)} if len(crops) else {}

    def _wanted(
        self, top: int, threshold: float | None, accept_accuracy: float | None, with_boxes: bool
    ) -> Wanted:
        if top < 1:
            raise InputError(f"top is {top}, but must be 1 or more.")
        check_shares(threshold, accept_accuracy)
        before, console.quiet = console.quiet, True  # the command prints the thresholds
        try:
            least = thresholds(self._predictor, threshold, accept_accuracy)
        finally:
            console.quiet = before
        return Wanted.of(self._predictor, least, top, with_boxes)

    def _stream(
        self, images: Images, boxes: Boxes | None, wanted: Wanted, batch_size: int | None
    ) -> Iterator[Prediction]:
        for batch in self._predictor.stream(items_from(images, boxes), batch_size):
            yield from predictions_of(batch, wanted)


def load(path: str | PathLike[str], *, engine: EngineChoice = "auto", exact: bool = False) -> Model:
    """Loads a trained model.

    Args:
        path: a run directory, an export of any engine, or the id of a Hugging Face model,
            "user/name".
        engine: what computes: auto = the fastest export that the run has and that is installed.
        exact: compute in float32, where OpenVINO would take bfloat16.

    Returns:
        The model.

    Raises:
        InputError: there is no such model, or it is broken.

    Example:
        import deepfashion_tf as df

        model = df.load("saved_models/seresnet50-demo")
        model.predict("photo.jpg")["sleeve"].attribute
    """
    text = fspath(path)
    if not Path(text).exists() and _HUB_ID.fullmatch(text):
        from deepfashion_tf.runs import hub

        return Model(hub.fetch(text), engine, exact)
    return Model(Path(text), engine, exact)


def train(
    data: str | PathLike[str] | None = None,
    schema: str | PathLike[str] | Schema | None = None,
    *,
    recipe: str | None = None,
    backbone: str | None = None,
    verbose: bool = True,
    **options: Any,
) -> Model:
    """Trains a model, scores it on the validation images, and keeps it as a run directory.

    Args:
        data: a folder, a table, tfds:NAME or wardrobe; None = the wardrobe.
        schema: the categories: a YAML file or a `Schema`; None = those of the data, or the six.
        recipe: demo, probe, finetune, report or strong; None = chosen by data and machine.
        backbone: resnet50, seresnet50, seresnext50, efficientnetlite0 to 2, or keras:NAME; None =
            chosen by the recipe.
        verbose: whether progress and scores are printed.
        **options: those of ``deepfashion train``, such as ``epochs=30, output_dir="run"``.

    Returns:
        The trained `Model`; its ``path`` is the run directory.

    Raises:
        InputError: the data cannot be used, or an option has a value out of its range.
        TypeError: an unknown option.

    Example:
        run = df.train(data="table.csv", schema="schema.yaml", recipe="probe", epochs=30)
        run.evaluate("test").mean_accuracy
    """
    import_tensorflow()
    from deepfashion_tf.evaluation.finish import finish_run
    from deepfashion_tf.training.train import train as train_run

    _check_names(options)
    if data is not None:
        options["data"] = fspath(data)
    if "output_dir" in options:
        options["output_dir"] = Path(options["output_dir"])
    before, console.quiet = console.quiet, not verbose
    try:
        with tempfile.TemporaryDirectory() as folder:
            if isinstance(schema, Schema):
                path = Path(folder) / "schema.yaml"
                schema.save(path)
                options["schema"] = path
            elif schema is not None:
                options["schema"] = Path(schema)
            base = recipe_for(options.get("data"), recipe, backbone, options.get("weights"))
            trained = train_run(replace(base, **options), RuntimeOptions())
            finish_run(trained.run, trained.val, not trained.interrupted)
    finally:
        console.quiet = before
    return Model(trained.run.directory)


def _check_names(options: dict[str, Any]) -> None:
    known = [field.name for field in fields(TrainConfig) if field.name not in FOUND_OUT]
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            if name in REPLACED:
                hint = f"; today it is {REPLACED[name]}"
            raise TypeError(f"train() has no option {name!r}{hint}")


def dataset(
    data: str | PathLike[str],
    split: str = "train",
    image_size: int = 224,
    training: bool = False,
    *,
    schema: str | PathLike[str] | Schema | None = None,
    batch_size: int = 32,
    backbone: str | None = None,
    seed: int = 0,
) -> "tf.data.Dataset":
    """Builds a tf.data.Dataset of crops and labels for any Keras model.

    Args:
        data: a folder, a table, tfds:NAME or wardrobe.
        split: "train", "val" or "test".
        image_size: side of the square crops in pixels.
        training: shuffle and mirror; each pass over the dataset is another epoch.
        schema: the categories: a YAML file or a `Schema`; None = those of the data, or the six.
        batch_size: images in a batch.
        backbone: normalize pixels as the ImageNet weights of this backbone expect; None = leave
            them at 0 to 255.
        seed: of order and mirroring.

    Returns:
        Batches of ``(images, labels)``: float32 ``[batch, image_size, image_size, 3]`` in RGB, and
        a dict category -> int32 ``[batch]``, -1 = not labelled. `FocalLoss` masks -1.

    Raises:
        InputError: the data cannot be used; while it is read, an image that cannot be decoded.

    Example:
        train = df.dataset("table.csv", "train", image_size=128, training=True)
        model.fit(train, validation_data=df.dataset("table.csv", "val", image_size=128))
    """
    import_tensorflow()
    import tensorflow as tf

    from deepfashion_tf.data import pipeline
    from deepfashion_tf.data.reading import DirectReader

    categories = schema if isinstance(schema, Schema | None) else Schema.load(Path(schema))
    source: Any = TrainConfig(
        data=fspath(data), image_size=image_size, batch_size=batch_size, seed=seed
    )
    (found,) = open_splits(source, [split], categories)
    normalization = NORMALIZATIONS["none"]
    if backbone is not None:
        variant = find_variant(published_variant(known_backbone(backbone)))
        normalization = NORMALIZATIONS[variant.normalization]
    reader = DirectReader(found, image_size)
    if not training:
        return pipeline.evaluation_dataset(found, reader, normalization, batch_size=batch_size)
    batches = pipeline.training_dataset(
        found, reader, normalization, batch_size=batch_size, epochs=None, seed=seed
    )
    steps = pipeline.steps_per_epoch(found, batch_size)
    return batches.apply(tf.data.experimental.assert_cardinality(steps))
