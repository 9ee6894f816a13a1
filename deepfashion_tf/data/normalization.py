"""What networks expect of pixels, by name. No TensorFlow."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Normalization:
    """What a network's weights expect of pixels: ``(channels / scale - mean) / std``.

    Attributes:
        order: "rgb" or "bgr".
        scale: 255 brings pixels to 0..1 first, 1 leaves them in 0..255.
        mean: one value a channel, in the order of `order`, after scaling.
        std: as `mean`.
    """

    order: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


NORMALIZATIONS = {
    # classification_models' and timm's SE networks, torchvision, the report
    "torch": Normalization("rgb", 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # keras.applications' ResNet50 (converted from Caffe)
    "caffe": Normalization("bgr", 1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    # EfficientNet-Lite
    "lite": Normalization("rgb", 1.0, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    # keras.applications' MobileNet, Inception, NASNet, ResNetV2 and Xception
    "tf": Normalization("rgb", 127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    # networks that normalize inside: EfficientNet, EfficientNetV2, MobileNetV3, ConvNeXt
    "none": Normalization("rgb", 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


def renormalization(
    source: Normalization, target: Normalization
) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """Computes what turns pixels of one normalization into those of another.

    Returns:
        Scale and offset, a value a channel each, in the order of `target`; and whether the
        channels are reversed before: ``x * scale + offset``.
    """
    is_reversed = source.order != target.order
    step = -1 if is_reversed else 1
    std, mean = (np.array(values)[::step] * source.scale for values in (source.std, source.mean))
    target_std, target_mean = np.array(target.std), np.array(target.mean)
    scale = std / (target.scale * target_std)
    offset = (mean / target.scale - target_mean) / target_std
    return tuple(scale.tolist()), tuple(offset.tolist()), is_reversed
