"""timm's names and layouts for the weights of `senet`: checked whole, then assigned."""

import keras
import numpy as np

from deepfashion_tf.errors import InputError, list_some

_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def timm_name(path: str, legacy: bool) -> str:
    """Translates a weight of ours, such as ``conv3_block1_2_conv/kernel``, to timm's name.

    Args:
        path: layer and weight, as in a variable's path.
        legacy: the names of timm's legacy_se* models (Cadene's) instead of resnet.py's.
    """
    layer, weight = path.split("/")[-2:]
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


def assign_timm_weights(model: keras.Model, tensors: dict[str, np.ndarray], source: str) -> None:
    """Puts timm's tensors into a network of `build_senet`; all of them, or none.

    Args:
        model: with or without the top; a network without one leaves timm's top over.
        tensors: timm's ``state_dict`` as arrays, in PyTorch's layouts.
        source: where they come from, for messages.

    Raises:
        InputError: a tensor is missing, left over or of another shape.
    """
    legacy = any(name.startswith(("layer0.", "last_linear.")) for name in tensors)
    wanted = {timm_name(variable.path, legacy): variable for variable in model.weights}
    top = {timm_name(f"predictions/{weight}", legacy) for weight in ("kernel", "bias")}
    given = {name for name in tensors if not name.endswith("num_batches_tracked")}
    faults = [f"{name} is missing" for name in sorted(wanted.keys() - given)]
    faults += [f"{name} is left over" for name in sorted(given - wanted.keys() - top)]
    values = {}
    for name in sorted(wanted.keys() & given):
        values[name] = _to_keras_layout(tensors[name], len(wanted[name].shape))
        if values[name].shape != tuple(wanted[name].shape):
            faults.append(
                f"{name} has the shape {tensors[name].shape}, which does not fit "
                f"{wanted[name].path} {tuple(wanted[name].shape)}"
            )
    if faults:
        raise InputError(
            f"{source} does not fit the network {model.name}, and nothing of it was loaded: "
            f"{list_some(faults, separator='; ')}. Name weights of this very network."
        )
    for name, value in values.items():
        wanted[name].assign(value)


def _to_keras_layout(tensor: np.ndarray, rank: int) -> np.ndarray:
    """Turns ``[out, in, h, w]`` into ``[h, w, in, out]``, and ``[out, in]`` into ``[in, out]``."""
    if rank == 2 and tensor.ndim == 4 and tensor.shape[2:] == (1, 1):
        # Squeeze and excitation: 1 x 1 convolutions there, dense layers here.
        tensor = tensor[:, :, 0, 0]
    if tensor.ndim == 4:
        return tensor.transpose(2, 3, 1, 0)
    return tensor.T
