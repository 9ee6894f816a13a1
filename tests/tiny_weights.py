"""Networks of two narrow blocks with the layer names of the real ones, and files of them.

Their files are some 20 kB and hardly anything but names, shapes and structure: what a
damaged byte hits is what a reader trips over.
"""

import zipfile
from functools import cache
from pathlib import Path

import h5py
import keras
from conftest import randomize
from keras import layers
from safetensors.numpy import save_file

from deepfashion_tf.models.weights.layouts import AUTOMATIC, timm_name

# Of each kind: the network's family of names tells which variant it is taken for.
KINDS = {
    "timm.safetensors": "timm.seresnet50",
    "named.h5": "keras.resnet50",
    "automatic.h5": "classification_models.seresnext50",
    "named.weights.h5": "keras.resnet50",
    "named.keras": "keras.resnet50",
}


def make_tiny(kind: str, folder: Path) -> tuple[keras.Model, Path]:
    """Gives a network and its file of a kind; the network is that of the test before, as new."""
    network = randomize(build_tiny("se" in KINDS[kind]))
    write_tiny(network, folder / kind)
    return network, folder / kind


@cache
def build_tiny(squeezes: bool) -> keras.Model:
    """Builds a network that passes for keras.applications' resnet50, or for a seresnet50."""

    def convolve(x, channels, size, strides, name):
        x = layers.Conv2D(
            channels, size, strides, "same", use_bias=not squeezes, name=f"{name}_conv"
        )(x)
        return layers.BatchNormalization(epsilon=1.001e-5, name=f"{name}_bn")(x)

    images = keras.Input((16, 16, 3))
    x = layers.ZeroPadding2D(1, name="pool1_pad")(convolve(images, 4, 7, 2, "conv1"))
    for strides, name in enumerate(("conv2_block1", "conv3_block1"), 1):
        x = convolve(x, 4, 1, strides, f"{name}_1")
        x = convolve(x, 4, 3, 1, f"{name}_2")
        x = convolve(x, 4, 1, 1, f"{name}_3")
        if squeezes:
            x = layers.Dense(4, name=f"{name}_se_reduce")(x)
            x = layers.Dense(4, name=f"{name}_se_expand")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(5, name="predictions")(x))


def values_of(network: keras.Model) -> dict:
    return {"/".join(v.path.split("/")[-2:]): v.numpy() for v in network.variables}


def write_tiny(network: keras.Model, path: Path) -> None:
    """Writes a file of the kind that its name, a key of KINDS, says."""
    values = values_of(network)
    if path.name == "timm.safetensors":
        tensors = {}
        for name, value in values.items():
            turned = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
            tensors[timm_name(name, legacy=False)] = turned.copy()
        save_file(tensors, path)
    elif path.name == "automatic.h5":
        keys = AUTOMATIC.keys({name: value.shape for name, value in values.items()}, [])
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = sorted({key.split("/")[0] for (key,) in keys.values()})
            for name, (key,) in keys.items():
                layer, weight = key.split("/")
                file[f"{layer}/{layer}/{weight}:0"] = values[name]
    elif path.name == "named.weights.h5":
        network.save_weights(path)
    else:
        network.save(path)


def zip_anew(path: Path, changes: dict, method: int = zipfile.ZIP_STORED) -> None:
    """Zips a file's members with changed contents; None = left out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in (members | changes).items():
            if content is not None:
                archive.writestr(name, content)
