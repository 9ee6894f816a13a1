"""Stages of any network, found by the sides of its maps; freezing and folding by them."""

import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import randomize

from deepfashion_tf.models.attribute_model import (
    backbone_of,
    build_model,
    feature_extractor,
    freeze,
    train_from,
)
from deepfashion_tf.models.backbones import build_backbone
from deepfashion_tf.models.batch_norm import FusedBatchNormalization
from deepfashion_tf.models.folding import FoldedConvolution, fold_batch_norm, fold_model
from deepfashion_tf.models.stages import layers_up_to, stage_maps, stage_output
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()
APPLICATIONS = {
    "ConvNeXtTiny": [(2, 16, 96), (3, 8, 192), (4, 4, 384), (5, 2, 768)],
    "DenseNet121": [(2, 16, 256), (3, 8, 512), (4, 4, 1024), (5, 2, 1024)],
    "EfficientNetV2B0": [
        (2, 16, 32),
        (3, 8, 48),
        (4, 4, 96),
        (5, 4, 112),
        (6, 2, 192),
        (7, 2, 1280),
    ],
    "MobileNet": [(2, 16, 128), (3, 8, 256), (4, 4, 512), (5, 2, 1024)],
    "VGG16": [(2, 16, 256), (3, 8, 512), (4, 4, 512), (5, 2, 512)],
}


def shapes(network) -> list[tuple[int, int, int]]:
    return [(stage, x.shape[1], x.shape[3]) for stage, x in stage_maps(network).items()]


@pytest.mark.parametrize("name", ["resnet50", "seresnext50"])
def test_stages_of_residual_networks_bear_their_numbers(name):
    network = build_backbone(name, 64, "pooled")
    assert shapes(network) == [(2, 16, 256), (3, 8, 512), (4, 4, 1024), (5, 2, 2048)]
    for stage, tensor in stage_maps(network).items():
        assert (
            tensor is [x for x in network.layers if x.name.startswith(f"conv{stage}_")][-1].output
        )


def test_stages_of_efficientnet_lite():
    network = build_backbone("efficientnetlite0", 64, "pooled")
    names = {id(layer.output): layer.name for layer in network.layers}
    found = [names[id(tensor)] for tensor in stage_maps(network).values()]
    assert found[:-1] == [f"block{x}_add" for x in ("2b", "3b", "4c", "5c", "6d")]
    assert found[-1] == "top_activation"
    with pytest.raises(ValueError, match="no stage 8: name one of 2 to 7"):
        stage_output(network, 8)


@pytest.mark.parametrize(("name", "expected"), APPLICATIONS.items())
def test_stages_of_keras_applications(name, expected):
    build = getattr(keras.applications, name)
    assert shapes(build(weights=None, include_top=False, input_shape=(64, 64, 3))) == expected


def test_frozen_stages_have_no_gradients():
    model = build_model(SCHEMA, "efficientnetlite0", image_size=32)
    freeze(model, 4)
    network = backbone_of(model)
    trained = [v.path.split("/")[-2] for v in network.trainable_variables]
    assert trained[0] == "block5a_expand_conv" and "top_conv" in trained
    assert layers_up_to(network, 4)[-1].name == "block4c_add"
    train_from(network, -1)
    assert not network.trainable_variables and len(model.trainable_variables) == 12
    train_from(network, 0)
    assert len(network.trainable_variables) == len(network.weights) - 2 * 49


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["efficientnetlite0", "seresnet50"])
def test_folding_changes_neither_answers_nor_gradients(backbone):
    model = build_model(
        SCHEMA,
        backbone,
        image_size=32,
        heads="multiscale",
    )
    freeze(model, batch_norm=True)
    randomize(model)
    model.get_layer("standardization").deviation.assign(
        np.full(model.get_layer("standardization").deviation.shape, 30.0)
    )
    folded = fold_model(model)
    layers = folded.get_layer(f"{backbone}").layers
    assert any(isinstance(layer, FoldedConvolution) for layer in layers)
    images = tf.constant(np.random.default_rng(0).normal(size=(3, 32, 32, 3)), tf.float32)
    found = []
    for each in (model, folded):
        with tf.GradientTape() as tape:
            answers = each(images, training=False)
            loss = tf.add_n([tf.reduce_sum(tf.math.log(p[:, 0])) for p in answers.values()])
        found.append((answers, tape.gradient(loss, model.trainable_variables)))
    (answers, gradients), (others, other_gradients) = found
    for category in SCHEMA:
        assert answers[category].numpy().std() > 1e-3
        np.testing.assert_allclose(answers[category], others[category], atol=1e-4)
    for variable, a, b in zip(model.trainable_variables, gradients, other_gradients, strict=True):
        # A bias before a batch norm and others of no effect have gradients of rounding alone.
        scale = max(float(tf.reduce_max(tf.abs(a))), 1e-3)
        assert float(tf.reduce_max(tf.abs(a - b))) / scale < 2e-2, variable.path


