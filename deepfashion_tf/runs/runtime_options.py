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
    """What trains. auto: several workers if TF_CONFIG or Slurm names them, several GPUs if there
    are, else one device. --batch-size is that of all together."""
    devices: int | None = None
    """Devices of this machine to use: GPUs, or where there are none, CPU devices made to try it.
    None: all GPUs, or one."""
    local_workers: int | None = None
    """Start so many workers on this machine, as processes that train together on 127.0.0.1."""
    resume: Path | None = None
    """Run directory to go on with, from its last checkpoint; its options come with it. With the
    same --output-dir, a run that is not there yet is begun."""
    checkpoint_every_steps: int | None = None
    """Save a checkpoint every so many steps, for long epochs. None: after each epoch."""
    on_full_disk: Literal["stop", "continue"] = "stop"
    """When a checkpoint or the best model finds the disk full: stop, or go on and try again."""

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
