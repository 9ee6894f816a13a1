"""Mixed precision: every backbone, from training to the exported model."""

import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from deepfashion_tf import processor
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.evaluate import evaluate, predict_split
from deepfashion_tf.export.saved_model import export_run
from deepfashion_tf.models.attribute_model import backbone_of, build_model, final_form
from deepfashion_tf.models.variants import BACKBONES, VARIANTS, LiteVariant
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.options import parse_command
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.training import precision as choosing
from deepfashion_tf.training.building import build_optimizer, compile_model
from deepfashion_tf.training.losses import logits_of
from deepfashion_tf.training.train import train

SCHEMA = builtin_schema()
# One EfficientNet-Lite stands for all three: narrowed, they are the same network.
FAMILIES = [name for name in BACKBONES if name[-1] not in "12"]
RESNETS = [name for name in FAMILIES if "resne" in name]
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# The gap between 1 and the next number.
EPSILON = {"float32": 2.0**-23, "mixed_bfloat16": 2.0**-7, "mixed_float16": 2.0**-10}


@pytest.fixture(autouse=True)
def narrow_backbones(monkeypatch):
    """Gives each backbone a few narrow blocks; the grouped one keeps several groups."""
    for name in BACKBONES.values():
        groups = 8 if getattr(VARIANTS[name], "groups", 1) > 1 else 1
        narrow = {"blocks": (1, 1, 1, 1), "base_width": 8 // groups, "groups": groups}
        if isinstance(VARIANTS[name], LiteVariant):
            narrow = {"depth": 0.3}
        monkeypatch.setitem(VARIANTS, name, dataclasses.replace(VARIANTS[name], **narrow))


def batch(images: int = 8) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    labels = {
        category: rng.integers(0, len(attributes), images, np.int32)
        for category, attributes in SCHEMA.items()
    }
    return rng.normal(size=(images, 32, 32, 3)).astype("float32"), labels


def seeded_model(config: TrainConfig) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_model(
        SCHEMA, config.backbone, image_size=32, dropout=0.0, fc_layers=2, precision=config.precision
    )


def fit(trainer: keras.Model, steps: int = 1) -> list[float]:
    """Trains on the same batch again and again; gives the loss of each step."""
    images, labels = batch()
    data = tf.data.Dataset.from_tensors((images, labels))
    history = trainer.fit(data, epochs=steps, shuffle=False, verbose=0).history
    return np.sum([history[f"{category}_labelled_loss"] for category in SCHEMA], axis=0)


def small_config(**options) -> TrainConfig:
    return TrainConfig(image_size=32, **options).for_schema(SCHEMA)


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("backbone", FAMILIES)
def test_all_but_the_heads_computes_in_it(backbone, precision):
    model = seeded_model(small_config(backbone=backbone, precision=precision))
    compute_dtype = keras.DTypePolicy(precision).compute_dtype
    inner = model.get_layer(backbone).layers[1:]
    for layer in [*inner, model.get_layer("fc1"), model.get_layer("fc2")]:
        assert layer.compute_dtype == compute_dtype, layer.name
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    images, _ = batch()
    assert model.get_layer(backbone)(images).dtype == compute_dtype
    for probabilities in model(images).values():
        assert probabilities.dtype == logits_of(probabilities).dtype == "float32"
        # Not their logarithm: the losses find what was before the softmax.
        assert probabilities._keras_logits is logits_of(probabilities)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS[1:])
