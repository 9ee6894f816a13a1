"""Measures speed beside a peer and the machine's limit, and what heat maps and advice mean."""

import sys
from pathlib import Path

import tyro

# The benchmarks are beside the package, not in it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.options import Options
from deepfashion_tf.command_line import import_tensorflow, run


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from benchmarks import contests

    contests.CONTESTS[options.what](options)


if __name__ == "__main__":
    run(main)
