"""Serves predictions over HTTP: images in, attributes as JSON out."""

import tyro

from deepfashion_tf.errors import InputError
from deepfashion_tf.serving.service.options import Options


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
    from deepfashion_tf.serving.service.server import serve

    return serve(options)
