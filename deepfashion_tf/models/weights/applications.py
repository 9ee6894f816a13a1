"""Weights of the networks of keras.applications: their publisher's, and files of the user's own."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np

from deepfashion_tf.downloads import download
from deepfashion_tf.errors import InputError
from deepfashion_tf.keras_private import file_asked_for
from deepfashion_tf.models.applications import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    is_learned_normalization,
    original,
)
from deepfashion_tf.models.cloning import copy_layers
from deepfashion_tf.models.variants import Application
from deepfashion_tf.models.weights.check import check_hdf5, check_values, find_file, printable

_KINDS = (".keras", ".h5")


@dataclass(frozen=True)
class Release:
    """A file on the web, as the library that publishes it lists it.

    Attributes:
        name: of the file.
        url: its address.
        digest: its MD5 or SHA-256, in hexadecimal; None = it is published without.
    """

    name: str
    url: str
    digest: str | None


@dataclass(frozen=True)
class LocalFile:
    """A file that is here, and the SHA-256 of its bytes."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class ApplicationWeights:
    """A weights file of a network of keras.applications.

    Attributes:
        source: as the user named it.
        file: where it is.
        application: the network that it is for.
        has_top: the network has the 1000-d ImageNet output.
    """

    source: str
    file: LocalFile
    application: Application
    has_top: bool

    @property
    def variant(self) -> str:
        return self.application.backbone

    def load(self, network: keras.Model) -> None:
        """Puts the weights into a network of `build_application`; all of them, or none.

        Raises:
            InputError: they do not fit.
        """
        size = network.input_shape[1]
        try:
            source, is_copy = self._read(network, size)
            check_values(self.source, {v.path: np.asarray(v) for v in source.variables})
            copy_layers(source, network, is_copy=is_copy, without=_constants(source))
        # Keras fails with anything where a file is of another network.
        except Exception as error:
            if isinstance(error, InputError):
                raise
            reason = printable(" ".join(str(error).split())[:200])
            advice = "say --heads pooled, or " if self.has_top else ""
            raise InputError(
                f"{self.source} does not fit {self.variant} at {size} pixels, and nothing of it "
                f"was loaded ({reason}): {advice}name weights of this network."
            ) from error

    def _read(self, network: keras.Model, size: int) -> tuple[keras.Model, bool]:
        """Reads the file into a network of its own; is it one of `build_application`?"""
        path = self.file.path
        if path.suffix == ".keras":
            model = keras.models.load_model(path, compile=False)
            inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]
            is_run = isinstance(model.output, dict) and bool(inner)
            model = inner[0] if is_run else model
            return model, model.name == network.name
        if _is_ours(path):
            copy = keras.models.clone_model(keras.Model(network.input, network.outputs[0]))
            copy.load_weights(path)
            return copy, True
        found = original(self.application, size, self.has_top)
        found.load_weights(path)
        return found, False


def _constants(network: keras.Model) -> list[keras.Layer]:
    """Lists the layers whose weights `build_application` has as constants.

    Raises:
        ValueError: they have other weights.
    """
    found = [layer for layer in network.layers if is_learned_normalization(layer)]
    for layer in found:
        mean, deviation = layer.get_weights()[:2]
        expected = [IMAGENET_MEAN, IMAGENET_DEVIATION]
        # The published file has deviations where a layer of Keras has their squares.
        if not np.allclose([np.ravel(mean), np.ravel(deviation)], expected, atol=1e-3):
            raise ValueError("it normalizes images otherwise than the published weights")
    return found


def find_application_weights(
    source: str,
    application: Application,
    folder: Path,
    *,
    top: bool,
    offline: bool,
    otherwise: str,
) -> ApplicationWeights:
    """Finds weights of a network of keras.applications, downloaded where they are not here yet.

    Args:
        source: imagenet, or a file: ``.weights.h5``, ``.h5`` or ``.keras`` of this network.
        application: which network.
        folder: where Keras keeps weights.
        top: with the 1000-d ImageNet output.
        offline: download nothing.
        otherwise: what else one can do, for messages.

    Raises:
        InputError: there is no such source, or it cannot be fetched.
    """
    if source == "imagenet":
        release = release_of(application, top)
        path = folder / release.name
        download(release.url, path, release.digest, offline=offline, otherwise=otherwise)
    else:
        path = find_file(
            source,
            f"--weights {printable(source)} does not go with --backbone {application.backbone}: "
            f"say imagenet, wardrobe or none, or name a file of this network",
        )
        if path.suffix not in _KINDS:
            raise InputError(
                f"--weights {printable(source)} does not go with --backbone "
                f"{application.backbone}: name a file .weights.h5, .h5 or .keras of this very "
                f"network, or say imagenet or none."
            )
    check_hdf5(path)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return ApplicationWeights(source, LocalFile(path, sha256), application, top)


def release_of(application: Application, top: bool) -> Release:
    """Asks keras.applications which file it would fetch.

    Each family makes up the address in its own way, and no public function returns it.
    """
    build, side = getattr(keras.applications, application.function), application.image_size
    options = {"weights": "imagenet", "include_top": top, "input_shape": (side, side, 3)}
    if found := file_asked_for(lambda: build(**options)):
        return Release(*found)
    raise RuntimeError(f"keras.applications fetches nothing for {application.backbone}")


def _is_ours(path: Path) -> bool:
    """Whether `convert_weights` or a network of `build_application` wrote a file."""
    with h5py.File(path, "r") as file:
        return "fused_batch_normalization" in file.get("layers", ())
