import keras
import numpy as np
import pytest
from conftest import randomize

from deepfashion_tf.models.attention import AttentionPooling
from deepfashion_tf.models.attribute_model import build_model
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()


@pytest.fixture
def features() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = ((3, 7), (3, 4, 5, 6), (3, 2, 2, 10))
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def test_it_begins_as_the_plain_average(features):
    pooled, *maps = features
    expected = np.concatenate([pooled, *(x.mean(axis=(1, 2)) for x in maps)], axis=1)
    for found in AttentionPooling(["a", "b"])(features):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_each_category_has_its_own_weighted_mean(features):
    layer = AttentionPooling(["a", "b", "c"])
    layer.build([x.shape for x in features])
    randomize(layer)
    pooled, *maps = features
    for k, found in enumerate(layer(features)):
        parts = [pooled]
        for x, queries in zip(maps, layer.queries, strict=True):
            scores = np.exp(x @ queries.numpy()[:, k] / np.sqrt(x.shape[-1]))
            weights = scores / scores.sum(axis=(1, 2), keepdims=True)
            parts.append((weights[..., None] * x).sum(axis=(1, 2)))
        np.testing.assert_allclose(found, np.concatenate(parts, axis=1), rtol=1e-4, atol=1e-6)
    for attention, x in zip(layer.attend(maps), maps, strict=True):
        assert attention.shape == (*x.shape[:3], 3)
        np.testing.assert_allclose(np.sum(attention, axis=(1, 2)), 1.0, rtol=1e-5)


@pytest.mark.slow
def test_a_head_can_learn_where_to_look():
    """The label is the sign of the one place that is marked; the average of all says nothing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 4, 4, 2)).astype("float32")
    x[..., 1] = 0
    rows, places = np.arange(512), rng.integers(0, 4, (2, 512))
    x[rows, places[0], places[1], 1] = 8.0
    labels = (x[rows, places[0], places[1], 0] > 0).astype("int32")
    inputs = [keras.Input((1,)), keras.Input((4, 4, 2))]
    keras.utils.set_random_seed(0)
    (features,) = AttentionPooling(["marked"])(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(features))
    model.compile(
        keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    before = model.evaluate([np.zeros((512, 1)), x], labels, verbose=0)[1]
    model.fit([np.zeros((512, 1)), x], labels, epochs=20, verbose=0)
    assert before < 0.75 < 0.95 < model.evaluate([np.zeros((512, 1)), x], labels, verbose=0)[1]


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_model_with_heads_that_look_is_saved_whole(tiny, tmp_path, precision):
    options = {"image_size": 64, "heads": "attention"}
    model = randomize(build_model(SCHEMA, "resnet50", **options, precision=precision))
    assert model.get_layer("fabric").kernel.shape == (2048 + 512 + 1024, 6)
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    expected = model(images)
    assert list(expected) == list(SCHEMA)
    for category, values in reloaded(images).items():
        assert values.dtype == "float32"
        np.testing.assert_allclose(values, expected[category], atol=1e-6)


def test_what_does_not_go_together_is_refused():
    for options, words in (
        ({"heads": "eyes"}, "unknown heads 'eyes': one of logits, pooled, multiscale, attention"),
        ({"heads": "attention", "fc_layers": 2}, "attention heads have none"),
    ):
        with pytest.raises(ValueError, match=words):
            build_model(SCHEMA, "resnet50", image_size=32, **options)
