from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import randomize

from deepfashion_tf.models import grouped_convolution
from deepfashion_tf.models.attribute_model import build_model
from deepfashion_tf.models.average import MapAverage
from deepfashion_tf.models.backbones import build_backbone, fitting_variants
from deepfashion_tf.models.batch_norm import FusedBatchNormalization
from deepfashion_tf.models.convolution import Conv2D
from deepfashion_tf.models.grouped_convolution import (
    GroupedConv2D,
    block_diagonal_kernels,
    cpu_chunks,
)
from deepfashion_tf.models.residual import Residual, Squeeze
from deepfashion_tf.models.variants import BACKBONES, VARIANTS
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()

WEIGHTS_PAGE = Path(__file__).parents[1] / "docs" / "weights.md"
RNG = np.random.default_rng(0)
# The gap between 1 and the next number.
EPSILON = {"bfloat16": 2.0**-7, "float16": 2.0**-10}


# --- Grouped convolution -----------------------------------------------------------------


def grouped_reference(images, kernel, groups: int, strides: int):
    """Convolves each group by itself: the definition, slow and plain."""
    images = tf.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    parts = zip(tf.split(images, groups, -1), tf.split(kernel, groups, -1), strict=True)
    return tf.concat([tf.nn.conv2d(x, k, strides, "VALID") for x, k in parts], -1)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (32, 4), (24, 3), (8, 1)])
@pytest.mark.parametrize("side", [8, 9])
def test_grouped_convolution_is_its_definition(channels, groups, strides, side):
    layer = GroupedConv2D(groups, strides)
    images = tf.constant(RNG.normal(size=(2, side, side, channels)).astype("float32"))
    with tf.GradientTape() as tape:
        outputs = layer(images)
        loss = tf.reduce_sum(outputs**2)
    gradient = tape.gradient(loss, layer.kernel.value)
    kernel = tf.Variable(layer.kernel.value)
    with tf.GradientTape() as tape:
        expected = grouped_reference(images, kernel, groups, strides)
        loss = tf.reduce_sum(expected**2)
    # Sums of 9 * channels products in another order.
    np.testing.assert_allclose(outputs, expected, atol=1e-4)
    np.testing.assert_allclose(gradient, tape.gradient(loss, kernel), rtol=1e-3, atol=1e-2)
    assert layer.compute_output_shape(images.shape) == outputs.shape


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("strides", [1, 2])
def test_grouped_convolution_of_low_precision_is_its_definition(strides, precision):
    """The kernel and its gradient are float32; between them everything is rounded."""
    layer = GroupedConv2D(32, strides, dtype=f"mixed_{precision}")
    images = tf.constant(RNG.normal(size=(4, 8, 8, 128)).astype("float32"))
    layer.build(images.shape)
    assert layer.kernel.dtype == "float32"
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        outputs = layer(images)
        # As if a loss were the mean over the batch.
        loss = tf.reduce_mean(tf.cast(outputs, "float32") ** 2)
    assert outputs.dtype == precision
    gradients = tape.gradient(loss, [layer.kernel.value, images])
    kernel = tf.Variable(layer.kernel.value)
    with tf.GradientTape() as tape:
        tape.watch(images)
        expected = grouped_reference(images, kernel, 32, strides)
        loss = tf.reduce_mean(expected**2)
    expected = [expected, *tape.gradient(loss, [kernel, images])]
    for ours, plain in zip([outputs, *gradients], expected, strict=True):
        ours, plain = (np.array(tf.cast(tensor, "float32")) for tensor in (ours, plain))
        error = np.linalg.norm(ours - plain) / np.linalg.norm(plain)
        # Factors and answer are rounded by up to half a step each. Sums are not, but those of
        # float16 on a processor without units for it, such as AMD's.
        assert error < (3 if precision == "float16" else 1.5) * EPSILON[precision]


@pytest.mark.parametrize("strides", [1, 2])
def test_the_native_op_of_gpus_gives_the_same(monkeypatch, strides):
    """A CPU has the native op too, slow as it is: what a GPU would run runs here."""
    layer = GroupedConv2D(4, strides)
    images = tf.constant(RNG.normal(size=(1, 8, 8, 16)).astype("float32"))
    chunked = layer(images)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["a GPU"])
    np.testing.assert_allclose(layer(images), chunked, atol=1e-5)


def test_kernel_has_the_standard_shape():
    layer = GroupedConv2D(32)
    layer.build((None, 7, 7, 128))
    assert layer.kernel.shape == (3, 3, 4, 128)
    with pytest.raises(ValueError, match="30 channels cannot be split into 4"):
        GroupedConv2D(4).build((None, 7, 7, 30))


