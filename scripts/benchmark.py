"""Measures speed beside a peer and the machine's limit, and what heat maps and advice mean."""

import tyro

from deepfashion_tf.benchmark.options import Options
from deepfashion_tf.command_line import import_tensorflow, run


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.benchmark import contests

    contests.CONTESTS[options.what](options)


if __name__ == "__main__":
    run(main)
