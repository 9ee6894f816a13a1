"""The server of the page: uploads in, answers out, and a sentence for what is refused.

It takes bytes as they are and lets the project's own readers judge them. All that the page
needs comes from here, so that it works without a network.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from deepfashion_tf.colours import colours
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.serving.demo.about import describe
from deepfashion_tf.serving.demo.answering import Answering
from deepfashion_tf.serving.demo.desk import Desk, Work
from deepfashion_tf.serving.demo.examples import SEEDS, Example, draw_example
from deepfashion_tf.serving.web.guards import WithHeaders, check_origin, own_names
from deepfashion_tf.serving.web.listening import announce, listen, uvicorn_config
from deepfashion_tf.serving.web.options import WebOptions, check_web_options
from deepfashion_tf.serving.web.uploads import Refusal

PAGE = Path(__file__).parent / "page"
_THREADS = 2  # one decodes while the other one's picture is answered
# Whatever a page or a file says, the browser asks nobody but this server.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def serve(options: WebOptions) -> None:
    """Serves the page until it is interrupted.

    Raises:
        InputError: the options, the address or the model cannot be used.
    """
    check_web_options(options)
    # First, since the model takes its time.
    listening = listen(options.host, options.port)
    with listening, ThreadPoolExecutor(_THREADS, thread_name_prefix="answer") as pool:
        app = make_app(options, pool)
        announce(f"The demo of {options.run}", listening, options.host, app.state.engine)
        uvicorn.Server(uvicorn_config(app, keep_alive=2, grace=3)).run(sockets=[listening])
        # It has ended because it was asked to, and passes that on but where SIGINT is ignored, as
        # in a script's background jobs.
        raise KeyboardInterrupt


def make_app(options: WebOptions, pool: ThreadPoolExecutor) -> Starlette:
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
            Middleware(WithHeaders, headers=_HEADERS),
        ],
        exception_handlers={Refusal: _refuse, Exception: _fail},
    )
    app.state.engine = predictor.engine
    return app


def _about(
    options: WebOptions, predictor: Predictor, answering: Answering, examples: list[Example]
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


def _refuse(request: Request, refusal: Refusal) -> Response:
    return JSONResponse({"fault": str(refusal)}, refusal.status)


def _fail(request: Request, error: Exception) -> Response:
    fault = "The demo has failed at this picture; its terminal shows why."
    return JSONResponse({"fault": fault}, 500, _HEADERS)
