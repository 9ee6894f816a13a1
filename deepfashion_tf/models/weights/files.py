"""Weights files, read as named arrays without building a model or running any code in them."""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import h5py
import numpy as np
from safetensors import SafetensorError, safe_open

from deepfashion_tf.errors import InputError

SUFFIXES = (".safetensors", ".h5", ".keras")
_PICKLES = (".pth", ".pt", ".bin", ".pkl", ".ckpt", ".tar")
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")


@dataclass(frozen=True)
class WeightsFile:
    """What a file holds, under the names that it uses.

    Attributes:
        path: the file.
        kind: its format, in words.
        sha256: of its bytes, in hexadecimal.
        tensors: name -> array; in Keras' formats ``layer/weight``.
        record: what scripts/convert_weights.py noted in it.
        layers: name -> configuration of Keras layers, where the file has the graph.
    """

    path: Path
    kind: str
    sha256: str
    tensors: dict[str, np.ndarray]
    record: dict[str, str] = field(default_factory=dict)
    layers: dict[str, dict] = field(default_factory=dict)


def read_file(path: Path) -> WeightsFile:
    """Reads a file whose format its first bytes tell.

    Args:
        path: ``.safetensors``, ``.h5`` (Keras 2), ``.weights.h5`` or ``.keras`` (Keras 3).

    Raises:
        InputError: it is missing, broken, a pickle, or of another format.
    """
    if not path.is_file():
        raise InputError(f"There is no weights file {path}.")
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            head = file.read(16)
        if _is_pickle(path, head):
            raise InputError(_pickle_sentence(path))
        if head.startswith(b"\x89HDF"):
            return _read_hdf5(path, sha256)
        if head.startswith(b"PK"):
            return _read_keras(path, sha256)
        if path.suffix == ".safetensors" or head[8:9] == b"{":
            return _read_safetensors(path, sha256)
    except (SafetensorError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        if isinstance(error, OSError) and error.filename:
            raise
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} ({path.stat().st_size:,} bytes) cannot be read ({reason}): it is broken, "
            f"or was cut off while it was copied; get it again."
        ) from error
    raise InputError(
        f"{path} is no weights file: its bytes are neither safetensors nor HDF5 (.h5, "
        f".weights.h5) nor .keras."
    )


def _is_pickle(path: Path, head: bytes) -> bool:
    if head.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    # Protocols 2 to 5 begin so; older ones, and tar files of PyTorch 0.x, are told by name.
    return (head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5") or path.suffix in _PICKLES


def _pickle_sentence(path: Path) -> str:
    target = path.with_suffix(".safetensors").name
    return (
        f"{path} is a pickle, which may run any code when it is opened, so it is not opened. "
        f"Where PyTorch is installed and the file is trusted, convert it: "
        f'python -c "import torch; from safetensors.torch import save_file; '
        f"save_file(torch.load('{path.name}', weights_only=True), '{target}')\""
    )


def _read_safetensors(path: Path, sha256: str) -> WeightsFile:
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return WeightsFile(path, "safetensors", sha256, tensors)


def _read_keras(path: Path, sha256: str) -> WeightsFile:
    with zipfile.ZipFile(path) as archive:
        graph = json.loads(archive.read("config.json"))
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
            tensors, _ = _keras3_tensors(path, file)
    return WeightsFile(path, "Keras 3 model", sha256, tensors, layers=_layers(graph))


def _layers(graph: dict) -> dict[str, dict]:
    """Collects the configurations of all layers, those of nested models too."""
    found = {}
    for layer in graph.get("config", {}).get("layers", ()):
        found[layer["config"]["name"]] = layer["config"]
        found |= _layers(layer)
    return found


def _read_hdf5(path: Path, sha256: str) -> WeightsFile:
    with h5py.File(path) as file:
        group = file.get("model_weights", file)
        if "layer_names" in group.attrs or "layer_names0" in group.attrs:
            return WeightsFile(path, "Keras 2 HDF5", sha256, _keras2_tensors(group))
        tensors, record = _keras3_tensors(path, file)
    return WeightsFile(path, "Keras 3 weights", sha256, tensors, record)


def _keras2_tensors(group: h5py.Group) -> dict[str, np.ndarray]:
    """Reads ``layer/…/weight:0`` as ``layer/weight``."""
    tensors = {}
    for layer in group:

        def keep(name: str, item, layer=layer) -> None:
            if isinstance(item, h5py.Dataset):
                weight = PurePosixPath(name).name.removesuffix(":0")
                tensors[f"{layer}/{weight}"] = item[()]

        group[layer].visititems(keep)
    return tensors


def _keras3_tensors(path: Path, file: h5py.File) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads ``…/class_number/vars/index``, whose ``vars`` know the layer's name.

    Of models inside models only the one with the convolutions is read.
    """
    layers: dict[PurePosixPath, h5py.Group] = {}

    def keep(name: str, item) -> None:
        place = PurePosixPath(name)
        if isinstance(item, h5py.Group) and place.name == "vars" and len(item):
            layers[place.parent] = item

    file.visititems(keep)
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
        for index, item in group.items():
            number = int(index) if index.isdigit() else len(names)
            weight = names[number] if number < len(names) else index
            tensors[f"{group.attrs['name']}/{weight}"] = item[()]
    return tensors, {key: str(value) for key, value in file.attrs.items()}
