"""Weights of every publisher: the right network, all of them or none, equal at each stage.

timm is not installed here: what its stages gave is stored, see goldens/make_timm_goldens.py.
"""

import dataclasses
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from classification_models.tfkeras import Classifiers
from conftest import randomize
from goldens.make_timm_goldens import FILE, SIDES, STAGES, draw_images, draw_tensor, sample
from safetensors.numpy import load_file, save_file

from deepfashion_tf.errors import InputError
from deepfashion_tf.models.backbones import build_backbone
from deepfashion_tf.models.residual import Residual
from deepfashion_tf.models.senet import build_senet
from deepfashion_tf.models.variants import VARIANTS, Variant
from deepfashion_tf.models.weights import (
    build_with_weights,
    convert_weights,
    find_weights,
    load_weights,
    read_weights,
)
from deepfashion_tf.models.weights.describe import describe

TIMM = [name.removeprefix("timm.") for name in VARIANTS if name.startswith("timm.")]
GOLDENS = np.load(FILE)
# Sums of some thousand float32 products in another order, at activations of about 1.
TOLERANCE = 1e-4


# --- Files, as their publishers' own code writes them --------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def timm_file(folder):
    """Gives a file with tensors of timm's names and shapes, drawn by name."""

    def write(name: str) -> Path:
        path = folder / f"{name}.safetensors"
        if not path.is_file():
            shapes = map(json.loads, GOLDENS[f"{name}/shapes"])
            keys = GOLDENS[f"{name}/names"]
            tensors = {str(k): draw_tensor(k, tuple(s)) for k, s in zip(keys, shapes, strict=True)}
            save_file(tensors, path)
        return path

    return write


@pytest.fixture(scope="module")
def published(folder):
    """Gives a publisher's network with random weights, and its file of a kind."""
    models = {}

    def write(variant: str, kind: str, top: bool = True) -> tuple[keras.Model, Path]:
        publisher, name = variant.split(".")
        if (variant, top) not in models:
            build = (
                keras.applications.ResNet50 if publisher == "keras" else Classifiers.get(name)[0]
            )
            model = build(input_shape=(64, 64, 3), weights=None, include_top=top)
            models[variant, top] = randomize(model)
        path = folder / f"{variant}{'' if top else '_no_top'}{kind}"
        if not path.is_file():
            save = "save_weights" if kind == ".weights.h5" else "save"
            getattr(models[variant, top], save)(path)
        return models[variant, top], path

    return write


# --- Proof, stage by stage ----------------------------------------------------------------


def stage_outputs(model: keras.Model, kind: str) -> list:
    """Gives the tensors that end the four stages: sums (``add``) or what ReLU leaves (``out``)."""
    ends = [layer for layer in model.layers if isinstance(layer, Residual)]
    if kind == "out":
        tensors = [layer.output for layer in ends]
    elif ends:
        tensors = [_sum(*layer.input) for layer in ends]
    else:  # a publisher's
        tensors = [layer.output for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert len(tensors) == 16
    return [tensors[i] for i in (2, 6, 12, 15)]


def _sum(shortcut, branch, factors=1):
    return shortcut + branch * factors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "kind"),
    [
        ("keras.resnet50", ".h5"),
        ("keras.resnet50", ".weights.h5"),
        ("keras.resnet50", ".keras"),
        ("classification_models.seresnet50", ".h5"),
        ("classification_models.seresnet50", ".weights.h5"),
        ("classification_models.seresnet50", ".keras"),
        ("classification_models.seresnext50", ".h5"),
        ("classification_models.seresnext50", ".weights.h5"),
    ],
)
def test_each_stage_is_the_publishers(published, variant, kind):
    theirs, path = published(variant, kind)
    weights = read_weights(path)
    assert weights.variant == variant and weights.has_top
    ours = build_with_weights(weights, 64)
    assert ours.count_params() == theirs.count_params()
    images = np.random.default_rng(1).normal(size=(2, 64, 64, 3)).astype("float32")
    mine = keras.Model(ours.inputs, stage_outputs(ours, "add") + ours.outputs)([images])
    softmax = theirs.layers[-1].output
    expected = keras.Model(theirs.inputs, [*stage_outputs(theirs, "add"), softmax])([images])
    mine[-1] = keras.ops.softmax(mine[-1])
    for stage, (a, b) in enumerate(zip(mine, expected, strict=True)):
        assert np.std(b) > (0.05 if stage < 4 else 1e-5), f"stage {stage} says nothing"
        assert np.abs(a - b).max() < TOLERANCE, f"stage {stage}"


