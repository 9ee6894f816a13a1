"""Runs on the Hugging Face hub: uploads one with its model card, fetches one."""

import json
import shutil
import tempfile
from pathlib import Path

from deepfashion_tf.documents import as_json, read_document
from deepfashion_tf.errors import InputError
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import CONFIG_FILE
from deepfashion_tf.runs.model_card import model_card
from deepfashion_tf.runs.run import HISTORY_FILE, MODEL_FILE, SCHEMA_FILE, Run

# What answering needs, and what shows how good the answers are.
_FILES = (MODEL_FILE, SCHEMA_FILE, HISTORY_FILE, "calibration.json", "ensemble.json")
_SHOWN = ("metrics*.json", "curves.png", "tradeoff.png")
# Settings that name folders of this machine.
_LOCAL = ("data", "output_dir", "schema", "teacher")


def push(run: Run, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
    """Uploads a run with a model card, as one commit.

    Args:
        run: trained and scored.
        repo_id: "user/name"; created if it does not exist.
        private: whether a new repository is private.
        token: of the account; None = the stored one.

    Returns:
        The address of the commit.

    Raises:
        InputError: the run has no model or no scores, or the hub refuses or cannot be reached.
    """
    import huggingface_hub as hub

    if not run.model_path.is_file():
        raise InputError(f"{run.model_path} is missing: train the run to its end first.")
    card = model_card(run, repo_id)
    with tempfile.TemporaryDirectory() as folder:
        _gather(run, Path(folder))
        (Path(folder) / "README.md").write_text(card, encoding="utf-8")
        try:
            api = hub.HfApi(token=token)
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id, folder_path=folder, commit_message="Upload a deepfashion_tf run"
            )
        except (OSError, ValueError, hub.errors.HTTPError) as error:
            raise InputError(
                f"{run.directory} could not be uploaded to {repo_id} ({_reason(error)}): log in "
                f"with hf auth login, and check the name and the connection."
            ) from error
    return str(commit.commit_url)


def fetch(repo_id: str) -> Path:
    """Fetches a run from the hub, or takes it from the hub's cache.

    Args:
        repo_id: "user/name".

    Returns:
        The run directory in the cache.

    Raises:
        InputError: there is no such run, or it can neither be fetched nor is in the cache.
    """
    import huggingface_hub as hub

    patterns = [CONFIG_FILE, *_FILES, *_SHOWN]
    try:
        folder = Path(hub.snapshot_download(repo_id, allow_patterns=patterns, etag_timeout=20))
    except (OSError, ValueError, hub.errors.HTTPError) as error:
        raise InputError(
            f"There is no folder {repo_id}, and the Hugging Face model of this name cannot be "
            f"fetched ({_reason(error)}): check the name and the connection."
        ) from error
    if not (folder / CONFIG_FILE).is_file() or not (folder / MODEL_FILE).is_file():
        raise InputError(
            f"The Hugging Face model {repo_id} is no run of deepfashion_tf: it has no "
            f"{CONFIG_FILE} or no {MODEL_FILE}."
        )
    console.print(f"{repo_id}: {folder}", style="dim", soft_wrap=True)
    return folder


def _gather(run: Run, folder: Path) -> None:
    for pattern in (*_FILES, *_SHOWN):
        for path in run.directory.glob(pattern):
            shutil.copyfile(path, folder / path.name)
    for path in folder.glob("metrics*.json"):
        scores = read_document(path)
        scores["source"] = Path(str(scores.get("source", ""))).name
        path.write_text(as_json(scores, indent=2) + "\n", encoding="utf-8")
    config = json.loads((run.directory / CONFIG_FILE).read_text(encoding="utf-8"))
    config |= {name: None for name in _LOCAL if name in config}
    config |= {"data": "wardrobe" if run.config.is_wardrobe else None, "cache": "memory"}
    if Path(str(config.get("weights"))).is_absolute():
        config["weights"] = Path(config["weights"]).name
    (folder / CONFIG_FILE).write_text(as_json(config, indent=2) + "\n", encoding="utf-8")


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in lines if not line.startswith("(Request")), type(error).__name__)
    return reason if len(reason) <= 200 else f"{reason[:200]}…"
