import keras
import numpy as np
import pytest
from conftest import randomize, small_config

from deepfashion_tf.data.images import normalize
from deepfashion_tf.data.normalization import NORMALIZATIONS
from deepfashion_tf.data.reading import crop_batches
from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.explanations import Explainer, evidence, grad_cam, overlay
from deepfashion_tf.models.attribute_model import build_model
from deepfashion_tf.models.stages import stage_output
from deepfashion_tf.schema import Schema
from deepfashion_tf.training.train import train

SCHEMA = Schema.of(
    {
        "season": ["summer", "winter"],
        "collar": ["none", "polo", "shirt"],
        "fc_barcelona": ["home", "away"],
    }
)
SIZE = 96


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(5, SIZE, SIZE, 3)).astype("float32")


def build(backbone: str = "resnet50", **options) -> keras.Model:
    return randomize(build_model(SCHEMA, backbone, image_size=SIZE, **options))


def cut(model: keras.Model, stage: int) -> tuple[keras.Model, keras.Model]:
    """Gives the tiny backbone up to a stage's feature map, and from there on."""
    network = model.get_layer("resnet50")
    feature_map = network.get_layer(f"conv{stage}_block1_out").output
    return keras.Model(network.input, feature_map), keras.Model(feature_map, network.output)


def test_with_a_head_on_the_average_it_is_the_class_activation_map(tiny, images):
    """Zhou et al. 2016, eqs. 1 and 2; the average's gradient spreads over the cells."""
    model = build(heads="pooled")
    feature_map = cut(model, 5)[0](images).numpy()
    assert feature_map.shape == (5, 3, 3, 2048)
    for class_id, kernel in enumerate(model.get_layer("collar").kernel.numpy().T):
        found = evidence(model, images, "collar", class_id)
        # Sums of 2048 products in another order.
        np.testing.assert_allclose(found, feature_map @ kernel / 9, rtol=1e-3, atol=1e-5)
        logits = feature_map.mean(axis=(1, 2)) @ kernel
        np.testing.assert_allclose(found.sum(axis=(1, 2)), logits, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("heads", ["pooled", "logits"])
@pytest.mark.parametrize("fc_layers", [0, 2, 4])
@pytest.mark.parametrize("stage", [4, 5])
def test_channels_are_weighted_by_the_numerical_gradient(tiny, images, heads, fc_layers, stage):
    """What the logit gains where a whole channel grows is the gradient's sum over cells (eq. 1)."""
    model = build(heads=heads, fc_layers=fc_layers)
    below, above = cut(model, stage)
    dense = [model.get_layer(f"fc{number + 1}") for number in range(fc_layers)]
    head = model.get_layer("season")

    def answer(maps: np.ndarray) -> np.ndarray:
        features = above(maps)
        for layer in dense:
            features = layer(features)
        return (features @ head.kernel + head.bias).numpy().astype("float64")

    feature_map = below(images[:1]).numpy()
    expected = keras.ops.softmax(answer(feature_map))
    np.testing.assert_allclose(model(images[:1])["season"], expected, atol=1e-5)

    step = 1e-2
    shifts = step * np.eye(feature_map.shape[-1], dtype="float32")[:, None, None]
    gains = np.concatenate(
        [
            answer(feature_map + some)[:, 1] - answer(feature_map - some)[:, 1]
            for some in np.array_split(shifts, 16)
        ]
    )
    cells = feature_map.shape[1] * feature_map.shape[2]
    expected = feature_map[0] @ (gains / (2 * step) / cells)
    found = evidence(model, images[:1], "season", 1, stage=stage)[0]
    # Differences of float32 logits; a ReLU may switch within the step.
    np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("stage", [3, 4, 5])
def test_heads_that_look_are_explained_by_the_numerical_gradient(tiny, images, stage):
    model = build(heads="attention")
    network, attention = model.get_layer("resnet50"), model.get_layer("attention_pooling")
    feature_map = stage_output(network, stage)
    above = {
        later: keras.Model(feature_map, output)
        for later, output in zip((5, 3, 4), network.outputs, strict=True)
        if later > stage or later == 5
    }
    before = dict(zip((5, 3, 4), network(images[:1]), strict=True))
    start = keras.Model(network.input, feature_map)(images[:1]).numpy()
    head = model.get_layer("collar")

    def answer(maps: np.ndarray) -> np.ndarray:
        read = []
        for place in (5, 3, 4):  # the pooled features come first
            if place in above:
                read.append(above[place](maps))
            else:
                kept = maps if place == stage else np.repeat(before[place], len(maps), axis=0)
                read.append(kept)
        return (attention(read)[1] @ head.kernel + head.bias).numpy().astype("float64")

    expected = keras.ops.softmax(answer(start))
    np.testing.assert_allclose(model(images[:1])["collar"], expected, atol=1e-5)

    step = 1e-2
    shifts = step * np.eye(start.shape[-1], dtype="float32")[:, None, None]
    gains = (answer(start + shifts) - answer(start - shifts))[:, 2]
    expected = start[0] @ (gains / (2 * step) / (start.shape[1] * start.shape[2]))
    found = evidence(model, images[:1], "collar", 2, stage=stage)[0]
    # Differences of float32 logits; a ReLU may switch within the step.
    np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())


