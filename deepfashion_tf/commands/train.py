"""Trains a model on the built-in wardrobe, or on your data with --data."""

import os
import sys

from deepfashion_tf.command_line import import_tensorflow
from deepfashion_tf.interrupts import Termination
from deepfashion_tf.runs.options import parse_command
from deepfashion_tf.training.launch import launch_workers


def main() -> int:
    command = parse_command(__doc__)
    if command.options.local_workers and "TF_CONFIG" not in os.environ:
        # As it was typed: a script, or the console command.
        program = (
            [sys.argv[0]] if sys.argv[0].endswith(".py") else ["-m", "deepfashion_tf", "train"]
        )
        args = [*program, *sys.argv[1:]]
        return launch_workers(command.options.local_workers, args)
    with Termination() as termination:
        import_tensorflow()
        from deepfashion_tf.evaluation.finish import finish_run
        from deepfashion_tf.export.saved_model import export_run
        from deepfashion_tf.training.train import train

        trained = train(command.config, command.options, termination)
        if not trained.is_chief:
            return 0
        if trained.interrupted:
            print("\nInterrupted: the best epoch so far is scored and exported.")
        finish_run(trained.run, trained.val, not trained.interrupted, export_run)
    return 130 if trained.interrupted else 0