def test_block_diagonal_kernels_are_zero_off_the_blocks():
    kernel = tf.constant(RNG.normal(size=(3, 3, 2, 8)).astype("float32"))
    dense = np.array(block_diagonal_kernels(kernel, groups=4, chunks=2))
    assert dense.shape == (2, 3, 3, 4, 4)
    assert np.count_nonzero(dense) == 3 * 3 * 2 * 8
    assert not dense[:, :, :, :2, 2:].any() and not dense[:, :, :, 2:, :2].any()


@pytest.mark.parametrize("channels", [128, 256, 512, 1024])
@pytest.mark.parametrize(
    ("units", "dtype", "width"),
    [("AMX", "bfloat16", 64), ("AMX", "float32", 16), ("AVX512-BF16", "bfloat16", 16)],
)
def test_chunks_divide_the_groups(monkeypatch, channels, units, dtype, width):
    monkeypatch.setattr(grouped_convolution, "bfloat16_units", lambda: units)
    chunks = cpu_chunks(channels, 32, dtype)
    assert 32 % chunks == 0 and chunks == min(32, channels // width)


def test_wide_chunks_give_what_narrow_ones_do(monkeypatch):
    layer = GroupedConv2D(32, dtype="mixed_bfloat16")
    images = tf.constant(RNG.normal(size=(2, 6, 6, 128)).astype("float32"))
    results = []
    for units in ("AMX", None):
        monkeypatch.setattr(grouped_convolution, "bfloat16_units", lambda units=units: units)
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images)
            loss = tf.reduce_sum(tf.cast(outputs, "float32") ** 2)
        gradients = tape.gradient(loss, [images, layer.kernel.value])
        results.append([np.array(tf.cast(one, "float32")) for one in (outputs, *gradients)])
    for wide, narrow in zip(*results, strict=True):
        limit = 2 * EPSILON["bfloat16"] * np.abs(narrow).max()
        np.testing.assert_allclose(wide, narrow, rtol=0, atol=limit)


# --- Convolutions as products, and averages ----------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "strides", "side", "padding"),
    [
        (1, 1, 6, "same"),
        (1, 2, 6, "same"),
        (1, 2, 7, "same"),
        (3, 1, 2, "same"),
        (3, 2, 3, "same"),
        (3, 2, 6, "valid"),
        (3, 1, 6, "same"),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_convolution_is_that_of_keras(precision, kernel, strides, side, padding):
    images = tf.constant(RNG.normal(size=(3, side, side, 32)).astype("float32"))
    results = []
    for kind in (Conv2D, keras.layers.Conv2D):
        layer = kind(48, kernel, strides=strides, padding=padding, dtype=precision)
        layer.build(images.shape)
        rng = np.random.default_rng(1)
        for weight in layer.weights:
            weight.assign(rng.normal(size=weight.shape))
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, training=True)
            loss = tf.reduce_sum(tf.cast(outputs, "float32") ** 2)
        assert outputs.dtype == layer.compute_dtype
        results.append([outputs, layer(images), *tape.gradient(loss, [images, layer.kernel.value])])
    step = EPSILON["bfloat16"] if precision == "mixed_bfloat16" else 1e-6
    for product, plain in zip(*results, strict=True):
        product, plain = (np.array(tf.cast(tensor, "float32")) for tensor in (product, plain))
        np.testing.assert_allclose(product, plain, rtol=0, atol=4 * step * np.abs(plain).max())


def test_a_bias_before_batch_norm_has_no_gradient_in_bfloat16():
    layer = Conv2D(8, 1, dtype="mixed_bfloat16")
    layer.build((None, 4, 4, 4))
    layer.bias.assign(np.arange(8))
    images = tf.constant(RNG.normal(size=(2, 4, 4, 4)).astype("float32"))
    with tf.GradientTape() as tape:
        outputs = layer(images, training=True)
    assert tape.gradient(outputs, layer.bias.value) is None
    without = outputs - tf.cast(layer.bias, outputs.dtype)
    layer.bias.assign(np.zeros(8))
    np.testing.assert_allclose(
        tf.cast(without, "float32"), tf.cast(layer(images, training=True), "float32"), atol=0.05
    )


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_map_average_is_keras_average(precision, keepdims):
    images = tf.constant(RNG.normal(1, 2, (3, 5, 5, 8)).astype("float32"))
    results = []
    for kind in (MapAverage, keras.layers.GlobalAveragePooling2D):
        layer = kind(keepdims=keepdims, dtype=precision)
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, training=True)
            loss = tf.reduce_sum(tf.cast(outputs, "float32") ** 2)
        results.append([outputs, tape.gradient(loss, images)])
    for ours, plain in zip(*results, strict=True):
        assert ours.shape == plain.shape and ours.dtype == plain.dtype
        ours, plain = (np.array(tf.cast(tensor, "float32")) for tensor in (ours, plain))
        np.testing.assert_allclose(ours, plain, rtol=0.02, atol=0.01)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("excites", [True, False])
