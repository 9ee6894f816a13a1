"""Names, shapes, types and numbers that no network has: told, and nothing of them loaded."""

import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_weights import KINDS, make_tiny, values_of, zip_anew

from deepfashion_tf.errors import InputError
from deepfashion_tf.models.weights import describe, files, load_weights, read_weights
from deepfashion_tf.models.weights.check import check_values
from deepfashion_tf.models.weights.probe import walk


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """Saves the process that tries each file: these are sound HDF5, whatever they hold."""
    monkeypatch.setattr(files, "check_hdf5", lambda path: None)


ODD_ARRAYS = {
    "0-d": np.float32(1),
    "5-d": np.ones((3, 3, 2, 2, 2), np.float32),
    "empty": np.ones((3, 3, 0, 4), np.float32),
    "3 x 3": np.ones((3, 3), np.float32),
    "integers": np.ones((3, 3, 4, 4), np.int8),
    "complex": np.ones((3, 3, 4, 4), np.complex64),
    "bool": np.array(True),
    "text": "text",
    "texts": np.array(["a", "b"], object),
    "record": np.zeros(2, [("a", "f4"), ("b", "i4")]),
    "null": h5py.Empty("f4"),
}
ODD_NAMES = [
    "conv3_block", "conv2_blockx_9_conv", "conv1", "_se_", "conv2d_" + "9" * 5000, "layer1.",
    "layer1.x.conv2.weight", "a\n\x1b[31mb", "x" * 5000, "é", "²", " ",
]  # fmt: skip


def put(path: Path, name: str | None, array) -> None:
    """Puts an array in the place of a 3 x 3 kernel, or beside it under a name of its own."""
    if path.suffix == ".safetensors":
        tensors = load_file(path) | {name or "layer1.0.conv2.weight": np.asarray(array)}
        save_file(tensors, path)
        return
    inner = path
    if path.suffix == ".keras":
        inner = path.with_suffix(".h5")
        with zipfile.ZipFile(path) as archive:
            inner.write_bytes(archive.read("model.weights.h5"))
    with h5py.File(inner, "a") as file:
        kernel = next(
            item for _, item in walk(file) if getattr(item, "shape", ())[:2] == (3, 3)
        ).name
        if name:
            layer = Path(kernel).parent
            home = layer.parent.parent if layer.name == "vars" else layer.parent
            place = f"{home}/{name}/{layer.name}/0"
        else:
            place = kernel
            del file[place]
        file[place] = array
        if name and layer.name == "vars":
            file[place].parent.attrs["name"] = name
    if path.suffix == ".keras":
        zip_anew(path, {"model.weights.h5": inner.read_bytes()})


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("odd", list(ODD_ARRAYS))
def test_odd_arrays_are_told(tmp_path, monkeypatch, kind, odd):
    array = ODD_ARRAYS[odd]
    if kind == "timm.safetensors" and np.asarray(array).dtype.kind not in "fib":
        pytest.skip("the format has no such type")
    network, path = make_tiny(kind, tmp_path)
    monkeypatch.setattr(describe, "build_backbone", lambda *arguments: network)
    before = values_of(network)
    put(path, None, array)
    weights = read_weights(path)
    with pytest.raises(InputError, match=r"of another shape|no floating-point numbers"):
        load_weights(weights, network)
    assert "nothing:" not in dict(describe.describe(path))["would not load"]
    for name, value in values_of(network).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("kind", ["timm.safetensors", "named.h5", "named.weights.h5"])
@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_told(tmp_path, kind, name):
    network, path = make_tiny(kind, tmp_path)
    put(path, name, np.ones(3, np.float32))
    try:
        load_weights(read_weights(path), network)
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) < 2000
    else:
        pytest.fail("a tensor that the network has no place for was not told")


# --- Numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(tmp_path, kind, number):
    network, path = make_tiny(kind, tmp_path)
    before = values_of(network)
    shape = (4, 4, 3, 3) if kind == "timm.safetensors" else (3, 3, 4, 4)
    kernel = np.ones(shape, np.float32)
    kernel[-1, -1, -1, -1] = number
    put(path, None, kernel)
    with pytest.raises(InputError, match=r"holds NaN or infinity in conv\d_block1_2_conv/kernel: "):
        load_weights(read_weights(path), network)
    for name, value in values_of(network).items():
        np.testing.assert_array_equal(value, before[name])


def test_what_overflows_float32_is_infinity(tmp_path):
    network, path = make_tiny("named.h5", tmp_path)
    put(path, None, np.full((3, 3, 4, 4), 1e300))
    with pytest.raises(InputError, match="NaN or infinity"):
        load_weights(read_weights(path), network)


def test_check_values_names_the_first():
    arrays = {f"{number}": np.full(2, np.nan) for number in range(9)}
    with pytest.raises(InputError, match=r"^here holds NaN or infinity in 0, 1, 2, … and 6 more: "):
        check_values("here", arrays | {"fine": np.ones(3), "whole": np.ones(3, int)})
    with pytest.raises(InputError, match="negative variances in bn/moving_variance"):
        check_values("here", {"bn/moving_variance": np.array([1.0, -1e-3])})
    check_values("here", {"bn/moving_variance": np.array([0.0]), "bn/beta": np.array([-1.0])})
