"""A run directory: the files of one training run, by name."""

from dataclasses import dataclass, replace
from pathlib import Path

import keras

from deepfashion_tf.data.annotations import Split
from deepfashion_tf.data.images import NORMALIZATIONS, Normalization
from deepfashion_tf.data.sources import read_source
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import whole_or_nothing

# Registers the layers that model.keras names.
from deepfashion_tf.models import senet  # noqa: F401
from deepfashion_tf.models.variants import BACKBONES, VARIANTS
from deepfashion_tf.training.config import TrainConfig


@dataclass(frozen=True)
class Run:
    """A run directory and the configuration that made it."""

    directory: Path
    config: TrainConfig

    @classmethod
    def create(cls, config: TrainConfig) -> "Run":
        """Makes a new run directory and saves the configuration in it.

        Raises:
            InputError: the directory that was asked for holds something already.
        """
        directory = config.output_dir or _free_name(
            Path("saved_models") / f"{config.backbone}-{config.recipe}"
        )
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise InputError(
                f"--output-dir {directory} exists and is not empty: name another, or remove it."
            )
        directory.mkdir(parents=True, exist_ok=True)
        run = cls(directory, config)
        config.save(directory / "config.json")
        return run

    @classmethod
    def load(cls, directory: str | Path) -> "Run":
        """Opens an existing run directory.

        Raises:
            InputError: it is none.
        """
        directory = Path(directory)
        if not directory.is_dir():
            raise InputError(
                f"There is no run directory {directory}: scripts/train.py makes them, "
                f"in saved_models/."
            )
        return cls(directory, TrainConfig.load(directory / "config.json"))

    @property
    def model_path(self) -> Path:
        return self.directory / "model.keras"

    @property
    def normalization(self) -> Normalization:
        """The normalization that belongs to the run's network and its weights."""
        variant = self.config.variant or BACKBONES[self.config.backbone]
        return NORMALIZATIONS[VARIANTS[variant].normalization]

    def read_split(self, split: str, data_dir: Path | None = None) -> Split:
        """Reads a split of the data set the run was trained on, or of another one.

        Raises:
            InputError: the data set cannot be used.
        """
        return read_source(replace(self.config, data_dir=data_dir or self.config.data_dir), split)

    def save_model(self, model: keras.Model) -> None:
        """Saves the best model so far; the one before stays if this fails."""
        with whole_or_nothing(self.model_path) as temporary:
            model.save(temporary)

    def load_model(self) -> keras.Model:
        """Loads the best model.

        Raises:
            InputError: the file is missing or broken.
        """
        if not self.model_path.is_file():
            raise InputError(
                f"{self.model_path} is missing: the run was stopped before its first epoch "
                f"ended; train it again."
            )
        try:
            return keras.models.load_model(self.model_path, compile=False)
        except (ValueError, OSError, TypeError) as error:
            raise InputError(
                f"{self.model_path} cannot be loaded as a Keras model ({error}): "
                f"it is broken or of another version; train the run again."
            ) from error


def _free_name(directory: Path) -> Path:
    number = 2
    free = directory
    while free.exists():
        free = directory.with_name(f"{directory.name}-{number}")
        number += 1
    return free
