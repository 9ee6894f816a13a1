"""Audits images, boxes, splits and labels; exit code 1 on invalidating faults."""

import tyro

from deepfashion_tf.command_line import import_tensorflow
from deepfashion_tf.doctor.options import Options


def main() -> int:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.doctor.check import check_data

    return check_data(options)
