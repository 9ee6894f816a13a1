"""Stores what timm's networks answer, for tests that have neither timm nor PyTorch.

    pip install torch timm
    python tests/goldens/make_timm_goldens.py

Each parameter is drawn from a generator seeded by its name (`draw_tensor`), so that
nothing but a sample of the stages' outputs has to be stored.
"""

import zlib
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("timm_stages.npz")
NAMES = (
    "resnet50",
    "seresnet50",
    "seresnext50_32x4d",
    "legacy_seresnet50",
    "legacy_seresnext50_32x4d",
)
# Even and odd: pooling in ceil mode and strides differ between them.
SIDES = (64, 75)
STAGES = {False: "layer1 layer2 layer3 layer4 fc", True: "layer1 layer2 layer3 layer4 last_linear"}


def draw_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draws a tensor of a ``state_dict`` by its name, so that activations stay near 1."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    kind = name.rsplit(".", 1)[1]
    if len(shape) > 1:
        return rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
    if kind == "running_var" or (kind == "weight" and "bn3" not in name):
        return rng.uniform(0.7, 1.3, shape).astype(np.float32)
    if kind == "weight":
        # Small steps away from the shortcut keep sixteen blocks' sum near 1.
        return rng.uniform(0.1, 0.2, shape).astype(np.float32)
    return rng.normal(0, 0.1, shape).astype(np.float32)


def draw_images(side: int) -> np.ndarray:
    """Draws two images, float32 ``[2, side, side, 3]``."""
    return np.random.default_rng(side).normal(size=(2, side, side, 3)).astype(np.float32)


def sample(outputs: np.ndarray) -> np.ndarray:
    """Takes a part of a stage's outputs ``[2, side, side, channels]`` or ``[2, 1000]``."""
    return outputs[..., ::61].astype(np.float32)


def main() -> None:
    import timm
    import torch

    goldens = {}
    for name in NAMES:
        model = timm.create_model(name, pretrained=False).eval()
        state = {
            key: torch.from_numpy(draw_tensor(key, tuple(value.shape))) if value.ndim else value
            for key, value in model.state_dict().items()
        }
        model.load_state_dict(state)
        for side in SIDES:
            for stage in STAGES[name.startswith("legacy")].split():

                def keep(module, inputs, outputs, key=f"{name}/{side}/{stage}"):
                    outputs = outputs.numpy()
                    last = outputs.transpose(0, 2, 3, 1) if outputs.ndim == 4 else outputs
                    goldens[key] = sample(last)

                handle = model.get_submodule(stage).register_forward_hook(keep)
                with torch.inference_mode():
                    model(torch.from_numpy(draw_images(side).transpose(0, 3, 1, 2).copy()))
                handle.remove()
        shapes = {key: tuple(value.shape) for key, value in state.items() if value.ndim}
        goldens[f"{name}/names"] = np.array(list(shapes))
        goldens[f"{name}/shapes"] = np.array([str(list(shape)) for shape in shapes.values()])
        print(name, float(goldens[f"{name}/64/layer4"].std()))
    np.savez_compressed(FILE, **goldens)
    print(FILE, FILE.stat().st_size, "bytes; timm", timm.__version__, "torch", torch.__version__)


if __name__ == "__main__":
    main()