@pytest.mark.parametrize("backbone", FAMILIES)
def test_answers_are_those_of_float32_but_for_rounding(backbone, precision):
    exact = seeded_model(small_config(backbone=backbone))
    model = seeded_model(small_config(backbone=backbone, precision=precision))
    images, _ = batch()
    answers = model(images)
    for category, expected in exact(images).items():
        # Some thirty layers one after another, each of which rounds.
        np.testing.assert_allclose(answers[category], expected, atol=10 * EPSILON[precision])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "precision"),
    [
        ("resnet50", "mixed_float16"),
        ("seresnext50", "mixed_bfloat16"),
    ],
)
def test_a_run_is_trained_evaluated_and_exported(challenge, tmp_path, backbone, precision):
    config = small_config(
        data=str(challenge),
        output_dir=tmp_path / "run",
        weights="none",
        backbone=backbone,
        precision=precision,
        batch_size=4,
        epochs=1,
    )
    trained = train(config)
    model = trained.run.load_model()
    policies = {layer.dtype_policy.name for layer in model.get_layer(backbone).layers}
    assert policies == {"float32"}
    assert trained.run.config.precision == precision
    assert evaluate(trained.run, trained.val).images == 6
    expected = predict_split(trained.run, model, trained.val)
    exported = tf.saved_model.load(str(export_run(trained.run)))
    answers = exported.signatures["serving_default"](
        image_bytes=tf.stack([tf.io.read_file(path) for path in trained.val.keys]),
        boxes=tf.constant(trained.val.boxes),
    )
    assert set(answers) == set(SCHEMA)
    for category, probabilities in expected.items():
        assert answers[category].dtype == probabilities.dtype == "float32"
        # The same ops in the same order; another graph may fuse them and round elsewhere.
        np.testing.assert_allclose(answers[category], probabilities, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_model_in_float32_has_the_same_weights(precision):
    model = seeded_model(small_config(backbone="seresnext50", precision=precision))
    plain = final_form(model)
    assert (plain is model) == (precision == "float32")
    for ours, theirs in zip(plain.variables, model.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    images, _ = batch()
    exact = seeded_model(small_config(backbone="seresnext50"))(images)
    for category, probabilities in plain(images).items():
        np.testing.assert_array_equal(probabilities, exact[category])


@pytest.mark.parametrize(
    ("flags", "expected", "why"),
    [
        ("fpu avx512_bf16 amx_bf16", "mixed_bfloat16", "this processor has units for (AMX)"),
        ("fpu avx512_bf16", "mixed_bfloat16", "(AVX512-BF16)"),
        ("fpu avx512f", "float32", "no units for bfloat16"),
        (None, "float32", "no units for bfloat16"),
    ],
)
def test_auto_is_what_the_processor_has_units_for(monkeypatch, tmp_path, flags, expected, why):
    path = tmp_path / "cpuinfo"
    if flags:
        path.write_text(f"processor : 0\nflags\t\t: {flags}\n", encoding="utf-8")
    monkeypatch.setattr(processor, "_CPUINFO", path)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    chosen, reason = choosing.choose_precision("auto")
    assert chosen == expected and why in reason
    for asked in PRECISIONS:
        assert choosing.choose_precision(asked) == (asked, "")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert choosing.choose_precision("auto")[0] == "float32"


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [([(8, 0), (9, 0)], "mixed_bfloat16"), ([(8, 6), (7, 5)], "float32")],
)
def test_auto_is_what_all_gpus_have_units_for(monkeypatch, capabilities, expected):
    details = [{"compute_capability": found} for found in capabilities]
    config = SimpleNamespace(
        list_physical_devices=lambda kind: list(range(len(details))),
        experimental=SimpleNamespace(get_device_details=details.__getitem__),
    )
    monkeypatch.setattr(choosing, "tf", SimpleNamespace(config=config))
    assert choosing.choose_precision("auto")[0] == expected


@pytest.mark.slow
def test_the_precision_that_was_chosen_is_the_runs_and_goes_on(challenge, tmp_path, monkeypatch):
    monkeypatch.setattr(choosing, "bfloat16_units", lambda: "units")
    options = ["--precision", "auto", "--output-dir", str(tmp_path / "run")]
    small = ["--image-size", "32", "--batch-size", "4", "--epochs", "1", "--weights", "none"]
    command = parse_command("", ["--recipe=demo", "--data-dir", str(challenge), *small, *options])
    assert command.config.precision == "auto"
    run = train(command.config).run
    assert run.config.precision == TrainConfig.load(run.directory / "config.json").precision
    assert run.config.precision == "mixed_bfloat16"
    resumed = parse_command("", ["--resume", str(run.directory), "--precision", "auto"])
    assert resumed.config.precision == "mixed_bfloat16"
    with pytest.raises(InputError, match="cannot go on with --precision float32"):
        parse_command("", ["--resume", str(run.directory), "--precision", "float32"])


@pytest.mark.slow
def test_a_step_that_overflows_leaves_the_one_after_it_finite():
    config = small_config(backbone="resnet50", precision="mixed_float16")
    model = seeded_model(config)
    optimizer = build_optimizer(model, config, steps=2)
    trainer = compile_model(SCHEMA, model, config, optimizer)
    weights = backbone_of(model).trainable_variables

    def change(scale: float) -> float:
        """Returns the largest change of a weight of the backbone in a step."""
        optimizer.dynamic_scale.assign(scale)
        before = [np.array(variable) for variable in weights]
        assert np.isfinite(fit(trainer)).all()
        pairs = zip(before, weights, strict=True)
        return max(np.abs(old - np.array(new)).max() for old, new in pairs)

    assert change(2.0**127) == 0.0
    assert int(optimizer.iterations) == 0 and float(optimizer.dynamic_scale) == 2.0**126
    # Adam's first step is the learning rate in the gradient's direction.
    assert change(2.0**10) == pytest.approx(config.learning_rate, rel=0.01)
    assert int(optimizer.iterations) == 1
    assert all(np.isfinite(variable).all() for variable in model.variables)
