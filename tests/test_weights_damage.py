"""Weights files that are damaged, foreign or made to harm: one sentence each, or an answer."""

import json
import struct
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file
from tiny_weights import KINDS, make_tiny, values_of, zip_anew

from deepfashion_tf.errors import InputError
from deepfashion_tf.models.weights import check, load_weights, read_weights
from deepfashion_tf.models.weights.check import check_hdf5

HDF5_KINDS = [kind for kind in KINDS if kind != "timm.safetensors"]


def refusal(path: Path) -> str:
    """Gives the sentence with which a file is refused."""
    with pytest.raises(InputError) as error:
        read_weights(path)
    assert str(error.value).isprintable() and str(path) in str(error.value)
    return str(error.value)


# --- HDF5 -----------------------------------------------------------------------------------


def test_a_sound_file_passes(tmp_path):
    for kind in HDF5_KINDS:
        check_hdf5(make_tiny(kind, tmp_path)[1])


def overwrite(path: Path, signature: bytes, number: int, place) -> None:
    """Puts an address of 8 bytes into the nth block that a signature opens."""
    data = bytearray(path.read_bytes())
    at = -1
    for _ in range(number + 1):
        at = data.index(signature, at + 1)
    offset, value = place(data, at)
    data[offset : offset + 8] = struct.pack("<Q", value)
    path.write_bytes(data)


@pytest.mark.slow
def test_hdf5_that_loops_without_end(tmp_path, monkeypatch):
    """A node of a group's B-tree that is its own neighbour."""
    _, path = make_tiny("automatic.h5", tmp_path)
    overwrite(path, b"TREE", 1, lambda data, at: (at + 16, at))
    monkeypatch.setattr(check, "TIME_LIMIT", 3)
    assert "not done after 3 seconds" in refusal(path)


def test_hdf5_that_allocates_without_end(tmp_path):
    """A free block in a group's heap that is its own successor."""

    def successor(data, at):
        head, segment = struct.unpack("<QQ", data[at + 16 : at + 32])
        return segment + head, head

    _, path = make_tiny("automatic.h5", tmp_path)
    overwrite(path, b"HEAP", 1, successor)
    begin = time.monotonic()
    assert "memory allocation failed" in refusal(path)
    assert time.monotonic() - begin < 30


def test_a_crash_of_hdf5_is_told(tmp_path, monkeypatch):
    _, path = make_tiny("named.h5", tmp_path)
    (tmp_path / "crash.py").write_text("import os; os.abort()")
    monkeypatch.setattr(check.probe, "__file__", str(tmp_path / "crash.py"))
    with pytest.raises(InputError, match="HDF5 stops with SIGABRT"):
        check_hdf5(path)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("loop", "has another name too"),
        ("soft", "link to elsewhere"),
        ("outside", "link to elsewhere"),
        ("stored outside", "is in another file"),
        ("virtual", "is in another file"),
        ("huge", "its arrays would take more than"),
        ("overflow", "its arrays would take more than"),
        ("expanding", "its arrays would take more than"),
    ],
)
def test_hdf5_that_is_made_to_harm(tmp_path, harm, words):
    _, path = make_tiny("named.weights.h5", tmp_path)
    (tmp_path / "other").write_bytes(bytes(100))
    with h5py.File(path, "a") as file:
        if harm == "loop":
            file["layers/again"] = file["layers"]
        elif harm == "soft":
            file["layers/again"] = h5py.SoftLink("/layers")
        elif harm == "outside":
            file["layers/again"] = h5py.ExternalLink("other.h5", "/")
        elif harm == "stored outside":
            file.create_dataset("x", (5,), "f4", external=[(tmp_path / "other", 0, 20)])
        elif harm == "virtual":
            layout = h5py.VirtualLayout((5,), "f4")
            layout[:] = h5py.VirtualSource("other.h5", "x", (5,))
            file.create_virtual_dataset("x", layout)
        elif harm == "huge":
            file.create_dataset("x", (2**20, 2**20), "f4", chunks=(64, 64))
        elif harm == "overflow":
            file.create_dataset("x", (2**32, 2**32), "f4", chunks=(64, 64))
        else:
            for number in range(3):
                file.create_dataset(f"{number}", (2**25,), "f4", chunks=(2**20,))
    assert words in refusal(path)


def test_memory_is_bounded(tmp_path):
    """Names without end of one long text: nothing that sizes tell."""
    path = tmp_path / "texts.h5"
    with h5py.File(path, "w") as file:
        texts = file.create_dataset("x", (2**16,), h5py.string_dtype())
        texts[0] = "x" * 2**20
    # Every element points at the first one's text: 64 GiB if read.
    data = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        begin = file["x"].id.get_offset()
    data[begin : begin + 16 * 2**16] = data[begin : begin + 16] * 2**16
    path.write_bytes(data)
    begin = time.monotonic()
    with pytest.raises(InputError, match="cannot be read"):
        check_hdf5(path)
    assert time.monotonic() - begin < 30


