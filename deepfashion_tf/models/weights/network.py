"""A network with the weights of a file: all of them, or none."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np

from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.files import whole_or_nothing
from deepfashion_tf.models.backbones import build_backbone
from deepfashion_tf.models.variants import VARIANTS, find_variant
from deepfashion_tf.models.weights.applications import ApplicationWeights
from deepfashion_tf.models.weights.check import check_values
from deepfashion_tf.models.weights.files import WeightsFile, read_file
from deepfashion_tf.models.weights.identify import find_layout, fitting_variants
from deepfashion_tf.models.weights.layouts import Layout

_TOP = {"predictions/kernel": (2048, 1000), "predictions/bias": (1000,)}


@dataclass(frozen=True)
class Weights:
    """A weights file and the network that it is for.

    Attributes:
        source: as the user named it.
        file: the arrays.
        layout: how they are named.
        variant: key of VARIANTS.
    """

    source: str
    file: WeightsFile
    layout: Layout
    variant: str

    @property
    def has_top(self) -> bool:
        """Whether the 1000-d ImageNet output is there."""
        keys = self.layout.keys(_TOP, self.file.tensors)
        return any(key in self.file.tensors for names in keys.values() for key in names)


def read_weights(
    path: Path,
    *,
    source: str | None = None,
    backbone: str | None = None,
    variant: str | None = None,
) -> Weights:
    """Reads a weights file and finds out which network it is for.

    Args:
        path: see `read_file`.
        source: what to call it in messages; None = its path.
        backbone: the one that it has to be for; None = any.
        variant: key of VARIANTS, for a file that fits several; None = the file tells.

    Raises:
        InputError: the file cannot be read, is for another network, or fits several.
    """
    source = source or str(path)
    file = read_file(path)
    layout = find_layout(file)
    fitting = fitting_variants(file, layout)
    chosen = check_backbone(source, fitting, backbone)
    if variant:
        chosen = [name for name in chosen if name == variant]
        if not chosen:
            raise InputError(
                f"{source} holds weights of {' or '.join(fitting)}, not of --variant {variant}."
            )
    if len({VARIANTS[name] for name in chosen}) > 1:
        raise InputError(
            f"{source} fits {', '.join(chosen)} alike: they differ in where the stride sits "
            f"and how the stem is pooled, which no weight shows. Name one with --variant."
        )
    return Weights(source, file, layout, chosen[0])


def check_backbone(source: str, variants: list[str], backbone: str | None) -> list[str]:
    """Keeps those of a source's variants that are of the backbone that is asked for.

    Raises:
        InputError: none is.
    """
    kept = [name for name in variants if backbone in (None, VARIANTS[name].backbone)]
    if not kept:
        other = VARIANTS[variants[0]].backbone
        raise InputError(
            f"{source} holds weights of a {other} ({variants[0]}), but --backbone is {backbone}: "
            f"say --backbone {other}, or name weights of a {backbone}."
        )
    return kept


@dataclass(frozen=True)
class Fit:
    """How a file's tensors fit a network.

    Attributes:
        values: our weight -> float32 array, of all that fit.
        missing: names that the network needs and the file lacks.
        left_over: names in the file that the network has no place for.
        misshapen: names of arrays of another shape than the network's, with both shapes.
        mistyped: names of arrays of other things than floating-point numbers.
    """

    values: dict[str, np.ndarray]
    missing: list[str]
    left_over: list[str]
    misshapen: list[str]
    mistyped: list[str]

    @property
    def faults(self) -> str:
        """What is wrong, in words; empty if nothing is."""
        lists = {
            "missing": self.missing,
            "left over": self.left_over,
            "of another shape": self.misshapen,
            "no floating-point numbers": self.mistyped,
        }
        return "; ".join(
            f"{what}: {list_some(names, most=5)}" for what, names in lists.items() if names
        )


def fit(weights: Weights, network: keras.Model) -> Fit:
    """Finds a tensor for each weight of a network of `build_backbone`; loads nothing."""
    shapes = {_path(variable): tuple(variable.shape) for variable in network.weights}
    tensors = weights.file.tensors
    keys = weights.layout.keys({**shapes, **_TOP}, tensors)
    known = {key for names in keys.values() for key in names}
    left_over = [
        name for name in tensors if name not in known and not name.endswith("num_batches_tracked")
    ]
    values, missing, misshapen, mistyped = {}, [], [], []
    for path, shape in shapes.items():
        absent = [key for key in keys[path] if key not in tensors]
        others = [key for key in keys[path] if key in tensors and tensors[key].dtype.kind != "f"]
        missing += absent
        mistyped += others
        if absent or others:
            continue
        value = _join([weights.layout.to_keras(tensors[key], len(shape)) for key in keys[path]])
        if value.shape == shape:
            # Float64 may be out of float32's range: `load_weights` refuses infinity.
            with np.errstate(over="ignore"):
                values[path] = value.astype(np.float32, copy=False)
        else:
            name = keys[path][0]
            misshapen.append(f"{name} {tensors[name].shape} for {path} {shape}")
    return Fit(values, sorted(missing), sorted(left_over), misshapen, sorted(mistyped))


def _join(parts: list[np.ndarray]) -> np.ndarray:
    """Concatenates the kernels of groups; of those that differ in shape it gives the first."""
    alike = len({(part.ndim, part.shape[:-1]) for part in parts}) == 1 and parts[0].ndim
    return np.concatenate(parts, axis=-1) if alike and len(parts) > 1 else parts[0]


def load_weights(weights: Weights | ApplicationWeights, network: keras.Model) -> None:
    """Puts weights into a network of `build_backbone`; all of them, or none.

    Args:
        weights: what `read_weights` gave.
        network: of the same variant, with or without the top.

    Raises:
        InputError: a tensor is missing, left over, of another shape or no number, or the
            network has a top and the weights have none.
    """
    if isinstance(weights, ApplicationWeights):
        weights.load(network)
        return
    variables = {_path(variable): variable for variable in network.weights}
    if "predictions/kernel" in variables and not weights.has_top:
        raise InputError(
            f"{weights.source} has no top, the 1000-d ImageNet output that --heads "
            f"logits reads: say --heads pooled, or name weights with a top."
        )
    result = fit(weights, network)
    if result.faults:
        raise InputError(
            f"{weights.source} does not fit the network {weights.variant}, and nothing of it was "
            f"loaded; {result.faults}. Name weights of this network."
        )
    check_values(weights.source, result.values)
    for path, value in result.values.items():
        variables[path].assign(value)


def build_with_weights(weights: Weights | ApplicationWeights, image_size: int = 224) -> keras.Model:
    """Builds the backbone that weights are for, with a top if they have one, and loads them.

    Raises:
        InputError: they do not fit.
    """
    representation = "logits" if weights.has_top else "pooled"
    backbone = find_variant(weights.variant).backbone
    network = build_backbone(backbone, image_size, representation, weights.variant)
    load_weights(weights, network)
    return network


def convert_weights(weights: Weights | ApplicationWeights, path: Path) -> None:
    """Writes weights as ``.weights.h5`` of the network that `build_backbone` gives.

    The file notes its source, the source's SHA-256 and the variant, so that it can be
    loaded again without asking.

    Raises:
        InputError: the weights do not fit.
        OSError: the file cannot be written.
    """
    network = build_with_weights(weights)
    with whole_or_nothing(path) as temporary:
        network.save_weights(temporary)
        with h5py.File(temporary, "a") as file:
            file.attrs["source"] = weights.source
            file.attrs["source SHA-256"] = weights.file.sha256
            file.attrs["variant"] = weights.variant


def _path(variable: keras.Variable) -> str:
    """Returns ``layer/weight`` of a variable, whatever model its network is in."""
    return "/".join(variable.path.split("/")[-2:])
