"""Who is answered: requests of the own site, and connections that get to the point."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from deepfashion_tf.serving.web.uploads import Refusal

HEADER_SECONDS = 10.0  # for the headers of a request


def is_loopback(host: str) -> bool:
    """Whether an address or name is that of this machine alone."""
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def own_names(host: str) -> list[str]:
    """Lists the names by which the server may be asked; "*" = any.

    Another site's name that points here shall not read what is answered.
    """
    if not is_loopback(host):
        return ["*"]
    return ["127.0.0.1", "localhost", "::1", "[::1]", host, f"[{host}]"]


def check_origin(request: Request) -> None:
    """Refuses what a page of another site sends; whoever is no browser names no origin.

    Raises:
        Refusal: it is.
    """
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    is_foreign = origin is not None and _address(origin) != host.lower()
    if is_foreign or request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise Refusal(
            "A page of another site has asked, and only pages of this one are answered.", 403
        )


def _address(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


class WithHeaders:
    """Adds headers to every response, those that the mapping holds at the time."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app, self._headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class PromptProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose headers do not arrive in time.

    uvicorn alone waits for headers forever.
    """

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        self._deadline = None
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._deadline is None:
            self._wait_for_headers()

    def connection_lost(self, error: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(error)

    def _wait_for_headers(self) -> None:
        self._told = self.cycle
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._end_of_patience)

    def _end_of_patience(self) -> None:
        self._deadline = None
        is_idle = self.cycle is None or self.cycle.response_complete
        # A request that has come since, and was answered, has its own time to be followed by one.
        if is_idle and self.cycle is self._told and not self.transport.is_closing():
            self.transport.close()
        elif is_idle and not self.transport.is_closing():
            self._wait_for_headers()
