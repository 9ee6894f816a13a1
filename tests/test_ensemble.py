import dataclasses
import json

import numpy as np
import pytest
from conftest import make_tiny, small_config

from deepfashion_tf.data.check import SkippedImages
from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.images import normalize
from deepfashion_tf.data.pipeline import training_dataset
from deepfashion_tf.data.reading import DirectReader, cached_reader, crop_batches
from deepfashion_tf.doctor.suggest import _look
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.evaluate import answer
from deepfashion_tf.inference.explanations import Explainer, evidence
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.models.views import with_views
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.serving.ensemble import (
    ensemble_command,
    ensemble_runs,
    members_table,
    score_runs,
)
from deepfashion_tf.training.readers import plain_reader
from deepfashion_tf.training.run import Run
from deepfashion_tf.training.teacher import SHARE, taught_labels
from deepfashion_tf.training.train import train

SCHEMA = builtin_schema()
OPTIONS = {"heads": "attention", "tta": "flip", "batch_size": 16}


@pytest.fixture(scope="module")
def runs(wardrobe, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        make_tiny(patch)
        folder = tmp_path_factory.mktemp("runs")
        configs = [small_config(wardrobe, folder / str(s), seed=s, **OPTIONS) for s in range(2)]
        yield [train(config).run for config in configs]


def test_an_ensemble_is_a_run_that_answers_with_the_mean(runs, tmp_path):
    together = ensemble_runs(runs, tmp_path / "ensemble")
    members = json.loads((together.directory / "ensemble.json").read_text())["members"]
    assert members == [str(run.directory) for run in runs]
    split = together.read_split("val")
    alone = [answer(run, split).raw for run in runs]
    found = answer(Run.load(together.directory), split).raw
    crops = np.concatenate(list(crop_batches(split, 32)))
    predicted = Predictor.load(together.directory).answer(crops)
    for category in SCHEMA:
        expected = (alone[0][category] + alone[1][category]) / 2
        # Convolutions of other batches add up in another order.
        np.testing.assert_allclose(found[category], expected, atol=1e-5)
        np.testing.assert_allclose(predicted[category], expected, atol=1e-5)


def test_its_maps_are_the_mean_of_its_members(runs, tmp_path):
    together = ensemble_runs(runs, tmp_path / "ensemble")
    model, parts = together.load_model(), [run.load_model() for run in runs]
    crops = next(crop_batches(together.read_split("val"), 32))[:3]
    images = normalize(crops, together.normalization).numpy()
    answers = model(images)["fabric"].numpy().argmax(axis=1)
    expected = np.mean([evidence(part, images, "fabric", answers) for part in parts], axis=0)
    np.testing.assert_allclose(evidence(model, images, "fabric"), expected, atol=1e-4)
    explainer = Explainer(model, together.normalization)
    looks = [Explainer(part, together.normalization).look(crops)["fit"] for part in parts]
    np.testing.assert_allclose(explainer.look(crops)["fit"], np.mean(looks, axis=0), atol=1e-5)
    maps = explainer.explain(crops)["fabric"]
    expected = np.mean(
        [evidence(part, images, "fabric", answers, stage=explainer.stage) for part in parts], axis=0
    )
    expected = np.maximum(expected, 0)
    highest = expected.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(maps, expected / np.where(highest, highest, 1), atol=1e-3)


def test_features_for_suggestions_are_found_in_an_ensemble_too(runs, tmp_path):
    together = ensemble_runs(runs, tmp_path / "ensemble")
    features, answers = _look(together, together.read_split("test"))
    assert features.shape == (8, sum(map(len, SCHEMA.values()))) and list(answers) == list(SCHEMA)


def test_gain_and_cost_stand_in_a_table(runs, tmp_path):
    together = ensemble_runs(runs, tmp_path / "ensemble")
    split = together.read_split("test")
    alone, both = score_runs(runs, split), score_runs([together], split)
    table = members_table(alone, both)
    assert table.row_count == 4 and "8 test images" in table.title
    mean = np.mean([member.scores.mean_accuracy for member in alone])
    assert list(table.columns[2].cells)[-1] == f"{both[0].scores.mean_accuracy - mean:+.4f}"


def test_one_network_learns_what_the_ensemble_answers(runs, tmp_path, capsys):
    paths = [run.directory for run in runs]
    ensemble_command(paths, tmp_path / "ensemble", ["val", "test"], tmp_path / "one")
    one = Run.load(tmp_path / "one")
    assert one.config.teacher == tmp_path / "ensemble"
    assert (tmp_path / "ensemble" / "export" / "saved_model.pb").is_file()
    assert (one.directory / "metrics.json").is_file()
    words = capsys.readouterr().out
    assert "24 val images" in words and "8 test images" in words and "their mean" in words


def test_taught_labels_are_half_the_label_and_half_the_answer(runs, wardrobe):
    split = read_split(wardrobe, "train")
    labels = split.labels.copy()
    labels[:10, 0] = -1
    split = dataclasses.replace(split, labels=labels)
    config = dataclasses.replace(runs[0].config, teacher=runs[0].directory)
    reader = cached_reader(split, 32)
    found = taught_labels(config, split, reader)
    sums = found["texture"].sum(axis=1)
    np.testing.assert_allclose(sums[:10], SHARE, atol=1e-5)
    np.testing.assert_allclose(sums[10:], 1.0, atol=1e-5)
    crops = np.concatenate(list(crop_batches(split, 32)))
    answers = with_views(runs[0].load_model(), "flip")(normalize(crops, runs[0].normalization))
    own = np.eye(3)[split.labels_of("fit")]
    expected = (1 - SHARE) * own + SHARE * answers["fit"].numpy()
    np.testing.assert_allclose(found["fit"], expected, atol=1e-5)

    # A margin for boxes that move is not the teacher's.
    around = dataclasses.replace(split, margin=0.1)
    moving = cached_reader(around, 32)
    assert moving.margin and plain_reader(split, reader, config, SkippedImages()) is reader
    plain = plain_reader(around, moving, config, SkippedImages())
    for category, values in taught_labels(config, around, plain).items():
        np.testing.assert_array_equal(values, found[category])

    batches = training_dataset(
        split, reader, runs[0].normalization, batch_size=48, epochs=1, seed=0, targets=found
    )
    ((_, given),) = batches
    np.testing.assert_allclose(
        np.sort(given["fit"], axis=0), np.sort(found["fit"], axis=0), atol=1e-6
    )


def test_runs_that_do_not_go_together_are_told_why(runs, wardrobe, challenge, tmp_path):
    with pytest.raises(InputError, match="at least two runs"):
        ensemble_runs(runs[:1], tmp_path / "one")
    other = Run(
        runs[1].directory, dataclasses.replace(runs[1].config, tta="none", image_size=64), SCHEMA
    )
    with pytest.raises(InputError, match=r"image size is 32 here and 64 there; --tta is flip"):
        ensemble_runs([runs[0], other], tmp_path / "two")
    with pytest.raises(InputError, match="not empty"):
        ensemble_runs(runs, runs[0].directory)
    other = Run(runs[1].directory, dataclasses.replace(runs[1].config, box_padding=0.1), SCHEMA)
    with pytest.raises(InputError, match=r"--box-padding is 0\.0 here and 0\.1 there"):
        ensemble_runs([runs[0], other], tmp_path / "padded")
    foreign = dataclasses.replace(runs[1].config, data=None, data_dir=challenge)
    with pytest.raises(InputError, match="validation or test images are others"):
        ensemble_runs([runs[0], Run(runs[1].directory, foreign, SCHEMA)], tmp_path / "three")
    together = ensemble_runs(runs, tmp_path / "four")
    with pytest.raises(InputError, match="an ensemble: name its members"):
        ensemble_runs([runs[0], together], tmp_path / "five")
    split = read_split(wardrobe, "train")
    config = dataclasses.replace(runs[0].config, teacher=runs[0].directory, image_size=64)
    with pytest.raises(InputError, match=r"its --box-padding is 0\.0, this run's 0\.1"):
        padded = dataclasses.replace(config, image_size=32, box_padding=0.1)
        taught_labels(padded, split, DirectReader(split, 32))
    with pytest.raises(InputError, match=r"its pixels are 32, this run's 64\. Name a run of"):
        taught_labels(config, split, DirectReader(split, 64))
