"""The address of a server, and how uvicorn serves there."""

import ctypes
import socket
import struct
import sys
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from deepfashion_tf.errors import InputError
from deepfashion_tf.serving.web.guards import PromptProtocol, is_loopback

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python does not name it
_BPF_RETURN = 0x06
_CONNECTIONS = 500  # open ones, also those on which nobody asks anything


def listen(host: str, port: int) -> socket.socket:
    """Opens the address.

    Raises:
        InputError: it cannot be listened on.
    """
    try:
        kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=kind)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"--host {host} --port {port} cannot be listened on "
            f"({getattr(error, 'strerror', None) or error}): name another address or port."
        ) from error
    # asyncio does this only for sockets that name their protocol. Without it, the second packet of
    # a response waits for 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def drop_packets(listening: socket.socket) -> None:
    """Lets no new client connect, while connections that are made can still be accepted.

    Linux drops what its socket filter refuses. Other systems, and sandboxes that know no such
    filter, do nothing.
    """
    if sys.platform != "linux":
        return
    # One instruction of classic BPF (linux/filter.h): return 0, keep no byte of the packet.
    refuse = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RETURN, 0, 0, 0))
    program = struct.pack("HP", 1, ctypes.addressof(refuse))
    with suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


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
