"""Heads on frozen features: the search, the features on disk, and runs of the recipes."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import small_config

from deepfashion_tf.data.sources import open_splits
from deepfashion_tf.evaluation.curves import read_history
from deepfashion_tf.evaluation.evaluate import evaluate
from deepfashion_tf.models.attribute_model import backbone_of, feature_extractor
from deepfashion_tf.models.variants import VARIANTS
from deepfashion_tf.runs.recipes import finetune, probe
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.schema import Category, Schema
from deepfashion_tf.training import features as features_module
from deepfashion_tf.training.probe import DROPOUTS, WEIGHT_DECAYS, search_heads
from deepfashion_tf.training.train import train

SCHEMA = Schema((Category("a", ("x", "y", "z")), Category("b", ("u", "v"))))


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Gives a network of eleven blocks, and a folder of its own for features."""
    name = "pypi.efficientnetlite0"
    monkeypatch.setitem(VARIANTS, name, dataclasses.replace(VARIANTS[name], depth=0.5))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


def of_recipe(recipe, challenge: Path, tmp_path: Path, **options):
    config = recipe("efficientnetlite0")
    small = {"image_size": 32, "batch_size": 4, "epochs": 2, "weights": "none"}
    folders = {"data": str(challenge), "output_dir": tmp_path / "run"}
    return dataclasses.replace(config, **{**small, **folders, **options})


def problem(count: int, seed: int):
    """Draws features that tell a and b, and labels; a sixth is not labelled in b."""
    rng = np.random.default_rng(seed)
    labels = {"a": rng.integers(0, 3, count), "b": rng.integers(0, 2, count)}
    features = rng.normal(size=(count, 2, 12)).astype(np.float32)
    features[..., :3] += 4 * np.eye(3)[labels["a"]][:, None]
    features[..., 3:5] += 4 * np.eye(2)[labels["b"]][:, None]
    labels["b"][::6] = -1
    shares = {c: np.eye(len(SCHEMA[c]), dtype=np.float32)[labels[c]] for c in SCHEMA}
    shares["b"][labels["b"] < 0] = 0
    return features, labels, shares


def search(weights: dict[str, float], seed: int = 0):
    train_features, _, shares = problem(240, 0)
    val_features, labels, _ = problem(120, 1)
    return search_heads(
        SCHEMA,
        (train_features, shares),
        (val_features, labels),
        loss_weights=weights,
        epochs=8,
        batch_size=16,
        learning_rate=1e-2,
        seed=seed,
    )


def test_the_search_learns_and_sorts_by_validation():
    found = search({"a": 1.0, "b": 1.0})
    pairs = {(heads.weight_decay, heads.dropout) for heads in found}
    assert pairs == {(decay, dropout) for decay in WEIGHT_DECAYS for dropout in DROPOUTS}
    accuracies = [heads.mean_accuracy for heads in found]
    assert accuracies == sorted(accuracies, reverse=True) and accuracies[0] > 0.97
    # The strongest decay leaves the smallest kernels.
    sizes = {h.weight_decay: np.abs(h.kernels["a"]).sum() for h in found if h.dropout == 0.5}
    assert sizes[10.0] < sizes[1.0] < sizes[0.1]
    again = search({"a": 1.0, "b": 1.0})
    np.testing.assert_array_equal(found[0].kernels["a"], again[0].kernels["a"])


def test_the_search_reports_the_mean_over_views_and_labelled_images():
    best = search({"a": 1.0, "b": 1.0})[0]
    features, labels, _ = problem(120, 1)
    accuracies = []
    for category in SCHEMA:
        logits = features @ best.kernels[category] + best.biases[category]
        answers = keras.ops.softmax(logits).numpy().mean(axis=1).argmax(axis=1)
        known = labels[category] >= 0
        accuracies.append((answers == labels[category])[known].mean())
    assert best.mean_accuracy == pytest.approx(np.mean(accuracies))


