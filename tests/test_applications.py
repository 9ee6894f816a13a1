"""Networks of keras.applications as backbones, beside keras.applications itself."""

import hashlib
import importlib
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_download import Server, server  # noqa: F401

from deepfashion_tf.data.images import normalize
from deepfashion_tf.data.normalization import NORMALIZATIONS
from deepfashion_tf.errors import InputError
from deepfashion_tf.export.saved_model import export_run
from deepfashion_tf.inference.explanations import Explainer
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.models.applications import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    is_learned_normalization,
    original,
)
from deepfashion_tf.models.attribute_model import backbone_of, build_model, freeze
from deepfashion_tf.models.backbones import build_backbone
from deepfashion_tf.models.cloning import batch_norms, copy_layers
from deepfashion_tf.models.stages import stage_maps
from deepfashion_tf.models.variants import APPLICATIONS, KERAS, image_size_of, known_backbone
from deepfashion_tf.models.weights import (
    convert_weights,
    find_weights,
    load_weights,
)
from deepfashion_tf.models.weights.applications import release_of
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.recipes import finetune, probe
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()
SMALL = "keras:MobileNetV3Small"
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype("float32")


def module_of(name: str):
    return importlib.import_module(getattr(keras.applications, name).__module__)


def functions() -> dict:
    found = {}
    for name, function in vars(keras.applications).items():
        if inspect.isfunction(function) and "include_top" in inspect.signature(function).parameters:
            found[name] = function
    return found


# --- Names and what is known of them --------------------------------------------------------


def test_all_applications_are_known():
    assert {each.function for each in APPLICATIONS.values()} == functions().keys()


def test_sizes_are_those_of_the_published_weights():
    """Asks for a default input: of networks that are quickly built."""
    for name in ("EfficientNetB1", "Xception"):
        model = getattr(keras.applications, name)(weights=None)
        assert model.input_shape[1] == image_size_of(KERAS + name)


def test_names_match_in_any_case_and_others_are_suggested():
    assert known_backbone("Keras:mobilenetv3SMALL") == SMALL
    with pytest.raises(ValueError, match=r"keras:EfficientNetV2B0"):
        known_backbone("keras:EfficientNetV2-B0")
    with pytest.raises(ValueError, match=r"unknown backbone 'keras:VGG'.*keras:VGG16"):
        build_backbone("keras:VGG", 32)
    with pytest.raises(InputError, match=r"--backbone is 'keras:mobilenetv4'.*keras:MobileNetV"):
        TrainConfig(backbone="keras:mobilenetv4")
    with pytest.raises(InputError, match="at least 71 pixels"):
        TrainConfig(backbone="keras:Xception", image_size=64)
    with pytest.raises(ValueError, match="at least 75 pixels"):
        build_model(SCHEMA, "keras:InceptionV3", image_size=64)


def test_the_command_line_names_them(run_here, tmp_path):
    code, _, err = run_here("train", "--backbone", "keras:EffNetV2B0", cwd=tmp_path)
    assert code == 2 and "keras:EfficientNetV2B0" in err and len(err.splitlines()) == 1


def test_recipes():
    config = probe("keras:efficientnetv2b1")
    assert (config.backbone, config.image_size) == ("keras:EfficientNetV2B1", 240)
    assert finetune("keras:NASNetLarge").image_size == 331
    model = build_model(SCHEMA, SMALL, image_size=64, heads="pooled")
    freeze(model, -3)
    stages = list(stage_maps(backbone_of(model)).values())
    assert len(stages) == 5
    trained = {v.path.split("/")[-2] for v in backbone_of(model).trainable_variables}
    # The third stage from the end ends with the addition of block 7.
    assert "expanded_conv_8_expand" in trained and "conv_1" in trained
    assert not any(name.startswith("expanded_conv_7_") for name in trained)
    with pytest.raises(ValueError, match="5 stages"):
        freeze(build_model(SCHEMA, SMALL, image_size=64), -6)


# --- Parity -----------------------------------------------------------------------------------

# One for each way of normalizing inside; slow to build, the other families are not here.
FAMILIES = {"ConvNeXtTiny": False, "MobileNet": True, "MobileNetV3Small": True}


