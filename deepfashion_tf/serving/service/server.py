"""The server of the HTTP API: its routes, its start, and an end at which nothing is lost."""

import asyncio
import socket
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import numpy as np
import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, Response

from deepfashion_tf.errors import InputError, printable
from deepfashion_tf.inference.acceptance import check_shares, thresholds
from deepfashion_tf.inference.answers import Wanted
from deepfashion_tf.inference.items import Item
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.serving.demo.about import name_of
from deepfashion_tf.serving.demo.examples import SEEDS, draw_example
from deepfashion_tf.serving.service import messages
from deepfashion_tf.serving.service.answering import Answering
from deepfashion_tf.serving.service.batching import Batcher
from deepfashion_tf.serving.service.intake import FORM, JSON, ImageRefusal
from deepfashion_tf.serving.service.metrics import Metrics
from deepfashion_tf.serving.service.options import Options
from deepfashion_tf.serving.web.guards import WithHeaders, own_names
from deepfashion_tf.serving.web.listening import (
    announce,
    drop_packets,
    listen,
    uvicorn_config,
)
from deepfashion_tf.serving.web.options import check_web_options
from deepfashion_tf.serving.web.uploads import Refusal

_KEEP_ALIVE = 5  # seconds
_ACCEPTING = 0.05  # seconds in which connections are accepted that were made before the end
_LINGER = 1.0  # seconds in which connections that are open may still ask, once the server ends
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def serve(options: Options) -> int:
    """Serves until SIGTERM or Ctrl-C, and returns the exit code.

    Raises:
        InputError: the options, the address or the model cannot be used.
    """
    _check(options)
    # First, since the model takes its time.
    with listen(options.host, options.port) as listening:
        predictor = Predictor.load(options.run, options.engine, options.exact)
        predictor.accept_damaged = options.accept_damaged
        app = make_app(predictor, options)
        announce(f"The service of {options.run}", listening, options.host, predictor.engine)
        server = GracefulServer(app)
        server.run(sockets=[listening])
        if server.force_exit:
            raise KeyboardInterrupt
        app.state.batcher.end()
    return 0


def _check(options: Options) -> None:
    check_web_options(options)
    check_shares(options.threshold, options.accept_accuracy)
    for name in ("batch_size", "max_images"):
        if not 1 <= (value := getattr(options, name)) <= 1024:
            spelled = name.replace("_", "-")
            raise InputError(f"--{spelled} is {value}, but must lie between 1 and 1024.")
    if not 0 <= options.batch_delay <= 1000:
        raise InputError(
            f"--batch-delay is {options.batch_delay:g}, but must lie between 0 and 1000."
        )
    if options.queue < options.max_images:
        raise InputError(
            f"--queue is {options.queue}, but must hold a request, which may have "
            f"{options.max_images} images (--max-images)."
        )


def make_app(predictor: Predictor, options: Options) -> FastAPI:
    """Starts the engine's threads, warms them up and makes the application.

    Raises:
        InputError: the model cannot be used.
    """
    least = thresholds(predictor, options.threshold, options.accept_accuracy)
    wanted = Wanted.of(predictor, least, with_boxes=True)
    _warm_up(predictor, options.batch_size)
    metrics, name = Metrics(), name_of(options.run)
    batcher = Batcher(predictor, options.batch_size, options.batch_delay / 1e3, metrics.on_batch)
    answering = Answering(
        batcher,
        wanted,
        name,
        metrics,
        options.queue,
        options.max_images,
        options.max_megabytes,
        options.time_limit,
    )
    headers = dict(_HEADERS)
    app = FastAPI(
        title="deepfashion_tf",
        version=version("deepfashion_tf"),
        description="Predicts the attributes of garments from photographs.",
        # Their pages would fetch scripts from another site.
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(
                TrustedHostMiddleware, allowed_hosts=own_names(options.host), www_redirect=False
            ),
            Middleware(WithHeaders, headers=headers),
        ],
        exception_handlers={
            Refusal: _refuse,
            RequestValidationError: _refuse_query,
            HTTPException: _refuse_path,
            Exception: _fail,
        },
    )
    app.state.headers, app.state.batcher, app.state.is_ending = headers, batcher, False
    about = _about(predictor, wanted, name)
    metrics.describe({key: about[key] for key in ("run", "engine", "version")})
    _add_routes(app, answering, about, metrics)
    return app


def _about(predictor: Predictor, wanted: Wanted, name: str) -> dict:
    return {
        "run": name,
        "engine": predictor.engine.name,
        "engine_version": predictor.engine.version,
        "precision": predictor.engine.precision,
        "version": version("deepfashion_tf"),
        "image_size": predictor.image_size,
        "schema": {name: list(values) for name, values in predictor.schema.attributes.items()},
        "untrained": list(predictor.untrained),
        "thresholds": wanted.thresholds,
    }


