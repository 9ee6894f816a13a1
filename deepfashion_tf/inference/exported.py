"""What stands beside an exported network: which run it was made of, and for which engine."""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from deepfashion_tf.documents import as_json, kind_fault, number_fault, read_document
from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.files import is_folder, write_atomically
from deepfashion_tf.inference.calibration import CALIBRATION_FILE, Calibration
from deepfashion_tf.inference.engine_names import EngineName
from deepfashion_tf.inference.engines import ENGINES, INEXACT, Answer
from deepfashion_tf.runs.run import SCHEMA_FILE, Run
from deepfashion_tf.schema import Schema

RUN_FILE = "run.json"
ATTRIBUTES_FILE = "attributes.json"
_CHECKSUMS = "sha256"  # key in it
_OFF = 0.05  # that a sum of probabilities may be from 1: 8-bit integers round


def has_export(run: Run, engine: EngineName) -> bool:
    """Whether an engine is installed and a run has been exported for it since it was trained."""
    about = ENGINES[engine]
    return about.is_installed and is_made_of(run, run.directory / about.folder)


def digest_of(run: Run) -> str:
    """Returns the SHA-256 of what a run's exports hang on: model, calibration, views, padding."""
    found = hashlib.sha256()
    if run.config.tta != "none":
        found.update(run.config.tta.encode())
    if run.config.box_padding:
        found.update(str(run.config.box_padding).encode())
    for path in (run.model_path, run.directory / CALIBRATION_FILE):
        if path.is_file():
            found.update(path.read_bytes())
    return found.hexdigest()


def fastest_engine(run: Run, exact: bool = False) -> EngineName:
    """Names the fastest engine that is installed and that a run has been exported for."""
    for name in ENGINES:
        if exact and name in INEXACT:
            continue
        if ENGINES[name].is_for_here and has_export(run, name):
            return name
    return "tensorflow"


def is_made_of(run: Run, export: Path) -> bool:
    """Whether an export is there, and was made of the model that the run has now."""
    path = export / "assets" / RUN_FILE
    if not path.is_file():
        return False
    try:
        return read_document(path).get("digest") == digest_of(run)
    except (OSError, ValueError) as error:
        raise broken_export(export, error) from error


def engine_of(path: Path) -> EngineName | None:
    """Names the engine that a folder is an export for; None = it is no export."""
    files = {e.file: name for name, e in ENGINES.items()} | {"saved_model.pb": "tensorflow"}
    there = (kind for file, kind in files.items() if (path / file).is_file())
    kind = next(there, None) if is_folder(path) else None
    if kind != "tensorflow":
        return kind
    try:
        about = read_document(path / "assets" / RUN_FILE)
        return next((name for name in ENGINES if name == about.get("engine")), kind)
    except (OSError, ValueError):
        return kind  # which tells what is wrong


@dataclass(frozen=True)
class Assets:
    """What stands beside an exported network.

    Attributes:
        schema: the run's.
        untrained: categories in which no training image was labelled.
        image_size: side of the crops in pixels; None = an old SavedModel, which says it alone.
        padding: of the boxes.
        calibration: of the probabilities, already in the network.
    """

    schema: Schema
    untrained: tuple[str, ...]
    image_size: int | None
    padding: float
    calibration: Calibration


def seal(export: Path) -> None:
    """Notes the checksums of an export's network and calibration, for `read_assets` to compare."""
    path, calibration = export / "assets" / RUN_FILE, f"assets/{CALIBRATION_FILE}"
    names = [*_files(export), *([calibration] if (export / calibration).is_file() else [])]
    known = {**read_document(path), _CHECKSUMS: {n: _sha256(export / n) for n in names}}
    write_atomically(path, as_json(known) + "\n")


def read_assets(export: Path, needs_size: bool = True) -> Assets:
    """Reads what stands beside an exported network, and compares checksums.

    An export of before there were checksums has none, and is not checked.

    Args:
        export: its folder.
        needs_size: whether the file has to name the size of the crops.

    Raises:
        InputError: a file is missing, broken, or is not the one that was exported.
    """
    assets = export / "assets"
    try:
        schema = Schema.load(assets / SCHEMA_FILE)
        about = read_document(assets / RUN_FILE)
        attributes = assets / ATTRIBUTES_FILE
        if attributes.is_file() and read_document(attributes) != {
            category: list(values) for category, values in schema.items()
        }:
            raise ValueError(f"{ATTRIBUTES_FILE} and {SCHEMA_FILE} name different attributes")
        fault = _fault_of(about, schema, needs_size)
    except (OSError, ValueError, InputError) as error:
        raise broken_export(export, error) from error
    if fault:
        raise broken_export(export, ValueError(f"in {RUN_FILE}, {fault}"))
    _check_files(export, about.get(_CHECKSUMS))
    return Assets(
        schema,
        tuple(about["untrained"]),
        about.get("image_size"),
        # Exports of before there was padding say nothing of it.
        float(about.get("box_padding", 0.0)),
        Calibration.load(assets / CALIBRATION_FILE, schema),
    )