def with_normalization(network: keras.Model, is_published: bool = False) -> keras.Model:
    """Gives EfficientNet the constants of ImageNet, as the published file has them or should."""
    for layer in network.layers:
        if is_learned_normalization(layer):
            deviation = np.array(IMAGENET_DEVIATION)
            variance = deviation if is_published else deviation**2
            layer.set_weights([np.array(IMAGENET_MEAN), variance, np.array(0)])
            layer.finalize_state()
    return network


@pytest.mark.slow
@pytest.mark.parametrize(("name", "top"), FAMILIES.items())
def test_normalization_and_network_are_keras(name, top):
    application = APPLICATIONS[KERAS + name]
    size = max(64, application.least_size)
    theirs = with_normalization(original(application, size, top))
    ours = build_backbone(KERAS + name, size, "logits" if top else "pooled")
    assert ours.name == f"keras_{name}" and ours.input.name == "images"
    constants = [layer for layer in theirs.layers if is_learned_normalization(layer)]
    copy_layers(theirs, ours, without=constants)
    pixels = np.resize(PIXELS, (2, size, size, 3))
    expected = theirs(module_of(name).preprocess_input(pixels.copy())).numpy()
    found = ours(normalize(tf.constant(pixels), NORMALIZATIONS[application.normalization]))
    assert expected.shape == found.shape == (2, expected.shape[1])
    # The order of additions differs.
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.std())


# --- Weights ----------------------------------------------------------------------------------


@pytest.fixture
def published(server, tmp_path, monkeypatch):  # noqa: F811
    """Serves a file of random weights in the place of what keras.applications fetches."""

    def publish(name: str) -> keras.Model:
        module = module_of(name)
        build = getattr(keras.applications, name)
        model = with_normalization(build(weights=None, include_top=False), is_published=True)
        rng = np.random.default_rng(1)
        for layer in model.layers:
            if layer.weights and not is_learned_normalization(layer):
                layer.set_weights([rng.uniform(0.2, 0.4, w.shape) for w in layer.get_weights()])
        model.save(tmp_path / "published.h5")
        server.content = (tmp_path / "published.h5").read_bytes()
        md5 = hashlib.md5(server.content).hexdigest()
        for base in ("BASE_WEIGHTS_PATH", "BASE_WEIGHT_PATH"):
            if hasattr(module, base):
                monkeypatch.setattr(module, base, f"{server.url}/")
        hashes = dict.fromkeys(module.WEIGHTS_HASHES, (md5, md5))
        monkeypatch.setattr(module, "WEIGHTS_HASHES", hashes)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
        return model

    return publish