def test_an_error_of_the_system_is_not_called_damage(tmp_path, monkeypatch):
    _, path = make_tiny("named.h5", tmp_path)

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError):
        read_weights(path)
    with pytest.raises(PermissionError):
        check_hdf5(path)


# --- .keras ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config.json": None}, "there is no config.json in it"),
        ({"model.weights.h5": None}, "there is no model.weights.h5 in it"),
        ({"config.json": b"{"}, "cannot be read"),
        ({"config.json": b"\xff\xfe\x00"}, "cannot be read"),
        ({"config.json": b"[1]"}, "its config.json describes no model"),
        ({"config.json": b"[" * 100_000}, "recursion"),
        ({"config.json": b'{"a":' + b"9" * 10_000 + b"}"}, "cannot be read"),
        ({"model.weights.h5": b""}, "cannot be read"),
        ({"model.weights.h5": b"no HDF5"}, "file signature not found"),
    ],
)
def test_a_keras_file_with_a_wrong_member(tmp_path, changes, words):
    _, path = make_tiny("named.keras", tmp_path)
    zip_anew(path, changes)
    assert words in refusal(path)
    with pytest.raises(InputError, match=path.name):
        check_hdf5(path)


@pytest.mark.parametrize(
    "graph",
    [
        {},
        {"config": []},
        {"config": {"layers": 5}},
        {"config": {"layers": [5, {}, {"config": None}, {"config": {"name": []}}]}},
        {"config": {"layers": [{"config": {"name": "conv3_block1_1_conv", "strides": 2}}]}},
        {
            "config": {
                "layers": [
                    {"config": {"name": "conv3_block1_1_conv", "strides": ["a", 2]}},
                    {"config": {"name": "pool1_pad", "padding": {}}},
                    {"config": {"name": "conv1_bn", "epsilon": 0}},
                ]
            }
        },
    ],
)
def test_a_graph_of_another_form(tmp_path, graph):
    """No graph at all leaves the weights to tell; one that does not fit is another network's."""
    network, path = make_tiny("named.keras", tmp_path)
    zip_anew(path, {"config.json": json.dumps(graph).encode()})
    try:
        load_weights(read_weights(path), network)
    except InputError as error:
        assert "does not build" in str(error)


def test_a_compressed_model_is_read_and_a_bomb_is_not(tmp_path):
    network, path = make_tiny("named.keras", tmp_path)
    zip_anew(path, {}, zipfile.ZIP_DEFLATED)
    load_weights(read_weights(path), network)
    zip_anew(path, {}, zipfile.ZIP_LZMA)
    assert "compressed as Keras does not" in refusal(path)
    zip_anew(path, {})
    # The promise of a member of 4 GB, in the table that ends the file.
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(data)
    assert "would expand to more than" in refusal(path)


# --- safetensors ----------------------------------------------------------------------------


def write_safetensors(path: Path, tensors: dict[str, tuple[str, list, bytes]], header=None) -> None:
    """Writes tensors, name -> type, shape and bytes, as no library would."""
    entries, offset = {}, 0
    for name, (kind, shape, data) in tensors.items():
        place = [offset, offset + len(data)]
        entries[name] = {"dtype": kind, "shape": shape, "data_offsets": place}
        offset += len(data)
    header = json.dumps(entries).encode() if header is None else header
    body = b"".join(data for _, _, data in tensors.values())
    path.write_bytes(struct.pack("<Q", len(header)) + header + body)


def test_bfloat16_is_read(tmp_path):
    network, path = make_tiny("timm.safetensors", tmp_path)
    before = values_of(network)
    tensors = {
        name: ("BF16", list(array.shape), (array.view(np.uint32) >> 16).astype("<u2").tobytes())
        for name, array in load_file(path).items()
    }
    write_safetensors(path, tensors)
    load_weights(read_weights(path), network)
    for name, value in values_of(network).items():
        # Eight bits of the fraction are left, cut off.
        np.testing.assert_allclose(value, before[name], rtol=2**-7)


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "F6_E2M3", "F99"])
def test_types_that_numpy_lacks(tmp_path, kind):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"layer1.0.conv1.weight": (kind, [6], bytes(6))})
    sentence = refusal(path)
    if kind.startswith("F8"):
        assert "8 bits" in sentence and f"in layer1.0.conv1.weight ({kind}): " in sentence


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' * 2 + b"}",
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[0,9223372036854775808],"data_offsets":[0,0]}}',
        b'{"a":{"dtype":"F32","shape":[1' + b",1" * 70 + b'],"data_offsets":[0,4]}}',
    ],
)
def test_absurd_headers(tmp_path, header):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"a": ("F32", [1], bytes(4))}, header)
    refusal(path)
    path.write_bytes(struct.pack("<Q", 2**63) + header)
    refusal(path)
