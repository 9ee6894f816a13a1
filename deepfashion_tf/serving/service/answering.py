"""From a request to its answer, within the limits of size, time and queue."""

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deepfashion_tf.errors import InputError, printable
from deepfashion_tf.escaping import encodable
from deepfashion_tf.inference.answers import Wanted
from deepfashion_tf.inference.batch import Batch
from deepfashion_tf.inference.items import Item
from deepfashion_tf.serving.answer_files import json_rows
from deepfashion_tf.serving.service.batching import Batcher, Work
from deepfashion_tf.serving.service.intake import read_images
from deepfashion_tf.serving.service.messages import Parameters
from deepfashion_tf.serving.service.metrics import Metrics
from deepfashion_tf.serving.web.guards import check_origin
from deepfashion_tf.serving.web.uploads import Refusal, receive

_MOST_HELD = 10**9  # bytes of all requests together


class Answering:
    """Answers requests, all in the thread of the network.

    Args:
        batcher: decodes and computes, in threads of its own.
        wanted: how answers are given.
        name: of what answers.
        metrics: count it all.
        queue: images that may wait.
        max_images: of a request.
        max_megabytes: of a request.
        time_limit: seconds for an upload, and again for its answer.
    """

    def __init__(
        self,
        batcher: Batcher,
        wanted: Wanted,
        name: str,
        metrics: Metrics,
        queue: int,
        max_images: int,
        max_megabytes: float,
        time_limit: float,
    ) -> None:
        self._batcher, self._wanted, self._name, self._metrics = batcher, wanted, name, metrics
        self._queue, self._max_images = queue, max_images
        self._megabytes, self._seconds = max_megabytes, time_limit
        self._waiting = self._held = 0
        metrics.waiting.set_function(lambda: self._waiting)

    async def respond(self, request: Request, parameters: Parameters) -> Response:
        """Answers a request.

        Raises:
            Refusal: nothing of it can be answered.
        """
        began, status = time.perf_counter(), 500
        try:
            check_origin(request)
            response = await self._respond(request, parameters)
            status = response.status_code
            return response
        except Refusal as refusal:
            status = refusal.status
            raise
        finally:
            self._metrics.requests.labels(status).inc()
            self._metrics.seconds.observe(time.perf_counter() - began)

    async def _respond(self, request: Request, parameters: Parameters) -> Response:
        with self._counted_bytes() as hold:
            try:
                async with asyncio.timeout(self._seconds):
                    body = await receive(request, self._megabytes, hold)
            except TimeoutError as error:
                raise self._late("The upload arrives too slowly", 408) from error
            items, top = await read_images(body, request.headers, parameters, self._max_images)
            items = [replace(item, image=encodable(item.image)) for item in items]
            batch = await self._answer(items)
        return self._written(batch, top)

    async def _answer(self, items: list[Item]) -> Batch:
        self._check_room(len(items))
        loop = asyncio.get_running_loop()
        answered = loop.create_future()

        def finish(work: Work) -> None:
            self._waiting -= len(work.items)
            if not answered.done():
                answered.set_result(None)

        def done(work: Work) -> None:
            with suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(finish, work)

        work = Work(items, done)
        self._waiting += len(items)
        self._batcher.submit(work)
        try:
            async with asyncio.timeout(self._seconds):
                await answered
            return work.batch()
        except TimeoutError as error:
            raise self._late("The prediction takes too long", 503) from error
        except InputError as error:
            raise Refusal(f"The model has no answer: {printable(error)}", 500) from error
        finally:
            work.is_dropped = True

    def _written(self, batch: Batch, top: int) -> Response:
        rows = json_rows(batch, replace(self._wanted, top=top))
        predictions = [None if fault else next(rows) for fault in batch.faults]
        errors = [
            fault_of(index, item.image, f"{printable(fault)}.")
            for index, (item, fault) in enumerate(zip(batch.items, batch.faults, strict=True))
            if fault
        ]
        self._metrics.images.labels("answered").inc(len(predictions) - len(errors))
        self._metrics.images.labels("refused").inc(len(errors))
        if len(errors) < len(predictions):
            return JSONResponse({"model": self._name, "predictions": predictions, "errors": errors})
        return JSONResponse({"error": errors[0]["error"], "errors": errors}, 422)

    def _late(self, fault: str, status: int) -> Refusal:
        return Refusal(f"{fault} (the limit is {self._seconds:g} seconds).", status)

    def _check_room(self, images: int) -> None:
        if self._waiting + images > self._queue:
            wait = self._waiting / self._batcher.speed if self._batcher.speed else 1
            raise Refusal(
                f"The service is busy with {self._waiting} images: try again later.",
                429,
                math.ceil(min(max(wait, 1), 60)),
            )

    @contextmanager
    def _counted_bytes(self) -> Iterator:
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            self._check_room(1 if self._held + size <= _MOST_HELD else self._queue + 1)
            self._held += size
            held += size

        try:
            yield hold
        finally:
            self._held -= held


def fault_of(index: int, name: str, sentence: str) -> dict:
    """Describes why an image is not answered, as `messages.Fault` does."""
    return {
        "index": index,
        "image": encodable(name),
        "error": f"Image {index} ({printable(name)}) {sentence}",
    }
