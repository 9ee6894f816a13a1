"""Serves a web page that predicts the attributes of dropped photographs."""

from dataclasses import dataclass

import tyro

from deepfashion_tf.command_line import import_tensorflow
from deepfashion_tf.errors import InputError
from deepfashion_tf.serving.web.options import WebOptions


@dataclass(frozen=True)
class Options(WebOptions):
    port: int = 7860
    """Port to listen on. 0: any free port."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InputError(
            "The demo needs starlette and uvicorn: pip install 'deepfashion_tf[demo]'."
        ) from error
    import_tensorflow()
    from deepfashion_tf.serving.demo.server import serve

    serve(options)
