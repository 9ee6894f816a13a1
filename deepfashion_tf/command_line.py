"""What all scripts share: quiet starts, and one clear sentence where something is wrong."""

import errno
import gc
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from deepfashion_tf.errors import InputError, printable
from deepfashion_tf.files import is_disk_full
from deepfashion_tf.interrupts import TERMINATED, Terminated


def run(main: Callable[[], int | None]) -> None:
    """Runs a script's `main` and exits: 0 or what it returns, 2 on bad input, 130 on Ctrl-C,
    141 where nobody reads the output any more, 143 on SIGTERM.

    Bad input is an InputError, or an operating-system error such as a full disk or
    a folder that may not be written; both are told in one sentence on stderr.
    """
    _replace_closed_streams()
    # Its advice on tracing is for whoever writes code with it.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # A file name in another encoding is shown with its bytes in numbers.
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(main)
    except BrokenPipeError:
        # Whoever read the output has seen enough, such as head.
        code = 141
    _drop_what_cannot_be_written()
    sys.exit(code)


def _run(main: Callable[[], int | None]) -> int | str | None:
    try:
        code = main() or 0
        sys.stdout.flush()
    except InputError as error:
        code = _fail(str(error))
    except Terminated as end:
        with suppress(OSError):
            print(f"\n{printable(end)}", file=sys.stderr, flush=True)
            sys.stdout.flush()
        # All is saved, and the time that a batch system leaves is short: TensorFlow can take
        # longer to say goodbye to other workers.
        os._exit(TERMINATED)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        code = 130
    except SystemExit as end:
        code = end.code
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        code = _fail(_explain(error))
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("deepfashion_tf"):
            raise
        code = _fail(
            f"{error.name} is not installed: pip install deepfashion_tf. (requirements-answer.txt "
            f"installs only what predictions by OpenVINO need.)"
        )
    except UnicodeEncodeError as error:
        # The bytes of a file's name, which Python keeps as half of a pair.
        if not 0xDC80 <= ord(error.object[error.start]) <= 0xDCFF:
            raise
        code = _fail(f"{error.object} holds bytes that are no UTF-8: give it another name.")
    return code


def _replace_closed_streams() -> None:
    """Opens standard streams that were closed (``>&-``): what is printed there is dropped.

    Otherwise the next file that is opened would take their number, and what C++ prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        mode = "w" if number else "r"
        with open(os.devnull, mode) as null:  # noqa: PTH123
            try:
                os.fstat(number)
            except OSError:
                os.dup2(null.fileno(), number)
            stream = os.fdopen(os.dup(null.fileno()), mode, encoding="utf-8")
        setattr(sys, name, stream)


def _drop_what_cannot_be_written() -> None:
    """Keeps Python from complaining at its end that nobody reads any more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


def _fail(sentence: str) -> int:
    lines = "\n".join(map(printable, sentence.split("\n")))
    print(f"error: {lines}", file=sys.stderr)
    return 2


def _explain(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if is_disk_full(error):
        return f"The disk is full{where}: free some space and start again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"No permission{where}: name a file or folder that this user may use."
    return f"{error.strerror or error}{where}."


@contextmanager
def _hidden(*packages: str) -> Iterator[None]:
    """Makes imports of packages that are not loaded yet fail."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def import_tensorflow() -> None:
    """Imports TensorFlow without the lines that its C++ side prints before it can be told not to.

    They say that there is no CUDA and that oneDNN is on. If the import fails they
    are shown, since they may say why. Of packages that Keras imports where they are
    installed, two that nothing here uses by way of Keras are hidden from it: they took
    a quarter of the time.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _no_garbage_collection(), hidden_stderr(), _hidden("sklearn", "matplotlib.pyplot"):
        import tensorflow  # noqa: F401


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collects no garbage while modules are imported, nor later looks for any among them.

    TensorFlow makes a million objects that stay. Looking at them time and again takes a fifth of
    its import and a tenth of the tracing of a training step.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def hidden_stderr() -> Iterator[None]:
    """Hides what C++ prints on standard error, unless what is done fails."""
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden.seek(0)
            os.write(shown, hidden.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
