"""A run directory: the files of one training run, by name."""

import csv
import hashlib
import itertools
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepfashion_tf.data.normalization import NORMALIZATIONS, Normalization
from deepfashion_tf.data.sources import open_splits
from deepfashion_tf.data.split import Split
from deepfashion_tf.documents import kind_fault, read_document
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import (
    check_utf8,
    expand_user,
    is_folder,
    remove_unfinished,
    whole_or_nothing,
)
from deepfashion_tf.models.variants import find_variant, layer_name, published_variant
from deepfashion_tf.outputs import check_local
from deepfashion_tf.runs.config import CONFIG_FILE, TrainConfig
from deepfashion_tf.runs.noted_attributes import check_attributes, note_attributes
from deepfashion_tf.schema import Schema, builtin_schema
from deepfashion_tf.usage import command

if TYPE_CHECKING:
    import keras

BAD_IMAGES_FILE = "bad_images.txt"
ENSEMBLE_FILE = "ensemble.json"  # names the runs that an ensemble was made of
HISTORY_FILE = "history.csv"
MODEL_FILE = "model.keras"
SCHEMA_FILE = "schema.yaml"


@dataclass(frozen=True)
class Run:
    """A run directory, the configuration that made it, and the categories it answers."""

    directory: Path
    config: TrainConfig
    schema: Schema

    @staticmethod
    def check_output(config: TrainConfig) -> None:
        """Refuses an --output-dir that holds something already, before anything is computed.

        Raises:
            InputError: says so.
        """
        directory = config.output_dir
        if directory:
            check_utf8(directory, "--output-dir")
            check_local("--output-dir", directory)
        if directory and os.path.lexists(directory) and not _is_empty_folder(directory):
            unfinished = (directory / CONFIG_FILE).is_file()
            advice = f", or go on with it by --resume {directory}" if unfinished else ""
            raise InputError(
                f"--output-dir {directory} exists and is not empty: name another, or remove "
                f"it{advice}."
            )

    @classmethod
    def create(cls, config: TrainConfig, schema: Schema) -> "Run":
        """Makes a new run directory and saves configuration and schema in it.

        A run that is started at the same time gets a directory of its own.

        Raises:
            InputError: the directory that was asked for holds something already.
        """
        cls.check_output(config)
        if config.output_dir:
            directory = config.output_dir
            directory.mkdir(parents=True, exist_ok=True)
        else:
            name = f"{layer_name(config.backbone)}-{config.recipe}"
            directory = _make_numbered(Path("saved_models") / name)
        try:
            # Whoever makes this file first has the directory.
            config.save(directory / CONFIG_FILE, only_new=True)
        except FileExistsError as error:
            raise InputError(
                f"--output-dir {directory} was taken by another run just now: name another."
            ) from error
        schema.save(directory / SCHEMA_FILE)
        return cls(directory, config, schema)

    @classmethod
    def reopen(cls, config: TrainConfig, schema: Schema) -> "Run":
        """Opens the run ``config.output_dir`` again, to train it further.

        What a process that was killed has left half written is removed, and a schema
        that it did not come to write is written.
        """
        run = cls(config.output_dir, config, schema)
        remove_unfinished(run.directory)
        if not (run.directory / SCHEMA_FILE).exists():
            schema.save(run.directory / SCHEMA_FILE)
        return run

    @classmethod
    def load(cls, directory: str | Path) -> "Run":
        """Opens an existing run directory. Without ``schema.yaml`` it has the built-in schema.

        Raises:
            InputError: it is none, or its schema is not the one of its model.
        """
        directory = expand_user(Path(directory), "the run directory")
        if not is_folder(directory):
            raise InputError(
                f"There is no run directory {directory}: {command('train')} makes them, "
                f"in saved_models/."
            )
        config = TrainConfig.load(directory / CONFIG_FILE)
        schema = cls.schema_of(directory) or builtin_schema()
        for key in ("untrained", "loss_weights"):
            unknown = [name for name in getattr(config, key) if name not in schema]
            if unknown:
                raise InputError(
                    f"{directory / CONFIG_FILE} names {', '.join(unknown)} in {key}, but the "
                    f"categories are {', '.join(schema)}: mend it, or put the files of one run "
                    f"together again."
                )
        check_attributes(directory / MODEL_FILE, directory / SCHEMA_FILE, schema)
        return cls(directory, config, schema)

    @staticmethod
    def schema_of(directory: Path) -> Schema | None:
        """Reads a run directory's schema; None where it has none."""
        path = directory / SCHEMA_FILE
        return Schema.load(path) if path.exists() else None

    def complete_epochs(self) -> int:
        """Counts the epochs of a run without checkpoints: none, or all.

        Raises:
            InputError: it has some, which would be lost by beginning anew.
        """
        history = self.directory / HISTORY_FILE
        if not history.is_file():
            return 0
        rows = len(read_rows(self.directory))
        if rows < self.config.epochs or not self.model_path.is_file():
            raise InputError(
                f"{self.directory} has {rows} of {self.config.epochs} epochs and no checkpoints to "
                f"go on from: train anew, with another --output-dir."
            )
        return self.config.epochs

    @property
    def trained(self) -> list[str]:
        """The categories that the model was trained in."""
        return [category for category in self.schema if category not in self.config.untrained]

    @property
    def is_ensemble(self) -> bool:
        return (self.directory / ENSEMBLE_FILE).is_file()

    @property
    def network(self) -> str:
        """Names the backbone and its image size; of an ensemble, those of all members."""
        if self.is_ensemble:
            path = self.directory / ENSEMBLE_FILE
            try:
                networks = read_document(path).get("networks", [])
            except (OSError, ValueError) as error:
                raise InputError(
                    f"{path} cannot be read as an ensemble's members ({error}): make the ensemble "
                    f"again."
                ) from error
            if fault := kind_fault("networks", networks, tuple[str, ...]):
                raise InputError(f"{path} cannot be used ({fault}): make the ensemble again.")
            if networks:
                return " + ".join(networks)
        return f"{self.config.backbone}, {self.config.image_size} px"

    @property
    def model_path(self) -> Path:
        return self.directory / MODEL_FILE

    @property
    def bad_images_path(self) -> Path:
        """Names what a run that skips bad images has skipped; not there if it was nothing."""
        return self.directory / BAD_IMAGES_FILE

    @property
    def normalization(self) -> Normalization:
        """The normalization that belongs to the run's network and its weights."""
        # Runs of before there were variants have those of `imagenet`.
        variant = self.config.variant or published_variant(self.config.backbone)
        return NORMALIZATIONS[find_variant(variant).normalization]

    def read_split(
        self,
        split: str,
        data: str | None = None,
        schema: Path | None = None,
    ) -> Split:
        """Reads a split of the data set the run was trained on, or of another one.

        Args:
            split: "train", "val" or "test".
            data: as ``--data``; None = the run's own.
            schema: file of the data's schema; None = the run's, where the data bear no own.

        Raises:
            InputError: the data set cannot be used, or has another schema than the run.
        """
        source = self.config
        if data is not None:
            source = replace(source, data=data)
        wanted = Schema.load(schema) if schema else self.schema
        check_images = self.config.on_bad_image == "error"
        (found,) = open_splits(source, [split], wanted, check_images)
        differences = self.schema.differences(found.schema)
        if differences:
            raise InputError(
                f"{found.source} has another schema than the run {self.directory}: "
                f"{'; '.join(differences)}. Name data of the run's schema."
            )
        return found

    def metrics_path(self, split: Split, own_data: bool) -> Path:
        """Names the file for a split's scores: of other data than the run's, one for each."""
        if own_data:
            return self.directory / f"metrics-{split.name}.json"
        digest = hashlib.sha256(split.source.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        return self.directory / f"metrics-{split.name}-{digest}.json"

    def save_model(self, model: "keras.Model") -> None:
        """Saves the best model so far; the one before stays if this fails."""
        with whole_or_nothing(self.model_path) as temporary:
            model.save(temporary)
            note_attributes(temporary, self.schema)

    def load_model(self) -> "keras.Model":
        """Loads the best model.

        Raises:
            InputError: the file is missing, broken, holds NaN, or is not the run's.
        """
        if not self.model_path.is_file():
            raise InputError(
                f"{self.model_path} is missing: the run was stopped before its first epoch "
                f"ended; train it again."
            )
        import keras

        # Registers the layers that model.keras names.
        from deepfashion_tf.models import attribute_model, backbones, ensemble  # noqa: F401
        from deepfashion_tf.models.weights import check_hdf5, check_values

        check_hdf5(self.model_path)
        try:
            model = keras.models.load_model(self.model_path, compile=False)
            expected = {
                category: (None, len(attributes)) for category, attributes in self.schema.items()
            }
            found = {name: output.shape for name, output in model.output.items()}
            size = model.input_shape[1]
        # Where a damaged file leads Keras, it fails with anything.
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise InputError(
                f"{self.model_path} cannot be loaded as a Keras model ({reason}): "
                f"it is broken or of another version; train the run again."
            ) from error
        if found != expected or size != self.config.image_size:
            raise InputError(
                f"{self.model_path} answers {', '.join(map(str, found))} for images of {size} "
                f"pixels, but config.json and schema.yaml beside it are of a run that answers "
                f"{', '.join(expected)} for {self.config.image_size} pixels: put the files of one "
                f"run together again."
            )
        if not self.is_ensemble:
            self._check_backbone(model)
        check_values(str(self.model_path), {v.path: np.asarray(v) for v in model.variables})
        return model

    def _check_backbone(self, model: "keras.Model") -> None:
        """Refuses a model of another network than the configuration names.

        Its images would be normalized for the other one, and its answers be certain and wrong.
        """
        from deepfashion_tf.models.backbones import fitting_variants

        name, variant = layer_name(self.config.backbone), self.config.variant
        known = {layer.name: layer for layer in model.layers}
        found = fitting_variants(self.config.backbone, known[name]) if name in known else []
        normalizations = {NORMALIZATIONS[find_variant(each).normalization] for each in found}
        if variant in found or (variant is None and self.normalization in normalizations):
            return
        wanted = variant or self.config.backbone
        raise InputError(
            f"{self.model_path} is no network of {wanted}, which {CONFIG_FILE} beside it names: "
            f"put the files of one run together again."
        )


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _make_numbered(directory: Path) -> Path:
    """Makes a folder, or the first of ``-2``, ``-3`` … that is not there yet."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = directory.with_name(f"{directory.name}-{number}") if number > 1 else directory
        try:
            path.mkdir()
            return path
        except FileExistsError:
            continue


def read_rows(directory: Path) -> list[dict[str, float]]:
    """Reads history.csv of a run directory, one row an epoch; none where there is no file."""
    path = directory / HISTORY_FILE
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {
                name: int(value) if name == "epoch" else float(value) if value else math.nan
                for name, value in row.items()
            }
            for row in csv.DictReader(file)
        ]
