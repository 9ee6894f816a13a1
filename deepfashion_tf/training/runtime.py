"""On what a run is carried out: one device, several, or several machines, by tf.distribute."""

import contextlib
import hashlib
import json
import os
import re
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import tensorflow as tf

from deepfashion_tf.data.shares import Share
from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import InputError
from deepfashion_tf.interrupts import interruptible
from deepfashion_tf.progress import console
from deepfashion_tf.runs.runtime_options import RuntimeOptions

# What TensorFlow raises on the other workers when one is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)


@dataclass(frozen=True)
class Runtime:
    """The strategy of tf.distribute, and this process' place in it.

    Attributes:
        strategy: None = one device, TensorFlow's default.
        workers: processes that train together.
        worker: which of them this one is, from 0, the chief.
        addresses: "host:port" of all workers, where they are known.
    """

    strategy: tf.distribute.Strategy | None = None
    workers: int = 1
    worker: int = 0
    addresses: tuple[str, ...] = ()

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run directory."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """Devices that train, on all machines."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    @property
    def share(self) -> Share:
        """The replicas that this process feeds; all processes have equally many."""
        count = self.replicas // self.workers
        return Share(self.replicas, self.worker * count, count)

    def scope(self) -> AbstractContextManager:
        """Makes variables that are made inside it live on all replicas."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def distribute(self, dataset: tf.data.Dataset):
        """Returns the dataset of this process' `share` to its replicas, batch by batch."""
        if self.strategy is None:
            return dataset
        return self.strategy.distribute_datasets_from_function(lambda context: dataset)

    def check_batch_size(self, batch_size: int) -> None:
        """Refuses a batch that cannot be divided.

        Raises:
            InputError: says so.
        """
        if batch_size % self.replicas:
            near = max(1, round(batch_size / self.replicas)) * self.replicas
            raise InputError(
                f"--batch-size {batch_size} is that of all {self.replicas} replicas together and "
                f"does not divide by their number: make it {near}, or use other --devices."
            )

    def check_agreement(self, values: dict[str, str]) -> None:
        """Makes sure that all workers are about to do the same; they wait for each other here.

        Args:
            values: what they must agree about -> what this worker has.

        Raises:
            InputError: another worker has something else.
        """
        if self.workers == 1:
            return
        digests = [
            int.from_bytes(hashlib.sha256(v.encode()).digest()[:7], "big") for v in values.values()
        ]

        @tf.function
        def gather() -> tf.Tensor:
            own = self.strategy.run(lambda: tf.constant([digests], tf.int64))
            return self.strategy.gather(own, axis=0)

        of_all = gather().numpy()
        different = [
            name for name, same in zip(values, (of_all == digests).all(0), strict=True) if not same
        ]
        if different:
            raise InputError(
                f"The {self.workers} workers have different {' and '.join(different)}: start all "
                f"of them with the same command, on the same data, and with a run directory that "
                f"all of them see."
            )

    def is_loss(self, error: tf.errors.OpError) -> bool:
        """Whether an error may mean that another worker is gone.

        TensorFlow finds a dead process by its closed connection, at once, and one that
        no longer answers by its missing heartbeats, within a minute.
        """
        return self.workers > 1 and isinstance(error, _LOST)

    def explain_loss(self, error: tf.errors.OpError) -> InputError | None:
        """Returns which worker was lost, where an error tells of that."""
        if not self.is_loss(error):
            return None
        named = {int(index) for index in re.findall(r"/task:(\d+)", error.message)}
        silent = {i for i, address in enumerate(self.addresses) if not _answers(address)}
        lost = sorted((silent or named) - {self.worker})
        who = ", ".join(
            f"{i} ({self.addresses[i]})" if i < len(self.addresses) else str(i) for i in lost
        )
        name = f"Worker {who}" if len(lost) == 1 else f"Workers {who}" if lost else "A worker"
        return InputError(
            f"{name} was lost: its process has died, or does not answer. Read its last "
            f"output, then start all {self.workers} workers again, with --resume."
        )

    def describe(self) -> str:
        """Describes in a few words what trains."""
        if self.workers > 1:
            own = f"worker {self.worker}" if self.worker else "worker 0, the chief"
            return f"{self.replicas} replicas of {self.workers} workers; this is {own}"
        return f"{self.replicas} replicas"


