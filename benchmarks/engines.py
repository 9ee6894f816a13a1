"""How fast each engine answers for ready crops, one at a time and sixteen at once."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.limit import limits, operations
from benchmarks.rates import Rate, race
from benchmarks.worker import Worker, open_peers
from deepfashion_tf.export.formats import EXPORTERS
from deepfashion_tf.inference.engines import ENGINES
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.progress import console
from deepfashion_tf.runs.run import Run

BATCHES = (1, 16)
PLAIN = "SavedModel"
PEERS = {
    "timm, PyTorch": ("pytorch", "float32"),
    "timm, PyTorch bfloat16": ("pytorch", "bfloat16"),
    "timm, PyTorch, compiled": ("compiled", "float32"),
    "timm, PyTorch bfloat16, compiled": ("compiled", "bfloat16"),
    "timm, OpenVINO": ("openvino", "any"),
    "timm, ONNX Runtime": ("onnxruntime", "float32"),
}
_SECONDS = 1.0  # that a contestant works in a round, about


def benchmark_engines(
    run: Run, rounds: int, peer_python: Path | None = None
) -> Iterator[tuple[int, Iterator[list[Rate]]]]:
    """Lets all engines that are installed answer for the same crops, in turn.

    Each is a process of its own, as are the peers: the same architecture of timm's by PyTorch,
    OpenVINO and ONNX Runtime.

    Args:
        run: is exported for all of them.
        rounds: how often each is measured.
        peer_python: interpreter that has the peers; None = this one.

    Yields:
        Images in a batch, and after each round all rates so far.
    """
    paths = {PLAIN: (str(EXPORTERS["saved_model"](run)), "tensorflow")}
    for name, engine in ENGINES.items():
        if engine.is_exportable:
            EXPORTERS[engine.format](run)
            found = Predictor.load(run.directory, name).engine
            words = f"{found.name} {found.version}, {found.precision}"
            paths[words] = (str(run.directory), name)
        else:
            console.print(f"{name} is not installed: {engine.export_install}", style="dim")
    size = run.config.image_size
    cost = operations(run.config.backbone, size, run.config.variant)
    for batch in BATCHES:
        times = max(1, round(_SECONDS * 40 * (224 / size) ** 2 / batch))
        job = {"what": "inference", "batch_size": batch, "times": times}
        own = {n: {**job, "path": path, "engine": e} for n, (path, e) in paths.items()}
        job |= {"backbone": run.config.backbone, "image_size": size}
        peers = {n: {**job, "engine": e, "precision": p} for n, (e, p) in PEERS.items()}
        own |= limits(cost, times * batch)
        with ExitStack() as stack:
            workers = {n: stack.enter_context(Worker(n, j, own=True)) for n, j in own.items()}
            packages = ["torch", "timm", "openvino", "onnx", "onnxruntime"]
            workers |= open_peers(stack, peers, peer_python, packages)
            yield batch, race({name: worker.work for name, worker in workers.items()}, rounds)
