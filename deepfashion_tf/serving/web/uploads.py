"""Receives what is sent, within its limits."""

from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request

from deepfashion_tf.serving.web.memory import MOST_BYTES, memory_of


class Refusal(Exception):
    """Reports in one sentence why a request is not answered.

    Attributes:
        status: of the HTTP response.
        retry_after: seconds after which it may be sent again; None = it is refused then, too.
    """

    def __init__(self, sentence: str, status: int = 422, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.retry_after = status, retry_after


async def receive(
    request: Request, max_megabytes: float, hold: Callable[[int], None] = lambda size: None
) -> bytes:
    """Receives the body of a request.

    Args:
        request: whose body it is.
        max_megabytes: of it.
        hold: is called with the size of each part before it is kept; may raise a Refusal.

    Raises:
        Refusal: it is too large, breaks off, or cannot be held.
    """
    limit, size, body, refusal = int(max_megabytes * 10**6), 0, bytearray(), None
    try:
        async for part in request.stream():
            size += len(part)
            # What is too much is read, too, and forgotten: a browser that is still sending
            # would not read why it is refused.
            if size > limit or refusal:
                continue
            try:
                hold(len(part))
                body += part
            except Refusal as error:
                refusal = error
    except ClientDisconnect as error:
        raise Refusal("The upload broke off.", 400) from error
    if size > limit:
        raise Refusal(
            f"The upload has {size / 10**6:.1f} MB, but may have {max_megabytes:g} MB at most: "
            f"make it smaller.",
            413,
        )
    if refusal:
        raise refusal
    return bytes(body)


def size_fault(encoded: bytes) -> str | None:
    """Returns why a picture is not even decoded, to follow on its name; None = it is."""
    if not encoded:
        return "is an empty file"
    if memory_of(encoded) > MOST_BYTES:
        other = "" if encoded.startswith(b"\xff\xd8\xff") else ", or save it as JPEG"
        return f"has too many pixels: make it smaller{other}"
    return None
