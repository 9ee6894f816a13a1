import csv
import dataclasses
import hashlib
import itertools
import json

import keras
import numpy as np
import pytest
from conftest import write_lines

from deepfashion_tf.categories import CATEGORIES
from deepfashion_tf.data.images import NORMALIZATIONS
from deepfashion_tf.data.pipeline import evaluation_dataset, file_reader
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.evaluate import answers, evaluate, predict_split
from deepfashion_tf.models.attribute_model import build_model
from deepfashion_tf.models.variants import VARIANTS, Variant
from deepfashion_tf.training.callbacks import HISTORY_COLUMNS
from deepfashion_tf.training.config import TrainConfig
from deepfashion_tf.training.losses import FocalLoss
from deepfashion_tf.training.run import Run
from deepfashion_tf.training.train import (
    build_initial_model,
    build_optimizer,
    compile_model,
    train,
)


def read_history(run: Run) -> list[dict]:
    with (run.directory / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_holds_its_files(trained, wardrobe):
    assert not trained.interrupted
    run = Run.load(trained.run.directory)
    assert run.config == trained.run.config
    rows = read_history(run)
    assert tuple(rows[0]) == HISTORY_COLUMNS
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert not list(run.directory.glob(".*")), "a temporary file was left behind"


def test_history_is_what_the_saved_model_scores(trained):
    """The best row's validation figures, computed again from model.keras by NumPy."""
    run = trained.run
    best = max(read_history(run), key=lambda row: float(row["val_mean_accuracy"]))
    scores = evaluate(run, trained.val)
    assert scores.mean_accuracy == pytest.approx(float(best["val_mean_accuracy"]), abs=1e-6)
    probabilities = predict_split(run, run.load_model(), trained.val)
    total = 0.0
    for column, (category, weight) in enumerate(run.config.loss_weights.items()):
        loss = float(FocalLoss()(trained.val.labels[:, column], probabilities[category]))
        assert loss == pytest.approx(float(best[f"val_{category}_loss"]), rel=1e-3, abs=1e-5)
        accuracy = scores.categories[category].accuracy
        assert accuracy == pytest.approx(float(best[f"val_{category}_accuracy"]), abs=1e-6)
        total += weight * loss
    assert total == pytest.approx(float(best["val_loss"]), rel=1e-3)


def test_the_same_seed_repeats_a_run_exactly(trained, tmp_path):
    again = train(dataclasses.replace(trained.run.config, output_dir=tmp_path / "again"))
    assert read_history(again.run) == read_history(trained.run)
    pairs = zip(
        again.run.load_model().get_weights(), trained.run.load_model().get_weights(), strict=True
    )
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def tiny(monkeypatch):
    """Puts a network of four narrow blocks where `small_config` asks for resnet50."""
    variant = Variant("resnet50", blocks=(1, 1, 1, 1), base_width=8)
    monkeypatch.setitem(VARIANTS, "keras.resnet50", variant)


def small_config(data_dir, tmp_path, **options) -> TrainConfig:
    return TrainConfig(
        data_dir=data_dir,
        output_dir=tmp_path / "run",
        backbone="resnet50",
        image_size=32,
        batch_size=3,
        **{"epochs": 1, "weights": "none", **options},
    )


def test_partial_labels_train_and_an_unlabelled_category_stays_empty(challenge, tmp_path, tiny):
    """Batches of one image: whole batches lack a category; no image has a fit."""
    for split in ("train", "val"):
        rows = ["5 0 2 0 2 -1", "-1 1 1 -1 5 -1"] * 3
        write_lines(challenge / "split" / f"{split}_attr.txt", rows)
    config = dataclasses.replace(small_config(challenge, tmp_path), batch_size=1)
    run = train(config).run
    row = read_history(run)[0]
    assert row["fit_loss"] == row["val_fit_accuracy"] == ""
    assert all(np.isfinite(float(v)) for k, v in row.items() if "fit" not in k)
    known = [float(row[f"val_{c}_accuracy"]) for c in CATEGORIES if c != "fit"]
    assert float(row["val_mean_accuracy"]) == pytest.approx(np.mean(known))


def test_ctrl_c_leaves_a_usable_run(challenge, tmp_path, monkeypatch, tiny):
    """Ctrl-C in the second epoch; what the first one gave is kept."""
    from deepfashion_tf.training import callbacks

    seen = itertools.count()

    def interrupt(self, batch, logs=None):
        if next(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(callbacks.StopOnNaN, "on_train_batch_end", interrupt)
    result = train(small_config(challenge, tmp_path, epochs=5))
    assert result.interrupted
    assert len(read_history(result.run)) == 1
    assert evaluate(result.run, result.val).images == 6


def test_ctrl_c_before_the_first_epoch_keeps_the_weights(challenge, tmp_path, monkeypatch, tiny):
    from deepfashion_tf.training import callbacks

    def interrupt(self, batch, logs=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(callbacks.StopOnNaN, "on_train_batch_end", interrupt)
    result = train(small_config(challenge, tmp_path))
    assert result.interrupted and result.run.model_path.is_file()


def test_ctrl_c_while_the_model_is_saved_saves_it_again(challenge, tmp_path, monkeypatch, tiny):
    """The second epoch is better than the first, and Ctrl-C comes while its model is written."""
    from deepfashion_tf.training import callbacks

    save_model = Run.save_model
    calls = []

    def interrupt(self, model):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        save_model(self, model)

    values = itertools.count()
    row = callbacks.history_row
    better = lambda *args: row(*args) | {"val_mean_accuracy": next(values)}  # noqa: E731
    monkeypatch.setattr(callbacks, "history_row", better)
    monkeypatch.setattr(Run, "save_model", interrupt)
    result = train(small_config(challenge, tmp_path, epochs=5))
    assert result.interrupted and len(calls) == 3
    assert len(read_history(result.run)) == 2
    assert not list(result.run.directory.glob(".*"))


def weights_of(model: keras.Model) -> list[np.ndarray]:
    return model.get_layer("resnet50").get_weights()


@pytest.mark.parametrize(("epochs", "moves"), [(1, False), (2, True)])
def test_the_backbone_stands_still_while_it_is_frozen(
    challenge, tmp_path, monkeypatch, tiny, epochs, moves
):
    """Statistics of batch norm included; the heads learn from the first step on."""
    from deepfashion_tf.training import callbacks

    values = itertools.count()
    row = callbacks.history_row
    better = lambda *args: row(*args) | {"val_mean_accuracy": next(values)}  # noqa: E731
    monkeypatch.setattr(callbacks, "history_row", better)
    config = small_config(challenge, tmp_path, epochs=epochs, freeze_epochs=1)
    run = train(config).run
    _, start = build_initial_model(config)
    end = run.load_model()
    assert len(read_history(run)) == epochs
    pairs = list(zip(weights_of(start), weights_of(end), strict=True))
    assert any(not np.array_equal(a, b) for a, b in pairs) == moves
    for category in CATEGORIES:
        kernels = [model.get_layer(category).kernel.numpy() for model in (start, end)]
        assert not np.array_equal(*kernels)


def test_frozen_batch_norm_keeps_its_statistics_and_learns_the_rest(challenge, tmp_path, tiny):
    config = small_config(challenge, tmp_path, freeze_batch_norm=True)
    run = train(config).run
    _, start = build_initial_model(config)
    changed = set()
    pairs = zip(start.variables, run.load_model().variables, strict=True)
    for before, after in pairs:
        if not np.array_equal(before, after):
            changed.add(before.path.rsplit("/", 1)[1])
    assert changed == {"kernel", "bias", "gamma", "beta", "seed_generator_state"}


def test_a_run_starts_from_another_runs_weights_and_says_so(challenge, tmp_path, tiny):
    """A model.keras holds a backbone, its graph and six heads; the heads stay behind."""
    first = train(small_config(challenge, tmp_path)).run
    config = small_config(challenge, tmp_path / "second", weights=str(first.model_path))
    config, model = build_initial_model(config)
    assert config.variant == "keras.resnet50"
    assert config.weights_sha256 == hashlib.sha256(first.model_path.read_bytes()).hexdigest()
    for ours, theirs in zip(weights_of(model), weights_of(first.load_model()), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(InputError, match="another file than the one that was meant"):
        build_initial_model(dataclasses.replace(config, weights_sha256="0" * 64))


def test_with_data_the_default_is_imagenet(challenge, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    config = small_config(challenge, tmp_path, weights=None, offline=True)
    with pytest.raises(InputError, match=r"resnet50_weights\S+\.h5 is not on this machine.*MD5"):
        train(config)
    assert not (tmp_path / "run").exists()
    config, _ = build_initial_model(dataclasses.replace(config, data_dir=None))
    assert (config.weights, config.variant) == ("none", "keras.resnet50")


def test_a_loss_that_is_no_number_stops_with_a_sentence(challenge, tmp_path, monkeypatch, tiny):
    """One weight that is no number makes the loss none."""
    from deepfashion_tf.training import train as module

    def broken(*args, **options):
        model = build_model(*args, **options)
        model.get_layer("fabric").bias.assign([np.nan] * 6)
        return model

    monkeypatch.setattr(module, "build_model", broken)
    with pytest.raises(
        InputError, match=r"no longer a number at epoch 1, step 1:.*--learning-rate"
    ):
        train(small_config(challenge, tmp_path))


def test_an_output_directory_with_something_in_it_is_refused(challenge, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        train(small_config(challenge, tmp_path))


def test_a_broken_jpeg_found_while_training_is_named(challenge, tmp_path, tiny):
    path = challenge / "img" / "00003.jpg"
    path.write_bytes(path.read_bytes()[:700])
    for cache in (True, False):
        config = small_config(challenge, tmp_path, cache=cache)
        config = dataclasses.replace(config, output_dir=tmp_path / f"run{cache}")
        with pytest.raises(InputError, match=r"00003\.jpg"):
            train(config)


def test_each_head_has_its_loss_and_its_weight():
    model = build_model("resnet50", image_size=32, dropout=0.0)
    weights = {category: float(i) for i, category in enumerate(CATEGORIES)}
    config = TrainConfig(loss_weights=weights, backbone="resnet50", image_size=32)
    trainer = compile_model(model, config, build_optimizer(model, config, steps=1))
    rng = np.random.default_rng(0)
    images = rng.normal(size=(4, 32, 32, 3)).astype("float32")
    labels = {c: rng.integers(0, len(a), 4) for c, a in CATEGORIES.items()}
    total = trainer.evaluate(images, labels, verbose=0, return_dict=True)["loss"]
    answers_ = model(images)
    expected = sum(weights[c] * float(FocalLoss()(labels[c], answers_[c])) for c in CATEGORIES)
    assert total == pytest.approx(expected, rel=1e-4)


def test_a_run_directory_is_numbered_when_it_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [Run.create(TrainConfig(recipe="demo")).directory.as_posix() for _ in range(3)]
    assert names == [f"saved_models/seresnet50-demo{suffix}" for suffix in ("", "-2", "-3")]


@pytest.mark.parametrize(
    ("backbone", "variant", "normalization"),
    [
        ("resnet50", None, "caffe"),
        ("resnet50", "keras.resnet50", "caffe"),
        ("resnet50", "timm.resnet50", "torch"),
        ("seresnext50", "timm.legacy_seresnext50_32x4d", "torch"),
    ],
)
def test_the_normalization_is_that_of_the_weights(tmp_path, backbone, variant, normalization):
    """None: runs of before there were variants."""
    TrainConfig(backbone=backbone, variant=variant).save(tmp_path / "config.json")
    assert Run.load(tmp_path).normalization is NORMALIZATIONS[normalization]


def test_runs_that_are_none(tmp_path):
    with pytest.raises(InputError, match="There is no run directory"):
        Run.load(tmp_path / "none")
    with pytest.raises(InputError, match="is no run directory"):
        Run.load(tmp_path)
    TrainConfig().save(tmp_path / "config.json")
    with pytest.raises(InputError, match=r"model\.keras is missing"):
        Run.load(tmp_path).load_model()
    (tmp_path / "model.keras").write_text("broken")
    with pytest.raises(InputError, match="cannot be loaded"):
        Run.load(tmp_path).load_model()


def test_real_photographs_train(real_photos, tmp_path, tiny):
    """The real pipeline on photographs, one epoch of the first 64 of them."""
    (tmp_path / "data" / "split").mkdir(parents=True)
    (tmp_path / "data" / "img").symlink_to(real_photos / "img")
    for split in ("train", "val"):
        for suffix in ("", "_attr", "_bbox"):
            lines = (real_photos / "split" / f"{split}{suffix}.txt").read_text().splitlines()
            write_lines(tmp_path / "data" / "split" / f"{split}{suffix}.txt", lines[:64])
    config = dataclasses.replace(small_config(tmp_path / "data", tmp_path), batch_size=32)
    result = train(config)
    scores = evaluate(result.run, result.val)
    assert scores.images == 64
    assert scores.categories["fit"].accuracy is None
    scores.save(tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text())["categories"]["fit"]["images"] == 0


def test_predictions_are_those_of_the_model(trained):
    run, model = trained.run, trained.run.load_model()
    probabilities = predict_split(run, model, trained.val)
    reader = file_reader(trained.val, run.config.image_size)
    images, _ = next(
        iter(evaluation_dataset(trained.val, reader, run.normalization, batch_size=24))
    )
    for category, expected in model(images, training=False).items():
        # Batches of 20 and 4 there, one of 24 here.
        np.testing.assert_allclose(probabilities[category], expected, atol=1e-5)
    assert answers(probabilities).shape == (24, 6)
    assert keras.backend.backend() == "tensorflow"
