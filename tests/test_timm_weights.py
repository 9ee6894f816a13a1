"""Against timm itself: its stages' outputs are stored, see goldens/make_timm_goldens.py."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from goldens.make_timm_goldens import FILE, SIDES, STAGES, draw_images, draw_tensor, sample

from deepfashion_tf.errors import InputError
from deepfashion_tf.models.senet import (
    LEGACY_SERESNET50,
    LEGACY_SERESNEXT50,
    SERESNEXT50,
    TIMM_RESNET50,
    TIMM_SERESNET50,
    SENetVariant,
    build_senet,
)
from deepfashion_tf.models.timm_weights import assign_timm_weights

VARIANTS = {
    "resnet50": TIMM_RESNET50,
    "seresnet50": TIMM_SERESNET50,
    "seresnext50_32x4d": SERESNEXT50,
    "legacy_seresnet50": LEGACY_SERESNET50,
    "legacy_seresnext50_32x4d": LEGACY_SERESNEXT50,
}
GOLDENS = np.load(FILE)


def timm_tensors(name: str) -> dict[str, np.ndarray]:
    shapes = map(json.loads, GOLDENS[f"{name}/shapes"])
    return {
        key: draw_tensor(key, tuple(shape))
        for key, shape in zip(GOLDENS[f"{name}/names"], shapes, strict=True)
    }


def largest_differences(name: str, variant: SENetVariant, side: int) -> list[float]:
    """Compares our network with timm's at each of its stages; infinite where shapes differ."""
    model = build_senet(variant, (side, side, 3), name, top=True)
    assign_timm_weights(model, timm_tensors(name), name)
    lasts = [f"conv{i + 2}_block{blocks}_out" for i, blocks in enumerate(variant.blocks)]
    outputs = [model.get_layer(layer).output for layer in lasts] + model.outputs
    ours = keras.Model(model.inputs, outputs)([draw_images(side)])
    differences = []
    for stage, mine in zip(STAGES[name.startswith("legacy")].split(), ours, strict=True):
        theirs, mine = GOLDENS[f"{name}/{side}/{stage}"], sample(mine.numpy())
        assert np.std(theirs) > 0.05, "a stage that says nothing"
        same = theirs.shape == mine.shape
        differences.append(float(np.abs(theirs - mine).max()) if same else np.inf)
    return differences


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", list(VARIANTS))
def test_each_stage_is_timms(name, side):
    assert max(largest_differences(name, VARIANTS[name], side)) < 1e-4


@pytest.mark.parametrize(
    ("name", "change", "side"),
    [
        ("seresnet50", {"stride_on": "1x1"}, 64),
        ("legacy_seresnet50", {"stride_on": "3x3"}, 64),
        ("legacy_seresnet50", {"pool": "padded"}, 64),
        ("resnet50", {"pool": "ceil"}, 75),
    ],
)
def test_a_wrong_variant_takes_the_weights_and_shows(name, change, side):
    """The trap: every shape fits, and the answers are others."""
    wrong = dataclasses.replace(VARIANTS[name], **change)
    assert max(largest_differences(name, wrong, side)) > 0.1


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return build_senet(TIMM_SERESNET50, (32, 32, 3), "seresnet50", top=True)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("layer2.0.conv2.weight", "layer2.0.conv9.weight", "conv2.weight is missing.*conv9"),
        ("fc.bias", None, "fc.bias is missing"),
    ],
)
def test_a_tensor_that_is_missing_or_renamed_is_told(network, old, new, words):
    tensors = timm_tensors("seresnet50")
    moved = tensors.pop(old)
    if new:
        tensors[new] = moved
    before = network.get_weights()
    with pytest.raises(InputError, match=words):
        assign_timm_weights(network, tensors, "a file")
    assert all(map(np.array_equal, before, network.get_weights())), "loaded partly"


def test_weights_of_another_network_are_told(network):
    with pytest.raises(InputError, match=r"se\.fc1\.bias is missing.*more"):
        assign_timm_weights(network, timm_tensors("resnet50"), "a file")
    with pytest.raises(InputError, match="has the shape"):
        assign_timm_weights(network, timm_tensors("seresnext50_32x4d"), "a file")


def test_a_network_without_a_top_leaves_timms_over():
    headless = build_senet(TIMM_RESNET50, (32, 32, 3), "resnet50", top=False)
    assign_timm_weights(headless, timm_tensors("resnet50"), "a file")
    kernel = timm_tensors("resnet50")["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(headless.get_layer("conv1_conv").kernel, kernel)
