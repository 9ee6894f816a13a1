"""Takes uploads: a bounded number at once, each of a bounded size and time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import Request

from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.items import Box
from deepfashion_tf.serving.predict import parse_box
from deepfashion_tf.serving.web.uploads import Refusal, receive

_PLACES = 8  # uploads that wait or are worked on
_ARRIVING = 8  # uploads that are received
_GRACE = 1.0  # seconds that an upload has before it may have to make room for another

_BUSY = "The demo is busy with other pictures: try again in a moment."

Work = Callable[[bytes, Box | None], Mapping]


class Desk:
    """Has uploads answered by threads.

    Args:
        pool: the threads.
        max_megabytes: of an upload.
        time_limit: seconds for an upload, and again for its answer.
    """

    def __init__(self, pool: ThreadPoolExecutor, max_megabytes: float, time_limit: float) -> None:
        self._pool, self._megabytes, self._seconds = pool, max_megabytes, time_limit
        self._places = _PLACES
        self._arriving: dict[asyncio.Task, float] = {}  # and since when

    async def serve(self, request: Request, work: Work) -> Mapping:
        """Does the work on a request's body and its query ``box=x1,y1,x2,y2``.

        Raises:
            Refusal: too large, too slow, too many, or what the work refuses.
        """
        self._check_places()
        encoded = await self._arrive(request)
        self._check_places()
        self._places -= 1
        try:
            job = self._pool.submit(work, encoded, _read_box(request))
        except BaseException:
            self._leave()
            raise
        answered = asyncio.wrap_future(job)
        # A thread cannot be stopped: its place is free when it has ended, not when time is up.
        answered.add_done_callback(lambda _: self._leave())
        try:
            return await self._within(
                asyncio.shield(answered), "takes too long: choose a smaller one", 503
            )
        finally:
            job.cancel()  # if no thread has begun it

    def _check_places(self) -> None:
        if not self._places:
            raise Refusal(_BUSY, 503)

    async def _arrive(self, request: Request) -> bytes:
        """Receives an upload; where too many arrive at once, the slowest makes room."""
        loop = asyncio.get_running_loop()
        if len(self._arriving) >= _ARRIVING:
            slowest = min(self._arriving, key=self._arriving.get)
            if loop.time() - self._arriving[slowest] < min(_GRACE, self._seconds):
                raise Refusal(_BUSY, 503)
            del self._arriving[slowest]
            slowest.cancel()
        task = asyncio.ensure_future(receive(request, self._megabytes))
        self._arriving[task] = loop.time()
        try:
            return await self._within(task, "arrives too slowly", 408)
        except asyncio.CancelledError:
            if task in self._arriving:
                raise  # it is the request that has ended
            raise Refusal("The picture arrives too slowly while others wait.", 408) from None
        finally:
            self._arriving.pop(task, None)

    def _leave(self) -> None:
        self._places += 1

    async def _within(self, awaited: Awaitable, fault: str, status: int):
        try:
            return await asyncio.wait_for(awaited, self._seconds)
        except TimeoutError as error:
            sentence = f"The picture {fault} (the limit is {self._seconds:g} seconds)."
            raise Refusal(sentence, status) from error


def _read_box(request: Request) -> Box | None:
    text = request.query_params.get("box")
    try:
        return parse_box(text, "The box") if text else None
    except InputError as error:
        raise Refusal(str(error)) from error
