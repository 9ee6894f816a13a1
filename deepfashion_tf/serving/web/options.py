"""The options that the demo and the service share. No TensorFlow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.engine_names import EngineChoice


@dataclass(frozen=True)
class WebOptions:
    """What a server answers with, where it listens, and its limits."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory, its model.keras, or an export."""
    host: str = "127.0.0.1"
    """Address to listen on. 127.0.0.1: this machine only. 0.0.0.0: the whole network."""
    port: int = 0
    """Port to listen on. 0: any free port."""
    max_megabytes: float = 20.0
    """Largest accepted upload, in megabytes."""
    time_limit: float = 20.0
    """Seconds for an upload, and again for its prediction."""
    engine: EngineChoice = "auto"
    """Inference engine, as in predict."""


def check_web_options(options: WebOptions) -> None:
    """Checks port and limits.

    Raises:
        InputError: one is out of its range.
    """
    if not 0 <= options.port < 2**16:
        raise InputError(f"--port is {options.port}, but must lie between 0 and 65535.")
    for name in ("max_megabytes", "time_limit"):
        value = getattr(options, name)
        if not 0 < value < 1e6:
            spelled = name.replace("_", "-")
            raise InputError(f"--{spelled} is {value:g}, but must lie between 0 and a million.")