def largest_difference(path: Path, variant: Variant, side: int) -> float:
    """Compares our network with timm's stored stages; infinite where shapes differ."""
    name = path.stem
    model = build_senet(variant, side, name, top=True)
    load_weights(read_weights(path), model)
    ours = keras.Model(model.inputs, stage_outputs(model, "out") + model.outputs)
    differences = []
    stages = STAGES[name.startswith("legacy")].split()
    for stage, mine in zip(stages, ours([draw_images(side)]), strict=True):
        theirs, mine = GOLDENS[f"{name}/{side}/{stage}"], sample(mine.numpy())
        assert np.std(theirs) > 0.05, "a stage that says nothing"
        same = theirs.shape == mine.shape
        differences.append(float(np.abs(theirs - mine).max()) if same else np.inf)
    return max(differences)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", TIMM)
def test_each_stage_is_timms(timm_file, name, side):
    weights = read_weights(timm_file(name))
    assert weights.variant == f"timm.{name}" and weights.has_top
    assert largest_difference(timm_file(name), VARIANTS[weights.variant], side) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "change", "side"),
    [
        ("seresnet50", {"stride_on": "1x1"}, 64),
        ("legacy_seresnet50", {"stride_on": "3x3"}, 64),
        ("legacy_seresnet50", {"pool": "padded"}, 64),
        ("resnet50", {"pool": "ceil"}, 75),
    ],
)
def test_a_wrong_variant_takes_the_weights_and_shows(timm_file, name, change, side):
    """The trap: every shape fits, and the answers are others."""
    wrong = dataclasses.replace(VARIANTS[f"timm.{name}"], **change)
    assert largest_difference(timm_file(name), wrong, side) > 0.1


@pytest.mark.slow
def test_the_released_resnet50_names_its_top_otherwise(published, folder):
    """The file on the web is older than the name that keras.applications gives the layer now."""
    _, path = published("keras.resnet50", ".h5")
    old = folder / "old_name.h5"
    shutil.copy(path, old)
    with h5py.File(old, "a") as file:
        file["model_weights"].move("predictions", "probs")
    weights = read_weights(old)
    assert weights.has_top
    expected = build_with_weights(read_weights(path), 32).get_layer("predictions").kernel
    got = build_with_weights(weights, 32).get_layer("predictions").kernel
    np.testing.assert_array_equal(got, expected)


# --- With and without a top ---------------------------------------------------------------


@pytest.mark.slow
def test_logits_need_a_top(published, timm_file, folder):
    tensors = load_file(timm_file("resnet50"))
    for name in ("fc.weight", "fc.bias"):
        del tensors[name]
    save_file(tensors, folder / "no_top.safetensors")
    _, no_top = published("classification_models.seresnet50", ".h5", top=False)
    for path in (folder / "no_top.safetensors", no_top):
        weights = read_weights(path)
        assert not weights.has_top
        name = VARIANTS[weights.variant].backbone
        with pytest.raises(InputError, match=r"has no top.*--heads pooled"):
            load_weights(weights, build_backbone(name, 32, "logits", weights.variant))
        assert build_with_weights(weights, 32).output_shape == (None, 2048)