def make_runtime(options: RuntimeOptions) -> Runtime:
    """Sets TensorFlow up for what was asked for. To be called before anything else of it.

    Raises:
        InputError: there are not so many devices, the cluster is described wrongly, or
            TensorFlow has begun to work already.
    """
    strategy = options.strategy
    if strategy == "auto":
        is_cluster = _is_cluster(os.environ)
        many = (options.devices or len(tf.config.list_physical_devices("GPU"))) > 1
        strategy = "multi_worker" if is_cluster else "mirrored" if many else "one"
    if strategy == "multi_worker":
        return _multi_worker(options)
    if strategy == "one":
        if options.devices not in (None, 1):
            raise InputError(
                f"--strategy one is for one device, but --devices is {options.devices}: leave one "
                f"of them out."
            )
        return Runtime()
    return Runtime(tf.distribute.MirroredStrategy(_devices(options.devices)))


def _devices(count: int | None) -> list[str]:
    """Names GPUs; where there are none, CPU devices, made for it if there is but one."""
    found = len(tf.config.list_physical_devices("GPU"))
    if found:
        if (count or 1) > found:
            raise InputError(
                f"--devices is {count}, but this machine has {found} GPUs: ask for as many."
            )
        return [f"GPU:{i}" for i in range(count or found)]
    _split_cpu(count or 1)
    return [f"CPU:{i}" for i in range(count or 1)]


def _split_cpu(count: int) -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise InputError(
                f"--devices {count}: TensorFlow has begun to work with one CPU device; ask for "
                f"several before anything else, in a process of its own."
            ) from error


def _is_cluster(environment) -> bool:
    """Whether TF_CONFIG or Slurm has started several processes."""
    if environment.get("TF_CONFIG"):
        return True
    # Of the step, which srun begins: in a batch script without it, one process is all there is.
    return int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1


def _multi_worker(options: RuntimeOptions) -> Runtime:
    if not _is_cluster(os.environ):
        raise InputError(
            "--strategy multi_worker needs to know the other workers: set TF_CONFIG, start by "
            "srun, or try --local-workers 2 on this machine."
        )
    if not os.environ.get("TF_CONFIG"):
        os.environ["TF_CONFIG"] = tf_config_of_slurm(os.environ)
    addresses, worker = read_tf_config(os.environ["TF_CONFIG"])
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if options.devices and not tf.config.list_physical_devices("GPU"):
        _split_cpu(options.devices)
    console.print(f"worker {worker}: waiting for all {len(addresses)} workers", style="dim")
    try:
        with interruptible():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except (tf.errors.OpError, RuntimeError) as error:
        raise InputError(
            f"Worker {worker} cannot join the others as {addresses[worker]} "
            f"({' '.join(str(error).split())[:200]}): make sure that the address is this "
            f"machine's, that its port is free, and that all {len(addresses)} workers are started."
        ) from error
    return Runtime(strategy, len(addresses), worker, tuple(addresses))


def _answers(address: str) -> bool:
    """Whether a process listens there."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=3):
            return True
    except (OSError, ValueError):
        return False


def tf_config_of_slurm(environment: Mapping[str, str]) -> str:
    """Writes what a step of Slurm knows about its tasks as a TF_CONFIG.

    TensorFlow's resolver reads the variables; it is told of one GPU a task because it cannot
    count to none, and which ones a task may use is left to Slurm.
    """
    tasks = int(environment["SLURM_STEP_NUM_TASKS"])
    # Two jobs may share a machine; all tasks of one know its number.
    port = 20_000 + 64 * (int(environment.get("SLURM_JOB_ID", 0)) % 256)
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=port, gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
    )
    cluster = resolver.cluster_spec().as_dict()
    task = {"type": "worker", "index": int(environment["SLURM_PROCID"])}
    return as_json({"cluster": cluster, "task": task})


def read_tf_config(text: str) -> tuple[list[str], int]:
    """Reads the addresses of the workers from TF_CONFIG, and which one this process is."""
    example = (
        '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    try:
        values = json.loads(text)
        cluster, task = values["cluster"], values["task"]
        chiefs, others = cluster.get("chief", []), cluster.get("worker", [])
        first = {"chief": 0, "worker": len(chiefs)}[task["type"]]
        if not 0 <= int(task["index"]) < len(cluster.get(task["type"], [])):
            raise ValueError(f"the cluster has no {task['type']} {task['index']}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{error} is missing or unknown" if isinstance(error, KeyError) else error
        raise InputError(f"TF_CONFIG cannot be read ({reason}). It is like {example}.") from error
    return [*chiefs, *others], first + int(task["index"])
