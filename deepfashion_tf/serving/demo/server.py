"""The server of the page: uploads in, answers out, and a sentence for what is refused.

It takes bytes as they are and lets the project's own readers judge them. All that the page
needs comes from here, so that it works without a network.
"""

import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepfashion_tf.colours import colours
from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.serving.demo.about import describe
from deepfashion_tf.serving.demo.answering import Answering, Refusal
from deepfashion_tf.serving.demo.desk import Desk, Work
from deepfashion_tf.serving.demo.examples import SEEDS, Example, draw_example
from deepfashion_tf.serving.demo.guards import (
    PromptProtocol,
    check_origin,
    is_loopback,
    own_names,
)

PAGE = Path(__file__).parent / "page"
_THREADS = 2  # one decodes while the other one's picture is answered
_CONNECTIONS = 500  # open ones, also those on which nobody asks anything
# Whatever a page or a file says, the browser asks nobody but this server.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Options(Protocol):
    """The options of `deepfashion demo`."""

    run: Path
    host: str
    port: int
    max_megabytes: float
    time_limit: float
    engine: str


def serve(options: Options) -> None:
    """Serves the page until it is interrupted.

    Raises:
        InputError: the options, the address or the model cannot be used.
    """
    _check(options)
    # First, since the model takes its time.
    listening = _listen(options.host, options.port)
    with listening, ThreadPoolExecutor(_THREADS, thread_name_prefix="answer") as pool:
        app = make_app(options, pool)
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"The demo of {options.run}: http://{shown}:{port}  (Ctrl-C ends it)", flush=True)
        print(f"answered by {app.state.engine}", flush=True)
        if not is_loopback(options.host):
            print(f"Everybody who reaches {host} can use it.", file=sys.stderr, flush=True)
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            limit_concurrency=_CONNECTIONS,
            http=PromptProtocol,
            timeout_keep_alive=2,
            timeout_graceful_shutdown=3,
            server_header=False,
        )
        uvicorn.Server(config).run(sockets=[listening])
        # It has ended because it was asked to, and passes that on but where SIGINT is ignored, as
        # in a script's background jobs.
        raise KeyboardInterrupt


def _check(options: Options) -> None:
    if not 0 <= options.port < 2**16:
        raise InputError(f"--port is {options.port}, but must lie between 0 and 65535.")
    for name in ("max_megabytes", "time_limit"):
        value = getattr(options, name)
        if not 0 < value < 1e6:
            spelled = name.replace("_", "-")
            raise InputError(f"--{spelled} is {value:g}, but must lie between 0 and a million.")


def _listen(host: str, port: int) -> socket.socket:
    try:
        kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=kind)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"--host {host} --port {port} cannot be listened on "
            f"({getattr(error, 'strerror', None) or error}): name another address or port."
        ) from error


def make_app(options: Options, pool: ThreadPoolExecutor) -> Starlette:
    """Loads the model, warms it up and makes the application.

    Args:
        options: of the demo.
        pool: the threads that answer.

    Raises:
        InputError: the model cannot be used.
    """
    predictor = Predictor.load(options.run, options.engine)
    answering = Answering(predictor)
    examples = [draw_example(seed) for seed in SEEDS]
    about = _about(options, predictor, answering, examples)
    _warm_up(answering, examples[0])
    desk = Desk(pool, options.max_megabytes, options.time_limit)

    async def tell(request: Request) -> Response:
        return JSONResponse(about)

    async def draw(request: Request) -> Response:
        number = request.path_params["number"]
        if number >= len(examples):
            raise Refusal(f"There is no example {number}.", status=404)
        return Response(examples[number].encoded, media_type="image/jpeg")

    def post(path: str, work: Work) -> Route:
        async def respond(request: Request) -> Response:
            check_origin(request)
            return JSONResponse(await desk.serve(request, work))

        return Route(path, respond, methods=["POST"])

    app = Starlette(
        routes=[
            Route("/", lambda request: FileResponse(PAGE / "index.html")),
            Route("/about", tell),
            Route("/examples/{number:int}.jpg", draw),
            post("/answers", answering.answer),
            post("/heat-maps", answering.heat_maps),
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
        middleware=[
            Middleware(
                TrustedHostMiddleware, allowed_hosts=own_names(options.host), www_redirect=False
            ),
            Middleware(_WithHeaders),
        ],
        exception_handlers={Refusal: _refuse, Exception: _fail},
    )
    app.state.engine = predictor.engine
    return app


def _about(
    options: Options, predictor: Predictor, answering: Answering, examples: list[Example]
) -> dict:
    """Gathers what the page shows before there is an answer, and the limits that it checks."""
    told = describe(predictor, options.run)
    return {
        "name": told.name,
        "trained_on": told.trained_on,
        "measured": told.measured,
        "categories": [
            {
                "name": category,
                "colour": colour,
                "told": told.of_category[category],
                "is_doubtful": category in told.doubtful,
                "is_learnt": category not in told.unlearnt,
            }
            for category, colour in colours(list(predictor.schema.groups)).items()
        ],
        "no_heat_maps": answering.no_heat_maps,
        "max_megabytes": options.max_megabytes,
        "examples": [{"box": example.box, "drawn": example.drawn} for example in examples],
    }


def _warm_up(answering: Answering, example: Example) -> None:
    """Lets TensorFlow make its graphs before somebody waits for them."""
    answering.answer(example.encoded, example.box)
    if not answering.no_heat_maps:
        answering.heat_maps(example.encoded, example.box)


class _WithHeaders:
    """Adds to every response what keeps the browser to this server."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _refuse(request: Request, refusal: Refusal) -> Response:
    return JSONResponse({"fault": str(refusal)}, refusal.status)


def _fail(request: Request, error: Exception) -> Response:
    fault = "The demo has failed at this picture; its terminal says how."
    return JSONResponse({"fault": fault}, 500, _HEADERS)
