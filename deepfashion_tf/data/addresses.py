"""Images at addresses: ``https://``, ``s3://``, ``gs://``, and members of .zip and .tar files.

requests and fsspec read them. Each image is kept in a cache folder under the hash of its address,
so that a second run fetches nothing. No TensorFlow.
"""

import contextlib
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from deepfashion_tf.files import is_file, whole_or_nothing

SCHEMES = ("http", "https", "s3", "gs", "gcs")
TIMEOUT = 30.0  # seconds for one image
MOST_BYTES = 64 * 2**20  # of one image
TRIES = 3
_THREADS = 16
_AHEAD = 128  # images
_PART = 2**18  # bytes that are read at once
_WAIT = 0.5  # seconds before the second try, twice that before the third
_one_at_a_time = threading.Lock()
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,15})://")
_ARCHIVE = re.compile(r"(.+?\.(zip|tar|tar\.gz|tgz|tar\.bz2|tar\.xz))/(.+)", re.IGNORECASE)


class AddressFault(Exception):
    """Returns why an address gives no image; what follows on the address in a sentence."""


def is_address(text: str) -> bool:
    """Whether a text is an address with a scheme, or a member of an archive that is there."""
    return has_scheme(text) or (_SCHEME.match(text) is None and archive_member(text) is not None)


def has_scheme(text: str) -> bool:
    """Whether a text begins as ``https://`` and ``s3://`` do; ``file://`` is no address."""
    found = _SCHEME.match(text)
    return found is not None and found[1].lower() != "file"


def archive_member(text: str) -> tuple[str, str] | None:
    """Divides ``photos.zip/img/1.jpg`` into the archive, if it is there, and the member."""
    found = _ARCHIVE.fullmatch(text)
    return (found[1], found[3]) if found and is_file(found[1]) else None


def fetch(address: str, offline: bool = False) -> str:
    """Fetches an image unless it is in the cache.

    Args:
        address: for which `is_address` holds.
        offline: fetch nothing from a network.

    Returns:
        The path of the file in the cache.

    Raises:
        AddressFault: there is no image, it is too large, it takes too long, or the package for
            such addresses is missing.
    """
    member = archive_member(address)
    path = cache_folder() / _key(address, member)
    if path.is_file():
        return str(path)
    if not member:
        scheme = _SCHEME.match(address)[1].lower()
        if scheme not in SCHEMES:
            raise AddressFault(f"is an address of a kind that is not read: {', '.join(SCHEMES)}")
        if offline:
            raise AddressFault("is not in the cache, and --offline forbids to fetch it")
    content = _read_member(*member) if member else _read_often(address)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_or_nothing(path) as temporary:
        temporary.write_bytes(content)
    return str(path)


def fetch_table(address: str, offline: bool = False) -> str:
    """Fetches a table anew, whatever its size, and returns the path of the file.

    Args:
        address: with a scheme.
        offline: fetch nothing from a network; the table that was fetched last is used.

    Raises:
        AddressFault: it cannot be fetched.
    """
    if not (found := _SCHEME.match(address)):
        raise AddressFault("lies in an archive: unpack the table, its images may stay there")
    if found[1].lower() not in SCHEMES:
        raise AddressFault(f"is an address of a kind that is not read: {', '.join(SCHEMES)}")
    suffix = Path(address).suffix.lower()
    path = cache_folder() / "tables" / f"{hashlib.sha256(address.encode()).hexdigest()}{suffix}"
    if offline:
        if path.is_file():
            return str(path)
        raise AddressFault("is not in the cache, and --offline forbids to fetch it")
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = _parts(address)
    with whole_or_nothing(path) as temporary, temporary.open("wb") as file:
        while part := _next(parts):
            file.write(part)
    return str(path)


def _next(parts: Iterator[bytes]) -> bytes:
    try:
        # A full disk is no fault of the address.
        with _explained():
            return next(parts, b"")
    except _Passing as fault:
        raise AddressFault(f"cannot be fetched ({fault})") from None


def files_at(address: str) -> Iterator[str]:
    """Yields the addresses of all files below a prefix of an object store, folder by folder.

    Raises:
        AddressFault: it cannot be listed.
    """
    with _explained():
        import fsspec

        files, prefix = fsspec.core.url_to_fs(address)
        scheme = address.split("://")[0]
        for place, folders, names in files.walk(prefix):
            folders.sort()  # where to go next
            for name in sorted(names):
                # Some stores keep the slash at the end of a prefix.
                yield f"{scheme}://{place.strip('/')}/{name}"


def fetch_all(
    addresses: Iterable[str | None], offline: bool = False
) -> Iterator[tuple[str | None, str | None]]:
    """Fetches images by threads, a bounded number ahead of whoever asks for them.

    Args:
        addresses: in order; None = there is nothing to fetch.
        offline: as of `fetch`.

    Yields:
        For each one its path in the cache and None, or None and what is wrong with it.
    """
    yield from ((path, fault) for _, path, fault in ahead(addresses, lambda one: one, offline))


