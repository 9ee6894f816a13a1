"""The process of a `Job`: trains, or goes on with, a run and scores it.

    python -m deepfashion_tf.job_process CONFIG.json [SPLIT ...]

For each split, `metrics-SPLIT.json` (if it is labelled) and `answers-SPLIT.csv` are written
into the run directory, besides what training leaves there.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import filelock

from deepfashion_tf.command_line import import_tensorflow, run
from deepfashion_tf.interrupts import Termination
from deepfashion_tf.runs.config import CONFIG_FILE, TrainConfig
from deepfashion_tf.runs.jobs import answers_path
from deepfashion_tf.runs.runtime_options import RuntimeOptions

_PATIENCE = 60.0  # seconds in which a process of before has saved its state and ended


def main() -> None:
    path, *splits = sys.argv[1:]
    with Termination() as termination:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        config = TrainConfig.load(Path(path))
        lock = config.output_dir.with_name(f".{config.output_dir.name}.lock")
        with filelock.FileLock(lock, timeout=_PATIENCE):
            _train_and_score(config, splits, termination)


def _train_and_score(config: TrainConfig, splits: Sequence[str], termination: Termination) -> None:
    import_tensorflow()
    from deepfashion_tf.evaluation.evaluate import answer
    from deepfashion_tf.evaluation.finish import finish_run
    from deepfashion_tf.training.train import train

    directory = config.output_dir
    is_begun = (directory / CONFIG_FILE).is_file()
    if is_begun:
        config = replace(TrainConfig.load(directory / CONFIG_FILE), output_dir=directory)
    trained = train(config, RuntimeOptions(resume=directory if is_begun else None), termination)
    finish_run(trained.run, trained.val)
    for name in splits:
        answered = answer(trained.run, trained.run.read_split(name))
        if answered.split.labelled_categories():
            answered.scores().save(trained.run.metrics_path(answered.split, own_data=True))
        # Written last: where it stands, the split is done.
        answered.save(answers_path(directory, name))


def _end_with_parent() -> None:
    """Asks this process to end when the one that holds the other end of its input is gone."""
    # Unlike sys.stdin, os.read holds no lock that Python would want at its end.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    run(main)
