"""The address of a server, and how uvicorn serves there."""

import socket
import sys
from pathlib import Path
from typing import Protocol

import uvicorn
from starlette.types import ASGIApp

from deepfashion_tf.errors import InputError
from deepfashion_tf.serving.web.guards import PromptProtocol, is_loopback

_CONNECTIONS = 500  # open ones, also those on which nobody asks anything


class WebOptions(Protocol):
    """The options that the demo and the service share."""

    run: Path
    host: str
    port: int
    max_megabytes: float
    time_limit: float
    engine: str


def check_web_options(options: WebOptions) -> None:
    """Checks port and limits.

    Raises:
        InputError: one is out of its range.
    """
    if not 0 <= options.port < 2**16:
        raise InputError(f"--port is {options.port}, but must lie between 0 and 65535.")
    for name in ("max_megabytes", "time_limit"):
        value = getattr(options, name)
        if not 0 < value < 1e6:
            spelled = name.replace("_", "-")
            raise InputError(f"--{spelled} is {value:g}, but must lie between 0 and a million.")


def listen(host: str, port: int) -> socket.socket:
    """Opens the address.

    Raises:
        InputError: it cannot be listened on.
    """
    try:
        kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=kind)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"--host {host} --port {port} cannot be listened on "
            f"({getattr(error, 'strerror', None) or error}): name another address or port."
        ) from error


def announce(what: str, listening: socket.socket, host: str, engine: object) -> None:
    """Prints where the server is, and who may use it."""
    name, port = listening.getsockname()[:2]
    shown = f"[{name}]" if ":" in name else name
    print(f"{what}: http://{shown}:{port}  (Ctrl-C ends it)", flush=True)
    print(f"answered by {engine}", flush=True)
    if not is_loopback(host):
        print(f"Everybody who reaches {name} can use it.", file=sys.stderr, flush=True)


def uvicorn_config(app: ASGIApp, keep_alive: int, grace: int | None) -> uvicorn.Config:
    """Configures uvicorn.

    Args:
        app: the application.
        keep_alive: seconds that a connection may be silent.
        grace: seconds that requests may take once the server ends; None = as long as they take.
    """
    return uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        limit_concurrency=_CONNECTIONS,
        http=PromptProtocol,
        timeout_keep_alive=keep_alive,
        timeout_graceful_shutdown=grace,
        server_header=False,
    )
