"""Downloads that are there whole and verified, or not at all."""

import re
from pathlib import Path

from deepfashion_tf.errors import InputError
from deepfashion_tf.progress import console

_FILE = "model.safetensors"
_RANDOM_WEIGHTS = "or start from random weights with --weights none"
_TIMEOUT = 20  # seconds without a byte


def download(
    url: str,
    path: Path,
    digest: str | None,
    *,
    offline: bool = False,
    otherwise: str = _RANDOM_WEIGHTS,
) -> None:
    """Fetches a file unless it is there with the right hash.

    Args:
        url: its address.
        path: where it belongs; it appears there after the hash is verified.
        digest: its MD5 or SHA-256, in hexadecimal; None = nobody has published one.
        offline: fetch nothing; so does the environment variable HF_HUB_OFFLINE=1.
        otherwise: what else one can do without it, for messages.

    Raises:
        InputError: offline, no connection, a cut one, or another hash.
    """
    import pooch

    kind = "sha256" if len(digest or "") == 64 else "md5"
    if path.is_file() and digest in (None, pooch.file_hash(path, alg=kind)):
        return
    known = f" ({kind.upper().replace('SHA', 'SHA-')} {digest})" if digest else ""
    advice = f"download {url}{known} elsewhere and put it at {path}; {otherwise}."
    _refuse_if_offline(path.name, advice, offline)
    _fetch(url, path, f"{kind}:{digest}" if digest else None, advice)


def download_from_hub(repository: str, path: Path, *, offline: bool = False) -> Path:
    """Fetches ``model.safetensors`` from the Hugging Face hub unless it is here.

    The hub tells the address and the SHA-256; the bytes then come by plain HTTP.
    huggingface_hub's own download begins again without end if a server cuts every
    connection after some bytes (measured with version 2.4.0: nine minutes).

    Args:
        repository: ``timm/MODEL``.
        path: where it belongs; it appears there after the hash is verified. Who
            downloads it by hand puts it there.
        offline: as in `download`.

    Returns:
        `path`, or the path in the hub's own cache if another program has it there.

    Raises:
        InputError: as in `download`, or the hub has no such model.
    """
    import huggingface_hub as hub
    from huggingface_hub.errors import EntryNotFoundError, HTTPError, RepositoryNotFoundError

    if path.is_file():
        return path
    cached = hub.try_to_load_from_cache(repository, _FILE)
    if isinstance(cached, str):
        return Path(cached)
    url = hub.hf_hub_url(repository, _FILE)
    page = url.replace("/resolve/", "/blob/")
    advice = (
        f"download {url} (SHA-256: see {page}) elsewhere and put it at {path}; {_RANDOM_WEIGHTS}."
    )
    _refuse_if_offline(repository, advice, offline)
    try:
        etag = hub.get_hf_file_metadata(url, timeout=_TIMEOUT).etag or ""
    except (RepositoryNotFoundError, EntryNotFoundError) as error:
        raise InputError(
            f"The Hugging Face hub has no file {url}: https://huggingface.co/timm lists the "
            f"models, and docs/weights.md those that fit."
        ) from error
    except (OSError, HTTPError) as error:
        raise _failure(repository, error, advice) from error
    sha256 = f"sha256:{etag}" if re.fullmatch("[0-9a-f]{64}", etag) else None
    if not sha256:
        console.print(f"{url} comes without a SHA-256: it is not verified.", style="yellow")
    _fetch(url, path, sha256, advice, headers=hub.utils.build_hf_headers())
    return path


def _fetch(url: str, path: Path, known_hash: str | None, advice: str, **options) -> None:
    import pooch

    path.parent.mkdir(parents=True, exist_ok=True)
    console.print(f"downloading {url}", style="dim", soft_wrap=True)
    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(
        progressbar=console.is_terminal, chunk_size=2**16, timeout=_TIMEOUT, **options
    )
    try:
        pooch.retrieve(url, known_hash, path.name, path.parent, downloader=downloader)
    except (OSError, ValueError) as error:  # of requests, of the disk, of the hash
        raise _failure(path.name, error, advice) from error


def _refuse_if_offline(name: str, advice: str, offline: bool) -> None:
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if offline or HF_HUB_OFFLINE:
        reason = "--offline" if offline else "HF_HUB_OFFLINE"
        raise InputError(
            f"{name} is not on this machine, and {reason} forbids to fetch it: {advice}"
        )


def _failure(name: str, error: Exception, advice: str) -> InputError:
    # The plain words are below what libraries wrap around them.
    deepest: BaseException = error
    while deepest.__cause__ or deepest.__context__:
        deepest = deepest.__cause__ or deepest.__context__
    reason = " ".join((getattr(deepest, "strerror", None) or str(deepest)).split())
    reason = reason if len(reason) <= 160 else f"{reason[:160]}…"
    return InputError(
        f"{name} could not be fetched ({reason}), and nothing of it was kept: {advice}"
    )
