"""Checkpoints: all that a run needs to go on as if it had never been stopped."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import filelock
import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from deepfashion_tf.data.split import Split
from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import remove_unfinished, whole_or_nothing
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import TrainConfig

KEPT = 2  # checkpoints: the last one, and one to go back to if it is damaged
_FOREIGN = "is a checkpoint of other options or of other data"
METRICS = "metrics/"  # how the names of an unfinished epoch's totals and counts begin
_FOLDER = "checkpoints"
_NAME = re.compile(r"epoch-(\d{6})-step-(\d{8})\.safetensors")


@dataclass(frozen=True)
class Position:
    """How far a run has come.

    Attributes:
        epoch: epochs that are done, their validation included.
        step: steps of the next epoch that are done.
        rows: what history.csv holds, one an epoch.
        best_epoch: the epoch of model.keras, counted from 1; None before there is one.
        best_value: its validation mean accuracy.
    """

    epoch: int = 0
    step: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    best_value: float = -np.inf

    def __str__(self) -> str:
        return f"epoch {self.epoch + 1}, step {self.step}" if self.step else f"epoch {self.epoch}"


class Checkpoints:
    """The folder ``checkpoints/`` of a run.

    A checkpoint is one safetensors file of arrays by name, with the position and a
    SHA-256 of all arrays in its header. It is written under a temporary name and
    renamed; a file that is cut off, changed, or of another run is never used.

    Args:
        run: the run directory.
        fingerprint: of the run that they belong to, see `fingerprint_of`.
    """

    def __init__(self, run: Path, fingerprint: str) -> None:
        self.directory = run / _FOLDER
        self.fingerprint = fingerprint

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from training the same run, as long as this one lives.

        Raises:
            InputError: another process is training it.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.directory / ".lock", timeout=0)
        try:
            with lock:
                remove_unfinished(self.directory)
                yield
        except filelock.Timeout as error:
            raise InputError(
                f"{self.directory.parent} is being trained by another process: wait until it has "
                f"ended, or stop it."
            ) from error

    def files(self) -> list[Path]:
        """Lists the checkpoints, the furthest first."""
        if not self.directory.is_dir():
            return []
        return sorted(
            (p for p in self.directory.iterdir() if _NAME.fullmatch(p.name)), reverse=True
        )

    def save(self, arrays: dict[str, np.ndarray], position: Position) -> Path:
        """Saves a checkpoint and removes those before the last `KEPT`.

        Raises:
            OSError: the disk is full, or the folder cannot be written to; the checkpoints
                before are still there.
        """
        path = self.directory / f"epoch-{position.epoch:06}-step-{position.step:08}.safetensors"
        metadata = {
            # NaN stays NaN: a run goes on to the last bit.
            "position": json.dumps(asdict(position)),
            "fingerprint": self.fingerprint,
            "sha256": _digest(arrays),
        }
        with whole_or_nothing(path) as temporary:
            try:
                save_file(arrays, temporary, metadata)
            except SafetensorError as error:
                # It tells a full disk in words alone.
                raise _as_os_error(error, path) from error
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        for old in self.files()[KEPT:]:
            old.unlink(missing_ok=True)
        return path

    def load(self, like: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], Position] | None:
        """Loads the furthest checkpoint that is whole; says why those after it are not used.

        Args:
            like: arrays of the names, shapes and types that a checkpoint of the run has.

        Returns:
            Its arrays and its position, or None if there is none to go on from.

        Raises:
            InputError: there are checkpoints, but only of another run.
        """
        files = self.files()
        faults = []
        for path in files:
            found = self._read(path, like)
            if not isinstance(found, str):
                return found
            faults.append(found)
            console.print(f"{path} {found}: it is not used.", style="yellow", soft_wrap=True)
        if faults and set(faults) == {_FOREIGN}:
            raise InputError(
                f"{self.directory} holds checkpoints of other options or of other data than those "
                f"of this run: give it the data that it was trained on, or train anew, with "
                f"another --output-dir."
            )
        return None

    def _read(self, path: Path, like: dict[str, np.ndarray]):
        """Reads one checkpoint, or says what is wrong with it."""
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                if metadata.get("fingerprint") != self.fingerprint:
                    return _FOREIGN
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            position = Position(**json.loads(metadata["position"]))
        # A damaged header leads safetensors and json to anything.
        except Exception as error:
            return f"cannot be read ({' '.join(str(error).split())[:100]})"
        if _layout(like).items() - _layout(arrays).items():
            return "holds other weights than this run's model and optimizer have"
        if metadata.get("sha256") != _digest(arrays):
            return "is damaged: its checksum is another"
        return arrays, position


class RunState:
    """The variables of a run, as arrays by name.

    Args:
        model: its weights, moving statistics and the random state of dropout.
        optimizer: its counters and moments.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
    ) -> None:
        self._variables = {
            **_numbered("model/", model.variables),
            **_numbered("optimizer/", optimizer.variables),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Copies what the variables hold now."""
        return {name: np.asarray(variable) for name, variable in self._variables.items()}

    def assign(self, arrays: dict[str, np.ndarray]) -> None:
        """Puts back what `arrays` has copied."""
        for name, variable in self._variables.items():
            variable.assign(arrays[name])


def has_checkpoints(run: Path) -> bool:
    """Whether a run directory has something to go on from."""
    return bool(Checkpoints(run, "").files())


def remove_checkpoints(run: Path) -> None:
    """Removes them all from a run that is complete."""
    shutil.rmtree(run / _FOLDER, ignore_errors=True)


def metric_arrays(trainer: keras.Model) -> dict[str, np.ndarray]:
    """Copies the totals and counts of an epoch's metrics."""
    variables = _numbered(METRICS, trainer.metrics_variables)
    return {name: np.asarray(variable) for name, variable in variables.items()}


def assign_metrics(trainer: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Puts back what `metric_arrays` has copied."""
    for name, variable in _numbered(METRICS, trainer.metrics_variables).items():
        variable.assign(arrays[name])


def _numbered(kind: str, variables: Sequence[keras.Variable]) -> dict[str, keras.Variable]:
    # The last word: before it Keras may number a layer by how many the process has made.
    return {f"{kind}{i:05}/{v.name.rsplit('_', 1)[-1]}": v for i, v in enumerate(variables)}


def fingerprint_of(config: TrainConfig, splits: list[Split]) -> str:
    """Digests what a run computes: its options, and the images, boxes and labels in order.

    Where the run lies and what its data are called from where does not count.
    """
    # What is as usual is left out, so that options that came later change nothing.
    usual = asdict(TrainConfig())
    values = {name: value for name, value in asdict(config).items() if value != usual[name]}
    places = ("output_dir", "data", "schema", "cache")
    for name in (*places, "offline"):
        values.pop(name, None)
    if config.teacher:
        values["teacher"] = config.teacher.name
    digest = hashlib.sha256(as_json(values, sort_keys=True, default=str).encode())
    for split in splits:
        split.add_to(digest)
    return digest.hexdigest()


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8))
    return digest.hexdigest()


def _layout(arrays: dict[str, np.ndarray]) -> dict[str, tuple]:
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


def _as_os_error(error: SafetensorError, path: Path) -> OSError:
    number = re.search(r"os error (\d+)", str(error))
    code = int(number[1]) if number else 5
    return OSError(code, os.strerror(code), str(path))
