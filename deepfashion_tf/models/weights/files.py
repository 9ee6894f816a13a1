"""Weights files, read as named arrays without building a model or running any code in them."""

import hashlib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import ml_dtypes  # noqa: F401 - teaches NumPy bfloat16
import numpy as np
from safetensors import safe_open

from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.models.weights.check import broken, check_hdf5, find_file, printable
from deepfashion_tf.models.weights.hdf5 import read_hdf5, read_keras
from deepfashion_tf.models.weights.pytorch import find_pickle, is_legacy, read_legacy, read_zip

_PICKLES = (".pth", ".pt", ".bin", ".pkl", ".ckpt", ".tar")
# No network's names are longer; what is cut off is noise.
_LONGEST_NAME = 200


@dataclass(frozen=True)
class WeightsFile:
    """What a file holds, under the names that it uses.

    Attributes:
        path: the file.
        kind: its format, in words.
        sha256: of its bytes, in hexadecimal.
        tensors: name -> array; in Keras' formats ``layer/weight``.
        record: what `deepfashion weights` noted in it.
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
        path: ``.safetensors``, ``.h5`` (Keras 2), ``.weights.h5`` or ``.keras`` (Keras 3),
            or ``.pth`` (PyTorch).

    Raises:
        InputError: it is missing, broken, or of another format, or asks for code to be run.
        OSError: it may not be read.
    """
    path = find_file(path, f"There is no weights file {printable(str(path))}")
    try:
        return _read(path)
    except Exception as error:
        # Whatever: a damaged file can trip any line of h5py, zipfile, json, safetensors
        # and pickletools.
        if isinstance(error, InputError) or (isinstance(error, OSError) and error.filename):
            raise
        raise broken(path, error) from error


def _read(path: Path) -> WeightsFile:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        head = file.read(512)
    record, layers = {}, {}
    # Protocols 2 to 5 begin so; older ones are known by the file's name alone.
    pickled = head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5")
    if head.startswith(b"\x89HDF"):
        check_hdf5(path)
        kind, tensors, record = read_hdf5(path)
    elif head.startswith(b"PK") and _is_checkpoint(path):
        kind, tensors = "PyTorch checkpoint (zip)", read_zip(path)
    elif head.startswith(b"PK"):
        check_hdf5(path)
        kind = "Keras 3 model"
        tensors, layers = read_keras(path)
    elif is_legacy(head):
        kind, tensors = "PyTorch checkpoint (legacy)", read_legacy(path)
    elif head[8:9] == b"{" or (path.suffix == ".safetensors" and not pickled):
        kind, tensors = "safetensors", _read_safetensors(path)
    elif pickled or head[257:262] == b"ustar" or path.suffix in _PICKLES:
        raise InputError(
            f"{path} is no PyTorch checkpoint but another pickle, a tar file of PyTorch 0.1, or "
            f"damaged: convert it to safetensors where it was made."
        )
    else:
        raise InputError(
            f"{path} is no weights file: its bytes are neither safetensors nor HDF5 (.h5, "
            f".weights.h5) nor .keras nor a PyTorch checkpoint (.pth)."
        )
    return WeightsFile(path, kind, sha256, _tidy(tensors), _tidy(record), layers)


def _is_checkpoint(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return find_pickle(archive) is not None


def _tidy(named: dict) -> dict:
    """Makes what a file calls its parts fit for messages."""
    return {
        printable(name[:_LONGEST_NAME]): printable(value) if isinstance(value, str) else value
        for name, value in named.items()
    }


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    with safe_open(path, framework="numpy") as file:
        types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
        small = [f"{name} ({kind})" for name, kind in types.items() if kind.startswith("F8")]
        if small:
            raise InputError(
                f"{path} holds numbers of 8 bits, which mean nothing without the scales that "
                f"belong to them, in {list_some(small, most=3)}: get the weights in float32, "
                f"float16 or bfloat16."
            )
        tensors = {name: file.get_tensor(name) for name in types}
    for name in types:
        if types[name] == "BF16":
            tensors[name] = tensors[name].astype(np.float32)
    return tensors
