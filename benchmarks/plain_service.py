"""A service as one writes it in ten lines: each request is decoded and answered by itself."""

import socket
import sys


def main() -> None:
    """Serves the run that the command line names, at a free port."""
    import uvicorn
    from fastapi import FastAPI, Request
    from starlette.concurrency import run_in_threadpool

    from deepfashion_tf.inference.answers import Wanted
    from deepfashion_tf.inference.items import Item
    from deepfashion_tf.inference.predictor import Predictor
    from deepfashion_tf.serving.answer_files import json_rows

    predictor = Predictor.load(sys.argv[1])
    app = FastAPI()

    def answer(encoded: bytes) -> list[dict]:
        (batch,) = predictor.stream([Item("image", encoded=encoded)])
        return list(json_rows(batch, Wanted(predictor.schema)))

    @app.post("/v1/predict")
    async def predict(request: Request) -> list[dict]:
        return await run_in_threadpool(answer, await request.body())

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        config = uvicorn.Config(app, log_level="error", access_log=False)
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