def test_the_end_of_a_block_is_keras_layers(precision, excites):
    shortcut, branch = (
        tf.constant(RNG.normal(mean, 2, (3, 5, 4, 8)).astype("float32")) for mean in (0, 1)
    )
    results = []
    for squeeze, residual in (
        (Squeeze(dtype=precision), Residual(dtype=precision)),
        (_keras_squeeze(precision), _keras_residual(precision)),
    ):
        with tf.GradientTape() as tape:
            tape.watch([shortcut, branch])
            maps, averages = squeeze(branch, training=True)
            factors = tf.reshape(tf.sigmoid(averages), [3, 1, 1, 8])
            ends = [shortcut, maps, factors] if excites else [shortcut, maps]
            outputs = residual(ends, training=True)
            loss = tf.reduce_sum(tf.cast(outputs, "float32") ** 2)
        assert averages.shape == (3, 8) and outputs.dtype == averages.dtype
        results.append([outputs, averages, *tape.gradient(loss, [shortcut, branch])])
    for ours, plain in zip(*results, strict=True):
        ours, plain = (np.array(tf.cast(tensor, "float32")) for tensor in (ours, plain))
        step = EPSILON["bfloat16"] if precision == "mixed_bfloat16" else 1e-6
        np.testing.assert_allclose(ours, plain, rtol=0, atol=4 * step * np.abs(plain).max())


def _keras_squeeze(precision):
    average = keras.layers.GlobalAveragePooling2D(dtype=precision)
    return lambda images, training: (images, average(images))


def _keras_residual(precision):
    product, total = (kind(dtype=precision) for kind in (keras.layers.Multiply, keras.layers.Add))

    def end(inputs, training):
        shortcut, *branch = inputs
        branch = product(branch) if len(branch) == 2 else branch[0]
        return keras.ops.relu(total([shortcut, branch]))

    return end


# --- Batch norm --------------------------------------------------------------------------


def test_fused_batch_norm_is_keras_batch_norm():
    images = tf.constant(RNG.normal(2, 3, (4, 5, 6, 7)).astype("float32"))
    results = []
    for kind in (FusedBatchNormalization, keras.layers.BatchNormalization):
        layer = kind(epsilon=1e-5, momentum=0.9)
        layer.build(images.shape)
        layer.gamma.assign(np.linspace(0.5, 2, 7))
        with tf.GradientTape() as tape:
            outputs = layer(images, training=True)
            loss = tf.reduce_sum(outputs**3)
        gradients = tape.gradient(loss, [layer.gamma.value, layer.beta.value])
        moving = [layer.moving_mean.numpy(), layer.moving_variance.numpy()]
        results.append([outputs, layer(images), *gradients, *moving])
    for fused, plain in zip(*results, strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_fused_batch_norm_of_low_precision_has_statistics_in_float32(precision):
    """Keras' own layer computes in float32 and rounds its answer: so does the kernel."""
    images = tf.cast(RNG.normal(2, 3, (4, 5, 6, 7)), precision)
    results = []
    for kind in (FusedBatchNormalization, keras.layers.BatchNormalization):
        layer = kind(epsilon=1e-5, momentum=0.9, dtype=f"mixed_{precision}")
        layer.build(images.shape)
        layer.gamma.assign(np.linspace(0.5, 2, 7))
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, training=True)
            loss = tf.reduce_sum(tf.cast(outputs, "float32") ** 3)
        assert outputs.dtype == layer(images).dtype == precision
        weights = [layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance]
        assert {variable.dtype for variable in weights} == {"float32"}
        gradients = tape.gradient(loss, [images, layer.gamma.value, layer.beta.value])
        moving = [layer.moving_mean, layer.moving_variance]
        results.append([outputs, layer(images), *gradients, *moving])
    step = EPSILON[precision]
    for fused, plain in zip(*results, strict=True):
        fused, plain = (np.array(tf.cast(tensor, "float32")) for tensor in (fused, plain))
        # Each number is rounded once, perhaps to the other neighbour; sums of 120 such.
        np.testing.assert_allclose(fused, plain, rtol=2 * step, atol=2 * step * np.abs(plain).max())
    for fused, plain in zip(results[0][-2:], results[1][-2:], strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-5)


def test_frozen_batch_norm_does_not_move():
    layer = FusedBatchNormalization()
    layer.trainable = False
    layer(tf.ones((2, 3, 3, 4)), training=True)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(4))


