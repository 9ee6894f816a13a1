"""PyTorch checkpoints, read as named arrays without PyTorch and without running code in them.

Both formats of `torch.save` hold a pickle, see `pickles.Machine`, and storages: numbers in
a row, of which tensors are views.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import as_strided

from deepfashion_tf.errors import InputError
from deepfashion_tf.models.weights.pickles import Machine, Tensor, typed, whole
from deepfashion_tf.models.weights.probe import allowance

# Opens the legacy format, after the pickle's protocol: LONG1 and a number of ten bytes.
_MAGIC = bytes.fromhex("8a0a 6cfc9c46f9206aa85019")
_LEGACY_PROTOCOL = 1001
_WRAPPERS = ("state_dict", "state_dict_ema", "model", "model_state", "net")
# NumPy 1 allows no more.
_MOST_AXES = 32


def is_legacy(head: bytes) -> bool:
    """Returns whether a file that begins so is of the format before PyTorch 1.6."""
    return head.startswith(b"\x80") and _MAGIC in head[:32]


def find_pickle(archive: zipfile.ZipFile) -> str | None:
    """Finds the pickle among the members of a zip file; None if it is no PyTorch checkpoint."""
    return next((name for name in archive.namelist() if name.endswith("data.pkl")), None)


def read_zip(path: Path) -> dict[str, np.ndarray]:
    """Reads what `torch.save` writes since PyTorch 1.6.

    Raises:
        InputError: it asks for a global that no tensor needs, or holds no tensors.
        Exception: whatever a damaged file leads to.
    """
    machine = Machine(path)
    with zipfile.ZipFile(path) as archive:
        # Members that share bytes would make much of a small file.
        if sum(member.compress_size for member in archive.infolist()) > path.stat().st_size:
            raise ValueError("its members overlap")
        name = find_pickle(archive)
        tensors = _name_tensors(path, machine.load(io.BytesIO(_read_member(archive, name))))
        folder = name.removesuffix("data.pkl")
        order = "<"
        if f"{folder}byteorder" in archive.namelist():
            order = {b"little": "<", b"big": ">"}[_read_member(archive, f"{folder}byteorder")]
        numbers = {
            key: _decode(
                _read_member(archive, f"{folder}data/{key}"), *machine.storages[key], order
            )
            for key in {tensor.storage.key for tensor in tensors.values()}
        }
    return _views(path, tensors, numbers)


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    member = archive.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        raise ValueError(f"its {name} is compressed, as PyTorch does not do it")
    return archive.read(member)


def read_legacy(path: Path) -> dict[str, np.ndarray]:
    """Reads what `torch.save` wrote before PyTorch 1.6: five pickles, then the storages.

    Raises:
        InputError: see `read_zip`.
        Exception: whatever a damaged file leads to.
    """
    file, machine = io.BytesIO(path.read_bytes()), Machine(path)
    if machine.load(file) != int.from_bytes(_MAGIC[2:], "little"):
        raise ValueError("its magic number is not PyTorch's")
    if machine.load(file) != _LEGACY_PROTOCOL:
        raise ValueError("its protocol is not PyTorch's")
    machine.load(file)  # Sizes of C's types; the numbers are little-endian on any machine.
    tensors = _name_tensors(path, machine.load(file))
    wanted = {tensor.storage.key for tensor in tensors.values()}
    numbers = {}
    for key in typed(machine.load(file), list):
        kind, count = machine.storages[typed(key, str)]
        if int.from_bytes(file.read(8), "little") != count:
            raise ValueError(f"its storage {key} does not begin with its size, {count}")
        size = count * _item_size(kind)
        data = file.read(size)
        if len(data) < size:
            raise ValueError(f"its storage {key} is cut off")
        if key in wanted:
            numbers[key] = _decode(data, kind, count, "<")
    return _views(path, tensors, numbers)


def _name_tensors(path: Path, checkpoint: object) -> dict[str, Tensor]:
    tensors = _unwrap(checkpoint)
    if not tensors:
        raise InputError(
            f"{path} holds no tensors by name, neither at its top nor under "
            f"{', '.join(_WRAPPERS)}: save the network's state_dict."
        )
    if all(name.startswith("module.") for name in tensors):  # of DataParallel
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _unwrap(value: object, depth: int = 3) -> dict[str, Tensor]:
    """Finds a state_dict in what usually surrounds it, an epoch's number or an optimizer."""
    if type(value) is not dict or not depth:
        return {}
    for wrapper in _WRAPPERS:
        if found := _unwrap(value.get(wrapper), depth - 1):
            return found
    return {name: item for name, item in value.items() if type(item) is Tensor}


def _item_size(kind: str) -> int:
    return 2 if kind == "bfloat16" else np.dtype(kind).itemsize


def _decode(data: bytes, kind: str, count: int, order: str) -> np.ndarray:
    if kind == "bfloat16":  # the upper half of float32
        upper = np.frombuffer(data, f"{order}u2", count).astype(np.uint32)
        return (upper << 16).view(np.float32)
    if kind == "bool":
        return np.frombuffer(data, np.uint8, count) != 0
    return np.frombuffer(data, f"{order}{kind}", count).astype(kind, copy=False)


def _views(path: Path, tensors: dict, numbers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    views, total, most = {}, 0, allowance(path.stat().st_size)
    for name, tensor in tensors.items():
        views[name] = _view(tensor, numbers[tensor.storage.key])
        total += views[name].nbytes
        if total > most:
            raise ValueError(f"its tensors would take more than {most:,} bytes")
    return views


def _view(tensor: Tensor, numbers: np.ndarray) -> np.ndarray:
    """Makes an array that shares the storage's memory, whatever its strides."""
    size, stride = typed(tensor.size, tuple), typed(tensor.stride, tuple)
    if len(size) != len(stride) or len(size) > _MOST_AXES:
        raise ValueError("a tensor of it has too many axes, or too few strides")
    if 0 in [whole(length) for length in size]:
        return np.empty(size, numbers.dtype)
    last = whole(tensor.offset)
    for length, step in zip(size, stride, strict=True):
        last += (length - 1) * whole(step)
    if last >= tensor.storage.count:
        raise ValueError("a tensor of it reaches beyond its storage")
    # The step along an axis of length 1 may be any number.
    steps = [s * numbers.itemsize if n > 1 else 0 for n, s in zip(size, stride, strict=True)]
    first = tensor.storage.start + tensor.offset
    return as_strided(numbers[first:], size, steps, writeable=False)