def test_a_category_without_weight_is_not_learnt():
    heads = search({"a": 1.0, "b": 0.0})[0]
    assert np.abs(heads.kernels["a"]).max() > 0.1
    assert not heads.kernels["b"].any() and not heads.biases["b"].any()


@pytest.mark.slow
def test_a_probe_is_trained_resumed_and_scored(challenge, tmp_path, monkeypatch, capsys):
    config = of_recipe(probe, challenge, tmp_path)
    trained = train(config)
    assert "computing train features" in capsys.readouterr().out
    run = trained.run
    assert len(read_history(run.directory / "history.csv")["epoch"]) == 2
    assert run.config.weight_decay in WEIGHT_DECAYS and run.config.dropout in DROPOUTS
    model = run.load_model()
    assert evaluate(run, trained.val).images == 6
    # The backbone has the weights that it began with, and features have their statistics.
    layer = model.get_layer("standardization")
    kept = [np.load(path)["features"] for path in tmp_path.rglob("*.npz")]
    assert sorted(map(len, kept)) == [6, 6]
    assert any(np.allclose(layer.mean, each.mean((0, 1)), atol=1e-5) for each in kept)
    # A second run computes no features, and a run that goes on neither.
    monkeypatch.setattr(features_module, "normalized_batches", None)
    train(dataclasses.replace(config, output_dir=tmp_path / "second"))
    resumed = dataclasses.replace(run.config, output_dir=run.directory)
    train(resumed, RuntimeOptions(resume=run.directory))


@pytest.mark.slow
def test_features_are_those_of_the_image_and_its_mirror_image(challenge, tmp_path):
    config = of_recipe(probe, challenge, tmp_path)
    trained = train(config)
    model = trained.run.load_model()
    from deepfashion_tf.data.images import normalize
    from deepfashion_tf.data.reading import crop_batches

    (split,) = open_splits(config, ["val"])
    (crops,) = crop_batches(split, 32)
    images = normalize(crops, trained.run.normalization).numpy()
    extractor = feature_extractor(model)
    both = np.stack([extractor(images), extractor(images[:, :, ::-1])], axis=1)
    kept = [np.load(path)["features"] for path in tmp_path.rglob("*.npz")]
    assert any(np.allclose(both, each, rtol=1e-3, atol=1e-4) for each in kept)


@pytest.mark.slow
def test_a_damaged_file_of_features_is_computed_again(challenge, tmp_path, capsys):
    config = of_recipe(probe, challenge, tmp_path)
    train(config)
    for path in tmp_path.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    capsys.readouterr()
    train(dataclasses.replace(config, output_dir=tmp_path / "second"))
    assert "computing val features" in capsys.readouterr().out


@pytest.mark.slow
def test_finetuning_changes_the_upper_stages_alone(challenge, tmp_path):
    config = of_recipe(finetune, challenge, tmp_path, learning_rate=1e-2, freeze_stages=2)
    trained = train(config)
    before = train(
        dataclasses.replace(config, learning_rate=1e-9, weight_decay=0, output_dir=tmp_path / "b")
    )
    network, other = (backbone_of(each.run.load_model()) for each in (trained, before))
    changed = {
        variable.path.split("/")[-2]
        for variable, same in zip(network.weights, other.weights, strict=True)
        if not np.allclose(variable, same, atol=1e-6)
    }
    assert {name[:6] for name in changed} <= {"block5", "block6", "block7", "top_co", "top_bn"}
    assert "block5a_expand_conv" in changed
    for layer in network.layers:
        if layer.name.endswith("bn"):
            np.testing.assert_array_equal(layer.moving_mean, 0)


def test_attention_heads_cannot_be_searched():
    from deepfashion_tf.errors import InputError

    with pytest.raises(InputError, match="--search-heads goes with --heads multiscale"):
        small_config(Path("d"), Path("r"), search_heads=True, heads="attention")
