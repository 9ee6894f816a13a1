"""How fast each engine answers for ready crops, one at a time and sixteen at once."""

import time
from collections.abc import Callable

import numpy as np

from deepfashion_tf.benchmark.rates import Rate, race
from deepfashion_tf.inference.engines import ENGINES
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.progress import console
from deepfashion_tf.serving.export import EXPORTERS
from deepfashion_tf.training.run import Run

BATCHES = (1, 16)
PLAIN = "tensorflow, SavedModel"
_PEERS = {"resnet50": "resnet50", "seresnet50": "seresnet50", "seresnext50": "seresnext50_32x4d"}


def benchmark_engines(run: Run, rounds: int, seconds: float = 1.0) -> dict[int, list[Rate]]:
    """Lets all engines that are installed answer for the same crops, in turn.

    Beside them, where ``requirements-bench.txt`` is installed, OpenVINO and PyTorch on timm's own
    network of the same architecture.

    Args:
        run: is exported for all of them.
        rounds: how often each is measured.
        seconds: that a contestant works in a round, about.

    Returns:
        Images in a batch -> rates.
    """
    answers = _answers(run)
    size = run.config.image_size
    found = {}
    for batch in BATCHES:
        crops = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)
        contests = {name: _repeat(answer, crops, seconds) for name, answer in answers.items()}
        found[batch] = race(contests, rounds)
    return found


def _answers(run: Run) -> dict[str, Callable[[np.ndarray], object]]:
    predictors = [Predictor.of_run(run), Predictor.load(EXPORTERS["saved_model"](run))]
    for name, engine in ENGINES.items():
        if engine.is_installed:
            EXPORTERS[engine.format](run)
            predictors.append(Predictor.load(run.directory, name))
        else:
            console.print(f"[dim]{name} is not installed: {engine.requirements}[/dim]")
    names = ["tensorflow, run", PLAIN]
    names += [f"{p.engine.name}, {p.engine.precision}" for p in predictors[2:]]
    answers = dict(zip(names, (p.answer for p in predictors), strict=True))
    return answers | _peers(run)


def _peers(run: Run) -> dict[str, Callable[[np.ndarray], object]]:
    """Makes timm's network of the same architecture answer by the same engine, and by PyTorch."""
    try:
        import openvino
        import timm
        import torch
    except ImportError:
        console.print("[dim]no peers: requirements-bench.txt is not installed[/dim]")
        return {}
    size = run.config.image_size
    network = timm.create_model(_PEERS[run.config.backbone]).eval()
    example = torch.zeros(1, 3, size, size)
    converted = openvino.convert_model(network, example_input=example)
    request = (
        openvino.Core()
        .compile_model(converted, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
        .create_infer_request()
    )

    def by_openvino(crops: np.ndarray) -> object:
        return request.infer([_planes(crops)], share_inputs=True)

    def by_torch(crops: np.ndarray) -> object:
        with torch.inference_mode():
            return network(torch.from_numpy(_planes(crops)))

    return {"timm by OpenVINO": by_openvino, "timm by PyTorch, float32": by_torch}


def _planes(crops: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32)


def _repeat(answer: Callable, crops: np.ndarray, seconds: float) -> Callable[[], int]:
    began = time.perf_counter()
    answer(crops)
    answer(crops)
    took = (time.perf_counter() - began) / 2
    times = max(1, round(seconds / took))

    def work() -> int:
        for _ in range(times):
            answer(crops)
        return times * len(crops)

    return work
