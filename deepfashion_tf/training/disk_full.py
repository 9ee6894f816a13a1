"""What happens when the disk is full."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepfashion_tf.errors import InputError
from deepfashion_tf.files import is_disk_full
from deepfashion_tf.progress import console
from deepfashion_tf.runs.runtime_options import RuntimeOptions


@contextmanager
def unless_disk_full(options: RuntimeOptions, path: Path | None, what: str) -> Iterator[None]:
    """Reports that the disk is full where something is written, and goes on or stops.

    Raises:
        InputError: the disk is full, and ``options.on_full_disk`` is "stop".
    """
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        sentence = f"The disk is full: {what} could not be saved in {path}; what was is kept."
        if options.on_full_disk == "stop":
            raise InputError(
                f"{sentence} Free some space and go on with --resume {path.parent}."
            ) from error
        console.print(f"{sentence} The training goes on.", style="yellow", soft_wrap=True)
