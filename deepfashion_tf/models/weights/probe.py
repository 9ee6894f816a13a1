"""Reads a whole HDF5 or ``.keras`` file and says whether that goes well: a script of its own.

On some damaged files HDF5 loops without end, crashes, or asks for absurd amounts of
memory, all of it in C, where nothing can interrupt it. `check.check_hdf5` therefore runs
this file as a process, with limits, before the program itself opens such a file. It
imports neither TensorFlow nor this package, so that it starts in a fifth of a second.

Its exit code is 0 if all could be read; otherwise it prints the reason.
"""

import contextlib
import io
import itertools
import json
import math
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py

try:
    import resource
except ImportError:  # Windows
    resource = None


def allowance(size: int) -> int:
    """Returns the bytes that a file may expand to: compressed weights shrink by far less."""
    return 2**28 + 16 * size


def walk(group: h5py.Group) -> Iterator[tuple[str, h5py.HLObject]]:
    """Yields all objects below a group with their names, groups before what is in them.

    Raises:
        ValueError: a link leads to another file or place, or an object has two names: one
            can lead round in circles, or make a small file a long read.
    """
    seen = {_address(group)}
    waiting = [("", group)]
    while waiting:
        prefix, parent = waiting.pop()
        for name in parent:
            if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{prefix}{name} is a link to elsewhere")
            item = parent[name]
            if _address(item) in seen:
                raise ValueError(f"{prefix}{name} has another name too")
            seen.add(_address(item))
            yield f"{prefix}{name}", item
            if isinstance(item, h5py.Group):
                waiting.append((f"{prefix}{name}/", item))


def _address(item: h5py.HLObject) -> int:
    return h5py.h5o.get_info(item.id).addr


def read_members(path: Path) -> tuple[dict, bytes]:
    """Reads the graph and the weights, themselves HDF5, out of a ``.keras`` file.

    Raises:
        Exception: whatever the file makes zipfile or json raise, and ValueError where it
            is sound, but no such file.
    """
    most = allowance(path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > most:
            raise ValueError(f"it would expand to more than {most:,} bytes")
        graph = json.loads(_read_member(archive, "config.json"))
        if not isinstance(graph, dict):
            raise ValueError("its config.json describes no model")
        return graph, _read_member(archive, "model.weights.h5")


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    if name not in archive.namelist():
        raise ValueError(f"there is no {name} in it")
    member = archive.getinfo(name)
    # The other methods expand all that they get at once, whatever size is promised.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"its {name} is compressed as Keras does not do it")
    with archive.open(member) as file:
        return file.read(member.file_size)


def read_everything(file: h5py.File, most: int) -> None:
    """Reads all arrays and attributes, and keeps none.

    Raises:
        Exception: whatever the file makes h5py raise, and ValueError where it holds more
            than `most` bytes or what is no part of it.
    """
    total = 0
    for name, item in itertools.chain([("/", file)], walk(file)):
        dict(item.attrs.items())
        if not isinstance(item, h5py.Dataset):
            continue
        if item.external or item.is_virtual:
            raise ValueError(f"the array {name} is in another file")
        # h5py's own size is an integer of 64 bits, which an absurd shape overflows.
        items = 0 if item.shape is None else math.prod(item.shape)
        total += items * item.dtype.itemsize
        if total > most:
            raise ValueError(f"its arrays would take more than {most:,} bytes")
        item[()]


def _limit_memory(most: int) -> None:
    """Lets this process have so many bytes more than it has now, where the system can."""
    if resource is None:
        return
    pages = Path("/proc/self/statm")
    used = int(pages.read_text().split()[0]) * resource.getpagesize() if pages.exists() else 2**32
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (used + most, used + most))


def reason_of(error: Exception) -> str:
    """Returns an exception's words in one line."""
    # KeyError alone puts quotes around them.
    words = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(words).split()) or type(error).__name__


def main(path: Path) -> int:
    try:
        most = allowance(path.stat().st_size)
        _limit_memory(most)
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
        with h5py.File(io.BytesIO(read_members(path)[1]) if zipped else path, "r") as file:
            read_everything(file, most)
    except Exception as error:  # a damaged file can trip any line of three libraries
        print(reason_of(error).encode("ascii", "backslashreplace").decode())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
