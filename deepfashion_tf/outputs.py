"""No command writes onto what it reads."""

import os
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path

from deepfashion_tf.errors import InputError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
# What later commands read of a run directory or an export; scores and pages are its own, too.
_OF_A_RUN = (
    *("config.json", "schema.yaml", "model.keras", "calibration.json", "ensemble.json"),
    *("history.csv", "metrics*.json", "answers*.csv", "report*.html", "bad_images.txt"),
    "relabel*.csv",
    *("attributes.json", "saved_model.pb", "model.*", "*.png"),
)


def check_outputs(
    outputs: Mapping[str, Path | None],
    inputs: Iterable[str | Path | None],
    runs: Iterable[Path | None] = (),
) -> None:
    """Checks that nothing that is read would be written over, through links either.

    Args:
        outputs: option -> the file or folder that it names; None = not asked for.
        inputs: what is read: files, folders, or words that are no path.
        runs: run directories, or files and exports in them: what they hold of their own is read.

    Raises:
        InputError: an output is an address, an input, a file of a run, or another output.
    """
    named = {option: path for option, path in outputs.items() if path is not None}
    for option, path in named.items():
        check_local(option, path)
        for other in inputs:
            if other is not None and is_same(path, other):
                raise InputError(
                    f"{option} {path} is what this command reads ({other}), and would be lost: "
                    f"name another."
                )
        for run in filter(None, runs):
            if _is_of_run(path, run):
                raise InputError(
                    f"{option} {path} is a file of the run {run}, and would be lost: name another."
                )
        for other_option, other in named.items():
            if other_option != option and is_same(path, other):
                raise InputError(
                    f"{option} and {other_option} both name {path}: give each a file of its own."
                )


def check_local(option: str, path: Path) -> None:
    """Checks that an output is a file or folder of this machine.

    Raises:
        InputError: it is an address, of which a path keeps one slash.
    """
    if _ADDRESS.match(str(path)):
        raise InputError(
            f"{option} {path} is an address, and is written on this machine alone: name a file or "
            f"folder, and copy it afterwards."
        )


def check_ending(option: str, path: Path, kind: str, *endings: str) -> None:
    """Checks that a file to be written is called as its kind is, and so is no photograph.

    Raises:
        InputError: it ends otherwise.
    """
    if path.suffix.lower() not in endings:
        raise InputError(
            f"{option} {path} is no {kind}: name a file that ends in {' or '.join(endings)}."
        )


def is_same(path: str | Path, other: str | Path) -> bool:
    """Whether two names lead to one file or folder, which need not be there yet."""
    try:
        return Path(path).samefile(other)
    except (OSError, ValueError):
        # One of them is not there, or is no path at all.
        try:
            return os.path.realpath(path) == os.path.realpath(other)
        except (OSError, ValueError):
            return False


def is_within(path: str | Path, folder: str | Path) -> bool:
    """Whether a path is a folder or lies below it, links resolved."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _is_of_run(path: Path, run: Path) -> bool:
    folder = run if run.is_dir() else run.parent
    if not os.path.lexists(path) or not is_within(path, folder):
        return False
    inside = Path(os.path.realpath(path)).relative_to(os.path.realpath(folder))
    return len(inside.parts) != 1 or any(fnmatch(inside.name, name) for name in _OF_A_RUN)
