from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from conftest import small_config

from deepfashion_tf.data.images import normalize
from deepfashion_tf.data.reading import crop_batches
from deepfashion_tf.evaluation.command import evaluate_command
from deepfashion_tf.evaluation.evaluate import answer
from deepfashion_tf.export.saved_model import export_run
from deepfashion_tf.inference.exported import digest_of
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.models.views import VIEWS, views_of, with_views
from deepfashion_tf.runs.run import Run
from deepfashion_tf.training.train import train


def test_the_views_are_the_image_its_middle_and_their_mirror_images():
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    found = {tta: views_of(tf.constant(images), tta).numpy() for tta in VIEWS}
    for tta, count in VIEWS.items():
        assert found[tta].shape == (2 * count, 32, 32, 3)
        np.testing.assert_array_equal(found[tta][:2], images)
    np.testing.assert_array_equal(found["flip"][2:], images[:, :, ::-1])
    middle = found["crops"][2:4]
    np.testing.assert_allclose(middle, tf.image.resize(images[:, 1:31, 1:31], (32, 32)))
    np.testing.assert_array_equal(found["crops"][4:], found["crops"][:4, :, ::-1])


@pytest.mark.slow
@pytest.mark.parametrize("tta", ["flip", "crops"])
def test_what_is_exported_is_what_is_scored_the_mean_over_the_views(tiny, challenge, tmp_path, tta):
    run = train(small_config(challenge, tmp_path, tta=tta)).run
    split = run.read_split("val")
    crops = next(crop_batches(split, 32))
    model = run.load_model()
    views = views_of(normalize(tf.constant(crops), run.normalization), tta).numpy()
    alone = {name: values.numpy() for name, values in model(views).items()}
    scored = answer(run, split).probabilities
    exported = Predictor.load(export_run(run)).answer(crops)
    predicted = Predictor.of_run(run).answer(crops)
    for category, values in alone.items():
        expected = values.reshape(VIEWS[tta], len(crops), -1).mean(axis=0)
        for found in (scored, exported, predicted):
            # Convolutions of other batches add up in another order.
            np.testing.assert_allclose(found[category], expected, atol=1e-5)


@pytest.mark.slow
def test_the_mirror_image_gets_the_same_answer(tiny, challenge, tmp_path):
    run = train(small_config(challenge, tmp_path)).run
    images = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype("float32")
    for tta in ("flip", "crops"):
        answer_views = with_views(run.load_model(), tta)
        one, other = answer_views(images), answer_views(images[:, :, ::-1])
        for category, values in one.items():
            np.testing.assert_allclose(values, other[category], atol=1e-5)


@pytest.mark.slow
def test_other_views_than_the_runs_own_are_told_with_gain_and_cost(
    tiny, challenge, tmp_path, capsys
):
    from types import SimpleNamespace

    run = train(small_config(challenge, tmp_path)).run
    before = sorted(path.name for path in run.directory.iterdir())
    options = SimpleNamespace(
        run=run.directory,
        data=None,
        schema=None,
        split="val",
        engine="tensorflow",
        tta="flip",
        recall_price=None,
        report=False,
    )
    evaluate_command(options)
    words = " ".join(capsys.readouterr().out.split())
    assert "--tta flip instead of none: mean accuracy 0." in words
    assert "times as many seconds" in words
    new = {path.name for path in run.directory.iterdir()} - set(before)
    assert new == {"metrics-val-flip.json", "answers-val-flip.csv"}


@pytest.mark.slow
def test_an_export_of_other_views_is_not_the_runs(tiny, challenge, tmp_path):
    run = train(small_config(challenge, tmp_path)).run
    others = [Run(run.directory, replace(run.config, tta=tta), run.schema) for tta in VIEWS]
    assert len({digest_of(other) for other in others}) == len(VIEWS)