def test_batch_norm_that_learns_its_statistics_is_not_folded():
    model = build_model(SCHEMA, "resnet50", image_size=32)
    layers = fold_model(model).get_layer("resnet50").layers
    assert not any(isinstance(layer, FoldedConvolution) for layer in layers)


def test_what_heads_read():
    options = {"image_size": 64}
    lite = build_model(SCHEMA, "efficientnetlite0", heads="multiscale", **options)
    assert feature_extractor(lite).output_shape == (None, 40 + 80 + 112 + 192 + 1280)
    resnet = build_model(SCHEMA, "resnet50", heads="multiscale", **options)
    assert feature_extractor(resnet).output_shape == (None, 512 + 1024 + 2048)
    for heads, width in (("pooled", 2048), ("logits", 1000)):
        plain = build_model(SCHEMA, "resnet50", heads=heads, **options)
        assert feature_extractor(plain).output_shape == (None, width)
    looking = build_model(SCHEMA, "efficientnetlite0", heads="attention", **options)
    assert feature_extractor(looking) is None
    assert looking.get_layer("texture_dropout").output.shape[-1] == 1280 + 40 + 112


# --- Folding in networks of any kind --------------------------------------------------------


def folded_convolutions(network) -> list[str]:
    folded = fold_batch_norm(network)
    found = [layer for layer in folded.layers if isinstance(layer, FoldedConvolution)]
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
    expected = keras.tree.flatten(network(images))
    for ours, theirs in zip(keras.tree.flatten(folded(images)), expected, strict=True):
        assert np.std(theirs) > 1e-3
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    return [layer.convolution.name for layer in found]


def frozen_norm(**options) -> keras.layers.Layer:
    return keras.layers.BatchNormalization(trainable=False, **options)


FOLDS = {
    "valid": (keras.layers.Conv2D(5, 3, padding="valid", strides=2), {}, True),
    "dilated": (keras.layers.Conv2D(5, 3, padding="same", dilation_rate=2), {}, True),
    "without bias": (keras.layers.Conv2D(5, 3, use_bias=False), {"scale": False}, True),
    "depthwise": (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), {"center": False}, True),
    "dilated depthwise": (
        keras.layers.DepthwiseConv2D((3, 3), dilation_rate=2, padding="same"),
        {"scale": False, "center": False},
        True,
    ),
    "strided depthwise": (keras.layers.DepthwiseConv2D(3, strides=2, padding="same"), {}, True),
    "activation": (keras.layers.Conv2D(5, 3, activation="relu"), {}, False),
    "groups": (keras.layers.Conv2D(6, 3, groups=3), {}, False),
    "rows": (keras.layers.Conv2D(5, 3), {"axis": 1}, False),
    "separable": (keras.layers.SeparableConv2D(5, 3), {}, False),
}


@pytest.mark.parametrize("case", FOLDS)
def test_what_is_folded_answers_the_same(case):
    convolution, options, is_folded = FOLDS[case]
    convolution = type(convolution).from_config(convolution.get_config())
    images = keras.Input((16, 16, 3))
    network = keras.Model(images, frozen_norm(**options)(convolution(images)))
    assert folded_convolutions(randomize(network)) == [convolution.name] * is_folded


def test_a_convolution_that_others_read_is_not_folded():
    images = keras.Input((16, 16, 3))
    twice = keras.layers.Conv2D(4, 3, padding="same", name="twice")(images)
    first = frozen_norm()(twice)
    once = keras.layers.Conv2D(4, 3, padding="same", name="once")(first)
    second = frozen_norm()(once)
    # The norm has several readers, which is no hindrance.
    x = keras.layers.Add()([twice, keras.layers.Multiply()([second, second])])
    put_out = keras.layers.Conv2D(4, 3, name="put_out")(x)
    network = keras.Model(images, [frozen_norm()(put_out), put_out])
    assert folded_convolutions(randomize(network)) == ["once"]


