"""The long tail: weights, priors, frequencies, and the recall that they are for."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import labelled, small_config
from keras import ops

from deepfashion_tf.data.balance import (
    BETA,
    CAP,
    class_weights,
    count_classes,
    log_priors,
    sampling_weights,
)
from deepfashion_tf.data.pipeline import _draw_order, _epoch_key
from deepfashion_tf.evaluation.curves import read_history
from deepfashion_tf.evaluation.evaluate import answer_labelled
from deepfashion_tf.training.losses import FocalLoss, focal_loss
from deepfashion_tf.training.metrics import ClassesSeen, ClassRecall
from deepfashion_tf.training.train import train

COUNTS = np.array([2000, 500, 250, 1000])


@pytest.mark.parametrize("method", ["none", "inverse", "effective"])
def test_over_the_images_weights_have_the_mean_1(method):
    for counts in (COUNTS, np.array([5, 0, 3])):
        assert (class_weights(counts, method) * counts).sum() == pytest.approx(counts.sum())


def test_inverse_weights_make_classes_count_alike_up_to_a_cap():
    weights = class_weights(COUNTS, "inverse")
    np.testing.assert_allclose(weights * COUNTS, (weights * COUNTS)[0])
    capped = class_weights(np.array([5000, 10]), "inverse")
    assert capped[1] / capped[0] == pytest.approx(CAP)


def test_effective_weights_are_the_papers():
    weights = class_weights(COUNTS, "effective")
    effective = (1 - BETA**COUNTS) / (1 - BETA)
    np.testing.assert_allclose(weights * effective, (weights * effective)[0])
    # Of few images each counts, of many nobody counts any more.
    few, many = (class_weights(np.array(c), "effective") for c in ([1, 2], [20_000, 40_000]))
    assert few[0] / few[1] == pytest.approx(2, rel=0.01)
    assert many[0] / many[1] == pytest.approx(1, rel=0.01)


def test_a_loss_with_offsets_is_that_of_shifted_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20, 4)).astype("float32")
    labels = rng.integers(-1, 4, 20)
    loss = FocalLoss(gamma=1.5, offsets=tuple(log_priors(COUNTS)))
    found = loss.per_example(labels, ops.softmax(ops.convert_to_tensor(logits)))
    expected = focal_loss(labels, logits + log_priors(COUNTS).astype("float32"), gamma=1.5)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert FocalLoss.from_config(loss.get_config()).offsets == loss.offsets


def test_images_that_say_nothing_are_answered_evenly_under_logit_adjustment():
    """Menon et al. 2021: what is learnt is p(class | image) / p(class), here 1 for all."""
    labels = np.repeat(np.arange(4), COUNTS)
    for tau, expected in ((0.0, COUNTS / COUNTS.sum()), (1.0, np.full(4, 0.25))):
        loss = FocalLoss(gamma=0.0, offsets=tuple(tau * log_priors(COUNTS)))
        logits = tf.Variable(tf.zeros([4]))
        for _ in range(300):
            with tf.GradientTape() as tape:
                spread = tf.repeat(logits[None], len(labels), axis=0)
                value = tf.reduce_mean(loss.per_example(labels, tf.nn.softmax(spread)))
            logits.assign_sub(4.0 * tape.gradient(value, logits))
        np.testing.assert_allclose(tf.nn.softmax(logits), expected, atol=2e-3)


def test_an_images_rarest_label_says_how_often_it_is_shown():
    labels = np.zeros((1000, 6), np.int32)
    labels[:10, 4] = 3  # leather: a share of 0.01 among 6
    labels[10:20, 4] = -1
    weights = sampling_weights(labelled(labels, "train"))
    ratio = weights[0] / weights[20]
    share = 10 / 990
    assert ratio == pytest.approx(np.sqrt(1 / (6 * share)))
    assert weights[10] == weights[20] and weights.mean() == pytest.approx(1)
    assert count_classes(labelled(labels))["fabric"].tolist() == [980, 0, 0, 10, 0, 0]


def test_an_epoch_shows_images_as_often_as_they_weigh():
    weights = np.array([0.4] * 50 + [1.0] * 30 + [2.5] * 20)
    weights /= weights.mean()
    times = np.zeros(100)
    for epoch in range(60):
        key = _epoch_key(3, tf.constant(epoch, tf.int64))
        order = _draw_order(100, key, weights).numpy()
        seen = np.bincount(order, minlength=100)
        assert (seen >= np.floor(weights)).all() and (seen <= np.ceil(weights)).all()
        times += seen
        np.testing.assert_array_equal(order, _draw_order(100, key, weights).numpy())
    # Half of 0.4 / 0.94 is 0.21 in 60 epochs: 5 standard errors.
    np.testing.assert_allclose(times / 60, weights, atol=5 * 0.5 / np.sqrt(60))
    even = _draw_order(100, key, np.ones(100)).numpy()
    assert sorted(even) == list(range(100))


def test_recall_is_meant_over_the_classes_that_there_are():
    recall, seen = ClassRecall(4), ClassesSeen(4)
    for labels, answers in (([0, 0, 1], [0, 1, 1]), ([0, -1, 3], [0, 2, 2])):
        probabilities = np.eye(4, dtype="float32")[answers]
        recall.update_state(np.array(labels), probabilities)
        seen.update_state(np.array(labels), probabilities)
    assert float(recall.result()) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert float(seen.result()) == 3
    recall.reset_state()
    assert np.isnan(float(recall.result()))


def test_history_has_the_recall_that_evaluation_finds(trained):
    history = read_history(trained.run.directory / "history.csv")
    best = int(np.argmax(history["val_mean_accuracy"]))
    scores = answer_labelled(trained.run, trained.val).scores()
    assert history["val_mean_class_recall"][best] == pytest.approx(scores.mean_class_recall)
    assert history["val_mean_accuracy"][best] == pytest.approx(scores.mean_accuracy)


def test_everything_together_trains_and_selects_by_recall(tiny, challenge, tmp_path):
    options = {"class_balance": "effective", "sampling": "class_aware", "logit_adjustment": 1.0}
    config = small_config(
        challenge, tmp_path, epochs=3, select="mean_class_recall", seed=1, **options
    )
    run = train(config).run
    history = read_history(run.directory / "history.csv")
    scores = answer_labelled(run, run.read_split("val")).scores()
    assert scores.mean_class_recall == pytest.approx(max(history["val_mean_class_recall"]))
