import keras
import numpy as np
import pytest
import tensorflow as tf

from deepfashion_tf.training.losses import FocalLoss, focal_loss

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (40, 5)).astype("float32")
LABELS = RNG.integers(0, 5, 40)


def cross_entropy() -> np.ndarray:
    return keras.losses.sparse_categorical_crossentropy(LABELS, LOGITS, from_logits=True).numpy()


def p_t() -> np.ndarray:
    return tf.nn.softmax(LOGITS).numpy()[np.arange(40), LABELS]


def test_gamma_0_is_cross_entropy():
    np.testing.assert_allclose(focal_loss(LABELS, LOGITS, gamma=0.0), cross_entropy(), rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_over_cross_entropy_is_the_modulating_factor(gamma):
    ratio = focal_loss(LABELS, LOGITS, gamma).numpy() / cross_entropy()
    np.testing.assert_allclose(ratio, (1 - p_t()) ** gamma, rtol=1e-3, atol=1e-6)


def test_is_keras_focal_loss_where_that_does_not_clip():
    theirs = keras.losses.categorical_focal_crossentropy(
        tf.one_hot(LABELS, 5), LOGITS, alpha=1.0, gamma=2.0, from_logits=True
    )
    np.testing.assert_allclose(focal_loss(LABELS, LOGITS), theirs, rtol=1e-3, atol=1e-5)


def test_alpha_weighs_all_classes_or_each():
    plain = focal_loss(LABELS, LOGITS).numpy()
    np.testing.assert_allclose(focal_loss(LABELS, LOGITS, alpha=0.25), plain / 4, rtol=1e-6)
    alpha = [0.1, 0.2, 0.3, 0.4, 0.5]
    expected = plain * np.array(alpha)[LABELS]
    np.testing.assert_allclose(focal_loss(LABELS, LOGITS, alpha=alpha), expected, rtol=1e-5)


def gradient(logits, gamma: float, label: int = 0) -> np.ndarray:
    logits = tf.Variable([logits], dtype="float32")
    with tf.GradientTape() as tape:
        loss = focal_loss([label], logits, gamma)
    return tape.gradient(loss, logits).numpy()[0]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("margin", [-300.0, -50.0, 0.0, 50.0, 300.0])
def test_gradients_stay_finite(gamma, margin):
    assert np.isfinite(gradient([margin, 0.0], gamma)).all()


@pytest.mark.parametrize("margin", [-20.0, -100.0, -300.0])
def test_an_example_that_is_all_wrong_keeps_its_gradient(margin):
    """Keras' own focal loss clips probabilities, and gives 0 here."""
    np.testing.assert_allclose(gradient([margin, 0.0], 2.0), [-1.0, 1.0], rtol=1e-4)


def test_unlabelled_examples_have_no_loss_and_no_gradient():
    labels = np.where(np.arange(40) % 2, LABELS, -1)
    losses = focal_loss(labels, LOGITS).numpy()
    assert (losses[::2] == 0).all() and (losses[1::2] > 0).all()
    assert not gradient([1.0, 2.0], 2.0, label=-1).any()


def test_the_loss_of_a_batch_is_the_mean_over_its_labelled_examples():
    probabilities = tf.nn.softmax(LOGITS)
    labels = np.where(np.arange(40) % 4 == 0, LABELS, -1)
    loss = FocalLoss()(labels, probabilities)
    only = FocalLoss()(LABELS[::4], probabilities[::4])
    np.testing.assert_allclose(loss, only, rtol=1e-5)
    assert float(FocalLoss()(np.full(40, -1), probabilities)) == 0.0


def test_a_softmax_layer_hands_its_logits_over():
    """In a compiled model the loss reads logits, so saturated outputs still train."""
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Activation("softmax")(inputs))
    logits = tf.Variable([[-200.0, 0.0]])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = FocalLoss()([0], model(logits))
        return loss, tape.gradient(loss, logits)

    loss, slope = step()
    np.testing.assert_allclose(loss, 200.0, rtol=1e-5)
    np.testing.assert_allclose(slope, [[-1.0, 1.0]], rtol=1e-4)


def test_a_loss_survives_its_config():
    loss = FocalLoss(gamma=1.5, alpha=[1.0, 2.0])
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert (again.gamma, list(again.alpha)) == (1.5, [1.0, 2.0])
