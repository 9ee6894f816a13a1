"""Whose weights a file holds, and of which network: by its names, shapes and graph."""

import re

from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.models.variants import VARIANTS, LiteVariant, Variant
from deepfashion_tf.models.weights.files import WeightsFile
from deepfashion_tf.models.weights.layouts import (
    AUTOMATIC,
    LITE,
    NAMED,
    TIMM,
    TIMM_LEGACY,
    Layout,
    automatic_number,
)


def find_layout(file: WeightsFile) -> Layout:
    """Returns by their names whose weights they are.

    Raises:
        InputError: nobody's that this project knows.
    """
    names = list(file.tensors)
    groups = {name.split("/")[0] for name in names}
    if any(name.startswith(("layer0.", "last_linear.")) for name in names):
        return TIMM_LEGACY
    if any(name.startswith("layer1.") for name in names):
        return TIMM
    if any(name.startswith(("_blocks.", "_conv_stem.")) for name in names):
        return LITE
    if any(group.startswith(("conv2_block", "block2a_")) for group in groups):
        return NAMED
    if "bn_data" in groups:
        raise InputError(
            f"{file.path} holds classification_models' ResNet with pre-activation, a network "
            f"that this project does not build: use --weights imagenet for a resnet50."
        )
    if sum(automatic_number(group) is not None for group in groups) > len(groups) / 2:
        return AUTOMATIC
    called = f"are called {list_some(sorted(names), most=5)}" if names else "are none at all"
    raise InputError(
        f"{file.path} holds no weights of a network that this project knows; its {len(names)} "
        f"tensors {called}. Known are the names of timm, torchvision, keras.applications and "
        f"classification_models."
    )


def fitting_variants(file: WeightsFile, layout: Layout) -> list[str]:
    """Lists the VARIANTS whose weights have such names and shapes.

    Raises:
        InputError: none.
    """
    noted = file.record.get("variant")
    if layout is LITE or any(name.startswith("block2a_") for name in file.tensors):
        return _fitting_lite(file, layout, noted)
    bias, groups, reduction = _features(file, layout)
    fitting = []
    for name, variant in VARIANTS.items():
        if (
            isinstance(variant, Variant)
            and name.startswith(layout.families)
            and (variant.bias, variant.groups) == (bias, groups)
            and bool(variant.reduction) == reduction
            and (layout is not NAMED or _agrees_with_graph(variant, file.layers))
        ):
            fitting.append(name)
    if noted:
        fitting = [name for name in fitting if name == noted]
    if not fitting:
        raise InputError(
            f"{file.path} holds a network that this project does not build: {layout.name}, "
            f"{groups} group(s), {'with' if reduction else 'without'} squeeze and excitation, "
            f"convolutions {'with' if bias else 'without'} biases"
            + (f", noted as {noted}." if noted else ".")
        )
    return fitting


def _fitting_lite(file: WeightsFile, layout: Layout, noted: str | None) -> list[str]:
    """Identifies an EfficientNet-Lite by its number of blocks and the channels of its last one."""
    prefix = re.compile(r"_blocks\.\d+\." if layout is LITE else r"block\d[a-z]_")
    blocks = len({match[0] for name in file.tensors if (match := prefix.match(name))})
    head = file.tensors.get("_conv_head.weight" if layout is LITE else "top_conv/kernel")
    channels = layout.to_keras(head, 4).shape[2] if head is not None and head.ndim == 4 else None
    fitting = [
        name
        for name, variant in VARIANTS.items()
        if isinstance(variant, LiteVariant)
        and noted in (None, name)
        and (variant.blocks, variant.last_channels) == (blocks, channels)
    ]
    if not fitting:
        raise InputError(
            f"{file.path} holds a network that this project does not build: {layout.name}, "
            f"{blocks} blocks, the last of {channels or 'unknown'} channels"
            + (f", noted as {noted}." if noted else ".")
        )
    return fitting


def _features(file: WeightsFile, layout: Layout) -> tuple[bool, int, bool]:
    """Reads off shapes: biases?, groups of the 3 x 3 convolutions, squeeze and excitation?

    One tensor that is missing or renamed changes none of the answers.
    """
    names = list(file.tensors)
    kernels = {
        name: layout.to_keras(tensor, 4).shape
        for name, tensor in file.tensors.items()
        if tensor.ndim == 4 and tensor.size
    }
    kernels = {name: shape for name, shape in kernels.items() if shape[:2] == (3, 3)}
    if layout is AUTOMATIC:
        # A kernel for each group there: 3 x 3 x 4 x 4 and more, not 3 x 3 x 64 x 64 and more.
        depths = [shape[2] for shape in kernels.values()]
        groups = 128 // min(depths) if depths and min(depths) < 64 else 1
        biased = any(name.startswith("conv2d") and name.endswith("/bias") for name in names)
        return False, groups, biased
    ratios = [
        shape[3] // shape[2]
        for name, shape in kernels.items()
        if name.endswith(("_2_conv/kernel", ".conv2.weight"))
    ]
    groups = max(ratios, default=1)
    bias = any(name.endswith(("_1_conv/bias", ".0.conv1.bias")) for name in names)
    return bias, groups, any("_se_" in name or ".se" in name for name in names)


def _agrees_with_graph(variant: Variant, layers: dict[str, dict]) -> bool:
    """Compares what no weight tells with a graph that has keras.applications' layer names."""
    if not layers:
        return True
    try:
        stride = max(layers["conv3_block1_1_conv"]["strides"])
        padding = layers["pool1_pad"]["padding"]
        epsilon = float(layers["conv1_bn"]["epsilon"])
    except (KeyError, TypeError, ValueError):  # another network's graph, or a damaged one
        return False
    return (
        variant.stride_on == ("1x1" if stride == 2 else "3x3")
        and variant.pool == ("padded" if padding == [[1, 1], [1, 1]] else "ceil")
        and abs(variant.epsilon - epsilon) < 1e-3 * variant.epsilon
    )
