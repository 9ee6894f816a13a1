import numpy as np

from deepfashion_tf.training.losses import FocalLoss
from deepfashion_tf.training.metrics import LabelledMean, is_right

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])


def test_accuracy_counts_labelled_examples_over_all_batches():
    metric = LabelledMean(is_right, "accuracy")
    metric.update_state([0, -1, 0, 0], PROBABILITIES)
    metric.update_state([-1, 1, -1, -1], PROBABILITIES)
    metric.update_state([-1] * 4, PROBABILITIES)
    # Right, unlabelled, wrong, right; then one right.
    assert float(metric.result()) == 0.75
    metric.reset_state()
    assert np.isnan(float(metric.result()))


def test_the_loss_is_averaged_over_examples_and_not_over_batches():
    loss = FocalLoss()
    metric = LabelledMean(loss.per_example, "labelled_loss")
    metric.update_state([0, -1, -1, -1], PROBABILITIES)
    metric.update_state([0, 1, 2, 0], PROBABILITIES)
    all_labelled = np.concatenate([PROBABILITIES[:1], PROBABILITIES])
    expected = loss(np.array([0, 0, 1, 2, 0]), all_labelled)
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-5)
