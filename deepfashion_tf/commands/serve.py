"""Serves predictions over HTTP: images in, attributes as JSON out (docs/service.md)."""

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
    port: int = 8000
    """Port to listen on. 0: any free port."""
    batch_size: int = 16
    """Images that the engine computes at once, of all requests together."""
    batch_delay: float = 5.0
    """Milliseconds that a batch waits for more images, if the batch before had more."""
    queue: int = 256
    """Images that wait or are computed. Requests beyond get status 429."""
    max_images: int = 32
    """Most images of a request."""
    max_megabytes: float = 20.0
    """Largest accepted request, in megabytes."""
    time_limit: float = 20.0
    """Seconds for an upload, and again for its prediction."""
    threshold: float | None = None
    """Probability from which on an answer is sure, as in predict. None: all are."""
    accept_accuracy: float | None = None
    """Required accuracy of sure answers, as in predict."""
    accept_damaged: bool = False
    """Predict truncated JPEG files, too."""
    engine: EngineChoice = "auto"
    """Inference engine, as in predict."""
    exact: bool = False
    """Compute in float32, as in predict."""


def main() -> int:
    options = tyro.cli(Options, description=__doc__)
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InputError(
            "The service needs fastapi, prometheus_client, python-multipart and uvicorn: "
            "pip install 'deepfashion_tf[serve]'."
        ) from error
    import_tensorflow()
    from deepfashion_tf.serving.service.server import serve

    return serve(options)
