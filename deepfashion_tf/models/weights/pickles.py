"""The pickles in PyTorch checkpoints, read without running anything.

A pickle is a program for a stack machine, which may call any function. `Machine` obeys
the opcodes of plain data alone, and only notes what tensors view. It replaces
`pickle.Unpickler`, which overflows the C stack on keys that are deeply nested tuples, and
allocates gigabytes where a file of a few bytes names a high place in its memo.
"""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deepfashion_tf.errors import InputError, printable

# What a storage holds, as NumPy calls it without byte order.
_STORAGES = {
    "torch.FloatStorage": "f4",
    "torch.DoubleStorage": "f8",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.ShortStorage": "i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "bool",
}
_REBUILD_TENSOR = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
# PyTorch before 0.4 calls the class itself.
_REBUILD_PARAMETER = ("torch._utils._rebuild_parameter", "torch.nn.parameter.Parameter")
_ALLOWED = {
    "collections.OrderedDict",
    "torch.Size",
    *_STORAGES,
    *_REBUILD_TENSOR,
    *_REBUILD_PARAMETER,
}
# Steps of one file's pickles: a ResNet-50 takes some 10,000, with an optimizer's state 25,000.
_MOST_STEPS = 1_000_000


@dataclass(frozen=True, eq=False, slots=True)
class Storage:
    """A part of a file's numbers in a row: `count` of them from `start` on, of its `key`."""

    key: str
    start: int
    count: int


@dataclass(frozen=True, eq=False, slots=True)
class Tensor:
    """A view of a storage, as the file claims it: nobody has checked the numbers."""

    storage: Storage
    offset: object
    size: object
    stride: object


@dataclass(frozen=True, eq=False, slots=True)
class Global:
    """A function or class that a pickle names, never imported."""

    name: str


class Machine:
    """Obeys the pickles of one file; costs are linear in its size, and its steps are counted.

    Attributes:
        storages: key -> kind of numbers, a value of _STORAGES, and how many.
    """

    def __init__(self, path: Path) -> None:
        self.storages: dict[str, tuple[str, int]] = {}
        self._path = path
        self._steps = _MOST_STEPS

    def load(self, file: io.BytesIO) -> object:
        """Reads one pickle and leaves the file after it.

        Raises:
            InputError: it asks for a global that no tensor needs.
            Exception: whatever a damaged pickle leads to.
        """
        self._stack, self._outer, self._memo = [], [], {}
        for opcode, argument, _ in pickletools.genops(file):
            self._spend(1)
            match opcode.name:
                case "BINPUT" | "LONG_BINPUT":
                    self._memo[argument] = self._stack[-1]
                case "BINGET" | "LONG_BINGET":
                    self._stack.append(self._memo[argument])
                case "STOP":
                    return self._stack.pop()
                case name if name in _LITERALS:
                    self._stack.append(argument)
                case name if name in _MAKERS:
                    self._stack.append(_MAKERS[name]())
                case name:
                    self._obey(name, argument)
        raise ValueError("its pickle does not end")

    def _obey(self, name: str, argument: object) -> None:
        stack = self._stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "MARK":
                self._outer.append(stack)
                self._stack = []
            case "POP":
                stack.pop()
            case "GLOBAL" | "INST":
                stack.append(self._find(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                named, module = stack.pop(), stack.pop()
                stack.append(self._find(module, named))
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                stack[-1] = self._call(stack[-1], arguments)
            case "BUILD":
                stack.pop()  # attributes, such as _metadata of a state_dict
            case "BINPERSID":
                stack[-1] = self._storage(stack[-1])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                stack[-count:] = [_exactly(count, stack[-count:])]
            case "TUPLE" | "LIST" | "FROZENSET" | "DICT":
                items = self._pop_mark()
                made = {"TUPLE": tuple, "DICT": _pair_up}.get(name, list)(items)
                self._stack.append(made)
            case "APPEND" | "APPENDS" | "ADDITEMS":
                items = [stack.pop()] if name == "APPEND" else self._pop_mark()
                typed(self._stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = [stack.pop(), stack.pop()][::-1] if name == "SETITEM" else self._pop_mark()
                typed(self._stack[-1], dict).update(_pair_up(items))
            case _:
                raise ValueError(f"its pickle has the opcode {name}, which PyTorch does not write")

    def _pop_mark(self) -> list:
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise ValueError(f"its pickle takes more than {_MOST_STEPS:,} steps")

    def _find(self, module: object, name: object) -> Global:
        found = f"{typed(module, str)}.{typed(name, str)}"
        if found not in _ALLOWED:
            raise InputError(
                f"{self._path} asks for {printable(found[:100])}, which no tensor needs and "
                f"which may run any code: save its state_dict alone, or as safetensors."
            )
        return Global(found)

    def _call(self, function: object, arguments: object) -> object:
        """Does what a function would: of tensors, notes what they view."""
        name = typed(function, Global).name
        match arguments:
            case () if name == "collections.OrderedDict":
                return {}
            case (list(pairs),) if name == "collections.OrderedDict":  # Python 2
                self._spend(len(pairs))
                return _pair_up([item for pair in pairs for item in _exactly(2, pair)])
            case (tuple(sizes),) if name == "torch.Size":
                return sizes
            case (Tensor() as tensor, *_) if name in _REBUILD_PARAMETER:
                return tensor
            case (Storage() as storage, offset, size, stride, *_) if name in _REBUILD_TENSOR:
                return Tensor(storage, offset, size, stride)
        raise ValueError(f"it calls {name} as PyTorch does not")

    def _storage(self, identity: object) -> Storage:
        match typed(identity, tuple)[:7]:
            case ("storage", Global(kind), str(key), _, count, *view):
                known = (_STORAGES[kind], whole(count))
                if self.storages.setdefault(key, known) != known:
                    raise ValueError(f"its storage {key} is of two kinds")
                match view:
                    case [] | [None]:
                        return Storage(key, 0, count)
                    case [(_, start, size)] if whole(start) + whole(size) <= count:
                        return Storage(key, start, size)
        raise ValueError("it names a storage as PyTorch does not")


# Opcodes that put their argument onto the stack.
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "INT", "LONG1", "LONG4", "LONG", "BINFLOAT", "FLOAT"),
    *(
        "STRING",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BINSTRING",
        "SHORT_BINSTRING",
    ),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
# Opcodes that put something new onto it. Sets are read as lists: nothing but text is hashed.
_MAKERS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
}


def typed(value: object, kind: type) -> object:
    """Returns a value that is of exactly this type.

    Raises:
        ValueError: it is not.
    """
    if type(value) is not kind:
        raise ValueError(f"its pickle has a {type(value).__name__} instead of a {kind.__name__}")
    return value


def _exactly(count: int, items: object) -> tuple:
    if type(items) not in (list, tuple) or len(items) != count:
        raise ValueError(f"its pickle lacks a group of {count}")
    return tuple(items)


def whole(number: object) -> int:
    """Returns a number that is whole and not negative.

    Raises:
        ValueError: it is not.
    """
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError("a size, an offset or a stride in it is no whole number, or is negative")
    return number


def _pair_up(items: list) -> dict:
    """Keeps the pairs whose keys are text: only such keys are hashed in bounded time."""
    pairs = zip(items[::2], items[1::2], strict=True)
    return {key: value for key, value in pairs if type(key) is str}