def ahead(
    things: Iterable, address_of: Callable[[object], str | None], offline: bool = False
) -> Iterator[tuple[object, str | None, str | None]]:
    """Does what `fetch_all` does for things that have an address or none; yields them, too."""
    waiting, pool = [], None
    try:
        for thing in things:
            address = address_of(thing)
            if address is not None and pool is None:
                pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="fetch")
            waiting.append((thing, pool.submit(_outcome, address, offline) if address else None))
            if pool is None or len(waiting) >= _AHEAD:
                yield _first(waiting)
        while waiting:
            yield _first(waiting)
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)


def cache_folder() -> Path:
    """Names the folder of fetched images: DEEPFASHION_IMAGES, or one in the user's cache."""
    folder = os.environ.get("DEEPFASHION_IMAGES")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(folder) if folder else home / "deepfashion_tf" / "images"


def _first(waiting: list) -> tuple[object, str | None, str | None]:
    thing, future = waiting.pop(0)
    return thing, *(future.result() if future else (None, None))


def _outcome(address: str, offline: bool) -> tuple[str | None, str | None]:
    try:
        return fetch(address, offline), None
    except AddressFault as fault:
        return None, str(fault)


def _key(address: str, member: tuple[str, str] | None) -> str:
    if member:
        found = os.stat(member[0])  # noqa: PTH116
        address = f"{os.path.realpath(member[0])} {found.st_size} {found.st_mtime_ns} {member[1]}"
    digest = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{digest[:2]}/{digest}"


def _read_often(address: str) -> bytes:
    for number in range(TRIES - 1):
        with contextlib.suppress(_Passing), _explained():
            return _read(address)
        time.sleep(_WAIT * 2**number)
    try:
        with _explained():
            return _read(address)
    except _Passing as fault:
        raise AddressFault(f"cannot be fetched in {TRIES} tries ({fault})") from None


class _Passing(AddressFault):
    """Returns what may be over at the next try."""


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Makes a fault of whatever goes wrong with an address."""
    try:
        yield
    except AddressFault:
        raise
    except FileNotFoundError:
        raise AddressFault("is not there") from None
    except ImportError as error:
        raise AddressFault(
            f"needs a package that is missing ({error}): pip install 'deepfashion_tf[remote]'"
        ) from None
    # requests, fsspec and its many backends fail with anything.
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        if isinstance(error, ValueError):
            raise AddressFault(f"is no address ({reason})") from None
        raise _Passing(reason) from None


def _read(address: str) -> bytes:
    began, parts, size = time.monotonic(), [], 0
    with contextlib.closing(_parts(address)) as found:
        for part in found:
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise AddressFault(f"has more than {MOST_BYTES / 2**20:.0f} MiB")
            if time.monotonic() - began > TIMEOUT:
                raise AddressFault(f"takes more than {TIMEOUT:.0f} seconds")
    return b"".join(parts)


def _parts(address: str) -> Iterator[bytes]:
    if address.lower().startswith("http"):
        # fsspec asks twice, and takes every failure for a file that is not there.
        import requests

        with requests.get(address, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code in (401, 403, 404, 410):
                raise AddressFault(f"is not there (status {answer.status_code})")
            answer.raise_for_status()
            yield from answer.iter_content(_PART)
        return
    import fsspec

    with fsspec.open(address, "rb") as file:
        while part := file.read(_PART):
            yield part


def _read_member(archive: str, member: str) -> bytes:
    try:
        opened = _archive(archive, os.stat(archive).st_mtime_ns)  # noqa: PTH116
        # A .tar has one place that is read at a time.
        with _one_at_a_time:
            if opened.info(member)["size"] > MOST_BYTES:
                raise AddressFault(f"has more than {MOST_BYTES / 2**20:.0f} MiB")
            return opened.cat_file(member)
    except AddressFault:
        raise
    # Archives of all kinds, broken in all ways.
    except Exception as error:
        raise AddressFault(_why_no_member(error, archive)) from None


def _why_no_member(error: Exception, archive: str) -> str:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    if isinstance(error, FileNotFoundError | KeyError | IsADirectoryError):
        return f"is missing in {archive}"
    if isinstance(error, AttributeError | RecursionError):
        # A pipe, or a link to itself.
        return f"is no file in {archive}: pack the image itself"
    if isinstance(error, RuntimeError) and "encrypted" in reason:
        return f"is encrypted in {archive}: unpack it with its password"
    return f"cannot be read in {archive} ({reason}): fetch or pack the archive again"


@lru_cache(maxsize=8)
def _archive(path: str, changed: int):
    import fsspec

    kind = "zip" if path.lower().endswith(".zip") else "tar"
    return fsspec.filesystem(kind, fo=path)
