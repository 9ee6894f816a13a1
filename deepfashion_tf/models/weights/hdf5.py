"""Keras' own files, read as named arrays: HDF5 of Keras 2 and 3, and ``.keras``."""

import io
from pathlib import Path, PurePosixPath

import h5py
import numpy as np

from deepfashion_tf.errors import InputError
from deepfashion_tf.models.weights.probe import read_members, walk

Tensors = dict[str, np.ndarray]
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def read_keras(path: Path) -> tuple[Tensors, dict[str, dict]]:
    """Reads the weights and the layers' configurations of a ``.keras`` file.

    Raises:
        Exception: see `read_hdf5`.
    """
    graph, weights = read_members(path)
    with h5py.File(io.BytesIO(weights), "r") as file:
        tensors, _ = _keras3_tensors(path, file)
    return tensors, _layers(graph)


def _layers(graph: dict) -> dict[str, dict]:
    """Collects the configurations of all layers, those of nested models too."""
    found = {}
    config = graph.get("config")
    layers = config.get("layers") if isinstance(config, dict) else None
    for layer in layers if isinstance(layers, list) else ():
        if isinstance(layer, dict) and isinstance(layer.get("config"), dict):
            found[str(layer["config"].get("name"))] = layer["config"]
            found |= _layers(layer)
    return found


def read_hdf5(path: Path) -> tuple[str, Tensors, dict[str, str]]:
    """Reads ``.h5`` of Keras 2 and ``.weights.h5`` of Keras 3.

    Returns:
        The format in words, the weights, and what `deepfashion weights` noted.

    Raises:
        InputError: it is of an early Keras 3.
        Exception: whatever a damaged file makes h5py raise. `check_hdf5` comes first: it
            finds the damage that h5py never returns from.
    """
    with h5py.File(path, "r") as file:
        group = file.get("model_weights", file)
        if "layer_names" in group.attrs or "layer_names0" in group.attrs:
            return "Keras 2 HDF5", _keras2_tensors(group), {}
        return "Keras 3 weights", *_keras3_tensors(path, file)


def _keras2_tensors(group: h5py.Group) -> Tensors:
    """Reads ``layer/…/weight:0`` as ``layer/weight``."""
    tensors = {}
    for name, item in walk(group):
        if isinstance(item, h5py.Dataset):
            layer, *rest = name.split("/")
            tensors["/".join([layer, *rest[-1:]]).removesuffix(":0")] = _array(item)
    return tensors


def _keras3_tensors(path: Path, file: h5py.File) -> tuple[Tensors, dict[str, str]]:
    """Reads ``…/class_number/vars/index``, whose ``vars`` know the layer's name.

    Of models inside models only the one with the convolutions is read.
    """
    layers: dict[PurePosixPath, h5py.Group] = {}
    for name, item in walk(file):
        place = PurePosixPath(name)
        if isinstance(item, h5py.Group) and place.name == "vars" and len(item):
            layers[place.parent] = item
    homes = [place.parent for place in layers if "conv" in place.name]
    home = max(set(homes), key=homes.count, default=None)
    tensors = {}
    for place, group in layers.items():
        if place.parent != home:
            continue
        if "name" not in group.attrs:
            raise InputError(
                f"{path} does not name its layers, as old versions of Keras 3 wrote it: "
                f"load it where it was made, and save it with Keras 3.15."
            )
        names = _NORM if "normalization" in place.name else ("kernel", "bias")
        weights = {str(number): name for number, name in enumerate(names)}
        for index, item in group.items():
            if isinstance(item, h5py.Dataset):
                tensors[f"{group.attrs['name']}/{weights.get(index, index)}"] = _array(item)
    return tensors, {key: str(value) for key, value in file.attrs.items()}


def _array(item: h5py.Dataset) -> np.ndarray:
    """Reads an array of numbers; of one of anything else only the shape."""
    if item.shape is not None and item.dtype.kind in "biufc":
        return np.asarray(item[()])
    return np.broadcast_to(np.array(""), item.shape or ())
