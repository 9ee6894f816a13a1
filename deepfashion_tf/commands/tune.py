"""Searches focal gamma, learning rate and loss weights for the best validation mean accuracy.

All options of train apply to every trial. --output-dir is the folder of the search
(None: tuning/BACKBONE-RECIPE). The same command resumes a search that was stopped.
"""

from deepfashion_tf.tuning.options import parse_tune_command
from deepfashion_tf.tuning.search import tune


def main() -> int:
    command = parse_tune_command(__doc__)
    return tune(command.config, command.search)