@pytest.mark.slow
def test_what_a_head_looks_at_is_shown(tiny, tmp_path):
    crops = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)
    normalization = NORMALIZATIONS["torch"]
    assert Explainer(build(), normalization).look(crops) == {}
    model = build_model(SCHEMA, "resnet50", image_size=SIZE, heads="attention")
    for maps in Explainer(model, normalization).look(crops).values():
        np.testing.assert_allclose(maps, np.ones((3, 12, 12)), rtol=1e-5)  # not trained
    queries = model.get_layer("attention_pooling").queries
    queries[0].assign(np.random.default_rng(2).normal(size=queries[0].shape))
    model.save(tmp_path / "model.keras")
    found = Explainer(keras.models.load_model(tmp_path / "model.keras"), normalization).look(crops)
    network = model.get_layer("resnet50")
    features = network(normalize(crops, normalization))[1].numpy()
    scores = features @ queries[0].numpy() / np.sqrt(features.shape[-1])
    for place, (category, maps) in enumerate(found.items()):
        assert category == list(SCHEMA)[place]
        # The other map is looked at everywhere alike.
        alone = np.exp(scores[..., place] - scores[..., place].max(axis=(1, 2), keepdims=True))
        np.testing.assert_allclose(maps, (alone + 1) / 2, rtol=1e-3)


def test_a_map_does_not_depend_on_the_rest_of_the_batch(tiny, images):
    model = build(fc_layers=2)
    together = grad_cam(model, images, "collar")
    assert together.shape == (5, 3, 3) and together.dtype == np.float32
    for others in ({"batch_size": 1}, {"batch_size": 3}):
        # Convolutions of other batches add up in another order.
        found = grad_cam(model, images, "collar", **others)
        np.testing.assert_allclose(found, together, atol=1e-4)
    backwards = grad_cam(model, images[::-1], "collar")[::-1]
    np.testing.assert_allclose(backwards, together, atol=1e-4)


@pytest.mark.slow
def test_without_a_question_the_answer_is_explained(tiny, images):
    model = build()
    answers = np.argmax(model(images)["collar"], axis=1)
    asked = evidence(model, images, "collar", answers)
    np.testing.assert_array_equal(evidence(model, images, "collar"), asked)
    for class_id in range(3):
        rows = answers == class_id
        alone = evidence(model, images, "collar", class_id)
        np.testing.assert_allclose(alone[rows], asked[rows], atol=1e-4)


