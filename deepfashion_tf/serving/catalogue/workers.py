"""Processes that answer, each with a model of its own, on this machine or a cluster, by Ray."""

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.answers import Wanted
from deepfashion_tf.inference.calibration import Calibration
from deepfashion_tf.schema import Schema
from deepfashion_tf.serving.catalogue.places import Place
from deepfashion_tf.serving.catalogue.shards import Shard, tag_shard

if TYPE_CHECKING:
    from deepfashion_tf.inference.engines import Running
    from deepfashion_tf.inference.predictor import Predictor

RETRIES = 3  # workers that one shard may cost


@dataclass(frozen=True)
class Model:
    """What a worker tells of the model that it has loaded.

    Attributes:
        name: of what was loaded.
        schema: its categories.
        untrained: those that it cannot answer.
        calibration: of its probabilities.
        engine: that answers.
    """

    name: str
    schema: Schema
    untrained: tuple[str, ...]
    calibration: Calibration
    engine: "Running"


class _Tagger:
    """What works in a process of its own: TensorFlow and the model are loaded there alone."""

    def __init__(self, run: Path, crew: "Crew") -> None:
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(crew.threads)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        self._run, self._crew = run, crew

    @functools.cached_property
    def _predictor(self) -> "Predictor":
        from deepfashion_tf.inference.predictor import Predictor

        found = Predictor.load(self._run, self._crew.engine, self._crew.exact)
        found.accept_damaged = self._crew.accept_damaged
        return found

    def describe(self) -> Model:
        found = self._predictor
        return Model(
            found.name, found.schema, tuple(found.untrained), found.calibration, found.engine
        )

    def tag(self, shard: Shard, wanted: Wanted, place: Place) -> tuple[int, int]:
        return tag_shard(self._predictor, wanted, shard, place)


@dataclass(frozen=True)
class Crew:
    """Who does the work.

    Attributes:
        workers: processes.
        threads: cores of each.
        address: of a Ray cluster; None = this machine.
        engine: that they answer by, as `Predictor.load` takes it.
        accept_damaged: as of `Predictor`.
        exact: as of `Predictor.load`.
    """

    workers: int
    threads: int
    address: str | None = None
    engine: str = "auto"
    accept_damaged: bool = False
    exact: bool = False


class WorkerLost(Exception):
    """Reports that several workers have ended while at the same work."""


class Workers:
    """Processes that answer, started by Ray: they load the model while this one does other things.

    Args:
        run: the model, as `Predictor.load` takes it.
        crew: how many, and where.

    Raises:
        InputError: Ray is not installed.
    """

    def __init__(self, run: Path, crew: Crew) -> None:
        self._ray = _start_ray(crew)
        tagger = self._ray.remote(num_cpus=crew.threads, max_restarts=-1, max_task_retries=RETRIES)(
            _Tagger
        )
        self.taggers = [tagger.remote(run.resolve(), crew) for _ in range(crew.workers)]
        # All of them load; the first one tells.
        self._descriptions = [tagger.describe.remote() for tagger in self.taggers]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_) -> None:
        self._ray.shutdown()

    def describe(self) -> Model:
        """Returns what the model is.

        Raises:
            InputError: it cannot be loaded.
        """
        try:
            return self.get(self._descriptions[0])
        except WorkerLost as error:
            raise InputError(
                f"The workers ended before one had loaded the model: give the machine more memory, "
                f"or take fewer --workers ({error})."
            ) from error

    def wait(self, waiting: Iterable):
        """Waits for one of several results."""
        (told,), _ = self._ray.wait(list(waiting))
        return told

    def get(self, told):
        """Returns a result, or raises what the worker raised.

        Raises:
            WorkerLost: the workers that were to give it have ended, one after the other.
        """
        try:
            return self._ray.get(told)
        except self._ray.exceptions.RayActorError as error:
            raise WorkerLost(" ".join(str(error).split())[-200:]) from error
        except self._ray.exceptions.RayTaskError as error:
            # The worker's own exception; Ray's has a page of where it came from.
            raise error.cause from error


def _start_ray(crew: Crew):
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "Tagging a catalogue needs Ray: pip install 'deepfashion_tf[catalogue]'."
        ) from error
    local = {} if crew.address else {"num_cpus": crew.workers * crew.threads}
    ray.init(
        address=crew.address or "local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        **local,
    )
    return ray
