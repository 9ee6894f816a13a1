"""How a run is carried out: what changes nothing in what it computes, and is not saved with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deepfashion_tf.errors import InputError
from deepfashion_tf.files import expand_user


@dataclass(frozen=True)
class RuntimeOptions:
    """How a run is carried out.

    Raises:
        InputError: a value out of its range.
    """

    strategy: Literal["auto", "one", "mirrored", "multi_worker"] = "auto"
    """Distribution strategy. auto: several workers if TF_CONFIG or Slurm names them, otherwise
    all GPUs, otherwise one device. --batch-size is the global batch size."""
    devices: int | None = None
    """Devices of this machine to use: GPUs, or logical CPU devices where there is no GPU. None:
    all GPUs, or one CPU device."""
    local_workers: int | None = None
    """Number of worker processes to start on this machine, connected through 127.0.0.1."""
    resume: Path | None = None
    """Run directory to resume from its last checkpoint, with its own options. With the same
    --output-dir, a missing run starts from the beginning."""
    checkpoint_every_steps: int | None = None
    """Steps between checkpoints, for long epochs. None: one checkpoint per epoch."""
    on_full_disk: Literal["stop", "continue"] = "stop"
    """Full disk at a checkpoint: stop ends the run; continue trains on and tries again."""

    def __post_init__(self) -> None:
        if self.devices is not None and not 1 <= self.devices <= 1024:
            raise InputError(f"--devices is {self.devices}, but must lie between 1 and 1024.")
        if self.local_workers is not None and not 1 <= self.local_workers <= 256:
            raise InputError(
                f"--local-workers is {self.local_workers}, but must lie between 1 and 256."
            )
        if self.local_workers and self.strategy not in ("auto", "multi_worker"):
            raise InputError(
                f"--local-workers starts several workers, but --strategy is {self.strategy}: leave "
                f"one of them out."
            )
        every = self.checkpoint_every_steps
        if every is not None and every < 1:
            raise InputError(
                f"--checkpoint-every-steps is {every}, but must be 1 or more; leave it out for a "
                f"checkpoint after each epoch."
            )
        if self.resume is not None:
            object.__setattr__(self, "resume", expand_user(self.resume, "--resume"))