def test_layers_that_are_called_twice_are_not_folded():
    images = keras.Input((16, 16, 3))
    shared, norm = keras.layers.Conv2D(3, 3, padding="same"), frozen_norm()
    x = frozen_norm()(shared(frozen_norm()(shared(images))))
    x = norm(keras.layers.Conv2D(3, 3, name="a")(x))
    x = norm(keras.layers.Conv2D(3, 3, name="b")(x))
    assert folded_convolutions(randomize(keras.Model(images, x))) == []


def test_batch_norm_without_gamma_and_of_other_axes_trains_as_keras_does():
    maps = np.random.default_rng(0).normal(size=(4, 6, 6, 3)).astype("float32")
    for options in ({"scale": False}, {"center": False}, {"axis": 1}):
        for inputs in (maps, maps[:, 0, 0]):
            layers = [
                FusedBatchNormalization(**options),
                keras.layers.BatchNormalization(**options),
            ]
            ours, theirs = (layer(inputs, training=True) for layer in layers)
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
            for one, other in zip(*(layer.weights for layer in layers), strict=True):
                np.testing.assert_allclose(one, other, atol=1e-5)


# --- Stages of other graphs -----------------------------------------------------------------


def test_networks_whose_shortcuts_cross_all_sides_have_stages():
    """Each cell reads the two before it, as NASNet's do."""
    images = keras.Input((64, 64, 3))
    before, x = None, keras.layers.Conv2D(4, 3, strides=4, padding="same")(images)
    for _ in range(3):
        branch = keras.layers.Conv2D(4, 3, strides=2, padding="same")(x)
        skip = x if before is None else keras.layers.AveragePooling2D(2)(before)
        before, x = x, keras.layers.Concatenate()([branch, keras.layers.AveragePooling2D(2)(skip)])
    found = stage_maps(keras.Model(images, keras.layers.GlobalAveragePooling2D()(x)))
    assert [(stage, y.shape[1]) for stage, y in found.items()] == [(2, 8), (3, 4), (4, 2)]


def test_stages_count_from_the_end_too():
    network = build_backbone("resnet50", 32, "pooled")
    assert layers_up_to(network, -3) == layers_up_to(network, 3)
    with pytest.raises(ValueError, match="4 stages, and none is number -5"):
        layers_up_to(network, -5)


# --- Backbones of one's own -----------------------------------------------------------------


def own_backbone() -> keras.Model:
    images = keras.Input((None, None, 3), name="photo")
    x = keras.layers.Rescaling(1 / 255)(images)
    for channels in (4, 8, 16, 32):
        x = keras.layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.99)(x))
    inner = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.BatchNormalization()])
    return randomize(keras.Model(images, inner(x), name="a:b"))


@pytest.mark.parametrize("heads", ["pooled", "multiscale", "attention"])
def test_a_backbone_of_ones_own(tmp_path, heads):
    own = own_backbone()
    model = build_model(SCHEMA, own, image_size=32, heads=heads)
    freeze(model, batch_norm=True)
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    features = keras.tree.flatten(backbone_of(model)(images))[0]
    np.testing.assert_allclose(features, np.mean(own(images), axis=(1, 2)), atol=1e-4)
    before = backbone_of(model).get_weights()
    model(images, training=True)
    for one, other in zip(before, backbone_of(model).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    model.save(tmp_path / "model.keras")
    answers = keras.models.load_model(tmp_path / "model.keras")(images)
    for category, answer in model(images).items():
        np.testing.assert_allclose(answers[category], answer, atol=1e-6)
        np.testing.assert_allclose(fold_model(model)(images)[category], answer, atol=1e-4)


def test_the_example_in_the_docstring():
    code = textwrap.dedent(build_model.__doc__.split("not:\n")[1].split("Args:")[0])
    known = {}
    exec(code.replace("].shape", "]", 1).replace("model.predict", "answer = model.predict"), known)
    assert known["answer"].shape == (2, 6)
    assert known["model"].input_shape == (None, 64, 64, 3)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda x: [x, x], "one image input and one output"),
        (lambda x: keras.layers.Reshape((-1, 3))(x), r"a backbone gives feature maps"),
    ],
)
def test_what_is_no_backbone(build, words):
    images = keras.Input((32, 32, 3))
    model = keras.Model(images, build(images))
    with pytest.raises(ValueError, match=words):
        build_model(SCHEMA, model)
    with pytest.raises(
        ValueError, match=r"takes \(32, 32, 3\), not images of \(48, 48, 3\)|one im"
    ):
        build_model(SCHEMA, model, image_size=48)