def test_pooled_leaves_the_top_in_the_file(timm_file):
    weights = read_weights(timm_file("seresnet50"))
    network = build_backbone("seresnet50", 32, "pooled", weights.variant)
    load_weights(weights, network)
    kernel = load_file(timm_file("seresnet50"))["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(network.get_layer("conv1_conv").kernel, kernel)


# --- Which network -------------------------------------------------------------------------


@pytest.mark.slow
def test_what_no_weight_tells_is_asked_for(folder):
    path = folder / "plain.weights.h5"
    build_backbone("seresnet50", 32, "pooled").save_weights(path)
    with pytest.raises(InputError, match=r"alike.*where the stride sits.*--variant"):
        read_weights(path)
    assert read_weights(path, variant="timm.seresnet50").variant == "timm.seresnet50"
    with pytest.raises(InputError, match=r"not of --variant timm\.resnet50"):
        read_weights(path, variant="timm.resnet50")


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["timm.legacy_seresnet50", "timm.seresnet50", "timm.resnet50"])
def test_a_saved_model_tells_by_its_graph(folder, variant):
    path = folder / f"{variant}.keras"
    build_backbone(VARIANTS[variant].backbone, 33, "pooled", variant).save(path)
    assert read_weights(path).variant == variant


@pytest.mark.slow
@pytest.mark.parametrize("name", ["seresnet50", "legacy_seresnext50_32x4d"])
def test_a_converted_file_notes_its_network(timm_file, folder, name):
    source = read_weights(timm_file(name))
    path = folder / f"{name}.weights.h5"
    convert_weights(source, path)
    weights = read_weights(path)
    assert weights.variant == f"timm.{name}"
    assert weights.file.record["source SHA-256"] == source.file.sha256
    # Keras itself reads the file as well.
    network = build_backbone(VARIANTS[weights.variant].backbone, 64, "logits", weights.variant)
    network.load_weights(path)
    expected = build_with_weights(source, 64)
    for ours, theirs in zip(network.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_another_backbone_is_refused(timm_file):
    with pytest.raises(InputError, match=r"of a seresnet50 \(.*but --backbone is resnet50"):
        read_weights(timm_file("seresnet50"), backbone="resnet50")
    with pytest.raises(
        InputError, match=r"of a seresnet50 \(timm.seresnet50\), but --backbone is resnet50"
    ):
        find_weights("timm:seresnet50.ra2_in1k", "resnet50")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet18", r"missing: layer1.1.bn1.bias, .*more; left over: layer1.7.conv1.weight"),
        ("resnext50", "does not build: .* 32 group"),
        ("ours", "holds no weights of a network that this project knows"),
        ("preactivation", "pre-activation"),
    ],
)
def test_weights_of_other_networks_are_told(timm_file, folder, name, words):
    tensors = load_file(timm_file("resnet50"))
    if name == "resnet18":
        tensors = {k: v for k, v in tensors.items() if ".0." in k or "layer" not in k}
        tensors["layer1.7.conv1.weight"] = np.zeros((64, 64, 3, 3), np.float32)
    elif name == "resnext50":
        grouped = {k: v[:, : v.shape[1] // 32] for k, v in tensors.items() if ".conv2.w" in k}
        tensors |= {k: np.ascontiguousarray(v) for k, v in grouped.items()}
    elif name == "ours":
        tensors = {"a": np.zeros(3, np.float32)}
    path = folder / f"{name}.safetensors"
    save_file(tensors, path)
    if name == "preactivation":
        path = folder / "preactivation.h5"
        Classifiers.get("resnet18")[0](input_shape=(64, 64, 3), weights=None).save(path)
    with pytest.raises(InputError, match=words):
        build_with_weights(read_weights(path), 32)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("ResNet50V2", ".keras"), ("ResNet101", ".h5")])
def test_networks_with_like_names_are_told(folder, name, kind):
    path = folder / f"{name}{kind}"
    getattr(keras.applications, name)(input_shape=(64, 64, 3), weights=None).save(path)
    with pytest.raises(InputError, match=r"does not build|left over: conv4_block10"):
        build_with_weights(read_weights(path), 32)


@pytest.mark.parametrize("source", ["timm:resnet50", "timm:vit_base.x", "timm:resnet18.a1_in1k"])
def test_timm_models_that_do_not_fit(source):
    with pytest.raises(InputError, match=r"ARCHITECTURE\.TAG"):
        find_weights(source, None)


# --- Broken files --------------------------------------------------------------------------


