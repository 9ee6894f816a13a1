import csv
import dataclasses
import gc
import hashlib
import itertools
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import make_narrow, small_config, write_lines
from tensorflow.python.framework.func_graph import FuncGraph

from deepfashion_tf.data.normalization import NORMALIZATIONS
from deepfashion_tf.data.pipeline import evaluation_dataset
from deepfashion_tf.data.reading import DirectReader
from deepfashion_tf.data.sources import open_splits
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.evaluate import answer_labelled, evaluate, predict_split
from deepfashion_tf.evaluation.finish import finish_run
from deepfashion_tf.export.saved_model import export_run
from deepfashion_tf.inference.answers import Wanted, answers_of
from deepfashion_tf.inference.items import items_of
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.models.attribute_model import build_model
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import Schema, builtin_schema
from deepfashion_tf.training.building import (
    build_initial_model,
    build_optimizer,
    compile_model,
)
from deepfashion_tf.training.callbacks import StopOnNaN, history_columns
from deepfashion_tf.training.losses import FocalLoss
from deepfashion_tf.training.train import train

SCHEMA = builtin_schema()


def read_history(run: Run) -> list[dict]:
    with (run.directory / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_holds_its_files(trained, wardrobe):
    assert not trained.interrupted
    run = Run.load(trained.run.directory)
    assert run.config == trained.run.config
    rows = read_history(run)
    assert list(rows[0]) == history_columns(SCHEMA)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert not list(run.directory.glob(".*")), "a temporary file was left behind"


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_same_seed_repeats_a_run_exactly(trained, tmp_path, monkeypatch):
    make_narrow(monkeypatch)
    again = train(dataclasses.replace(trained.run.config, output_dir=tmp_path / "again"))
    assert read_history(again.run) == read_history(trained.run)
    pairs = zip(
        again.run.load_model().get_weights(), trained.run.load_model().get_weights(), strict=True
    )
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_training_leaves_no_graph_in_memory(challenge, tmp_path, tiny, precision):
    def graphs() -> int:
        counts = []
        # Threads that read ahead hold theirs until they end.
        while len(counts) < 50 and (len(counts) < 5 or len({*counts[-5:]}) > 1):
            gc.collect()
            counts.append(sum(isinstance(found, FuncGraph) for found in gc.get_objects()))
            time.sleep(0.2)
        return counts[-1]

    train(small_config(challenge, tmp_path / "first", precision=precision))
    before = graphs()
    train(small_config(challenge, tmp_path / "second", precision=precision))
    assert graphs() == before


@pytest.mark.slow
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
    known = [float(row[f"val_{c}_accuracy"]) for c in SCHEMA if c != "fit"]
    assert float(row["val_mean_accuracy"]) == pytest.approx(np.mean(known))


@pytest.mark.slow
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


@pytest.mark.slow
def test_ctrl_c_before_the_first_epoch_keeps_the_weights(challenge, tmp_path, monkeypatch, tiny):
    from deepfashion_tf.training import callbacks

    def interrupt(self, batch, logs=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(callbacks.StopOnNaN, "on_train_batch_end", interrupt)
    result = train(small_config(challenge, tmp_path))
    assert result.interrupted and result.run.model_path.is_file()


@pytest.mark.slow
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


@pytest.mark.slow
def test_frozen_batch_norm_keeps_its_statistics_and_learns_the_rest(challenge, tmp_path, tiny):
    config = small_config(challenge, tmp_path, freeze_batch_norm=True)
    run = train(config).run
    _, start = build_initial_model(SCHEMA, config)
    changed = set()
    pairs = zip(start.variables, run.load_model().variables, strict=True)
    for before, after in pairs:
        if not np.array_equal(before, after):
            changed.add(before.path.rsplit("/", 1)[1])
    assert changed == {"kernel", "bias", "gamma", "beta", "seed_generator_state"}


@pytest.mark.slow
def test_a_run_starts_from_another_runs_weights_and_says_so(challenge, tmp_path, tiny):
    """A model.keras holds a backbone, its graph and six heads; the heads stay behind."""
    first = train(small_config(challenge, tmp_path)).run
    config = small_config(challenge, tmp_path / "second", weights=str(first.model_path))
    config, model = build_initial_model(SCHEMA, config)
    assert config.variant == "keras.resnet50"
    assert config.weights_sha256 == hashlib.sha256(first.model_path.read_bytes()).hexdigest()
    for ours, theirs in zip(weights_of(model), weights_of(first.load_model()), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(InputError, match="another file than the one that was meant"):
        build_initial_model(SCHEMA, dataclasses.replace(config, weights_sha256="0" * 64))


def test_with_data_the_default_is_imagenet(challenge, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    config = small_config(challenge, tmp_path, weights=None, offline=True)
    with pytest.raises(InputError, match=r"resnet50_weights\S+\.h5 is not on this machine.*MD5"):
        train(config)
    assert not (tmp_path / "run").exists()
    config, _ = build_initial_model(SCHEMA, dataclasses.replace(config, data="wardrobe"))
    assert (config.weights, config.variant) == ("none", "keras.resnet50")


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_with_a_sentence(challenge, tmp_path, monkeypatch, tiny):
    """One weight that is no number makes the loss none."""
    from deepfashion_tf.training import building as module

    def broken(*args, **options):
        model = build_model(*args, **options)
        model.get_layer("fabric").bias.assign([np.nan] * 6)
        return model

    monkeypatch.setattr(module, "build_model", broken)
    with pytest.raises(
        InputError, match=r"no longer a number at epoch 1, step 1:.*--learning-rate.*img/0000"
    ):
        train(small_config(challenge, tmp_path))
    named = (tmp_path / "run" / "nan_batch.txt").read_text().splitlines()
    assert len(named) == 3 and all("/img/0000" in name for name in named)


def test_an_output_directory_with_something_in_it_is_refused(challenge, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        train(small_config(challenge, tmp_path))


def test_a_broken_jpeg_found_while_training_is_named(challenge, tmp_path, tiny):
    path = challenge / "img" / "00003.jpg"
    path.write_bytes(path.read_bytes()[:700])
    for cache in ("memory", "none"):
        config = small_config(challenge, tmp_path, cache=cache)
        config = dataclasses.replace(config, output_dir=tmp_path / f"run{cache}")
        with pytest.raises(InputError, match=r"00003\.jpg"):
            train(config)


@pytest.mark.slow
def test_each_head_has_its_loss_and_its_weight():
    model = build_model(SCHEMA, "resnet50", image_size=32, dropout=0.0)
    weights = {category: float(i) for i, category in enumerate(SCHEMA)}
    config = TrainConfig(loss_weights=weights, backbone="resnet50", image_size=32)
    trainer = compile_model(SCHEMA, model, config, build_optimizer(model, config, steps=1))
    rng = np.random.default_rng(0)
    images = rng.normal(size=(4, 32, 32, 3)).astype("float32")
    labels = {c: rng.integers(0, len(a), 4) for c, a in SCHEMA.items()}
    total = trainer.evaluate(images, labels, verbose=0, return_dict=True)["loss"]
    answers_ = model(images)
    expected = sum(weights[c] * float(FocalLoss()(labels[c], answers_[c])) for c in SCHEMA)
    assert total == pytest.approx(expected, rel=1e-4)


def test_a_validation_loss_that_is_no_number_is_told():
    stop = StopOnNaN(TrainConfig(), None, None, None)
    stop.on_epoch_end(2, {"row": {"val_loss": 0.5}})
    for value in (np.nan, np.inf):
        with pytest.raises(InputError, match="validation loss is no longer a number after epoch 3"):
            stop.on_epoch_end(2, {"row": {"val_loss": value}})


def test_runs_that_start_together_have_directories_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: Run.create(TrainConfig(), SCHEMA), range(16)))
    assert len({run.directory for run in runs}) == 16
    config = TrainConfig(output_dir=tmp_path / "mine")
    Run.create(config, SCHEMA)
    # The other one looked before the first had written anything.
    monkeypatch.setattr(Run, "check_output", lambda config: None)
    with pytest.raises(InputError, match="taken by another run just now"):
        Run.create(config, SCHEMA)


def test_a_model_of_another_run_is_refused(trained, tmp_path):
    for change, message in (
        (
            lambda run: SHOP.save(run / "schema.yaml"),
            "names texture, .* the categories are season, collar",
        ),
        (
            lambda run: dataclasses.replace(trained.run.config, image_size=64).save(
                run / "config.json"
            ),
            "for images of 32 pixels.* for 64 pixels",
        ),
    ):
        copy = shutil.copytree(trained.run.directory, tmp_path / "copy")
        change(copy)
        with pytest.raises(InputError, match=message):
            Run.load(copy).load_model()
        shutil.rmtree(copy)


def test_a_model_that_holds_nan_is_refused(trained, tmp_path):
    copy = shutil.copytree(trained.run.directory, tmp_path / "copy")
    model = trained.run.load_model()
    model.get_layer("fit").bias.assign([np.nan] * 3)
    model.save(copy / "model.keras")
    with pytest.raises(InputError, match=r"holds NaN or infinity in .*fit/bias"):
        Run.load(copy).load_model()


def test_a_run_directory_is_numbered_when_it_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [Run.create(TrainConfig(recipe="demo"), SCHEMA).directory.as_posix() for _ in range(3)]
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


SHOP = Schema.of({"season": ["summer", "winter"], "collar": ["none", "polo", "shirt"]})


def write_shop(folder) -> None:
    """Gives the images of a data set labels of another schema."""
    for split in ("train", "val", "test"):
        write_lines(folder / "split" / f"{split}_attr.txt", ["0 2", "1 -1", "1 0"] * 2)


@pytest.mark.slow
def test_another_schema_travels_through_everything(challenge, tmp_path, tiny):
    write_shop(challenge)
    SHOP.save(tmp_path / "shop.yaml")
    config = small_config(challenge, tmp_path, schema=tmp_path / "shop.yaml")
    config = dataclasses.replace(config, loss_weights={"collar": 0.5})
    run = Run.load(train(config).run.directory)
    assert run.schema == SHOP
    assert run.config.loss_weights == {"season": 1.0, "collar": 0.5}
    assert list(read_history(run)[0]) == history_columns(SHOP)
    scores = evaluate(run, run.read_split("test"))
    assert {c: list(s.class_recall) for c, s in scores.categories.items()} == {
        c: list(a) for c, a in SHOP.items()
    }
    exported = tf.saved_model.load(str(export_run(run)))
    assert Schema.load(exported.schema.asset_path.numpy().decode()) == SHOP
    answers = exported.signatures["images"](images=tf.zeros([2, 32, 32, 3], tf.uint8))
    assert {c: a.shape for c, a in answers.items()} == {"season": (2, 2), "collar": (2, 3)}


@pytest.mark.slow
@pytest.mark.parametrize("categories", [1, 20])
def test_one_category_or_twenty(challenge, tmp_path, tiny, categories):
    schema = Schema.of({f"c{i}": ["x", "y", "z"] for i in range(categories)})
    schema.save(tmp_path / "many.yaml")
    for split in ("train", "val"):
        rows = [" ".join([str(i % 3)] * categories) for i in range(6)]
        write_lines(challenge / "split" / f"{split}_attr.txt", rows)
    result = train(small_config(challenge, tmp_path, schema=tmp_path / "many.yaml"))
    row = read_history(result.run)[0]
    assert list(row) == history_columns(schema) and all(row.values())
    finish_run(result.run, result.val)
    assert (result.run.directory / "curves.png").is_file()


@pytest.mark.slow
def test_a_run_of_before_there_were_schemas_has_the_builtin_one(trained, tmp_path):
    copy = shutil.copytree(trained.run.directory, tmp_path / "old")
    (copy / "schema.yaml").unlink()
    values = json.loads((copy / "config.json").read_text())
    for name in ("data", "schema", "untrained"):
        del values[name]
    values |= {"data_dir": str(trained.run.config.data_name)}
    (copy / "config.json").write_text(json.dumps(values))
    run = Run.load(copy)
    assert run.schema == SCHEMA
    assert evaluate(run, run.read_split("val")) == evaluate(trained.run, trained.val)


def test_data_of_another_schema_are_refused_with_the_categories_that_differ(
    trained, challenge, wardrobe, tmp_path
):
    write_shop(challenge)
    SHOP.save(tmp_path / "shop.yaml")
    with pytest.raises(InputError, match=r"texture is missing there.*season is only there"):
        trained.run.read_split("val", str(challenge), tmp_path / "shop.yaml")
    with pytest.raises(InputError, match=r"season is missing there.*texture is only there"):
        Run(tmp_path, TrainConfig(), SHOP).read_split("val", str(wardrobe))


def test_a_selection_of_the_builtin_categories_is_read_from_the_same_files(challenge, tmp_path):
    SCHEMA.select(["fit", "sleeve"]).save(tmp_path / "two.yaml")
    whole, some = (
        open_splits(small_config(challenge, tmp_path, schema=schema), ["train"])[0]
        for schema in (None, tmp_path / "two.yaml")
    )
    np.testing.assert_array_equal(some.labels, whole.labels[:, [5, 1]])


def labels_everywhere(folder, train: str, val: str) -> None:
    for split, row in (("train", train), ("val", val)):
        write_lines(folder / "split" / f"{split}_attr.txt", [row] * 6)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (("-1 -1 -1 -1 -1 -1", "5 0 2 0 2 2"), {}, "there is nothing to learn"),
        (("5 0 2 0 2 2", "-1 -1 -1 -1 -1 -1"), {}, "no epoch can be scored"),
        (("5 0 2 0 2 -1", "-1 -1 -1 -1 -1 2"), {}, "no epoch can be scored"),
        (("5 0 2 0 2 2", "5 0 2 0 2 2"), {"loss_weights": dict.fromkeys(SCHEMA, 0.0)}, "all 0"),
        (
            ("5 -1 -1 -1 -1 -1", "5 0 2 0 2 2"),
            {"loss_weights": {"texture": 0.0}},
            "loss weights of texture are all 0",
        ),
    ],
)
def test_what_cannot_be_learnt_is_refused_before_training(
    challenge, tmp_path, labels, options, message
):
    labels_everywhere(challenge, *labels)
    with pytest.raises(InputError, match=message):
        train(small_config(challenge, tmp_path, **options))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_category_without_training_labels_says_that_it_knows_nothing(
    challenge, tmp_path, capsys, tiny
):
    labels_everywhere(challenge, "5 0 2 0 2 -1", "5 0 2 0 2 2")
    result = train(small_config(challenge, tmp_path))
    assert "No training image is labelled in fit" in " ".join(capsys.readouterr().out.split())
    scores = evaluate(result.run, result.val)
    assert list(scores.categories) == ["texture", "sleeve", "length", "neckline", "fabric"]
    probabilities = predict_split(result.run, result.run.load_model(), result.val)
    np.testing.assert_array_equal(probabilities["fit"], np.full((6, 3), np.float32(1 / 3)))
    predictor = Predictor.of_run(result.run)
    (batch,) = predictor.stream(items_of(result.val))
    wanted = Wanted(SCHEMA, predictor.untrained)
    found = dict(answers_of(batch, wanted))
    for told in found.values():
        assert told["fit"].attribute is None
        assert told["texture"].attribute in SCHEMA["texture"]


@pytest.mark.slow
def test_two_heads_learn_the_same_alone_and_beside_unlabelled_ones(challenge, tmp_path, tiny):
    """What is not labelled changes nothing, to the last digit."""
    labels_everywhere(challenge, "5 0 -1 -1 -1 -1", "5 0 -1 -1 -1 -1")
    SCHEMA.select(["texture", "sleeve"]).save(tmp_path / "two.yaml")
    rows = []
    for schema in (None, tmp_path / "two.yaml"):
        config = small_config(challenge, tmp_path / str(bool(schema)), schema=schema, epochs=2)
        rows.append(
            [{k: v for k, v in row.items() if v} for row in read_history(train(config).run)]
        )
    assert rows[0] == rows[1]


def test_runs_that_are_none(tmp_path):
    with pytest.raises(InputError, match="There is no run directory"):
        Run.load(tmp_path / "none")
    with pytest.raises(InputError, match="is no run directory"):
        Run.load(tmp_path)
    TrainConfig().save(tmp_path / "config.json")
    with pytest.raises(InputError, match=r"model\.keras is missing"):
        Run.load(tmp_path).load_model()
    (tmp_path / "model.keras").write_text("broken")
    with pytest.raises(InputError, match="cannot be read"):
        Run.load(tmp_path).load_model()


@pytest.mark.slow
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
    assert "fit" not in scores.categories
    assert result.run.config.untrained == ("fit",)


def test_predictions_are_those_of_the_model(trained):
    run, model = trained.run, trained.run.load_model()
    probabilities = predict_split(run, model, trained.val)
    reader = DirectReader(trained.val, run.config.image_size)
    images, _ = next(
        iter(evaluation_dataset(trained.val, reader, run.normalization, batch_size=24))
    )
    for category, expected in model(images, training=False).items():
        # Batches of 20 and 4 there, one of 24 here.
        np.testing.assert_allclose(probabilities[category], expected, atol=1e-5)
    assert {len(values) for values in probabilities.values()} == {24}
    assert keras.backend.backend() == "tensorflow"


@pytest.mark.slow
def test_enlarged_boxes_train_with_a_teacher(tiny, challenge, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    options = {"box_padding": 0.1, "jitter": 0.2, "image_size": 36, "epochs": 1}
    config = small_config(challenge, tmp_path, **options)
    teacher = train(config).run
    val = teacher.read_split("val")
    assert val.padding == 0.1
    accuracies = [float(row["val_mean_accuracy"]) for row in read_history(teacher)]
    scores = answer_labelled(teacher, val).scores()
    assert scores.mean_accuracy == pytest.approx(max(accuracies), abs=1e-4)

    taught = dataclasses.replace(config, teacher=teacher.directory)
    runs = [
        train(dataclasses.replace(taught, output_dir=tmp_path / str(cache), cache=cache)).run
        for cache in ("memory", "none")
    ]
    histories = [[{**row, "seconds": 0} for row in read_history(run)] for run in runs]
    assert histories[0] == histories[1]


@pytest.mark.parametrize(
    "changed",
    [
        {"backbone": "resnet50", "variant": "keras.resnet50"},
        {"backbone": "resnet50", "variant": None},
        {"variant": "timm.legacy_seresnet50"},
        {"backbone": "efficientnetlite0", "variant": None},
        {"backbone": "keras:ResNet50", "variant": None},
    ],
)
def test_a_run_whose_configuration_names_another_network_is_refused(trained, tmp_path, changed):
    config = dataclasses.replace(trained.run.config, **changed)
    for name in ("model.keras", "schema.yaml"):
        shutil.copy(trained.run.directory / name, tmp_path)
    config.save(tmp_path / "config.json")
    with pytest.raises(InputError, match=r"is no network of .* put the files of one run together"):
        Run.load(tmp_path).load_model()


def test_a_configuration_names_categories_of_the_run(trained, tmp_path):
    values = json.loads((trained.run.directory / "config.json").read_text())
    for key, value in (("untrained", ["colour"]), ("loss_weights", {"colour": 1.0})):
        (tmp_path / "config.json").write_text(json.dumps({**values, key: value}))
        with pytest.raises(InputError, match=f"names colour in {key}, but the categories are tex"):
            Run.load(tmp_path)
