"""How many images a second this machine could compute, if a network were matrix products alone."""

import numpy as np

from deepfashion_tf.models.backbones import build_backbone

FLOAT32, BFLOAT16 = "matrix products, float32", "matrix products, bfloat16"


def operations(backbone: str, image_size: int, variant: str | None = None) -> int:
    """Counts the additions and multiplications of an image's convolutions, forward.

    A convolution makes of each place ``2 h w c / groups`` of them for each of its channels.
    """
    network = build_backbone(backbone, image_size, "pooled", variant)
    found = 0
    for layer in network.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None and len(kernel.shape) == 4:
            _, height, width, _ = layer.output.shape
            found += 2 * height * width * int(np.prod(kernel.shape))
    return found


def limits(operations: int, images: int) -> dict[str, dict]:
    """Makes the jobs that multiply matrices: of so many operations an image, for some images."""
    job = {"what": "limit", "operations": operations, "images": images}
    return {FLOAT32: {**job, "precision": "float32"}, BFLOAT16: {**job, "precision": "bfloat16"}}
