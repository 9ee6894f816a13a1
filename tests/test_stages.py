"""Stages of any network, found by the sides of its maps; freezing and folding by them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import randomize

from deepfashion_tf.models.attribute_model import (
    backbone_of,
    build_model,
    feature_extractor,
    train_from,
)
from deepfashion_tf.models.backbones import build_backbone
from deepfashion_tf.models.folding import FoldedConvolution, fold_model
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
    model = build_model(SCHEMA, "efficientnetlite0", image_size=32, freeze_stages=4)
    network = backbone_of(model)
    trained = [v.path.split("/")[-2] for v in network.trainable_variables]
    assert trained[0] == "block5a_expand_conv" and "top_conv" in trained
    assert layers_up_to(network, 4)[-1].name == "block4c_add"
    train_from(network, -1)
    assert not network.trainable_variables and len(model.trainable_variables) == 12
    train_from(network, 0)
    assert len(network.trainable_variables) == len(network.weights) - 2 * 49


@pytest.mark.parametrize("backbone", ["efficientnetlite0", "seresnet50"])
def test_folding_changes_neither_answers_nor_gradients(backbone):
    model = build_model(
        SCHEMA,
        backbone,
        image_size=32,
        representation="pooled",
        heads="multiscale",
        freeze_batch_norm=True,
    )
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
    options = {"image_size": 64, "representation": "pooled"}
    lite = build_model(SCHEMA, "efficientnetlite0", heads="multiscale", **options)
    assert feature_extractor(lite).output_shape == (None, 40 + 80 + 112 + 192 + 1280)
    resnet = build_model(SCHEMA, "resnet50", heads="multiscale", **options)
    assert feature_extractor(resnet).output_shape == (None, 512 + 1024 + 2048)
    assert feature_extractor(build_model(SCHEMA, "resnet50", **options)).output_shape == (
        None,
        2048,
    )
    looking = build_model(SCHEMA, "efficientnetlite0", heads="attention", **options)
    assert feature_extractor(looking) is None
    assert looking.get_layer("texture_dropout").output.shape[-1] == 1280 + 40 + 112
