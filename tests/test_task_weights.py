import numpy as np
import pytest
import tensorflow as tf
from conftest import small_config

from deepfashion_tf.evaluation.curves import plot_weights, read_history
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.training.task_weights import ALPHA, METHODS, STEP, TaskWeights
from deepfashion_tf.training.train import train

CATEGORIES = ["a", "b", "c"]
KNOWN = tf.constant([True] * 3)


def make(method, loss_weights=(1.0, 1.0, 1.0)) -> TaskWeights:
    return TaskWeights(method, CATEGORIES, loss_weights)


def values(*numbers: float) -> tf.Tensor:
    return tf.constant(numbers, tf.float32)


@pytest.mark.parametrize("method", METHODS[1:])
def test_the_factors_begin_at_1(method):
    np.testing.assert_allclose(make(method, (0.5, 1, 2)).weights(), [0.5, 1, 2])


def test_uncertainty_comes_to_rest_where_its_loss_is_least():
    """d/ds (exp(-s) L + s / 2) = 0 at exp(-s) = 1 / 2L."""
    weights, losses = make("uncertainty"), values(0.25, 1.0, 2.0)
    for _ in range(3000):
        weights.update(losses, KNOWN, None)
    np.testing.assert_allclose(weights.factors(), 1 / (2 * losses), rtol=1e-3)


def test_dwa_is_the_softmax_of_the_ratios():
    weights = make("dwa")
    rows = [{f"{c}_loss": 1.0 for c in CATEGORIES}]
    weights.begin_epoch(rows)
    np.testing.assert_array_equal(weights.factors(), np.ones(3))
    rows.append({"a_loss": 0.5, "b_loss": 1.0, "c_loss": float("nan")})
    weights.begin_epoch(rows)
    powers = np.exp(np.array([0.5, 1.0, 1.0]) / 2)  # of what is not known: as if nothing changed
    np.testing.assert_allclose(weights.factors(), 3 * powers / powers.sum(), rtol=1e-6)


def test_gradnorm_makes_gradients_alike_where_losses_fall_alike():
    weights, norms = make("gradnorm"), values(1.0, 2.0, 4.0)
    for _ in range(2000):
        weights.update(values(1.0, 1.0, 1.0), KNOWN, lambda: norms)
        assert abs(float(tf.reduce_sum(weights.factors())) - 3) < 1e-4
    own = weights.factors() * norms
    # It goes to and fro by a step.
    np.testing.assert_allclose(own, np.full(3, np.mean(own)), rtol=0.1)


def test_gradnorm_gives_more_to_what_learns_slowly():
    weights = make("gradnorm")
    weights.update(values(1.0, 1.0, 1.0), KNOWN, lambda: tf.ones(3))
    losses = values(0.5, 1.0, 1.0)
    for _ in range(2000):
        weights.update(losses, KNOWN, lambda: tf.ones(3))
    a, b, _ = weights.factors().numpy()
    assert a / b == pytest.approx(0.5**ALPHA, rel=0.2)


@pytest.mark.parametrize("method", ["uncertainty", "gradnorm"])
def test_a_batch_without_labels_changes_nothing(method):
    weights = make(method)
    weights.update(values(0.0, 3.0, 3.0), tf.constant([False, True, True]), lambda: tf.ones(3))
    factors = weights.factors().numpy()
    assert factors[0] == 1.0
    assert method == "uncertainty" or factors.sum() == pytest.approx(3)
    weights.update(values(1.0, 3.0, 3.0), KNOWN, lambda: tf.ones(3))
    if method == "gradnorm":  # whose first loss is that of the first batch with labels
        np.testing.assert_array_equal(weights.variables[1], [1.0, 3.0, 3.0])


def test_a_step_is_as_long_as_it_says():
    weights = make("uncertainty")
    weights.update(values(1.5, 0.5, 0.5), KNOWN, None)
    np.testing.assert_allclose(weights.variables[0], [STEP, 0, 0], atol=1e-7)


@pytest.mark.parametrize("heads", ["pooled", "attention"])
@pytest.mark.parametrize("method", METHODS[1:])
def test_a_training_weighs_its_losses_and_tells_so(tiny, challenge, tmp_path, method, heads):
    config = small_config(challenge, tmp_path, balance=method, heads=heads, epochs=3)
    run = train(config).run
    history = read_history(run.directory / "history.csv")
    weights = {c: history[f"{c}_weight"] for c in builtin_schema()}
    assert all(np.isfinite(found).all() for found in weights.values())
    start = builtin_schema().loss_weights
    moved = [c for c, found in weights.items() if not np.isclose(found[-1], start[c])]
    assert moved
    assert len(plot_weights(history, "weights").axes[0].lines) == 6


@pytest.mark.parametrize("method", METHODS[1:])
def test_mixed_labels_and_partial_ones_are_weighed_too(tiny, challenge, tmp_path, method):
    for row in ("-1 -1 -1 -1 -1 -1", "-1 0 2 0 2 2"):
        path = challenge / "split" / "train_attr.txt"
        path.write_text("\n".join([row, "5 -1 2 0 2 2"] * 3) + "\n")
        options = {"balance": method, "cutmix": 0.5, "mixup": 0.5, "epochs": 3, "batch_size": 2}
        folder = tmp_path / row.replace(" ", "_")
        run = train(small_config(challenge, folder, **options, label_smoothing=0.1)).run
        history = read_history(run.directory / "history.csv")
        for category in ("fabric", "fit"):
            assert np.isfinite(history[f"{category}_weight"]).all()
