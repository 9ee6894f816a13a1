"""What is checked of a file before it is opened, and of its numbers before they are used."""

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from deepfashion_tf.errors import InputError, list_some, printable
from deepfashion_tf.models.weights import probe

# Seconds that reading a file may take, and one more for each 10 MB: far above the usual 0.2.
TIME_LIMIT = 60


def find_file(path: str | Path, otherwise: str) -> Path:
    """Returns the path of a file that is there, ``~`` expanded.

    Args:
        path: as the user named it.
        otherwise: what to say if it is none: a sentence, to which the reason is added.

    Raises:
        InputError: there is no such file, or it is a folder.
        OSError: the system forbids or fails to look.
    """
    reason = "no such file"
    try:
        found = Path(path).expanduser()
        mode = found.stat().st_mode
        if stat.S_ISREG(mode):
            return found
        reason = "a folder" if stat.S_ISDIR(mode) else "no regular file"
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP):
            raise
        reason = (error.strerror or reason).lower()
    except (ValueError, RuntimeError) as error:  # a NUL; ~ of a user that there is not
        reason = str(error)
    raise InputError(f"{otherwise} ({reason}).")


def broken(path: Path, reason: Exception | str) -> InputError:
    """Makes the error that says that a file is damaged."""
    words = probe.reason_of(reason) if isinstance(reason, Exception) else reason.strip()
    words = printable(words if len(words) <= 200 else f"{words[:200]}…")
    return InputError(
        f"{path} ({path.stat().st_size:,} bytes) cannot be read ({words}): it is broken, "
        f"or was cut off while it was copied; get it again."
    )


def check_hdf5(path: Path) -> None:
    """Reads an HDF5 or ``.keras`` file in a process of its own, in bounded time and memory.

    What passes can be opened by h5py and Keras in this process: no damage in it makes
    HDF5 crash, loop without end, or allocate without bound. Takes a fifth of a second,
    and up to 0.1 s more for each 100 MB.

    Args:
        path: a file that is there.

    Raises:
        InputError: it cannot be read so.
        OSError: it may not be opened.
    """
    with path.open("rb"):
        seconds = TIME_LIMIT + path.stat().st_size / 1e7
    # -P keeps the modules beside the script out of the way of Python's own.
    command = [sys.executable, "-P", probe.__file__, path]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise broken(path, f"not done after {seconds:.0f} seconds") from error
    if done.returncode < 0:
        raise broken(path, f"HDF5 stops with {signal.Signals(-done.returncode).name}")
    if done.returncode:
        raise broken(path, done.stdout.decode(errors="replace") or "HDF5 cannot open it")


def check_values(source: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuses numbers with which a network answers NaN.

    Args:
        source: where they are from, for the message.
        arrays: name -> numbers; variances are told by the end of their names.

    Raises:
        InputError: NaN or infinity among them, or a negative variance.
    """
    infinite, negative = [], []
    for name, array in arrays.items():
        if array.dtype.kind in "fc" and not np.isfinite(array).all():
            infinite.append(name)
        elif name.endswith(("moving_variance", "running_var")) and (array < 0).any():
            negative.append(name)
    for what, names in (("NaN or infinity", infinite), ("negative variances", negative)):
        if names:
            raise InputError(
                f"{source} holds {what} in {list_some(names, most=3)}: the training that made it "
                f"failed, or the file is damaged; get it again, or use another."
            )
