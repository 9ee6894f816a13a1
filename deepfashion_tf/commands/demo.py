"""Serves a web page that predicts the attributes of dropped photographs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.command_line import import_tensorflow
from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.engines import EngineChoice


@dataclass(frozen=True)
class Options:
    run: Annotated[Path, tyro.conf.Positional]
    """Run directory, its model.keras, or an export."""
    host: str = "127.0.0.1"
    """Address to listen on. 127.0.0.1: this machine only. 0.0.0.0: the whole network."""
    port: int = 7860
    """Port to listen on. 0: any free port."""
    max_megabytes: float = 20.0
    """Largest accepted file, in megabytes."""
    time_limit: float = 20.0
    """Seconds for an upload, and again for its prediction."""
    engine: EngineChoice = "auto"
    """Inference engine, as in predict."""


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