# --- Backbones ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "with_top", "without"),
    [
        # The publisher's trainable parameters, plus two moving statistics a batch-norm channel.
        ("keras.resnet50", 25_636_712, 23_587_712),
        ("timm.resnet50", 25_610_152, 23_561_152),
        ("classification_models.seresnet50", 28_141_144, 26_092_144),
        ("timm.seresnet50", 28_141_144, 26_092_144),
        ("timm.legacy_seresnet50", 28_141_144, 26_092_144),
        ("classification_models.seresnext50", 27_628_120, 25_579_120),
        ("timm.seresnext50_32x4d", 27_628_120, 25_579_120),
        ("timm.legacy_seresnext50_32x4d", 27_628_120, 25_579_120),
        ("pypi.efficientnetlite0", 4_694_024, 3_413_024),
        ("pypi.efficientnetlite1", 5_470_344, 4_189_344),
        ("pypi.efficientnetlite2", 6_150_168, 4_869_168),
    ],
)
def test_parameter_counts(variant, with_top, without):
    name = VARIANTS[variant].backbone
    lines = [line for line in WEIGHTS_PAGE.read_text().splitlines() if line.startswith("|")]
    rows = [line for line in lines if f"`{variant}`" in line]
    assert rows and all(f"{with_top:,} / {without:,}" in row for row in rows)
    assert build_backbone(name, 32, "logits", variant).count_params() == with_top
    assert build_backbone(name, 32, "pooled", variant).count_params() == without


def test_batch_norm_is_the_fused_one():
    norms = [layer for layer in build_backbone("resnet50", 32).layers if "bn" in layer.name]
    assert {type(layer) for layer in norms} == {FusedBatchNormalization}


def test_unknown_names_are_errors():
    with pytest.raises(ValueError, match="unknown backbone 'vgg16'"):
        build_backbone("vgg16", 64)
    with pytest.raises(ValueError, match="unknown representation"):
        build_backbone("resnet50", 64, "middle")
    with pytest.raises(ValueError, match=r"'timm\.seresnet50' is no variant of resnet50"):
        build_backbone("resnet50", 64, variant="timm.seresnet50")
    with pytest.raises(ValueError, match="fc_layers is 3"):
        build_model(SCHEMA, "resnet50", image_size=32, fc_layers=3)


# --- The six-headed model ----------------------------------------------------------------


@pytest.mark.parametrize("backbone", list(BACKBONES))
@pytest.mark.parametrize(("heads", "width"), [("logits", 1000), ("pooled", 2048)])
def test_six_named_softmax_outputs(backbone, heads, width):
    model = build_model(SCHEMA, backbone, image_size=32, heads=heads)
    answers = model(RNG.normal(size=(2, 32, 32, 3)).astype("float32"))
    assert set(answers) == set(SCHEMA)
    assert set(model.output_names) == set(SCHEMA)
    for category, attributes in SCHEMA.items():
        assert answers[category].shape == (2, len(attributes))
        assert answers[category].dtype == "float32"
        np.testing.assert_allclose(np.sum(answers[category], axis=-1), 1, atol=1e-5)
        kernel = model.get_layer(category).kernel
        is_average = heads == "pooled" and backbone.startswith("efficientnet")
        assert kernel.shape == (1280 if is_average else width, len(attributes))


@pytest.mark.parametrize("fc_layers", [0, 2, 4])
def test_fully_connected_layers_narrow_down(fc_layers):
    model = build_model(SCHEMA, "resnet50", image_size=32, fc_layers=fc_layers)
    widths = [layer.units for layer in model.layers if layer.name.startswith("fc")]
    assert widths == [512, 256, 128, 64][:fc_layers]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet50", "seresnext50"])
def test_a_saved_model_reloads_with_safe_mode_on(backbone, tmp_path):
    model = build_model(SCHEMA, backbone, image_size=32, fc_layers=2)
    randomize(model)
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    images = RNG.normal(size=(2, 32, 32, 3)).astype("float32")
    for category, expected in model(images).items():
        np.testing.assert_allclose(reloaded(images)[category], expected, atol=1e-6)


@pytest.mark.slow
def test_no_lambda_layers():
    for name in BACKBONES:
        layers = build_model(SCHEMA, name, image_size=32)._flatten_layers()
        assert not any(isinstance(layer, keras.layers.Lambda) for layer in layers)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_network_fits_the_variants_that_it_can_be_of(name):
    backbone = VARIANTS[name].backbone
    network = build_backbone(backbone, 34, variant=name)
    found = fitting_variants(backbone, network)
    assert name in found
    if backbone == "resnet50":
        assert found == [name]
    if "seresnet50" in name:
        assert found == [name]
