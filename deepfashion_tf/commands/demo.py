"""Shows a trained run on a web page: drop a photograph, read its attributes."""

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
    """Address to listen on. 127.0.0.1: only this machine reaches it; 0.0.0.0: the network does."""
    port: int = 7860
    """Port to listen on. 0: any that is free."""
    max_megabytes: float = 20.0
    """Largest file that is taken."""
    time_limit: float = 20.0
    """Seconds for a file to arrive, and again for its answer."""
    engine: EngineChoice = "auto"
    """What answers; as of predict."""


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
