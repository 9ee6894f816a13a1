"""How each family of published weights names and lays out the tensors of `senet`.

A layout answers two questions about a file: which of its names holds a given weight
of ours, such as ``conv3_block1_2_conv/kernel``, and how its array becomes ours.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

Shapes = dict[str, tuple[int, ...]]
Keys = dict[str, tuple[str, ...]]

_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_AUTOMATIC = re.compile(r"(conv2d|batch_normalization|dense)(?:_(\d{1,6}))?$")


@dataclass(frozen=True)
class Layout:
    """A family's way of storing these networks.

    Attributes:
        name: in words.
        families: how the names of those VARIANTS begin that files of this layout may hold.
        keys: ``(our weight -> shape, names in the file)`` -> our weight -> its names;
            several where each group of a grouped convolution has a kernel of its own.
        to_keras: ``(array, rank)`` -> array in Keras' layout with that many axes.
    """

    name: str
    families: tuple[str, ...]
    keys: Callable[[Shapes, Iterable[str]], Keys]
    to_keras: Callable[[np.ndarray, int], np.ndarray]


# --- timm ---------------------------------------------------------------------------------


def timm_name(path: str, legacy: bool) -> str:
    """Translates a weight of ours, such as ``conv3_block1_2_conv/kernel``, to timm's name.

    Args:
        path: layer and weight.
        legacy: the names of timm's legacy_se* models (Cadene's) instead of resnet.py's.
    """
    layer, weight = path.split("/")
    weight = {"kernel": "weight", **_NORM}.get(weight, weight)
    if layer == "predictions":
        return f"{'last_linear' if legacy else 'fc'}.{weight}"
    if layer.startswith("conv1_"):
        kind = layer.removeprefix("conv1_")
        return f"{'layer0.' if legacy else ''}{kind}1.{weight}"
    stage, block, *part = layer.split("_")
    prefix = f"layer{int(stage.removeprefix('conv')) - 1}.{int(block.removeprefix('block')) - 1}"
    match part:
        case ["se", "reduce" | "expand" as which]:
            module = "se_module" if legacy else "se"
            return f"{prefix}.{module}.fc{1 if which == 'reduce' else 2}.{weight}"
        case ["0", kind]:
            return f"{prefix}.downsample.{0 if kind == 'conv' else 1}.{weight}"
        case [number, kind]:
            return f"{prefix}.{kind}{number}.{weight}"
    raise ValueError(f"{path} is no weight of this family")


def _from_torch(tensor: np.ndarray, rank: int) -> np.ndarray:
    """Turns ``[out, in, h, w]`` into ``[h, w, in, out]``, and ``[out, in]`` into ``[in, out]``."""
    if rank == 2 and tensor.ndim == 4 and tensor.shape[2:] == (1, 1):
        # Squeeze and excitation: 1 x 1 convolutions there, dense layers here.
        tensor = tensor[:, :, 0, 0]
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T


TIMM = Layout(
    "timm's names",
    ("timm.resnet", "timm.seresne"),
    lambda shapes, names: {path: (timm_name(path, legacy=False),) for path in shapes},
    _from_torch,
)
TIMM_LEGACY = Layout(
    "timm's names of its legacy networks",
    ("timm.legacy_",),
    lambda shapes, names: {path: (timm_name(path, legacy=True),) for path in shapes},
    _from_torch,
)

# --- EfficientNet-Lite --------------------------------------------------------------------

_LITE_ENDS = {
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "top_conv": "_conv_head",
    "top_bn": "_bn1",
    "predictions": "_fc",
}
_LITE_PARTS = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "dwconv": "_depthwise_conv",
    "bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}
_LITE_BLOCK = re.compile(r"(block\d[a-z])_(\w+)")


def _lite_keys(shapes: Shapes, names: Iterable[str]) -> Keys:
    """Numbers the blocks in the order in which the network has them."""
    blocks = [match[1] for path in shapes if (match := _LITE_BLOCK.match(path))]
    numbers = {block: number for number, block in enumerate(dict.fromkeys(blocks))}
    keys = {}
    for path in shapes:
        layer, weight = path.split("/")
        weight = {"kernel": "weight", **_NORM}.get(weight, weight)
        match = _LITE_BLOCK.match(layer)
        name = f"_blocks.{numbers[match[1]]}.{_LITE_PARTS[match[2]]}" if match else ""
        keys[path] = (f"{name or _LITE_ENDS[layer]}.{weight}",)
    return keys


def _lite_from_torch(tensor: np.ndarray, rank: int) -> np.ndarray:
    """Does what `_from_torch` does; of a depthwise kernel, ``[c, 1, h, w]`` -> ``[h, w, c, 1]``."""
    if tensor.ndim == 4 and tensor.shape[1] == 1:
        return tensor.transpose(2, 3, 0, 1)
    return _from_torch(tensor, rank)


LITE = Layout(
    "names of EfficientNet in PyTorch",
    ("pypi.efficientnetlite",),
    _lite_keys,
    _lite_from_torch,
)

# --- Keras --------------------------------------------------------------------------------


def _from_keras(tensor: np.ndarray, rank: int) -> np.ndarray:
    if rank == 2 and tensor.ndim == 4 and tensor.shape[:2] == (1, 1):
        return tensor[0, 0]
    return tensor


def _named_keys(shapes: Shapes, names: Iterable[str]) -> Keys:
    # keras.applications has renamed its top twice; the released file keeps an old name.
    old = {name.split("/")[0] for name in names} & {"probs", "fc1000"}
    top = old.pop() if old else "predictions"
    return {path: (re.sub(r"^predictions/", f"{top}/", path),) for path in shapes}


NAMED = Layout(
    "layer names of keras.applications and of this project", ("",), _named_keys, _from_keras
)


def automatic_number(layer: str) -> tuple[str, int] | None:
    """Splits a name that Keras gave, ``conv2d_7`` -> ``("conv2d", 7)``; None for others."""
    match = _AUTOMATIC.match(layer)
    return (match[1], int(match[2] or 0)) if match else None


def _creation_order(shapes: Shapes) -> dict[str, list[str]]:
    """Lists our layers by kind in the order in which classification_models makes its own.

    In a block: the three convolutions, the shortcut's, then squeeze and excitation. A
    grouped convolution comes as often as it has groups.
    """
    layers = dict.fromkeys(path.split("/")[0] for path in shapes)
    stems = [re.match(r"conv1|conv\d_block\d+|predictions", layer)[0] for layer in layers]
    order: dict[str, list[str]] = {"conv2d": [], "batch_normalization": [], "dense": []}
    for stem in dict.fromkeys(stems):
        for suffix in ("", "_1", "_2", "_3", "_0"):
            layer = f"{stem}{suffix}_conv"
            if layer in layers:
                *_, depth, channels = shapes[f"{layer}/kernel"]
                groups = channels // depth if suffix == "_2" else 1
                order["conv2d"] += [layer] * groups
                order["batch_normalization"].append(f"{stem}{suffix}_bn")
        order["conv2d"] += [f"{stem}_se_{x}" for x in ("reduce", "expand") if "block" in stem]
    order["dense"] = ["predictions"]
    return order


def _automatic_keys(shapes: Shapes, names: Iterable[str]) -> Keys:
    found: dict[str, set[int]] = {}
    for name in names:
        kind, number = automatic_number(name.split("/")[0]) or ("", 0)
        found.setdefault(kind, set()).add(number)
    files: dict[str, list[str]] = {}
    for kind, layers in _creation_order(shapes).items():
        numbers = sorted(found.get(kind, {0}))
        if len(numbers) != len(layers):
            # Something is missing or left over: the numbers from the first on tell what.
            numbers = range(numbers[0], numbers[0] + len(layers))
        for layer, number in zip(layers, numbers, strict=True):
            files.setdefault(layer, []).append(f"{kind}_{number}" if number else kind)
    return {
        path: tuple(f"{file}/{weight}" for file in files[layer])
        for path in shapes
        for layer, weight in [path.split("/")]
    }


AUTOMATIC = Layout(
    "classification_models' automatic names",
    ("classification_models.",),
    _automatic_keys,
    _from_keras,
)
