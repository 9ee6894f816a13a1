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


def test_a_label_as_shares_of_its_class_alone_is_the_label():
    shares = np.eye(5, dtype="float32")[LABELS]
    found = focal_loss(shares, LOGITS, 2.0, [0.1, 0.2, 0.3, 0.4, 0.5])
    expected = focal_loss(LABELS, LOGITS, 2.0, [0.1, 0.2, 0.3, 0.4, 0.5])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_of_soft_labels_the_losses_of_the_classes_are_shared():
    shares = RNG.dirichlet(np.ones(5), 40).astype("float32")
    alone = np.stack([focal_loss(np.full(40, k), LOGITS) for k in range(5)], axis=1)
    found = focal_loss(shares, LOGITS)
    np.testing.assert_allclose(found, (shares * alone).sum(axis=1), rtol=1e-4)
    theirs = keras.losses.categorical_crossentropy(shares, LOGITS, from_logits=True)
    np.testing.assert_allclose(focal_loss(shares, LOGITS, 0.0), theirs, rtol=1e-4)


def test_smoothing_is_that_of_keras():
    theirs = keras.losses.categorical_crossentropy(
        tf.one_hot(LABELS, 5), LOGITS, from_logits=True, label_smoothing=0.1
    )
    loss = FocalLoss(gamma=0.0, smoothing=0.1)
    probabilities = tf.nn.softmax(LOGITS)
    np.testing.assert_allclose(loss.per_example(LABELS, probabilities), theirs, rtol=1e-3)
    assert not np.any(loss.per_example(np.full(40, -1), probabilities))


def test_what_is_half_labelled_counts_half_in_the_mean():
    probabilities = tf.nn.softmax(LOGITS)
    shares = np.eye(5, dtype="float32")[LABELS]
    shares[::2] *= 0.5
    losses = focal_loss(LABELS, LOGITS).numpy()
    weights = np.where(np.arange(40) % 2, 1.0, 0.5)
    expected = (weights * losses).sum() / weights.sum()
    np.testing.assert_allclose(FocalLoss()(shares, probabilities), expected, rtol=1e-4)


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


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_labels_of_every_shape_that_keras_takes_have_one_loss(dtype):
    probabilities = tf.nn.softmax(LOGITS)
    labels = np.where(np.arange(40) % 4 == 0, -1, LABELS).astype(dtype)
    shares = np.where(labels[:, None] >= 0, np.eye(5)[labels.astype(int)], 0).astype("float32")
    for loss in (FocalLoss(), FocalLoss(0.0, smoothing=0.1), FocalLoss(1.0, [1, 2, 3, 4, 5])):
        expected = float(loss(labels, probabilities))
        assert float(loss(labels[:, None], probabilities)) == pytest.approx(expected, rel=1e-5)
        assert float(loss(shares, probabilities)) == pytest.approx(expected, rel=1e-5)


def test_gamma_0_is_keras_cross_entropy_of_labels_in_a_column():
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours = FocalLoss(gamma=0.0, from_logits=True)
    np.testing.assert_allclose(
        ours(LABELS[:, None], LOGITS), theirs(LABELS[:, None], LOGITS), rtol=1e-5
    )


def test_logits_have_the_loss_of_their_probabilities():
    for options in ({}, {"smoothing": 0.1}):
        of_logits = FocalLoss(from_logits=True, **options)
        again = FocalLoss.from_config(of_logits.get_config())
        expected = FocalLoss(**options)(LABELS, tf.nn.softmax(LOGITS))
        np.testing.assert_allclose(again(LABELS, LOGITS), expected, rtol=1e-4)


@pytest.mark.parametrize("shape", [(40, 4), (40, 6), (40, 5, 1), (40, 1, 1), ()])
def test_labels_of_another_number_of_classes_are_refused(shape):
    for options in ({}, {"smoothing": 0.1}):
        with pytest.raises(ValueError, match="do not fit 5 classes: give class ids"):
            FocalLoss(**options)(np.zeros(shape, "float32"), tf.nn.softmax(LOGITS))


def test_labels_of_another_batch_are_refused():
    for count in (1, 39):
        with pytest.raises(ValueError, match=f"Labels of {count} examples do not fit .* 40"):
            FocalLoss()(LABELS[:count], tf.nn.softmax(LOGITS))


def test_of_one_class_every_label_has_the_loss_0():
    ones = np.ones((3, 1), "float32")
    for labels in ([0, 0, -1], [[0], [0], [-1]]):
        assert float(FocalLoss()(np.array(labels), ones)) == 0
    with pytest.raises(ValueError, match="do not fit 1 classes"):
        FocalLoss()(np.eye(3, dtype="float32"), ones)


def test_labels_whose_shape_the_batch_alone_knows_have_the_same_loss():
    probabilities, loss = tf.nn.softmax(LOGITS), FocalLoss()
    specs = [tf.TensorSpec([None, None]), tf.TensorSpec([None, 5])]
    of_any = tf.function(loss.__call__, input_signature=specs)
    expected = float(loss(LABELS, probabilities))
    shares = np.eye(5, dtype="float32")[LABELS]
    column = LABELS[:, None].astype("float32")
    for labels in (shares, column):
        assert float(of_any(labels, probabilities)) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="do not fit 5 classes"):
        of_any(shares[:, :3], probabilities)
    rankless = [tf.TensorSpec(None), tf.TensorSpec([None, 5])]
    with pytest.raises(ValueError, match="of unknown rank do not fit"):
        tf.function(loss.__call__, input_signature=rankless)(column, probabilities)


def test_lists_of_numbers_have_the_loss_of_arrays():
    probabilities = tf.nn.softmax(LOGITS).numpy()
    expected = float(FocalLoss()(LABELS, probabilities))
    assert float(FocalLoss()(LABELS.tolist(), probabilities.tolist())) == pytest.approx(expected)


def test_an_id_that_is_no_class_is_no_example_without_a_label():
    # Ids that count from 1 would never train the last class.
    for labels in (LABELS + 1, LABELS[:, None] + 1):
        assert np.isnan(float(FocalLoss()(labels, tf.nn.softmax(LOGITS))))


@pytest.mark.parametrize("shape", [(2, 20, 5), (5,)])
def test_answers_that_are_no_classifiers_are_refused(shape):
    with pytest.raises(ValueError, match=r"are none of a classifier: give \[n, classes\]"):
        FocalLoss(from_logits=True)(np.zeros(shape[0], "int32"), np.zeros(shape, "float32"))


@pytest.mark.parametrize(
    "options", [{"gamma": -1.0}, {"gamma": float("nan")}, {"alpha": [1, -1]}, {"smoothing": 1.0}]
)
def test_numbers_that_no_loss_can_have_are_refused(options):
    with pytest.raises(ValueError, match="FocalLoss takes gamma >= 0"):
        FocalLoss(**options)