def rename(path: Path, copy: Path) -> tuple[str, str]:
    """Copies a file with one tensor renamed; gives the name that lacks and the one too many."""
    if path.suffix == ".safetensors":
        tensors = load_file(path)
        tensors["layer2.0.conv9.weight"] = tensors.pop("layer2.0.conv2.weight")
        save_file(tensors, copy)
        return "layer2.0.conv2.weight", "layer2.0.conv9.weight"
    shutil.copy(path, copy)
    with h5py.File(copy, "a") as file:
        if "model_weights" in file:
            # Keras numbers layers through a process, so that the number depends on earlier tests.
            name = next(n for n in file["model_weights"] if n.startswith("conv2d_"))
            file["model_weights"].move(f"{name}/{name}/kernel", f"{name}/{name}/colonel")
            return f"{name}/kernel", f"{name}/colonel"
        group = next(g for n, g in file["layers"].items() if n == "conv2d_7")["vars"]
        group.move("0", "9")
        return f"{group.attrs['name']}/kernel", f"{group.attrs['name']}/9"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["timm", ".h5", ".weights.h5"])
def test_a_renamed_tensor_is_told_and_nothing_is_loaded(timm_file, published, tmp_path, kind):
    variant = "keras.resnet50" if kind == ".weights.h5" else "classification_models.seresnet50"
    path = timm_file("seresnet50") if kind == "timm" else published(variant, kind)[1]
    copy = tmp_path / path.name
    missing, left_over = rename(path, copy)
    weights = read_weights(copy)
    network = build_backbone(VARIANTS[weights.variant].backbone, 32, "logits", weights.variant)
    before = network.get_weights()
    with pytest.raises(InputError, match="nothing of it was loaded") as error:
        load_weights(weights, network)
    assert f"missing: {missing}; left over: {left_over}." in str(error.value)
    assert all(map(np.array_equal, before, network.get_weights())), "loaded partly"
    assert any(missing in text for heading, text in describe(copy) if heading == "would not load")


@pytest.mark.slow
def test_a_layer_that_is_missing_is_named(published, tmp_path):
    _, path = published("classification_models.seresnet50", ".h5")
    copy = tmp_path / "copy.h5"
    shutil.copy(path, copy)
    with h5py.File(copy, "a") as file:
        # The first network of a session has conv2d, conv2d_1, …; a later one goes on counting.
        last = max(int(n.rsplit("_", 1)[1]) for n in file["model_weights"] if "conv2d_" in n)
        del file[f"model_weights/conv2d_{last}"]
    with pytest.raises(InputError, match=f"missing: conv2d_{last}/bias, conv2d_{last}/kernel"):
        build_with_weights(read_weights(copy), 32)


@pytest.mark.parametrize("kind", ["timm", ".h5", ".weights.h5", ".keras"])
@pytest.mark.parametrize("share", [0.0, 1e-5, 0.5, 0.999])
def test_a_truncated_file_is_told(timm_file, published, tmp_path, kind, share):
    variant = "classification_models.seresnet50"
    path = timm_file("seresnet50") if kind == "timm" else published(variant, kind)[1]
    copy = tmp_path / path.name
    with path.open("rb") as file:
        copy.write_bytes(file.read(int(path.stat().st_size * share)))
    with pytest.raises(InputError, match=f"{copy.name}.*(get it again|is no weights file)"):
        build_with_weights(read_weights(copy), 32)


def test_a_pickle_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.write_text, (tmp_path / "ran", "boom"))

    for name in ("weights.pth", "weights.bin", "weights.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(InputError, match=r"another pickle.*convert it to safetensors"):
            find_weights(str(tmp_path / name), None)
    with zipfile.ZipFile(tmp_path / "zipped.pth", "w") as archive:
        archive.writestr("zipped/data.pkl", pickle.dumps(Bomb()))
    with pytest.raises(InputError, match=r"asks for pathlib\.Path\.write_text"):
        find_weights(str(tmp_path / "zipped.pth"), None)
    assert not (tmp_path / "ran").exists()


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(InputError, match="is no file, and neither imagenet"):
        find_weights(str(tmp_path / "none.h5"), "resnet50")
    (tmp_path / "text.h5").write_text("This is no file of weights at all.")
    with pytest.raises(InputError, match="is no weights file"):
        find_weights(str(tmp_path / "text.h5"), "resnet50")
