"""What stands beside an exported network: which run it was made of, and for which engine."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from deepfashion_tf.errors import InputError
from deepfashion_tf.files import is_folder
from deepfashion_tf.inference.calibration import CALIBRATION_FILE, Calibration
from deepfashion_tf.inference.engines import ENGINES, EngineName
from deepfashion_tf.schema import Schema
from deepfashion_tf.training.run import SCHEMA_FILE, Run

RUN_FILE = "run.json"


def has_export(run: Run, engine: EngineName) -> bool:
    """Whether an engine is installed and a run has been exported for it since it was trained."""
    about = ENGINES[engine]
    return about.is_installed and is_made_of(run, run.directory / about.folder)


def digest_of(run: Run) -> str:
    """Gives the SHA-256 of what a run's exports hang on: model, calibration, views, padding."""
    found = hashlib.sha256()
    if run.config.tta != "none":
        found.update(run.config.tta.encode())
    if run.config.box_padding:
        found.update(str(run.config.box_padding).encode())
    for path in (run.model_path, run.directory / CALIBRATION_FILE):
        if path.is_file():
            found.update(path.read_bytes())
    return found.hexdigest()


def fastest_engine(run: Run) -> EngineName:
    """Names the fastest engine that is installed and that a run has been exported for."""
    for name in ENGINES:
        if ENGINES[name].is_for_here and has_export(run, name):
            return name
    return "tensorflow"


def is_made_of(run: Run, export: Path) -> bool:
    """Whether an export is there, and was made of the model that the run has now."""
    path = export / "assets" / RUN_FILE
    if not path.is_file():
        return False
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("digest") == digest_of(run)
    except (ValueError, AttributeError) as error:
        raise broken_export(export, error) from error


def engine_of(path: Path) -> EngineName | None:
    """Names the engine that a folder is an export for; None = it is no export."""
    files = {e.file: name for name, e in ENGINES.items()} | {"saved_model.pb": "tensorflow"}
    there = (kind for file, kind in files.items() if (path / file).is_file())
    kind = next(there, None) if is_folder(path) else None
    if kind != "tensorflow":
        return kind
    try:
        about = json.loads((path / "assets" / RUN_FILE).read_text(encoding="utf-8"))
        return next((name for name in ENGINES if name == about.get("engine")), kind)
    except (OSError, ValueError, AttributeError):
        return kind  # which tells what is wrong


def read_assets(export: Path, names: Sequence[str]) -> tuple[Schema, dict, Calibration]:
    """Reads what stands beside an exported network.

    Args:
        export: its folder.
        names: what has to be known of the run, besides its padding.

    Raises:
        InputError: it is missing or broken.
    """
    assets = export / "assets"
    try:
        schema = Schema.load(assets / SCHEMA_FILE)
        about = json.loads((assets / RUN_FILE).read_text(encoding="utf-8"))
        known = {name: about[name] for name in names}
        # Exports of before there was padding say nothing of it.
        known["box_padding"] = float(about.get("box_padding", 0.0))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise broken_export(export, error) from error
    return schema, known, Calibration.load(assets / CALIBRATION_FILE, schema)


def broken_export(path: Path, error: Exception) -> InputError:
    """Makes the sentence about an export that cannot be read, and why."""
    reason = " ".join(str(error).split())[:200]
    return InputError(
        f"{path} cannot be used as an export of scripts/export.py ({reason}): export the run again."
    )