def _fault_of(about: dict, schema: Schema, needs_size: bool) -> str | None:
    if "untrained" not in about or (needs_size and "image_size" not in about):
        return "untrained or image_size is missing"
    size = about.get("image_size", 224)
    faults = (
        kind_fault("untrained", about["untrained"], tuple[str, ...]),
        kind_fault("image_size", size, int) or number_fault("image_size", size, 32, 4096),
        number_fault("box_padding", about.get("box_padding", 0.0), 0, 1),
    )
    if fault := next(filter(None, faults), None):
        return fault
    unknown = [name for name in about["untrained"] if name not in schema]
    return f"untrained names {', '.join(unknown)}, which is no category" if unknown else None


def _files(export: Path) -> list[str]:
    """Lists the files of an export's network."""
    paths = [*export.glob("model*.*"), *export.glob("saved_model.pb"), *export.glob("variables/*")]
    return sorted(path.relative_to(export).as_posix() for path in paths if path.is_file())


def _check_files(export: Path, checksums: object) -> None:
    if checksums is None:
        return
    fault = kind_fault(_CHECKSUMS, checksums, dict[str, str])
    if fault or any(".." in PurePosixPath(n).parts or n.startswith("/") for n in checksums):
        raise broken_export(export, ValueError(f"in {RUN_FILE}, {_CHECKSUMS} holds no checksums"))
    changed = [
        name
        for name, value in checksums.items()
        if not (export / name).is_file() or _sha256(export / name) != value
    ]
    # What was put beside it would be loaded, too.
    changed += [name for name in _files(export) if name not in checksums]
    if changed:
        raise InputError(
            f"{export} is not what was exported ({list_some(changed)} changed since): export the "
            f"run again."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_network(export: Path, answer: Answer, assets: Assets) -> None:
    """Asks an exported network once, and compares what it answers with its assets.

    Raises:
        InputError: it cannot answer, or answers other categories or attributes, or with what are
            no probabilities.
    """
    size = assets.image_size
    try:
        found = answer(np.zeros((1, size, size, 3), np.uint8))
    # What an engine raises is its own.
    except Exception as error:
        raise broken_export(export, error) from error
    check_outputs(export, {name: np.shape(values)[-1] for name, values in found.items()}, assets)
    check_probabilities(str(export), found)


def check_outputs(export: Path, widths: dict[str, int], assets: Assets) -> None:
    """Compares the outputs of an exported network with its assets.

    Args:
        export: its folder.
        widths: category -> how many attributes the network answers.
        assets: what stands beside it.

    Raises:
        InputError: it answers other categories or attributes.
    """
    wanted = {category: len(values) for category, values in assets.schema.items()}
    if widths != wanted:
        differing = sorted(n for n in {*wanted, *widths} if wanted.get(n) != widths.get(n))
        raise InputError(
            f"{export} holds a network and a {SCHEMA_FILE} of different runs (they differ in "
            f"{list_some(differing)}): export the run again."
        )


def check_probabilities(name: str, found: dict[str, np.ndarray]) -> None:
    """Refuses answers that are no probabilities.

    Raises:
        InputError: names the categories with NaN or with a sum other than 1.
    """
    wrong = [category for category, values in found.items() if not np.isfinite(values).all()]
    if wrong:
        raise InputError(
            f"{name} answers {list_some(wrong)} with NaN, which is no probability: its weights are "
            f"damaged; export or train the run again."
        )
    wrong = [
        category
        for category, values in found.items()
        if (np.abs(values.sum(axis=-1) - 1) > _OFF).any()
    ]
    if wrong:
        raise InputError(
            f"{name} answers {list_some(wrong)} with numbers that do not add up to 1: its weights "
            f"are damaged; export or train the run again."
        )


def broken_export(path: Path, error: Exception) -> InputError:
    """Makes the sentence about an export that cannot be read, and why."""
    reason = " ".join(str(error).split())[:200]
    return InputError(
        f"{path} cannot be used as an export of a run ({reason}): export the run again."
    )
