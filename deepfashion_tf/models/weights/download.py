"""Downloads that are there whole and verified, or not at all."""

import hashlib
import re
import shutil
from pathlib import Path

from deepfashion_tf.errors import InputError
from deepfashion_tf.progress import console

_FILE = "model.safetensors"
_TIMEOUT = 20  # seconds without a byte


def download(url: str, path: Path, md5: str, *, offline: bool = False) -> None:
    """Fetches a file unless it is there with the right hash.

    Args:
        url: its address.
        path: where it belongs; it appears there after the hash is verified.
        md5: its hash, in hexadecimal.
        offline: fetch nothing; so does the environment variable HF_HUB_OFFLINE=1.

    Raises:
        InputError: offline, no connection, a cut one, or another hash.
    """
    import pooch
    import requests

    if path.is_file() and pooch.file_hash(path, alg="md5") == md5:
        return
    by_hand = f"download {url} (MD5 {md5}) elsewhere and put it at {path}"
    refused = _refusal(offline)
    if refused:
        raise InputError(f"{path.name} is not on this machine, and {refused}: {_or_else(by_hand)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    console.print(f"[dim]downloading {url}[/dim]", soft_wrap=True)
    pooch.get_logger().setLevel("WARNING")
    fetch = pooch.HTTPDownloader(
        progressbar=console.is_terminal, chunk_size=2**16, timeout=_TIMEOUT
    )
    try:
        pooch.retrieve(url, f"md5:{md5}", path.name, path.parent, downloader=fetch)
    except (requests.RequestException, ValueError) as error:
        raise InputError(
            f"{path.name} could not be fetched ({_reason(error)}), and nothing of it was kept: "
            f"{_or_else(by_hand)}"
        ) from error


def download_from_hub(repository: str, by_hand: Path, *, offline: bool = False) -> Path:
    """Fetches ``model.safetensors`` from the Hugging Face hub, into the hub's own cache.

    Args:
        repository: ``timm/MODEL``.
        by_hand: where the caller looks for a copy that somebody put there.
        offline: as in `download`.

    Returns:
        Path of the file in the cache, whose SHA-256 is the one that the hub names.

    Raises:
        InputError: as in `download`, or the hub has no such model.
    """
    import huggingface_hub as hub
    from huggingface_hub.errors import HTTPError, RepositoryNotFoundError, XetDownloadError

    cached = hub.try_to_load_from_cache(repository, _FILE)
    if isinstance(cached, str) and _is_whole(Path(cached)):
        return Path(cached)
    url = hub.hf_hub_url(repository, _FILE)
    advice = (
        f"download {url} elsewhere (its SHA-256 is shown at "
        f"{url.replace('/resolve/', '/blob/')}) and put it at {by_hand}"
    )
    refused = _refusal(offline)
    if refused:
        raise InputError(f"{repository} is not on this machine, and {refused}: {_or_else(advice)}")
    console.print(f"[dim]downloading {url}[/dim]", soft_wrap=True)
    if not console.is_terminal:
        hub.utils.disable_progress_bars()
    try:
        # Without a connection this says so at once, hf_hub_download after five more tries.
        hub.get_hf_file_metadata(url, timeout=_TIMEOUT)
        path = Path(hub.hf_hub_download(repository, _FILE))
        if not _is_whole(path):
            raise ValueError("it arrived with another SHA-256 than the hub names")
    except RepositoryNotFoundError as error:
        raise InputError(
            f"The Hugging Face hub has no model {repository}: https://huggingface.co/timm lists "
            f"them, and the README those that fit."
        ) from error
    except (OSError, ValueError, RuntimeError, HTTPError, XetDownloadError) as error:
        _forget_if_empty(Path(hub.constants.HF_HUB_CACHE), repository)
        raise InputError(
            f"{repository} could not be fetched ({_reason(error)}), and nothing of it was kept: "
            f"{_or_else(advice)}"
        ) from error
    return path


def _is_whole(path: Path) -> bool:
    """Compares a file of the hub's cache with its SHA-256, and removes it if they differ.

    The cache calls what the snapshots link to by the hash that the hub names; what
    has another name (no links on this system, no hash from a mirror) passes.
    """
    blob = path.resolve()
    if not re.fullmatch("[0-9a-f]{64}", blob.name):
        return True
    with blob.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() == blob.name:
            return True
    path.unlink()
    blob.unlink(missing_ok=True)
    return False


def _forget_if_empty(cache: Path, repository: str) -> None:
    folder = cache / f"models--{repository.replace('/', '--')}"
    if not any(folder.glob("blobs/*")):
        shutil.rmtree(folder, ignore_errors=True)


def _refusal(offline: bool) -> str | None:
    """Says why nothing may be fetched; None if it may."""
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if offline:
        return "--offline forbids to fetch it"
    return "HF_HUB_OFFLINE forbids to fetch it" if HF_HUB_OFFLINE else None


def _or_else(advice: str) -> str:
    return f"{advice}; or start from random weights with --weights none."


def _reason(error: BaseException) -> str:
    """Finds the plain words below what libraries wrap around them."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    text = " ".join((getattr(error, "strerror", None) or str(error)).split())
    return text if len(text) <= 160 else f"{text[:160]}…"