def _warm_up(predictor: Predictor, batch_size: int) -> None:
    """Lets the engine prepare itself before somebody waits for it."""
    example = draw_example(SEEDS[0])
    (crop,) = predictor.crops([Item("", example.box, encoded=example.encoded)])
    for size in (1, batch_size):
        predictor.answer(np.stack([crop] * size))


def _add_routes(app: FastAPI, answering: Answering, about: dict, metrics: Metrics) -> None:
    refused = {status: {"model": messages.Refused} for status in _REFUSALS}

    @app.post(
        "/v1/predict",
        summary="Predict the attributes of one image or several",
        response_model=messages.Answer,
        responses=refused,
        openapi_extra={"requestBody": {"required": True, "content": _bodies()}},
    )
    async def predict(
        request: Request, parameters: Annotated[messages.Parameters, Query()]
    ) -> Response:
        return await answering.respond(request, parameters)

    @app.get("/v1/model", summary="Describe what answers", response_model=messages.Model)
    async def model() -> Response:
        return JSONResponse(about)

    @app.get("/healthz", summary="Whether it works", response_model=messages.Health)
    async def healthz() -> Response:
        is_well = app.state.batcher.is_alive
        return _health("ok" if is_well else "failed", is_well, about["version"])

    @app.get("/readyz", summary="Whether it takes requests", response_model=messages.Health)
    async def readyz() -> Response:
        is_ready = app.state.batcher.is_alive and not app.state.is_ending
        return _health("ready" if is_ready else "ending", is_ready, about["version"])

    @app.get("/metrics", summary="Metrics for Prometheus")
    async def metrics_text() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")


_REFUSALS = (400, 403, 408, 413, 415, 422, 429, 500, 503)


def _bodies() -> dict:
    """Describes the three bodies of a request to predict."""
    file = {"type": "string", "format": "binary"}
    question = messages.Question.model_json_schema()
    question["properties"]["images"]["items"] = question.pop("$defs")["Image"]
    fields = {
        "image": {"type": "array", "items": file},
        "box": {"type": "array", "items": {"type": "string"}},
    }
    form = {"type": "object", "properties": fields, "required": ["image"]}
    return {"image/*": {"schema": file}, FORM: {"schema": form}, JSON: {"schema": question}}


def _health(status: str, is_well: bool, version: str) -> Response:
    return JSONResponse({"status": status, "version": version}, 200 if is_well else 503)


def _refuse(request: Request, refusal: Refusal) -> Response:
    content: dict = {"error": str(refusal), "errors": []}
    if isinstance(refusal, ImageRefusal):
        content["errors"] = [
            {"index": refusal.index, "image": refusal.image, "error": str(refusal)}
        ]
    headers = {"Retry-After": str(refusal.retry_after)} if refusal.retry_after else None
    return JSONResponse(content, refusal.status, headers)


def _refuse_query(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    where = printable(".".join(map(str, first["loc"])))
    return JSONResponse({"error": f"{where}: {printable(first['msg'])}.", "errors": []}, 422)


def _refuse_path(request: Request, error: HTTPException) -> Response:
    fault = f"{request.method} {printable(request.url.path)}: {error.detail}."
    return JSONResponse({"error": fault, "errors": []}, error.status_code, error.headers)


def _fail(request: Request, error: Exception) -> Response:
    fault = "The service has failed at this request; its terminal shows how."
    return JSONResponse({"error": fault, "errors": []}, 500, _HEADERS)


class GracefulServer(uvicorn.Server):
    """Ends on SIGTERM or Ctrl-C: takes no new connection, and answers all that it has taken.

    Connections that are open have a moment to ask: what a client was sending is not lost. A
    second signal ends it at once.
    """

    def __init__(self, app: FastAPI) -> None:
        super().__init__(uvicorn_config(app, keep_alive=_KEEP_ALIVE, grace=None))
        self._state, self._ending = app.state, None

    async def startup(self, sockets: Sequence[socket.socket] = ()) -> None:
        self._loop, self._sockets = asyncio.get_running_loop(), sockets
        await super().startup(sockets)

    def handle_exit(self, sig, frame) -> None:
        # uvicorn would raise the signal again at the end, and the exit code would not be 0.
        if self._state.is_ending:
            self.force_exit = self.should_exit = True
            return
        self._state.is_ending = True
        self._state.headers["Connection"] = "close"
        if self.started:
            self._loop.call_soon_threadsafe(self._end)
        else:
            self.should_exit = True

    def _end(self) -> None:
        self._ending = self._loop.create_task(self._drain())

    async def _drain(self) -> None:
        for listening in self._sockets:
            drop_packets(listening)
        # A socket that closes resets all connections that it has not accepted yet.
        await asyncio.sleep(_ACCEPTING)
        for server in self.servers:
            server.close()
        end = self._loop.time() + _LINGER
        while self.server_state.connections and self._loop.time() < end:
            await asyncio.sleep(0.02)
        self.should_exit = True