@pytest.mark.slow
def test_imagenet_is_what_keras_applications_loads(server, published, tmp_path):  # noqa: F811
    name = "EfficientNetB0"
    published(name)
    backbone = KERAS + name
    for offline in (False, True):
        weights = find_weights("imagenet", backbone, offline=offline, top=False)
    assert server.gets == 1
    assert weights.file.path.parent == tmp_path / "keras" / "models"
    assert weights.file.sha256 == hashlib.sha256(server.content).hexdigest()
    ours = build_backbone(backbone, 64, "pooled")
    # Their statistics are constants of the graph, which go wherever it goes.
    assert not any(is_learned_normalization(layer) for layer in ours.layers)
    load_weights(weights, ours)
    # With their own loader, from the address that is served here.
    theirs = getattr(keras.applications, name)(
        include_top=False, pooling="avg", input_shape=(64, 64, 3), weights="imagenet"
    )
    expected = theirs(PIXELS).numpy()
    np.testing.assert_allclose(ours(PIXELS), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_what_the_file_is_not(server, published, tmp_path):  # noqa: F811
    published("MobileNetV3Small")
    with pytest.raises(InputError, match=r"--offline forbids.*--backbone efficientnetlite0"):
        find_weights("imagenet", SMALL, offline=True, top=False)
    server.fault = "changed"
    with pytest.raises(InputError, match=r"(?s)MD5 hash.*nothing of it was kept.*efficientnetlite"):
        find_weights("imagenet", SMALL, top=False)
    assert not list((tmp_path / "keras").rglob("*.h5"))
    server.fault = None
    weights = find_weights("imagenet", SMALL, top=False)
    network = build_backbone("keras:MobileNetV3Large", 32, "pooled")
    before = network.get_weights()
    wrong = type(weights)("imagenet", weights.file, APPLICATIONS["keras:MobileNetV3Large"], False)
    with pytest.raises(InputError, match=r"does not fit keras:MobileNetV3Large.*nothing"):
        load_weights(wrong, network)
    for one, other in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_every_family_has_an_address():
    for name in ("MobileNetV2", "DenseNet121", "ResNet50V2", "Xception"):
        release = release_of(APPLICATIONS[KERAS + name], top=False)
        assert release.url.startswith("https://") and release.url.endswith(release.name)
    assert keras.utils.get_file is not None


@pytest.mark.slow
def test_files_of_ones_own(tmp_path):
    plain = original(APPLICATIONS[SMALL], 32, False)
    plain.save(tmp_path / "plain.keras")
    plain.save_weights(tmp_path / "plain.weights.h5")
    network = build_backbone(SMALL, 32, "pooled")
    copy_layers(plain, network)
    network.save(tmp_path / "mine.keras")
    weights = find_weights(str(tmp_path / "mine.keras"), SMALL, top=False)
    convert_weights(weights, tmp_path / "mine.weights.h5")
    for name in ("mine.weights.h5", "mine.keras", "plain.keras", "plain.weights.h5"):
        found = build_backbone(SMALL, 32, "pooled")
        load_weights(find_weights(str(tmp_path / name), SMALL, top=False), found)
        for a, b in zip(found.get_weights(), network.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_what_is_no_source_of_weights(tmp_path):
    with pytest.raises(InputError, match=r"timm:x\.y does not go with --backbone"):
        find_weights("timm:x.y", SMALL)
    with pytest.raises(InputError, match="--weights is empty"):
        find_weights("", SMALL)
    (tmp_path / "mine.pth").write_bytes(b"x")
    with pytest.raises(InputError, match=r"name a file \.weights\.h5, \.h5 or \.keras"):
        find_weights(str(tmp_path / "mine.pth"), SMALL)


# --- A whole run ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("heads", ["multiscale", "attention"])
def test_frozen_batch_norm_explanations_and_a_saved_model(tmp_path, heads):
    model = build_model(SCHEMA, SMALL, heads=heads, image_size=64)
    freeze(model, batch_norm=True)
    norms = batch_norms(backbone_of(model))
    assert len(norms) == 34 and all(norm.freeze_statistics for norm in norms)
    if heads == "attention":
        maps = Explainer(model, NORMALIZATIONS["none"]).explain(PIXELS.astype("uint8"))["fabric"]
        assert maps.shape[0] == 2 and maps.shape[1] >= 4 and np.isfinite(maps).all()
        return
    before = [norm.moving_mean.numpy() for norm in norms]
    model(PIXELS, training=True)
    for norm, mean in zip(norms, before, strict=True):
        np.testing.assert_array_equal(norm.moving_mean, mean)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    answers = loaded(PIXELS)
    for category, answer in model(PIXELS).items():
        np.testing.assert_allclose(answers[category], answer, atol=1e-6)


@pytest.mark.slow
def test_a_run_from_training_to_export(challenge, tmp_path, run_here):
    options = ["--recipe", "probe", "--backbone", "keras:mobilenetv2", "--weights", "none"]
    options += ["--image-size", 32, "--epochs", 1, "--batch-size", 3, "--cache-dir", "features"]
    options += ["--data-dir", challenge, "--output-dir", "run"]
    code, _, err = run_here("train", *options, cwd=tmp_path)
    assert code == 0, err
    run = Run.load(tmp_path / "run")
    assert run.config.backbone == run.config.variant == "keras:MobileNetV2"
    assert run.normalization is NORMALIZATIONS["tf"]
    folder = export_run(run)
    crops = PIXELS[:, :32, :32].astype("uint8")
    answers = Predictor.load(run.directory).answer(crops)
    exported = Predictor.load(folder).answer(crops)
    for category in SCHEMA:
        np.testing.assert_allclose(answers[category], exported[category], atol=1e-5)