def test_maps_are_what_speaks_for_it_up_to_1(tiny, images):
    model = build()
    signed, maps = (f(model, images, "season", 0, stage=3) for f in (evidence, grad_cam))
    assert maps.shape == (5, 12, 12)
    np.testing.assert_array_equal(maps > 0, signed > 0)
    np.testing.assert_array_equal(maps.max(axis=(1, 2)), 1.0)
    # One quotient, as the map is made: a product of it would round once more.
    highest = signed.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(maps, signed * (signed > 0) / highest)


@pytest.mark.slow
@pytest.mark.parametrize("fc_layers", [0, 2])
def test_the_explainer_draws_the_maps_of_all_categories_at_once(tiny, fc_layers):
    model = build(fc_layers=fc_layers)
    crops = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)
    normalization = NORMALIZATIONS["torch"]
    explainer = Explainer(model, normalization)
    assert explainer.stage == 4  # 6 x 6 cells; the last stage has 3 x 3
    found = explainer.explain(crops)
    assert list(found) == list(SCHEMA)
    for category, maps in found.items():
        expected = grad_cam(model, normalize(crops, normalization).numpy(), category, stage=4)
        np.testing.assert_allclose(maps, expected, atol=1e-4)
    # Answers may be others than the network's own.
    images = normalize(crops, normalization).numpy()
    found = explainer.explain(crops, {category: np.ones(3, int) for category in SCHEMA})
    for category, maps in found.items():
        expected = grad_cam(model, images, category, 1, stage=4)
        np.testing.assert_allclose(maps, expected, atol=1e-4)


def test_a_category_that_was_not_learnt_has_no_evidence(tiny, images):
    model = build_model(SCHEMA, "resnet50", image_size=SIZE, untrained=["season"])
    np.testing.assert_array_equal(grad_cam(model, images, "season"), np.zeros((5, 3, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet50", "seresnext50"])
def test_a_reloaded_model_of_any_backbone_has_the_same_maps(backbone, images, tmp_path):
    model = build(backbone)
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    expected = evidence(model, images[:2], "collar", 1, stage=4)
    assert expected.shape == (2, 6, 6) and np.abs(expected).max() > 0
    found = evidence(reloaded, images[:2], "collar", 1, stage=4)
    # Convolutions may add up in another order.
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_run_of_any_precision_explains_its_crops(tiny, challenge, tmp_path, precision):
    config = small_config(challenge, tmp_path, image_size=64, precision=precision)
    run = train(config).run
    crops = next(crop_batches(run.read_split("val"), 64))
    maps = grad_cam(run, crops, "neckline", 2)
    assert maps.shape == (6, 2, 2) and maps.dtype == np.float32 and np.isfinite(maps).all()
    model = run.load_model()
    normalized = normalize(crops, run.normalization)
    np.testing.assert_array_equal(grad_cam(model, normalized, "neckline", 2), maps)

    plain = build_model(run.schema, "resnet50", image_size=64)
    plain.set_weights(model.get_weights())
    expected = evidence(plain, normalized, "neckline", 2)
    found = evidence(model, normalized, "neckline", 2)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_a_wrong_question_is_one_sentence(tiny, images):
    model = build()
    with pytest.raises(
        InputError, match=r"not answer 'colour': name one of season, collar, fc_barcelona\."
    ):
        grad_cam(model, images, "colour")
    for class_id in (2, -1, [0, 1, 2, 0, 0]):
        with pytest.raises(InputError, match=r"season has no class .*: its class ids are 0 to 1"):
            grad_cam(model, images, "season", class_id)
    with pytest.raises(InputError, match="has no stage 6: name one of 2 to 5"):
        grad_cam(model, images, "season", stage=6)


def test_an_overlay_is_the_grey_image_where_nothing_speaks():
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    heat = np.zeros((2, 2), np.float32)
    grey = np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1)
    assert overlay(image, heat).dtype == np.uint8
    # Rounded once.
    np.testing.assert_allclose(overlay(image, heat), grey, atol=0.5)
    heat[0, 1] = 1.0
    changed = np.abs(overlay(image, heat) - grey).max(axis=-1)
    assert changed[:10, -7:].min() > 10 and changed[30:, :7].max() <= 0.5
