import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import make_tiny, small_config

from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.images import normalize
from deepfashion_tf.data.normalization import NORMALIZATIONS, renormalization
from deepfashion_tf.data.pipeline import training_dataset
from deepfashion_tf.data.reading import DirectReader, cached_reader, crop_batches
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.evaluate import answer
from deepfashion_tf.export.formats import EXPORTERS
from deepfashion_tf.export.saved_model import export_run
from deepfashion_tf.inference.explanations import Explainer, evidence
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.models.ensemble import MemberImages, members_of, resampling_matrix
from deepfashion_tf.models.variants import VARIANTS, Variant
from deepfashion_tf.models.views import with_views
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.serving.ensemble import (
    ensemble_command,
    ensemble_runs,
    members_table,
    score_runs,
)
from deepfashion_tf.training.probe import search_heads
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


@pytest.fixture(scope="module")
def larger(wardrobe, tmp_path_factory):
    """A run of another variant, size and normalization."""
    with pytest.MonkeyPatch.context() as patch:
        name = "timm.resnet50"
        tiny = Variant("resnet50", (1, 1, 1, 1), base_width=8, normalization="caffe")
        patch.setitem(VARIANTS, name, tiny)
        options = {"variant": name, "image_size": 40, "tta": "flip", "batch_size": 16}
        yield train(small_config(wardrobe, tmp_path_factory.mktemp("larger"), **options)).run


@pytest.fixture(scope="module")
def mixed(larger, runs, tmp_path_factory):
    """An ensemble of runs of other sizes and normalizations."""
    return ensemble_runs([larger, runs[0]], tmp_path_factory.mktemp("mixed") / "ensemble")


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_gain_and_cost_stand_in_a_table(runs, tmp_path):
    together = ensemble_runs(runs, tmp_path / "ensemble")
    split = together.read_split("test")
    alone, both = score_runs(runs, split), score_runs([together], split)
    table = members_table(alone, both)
    headers = [column.header for column in table.columns]
    assert headers[1:4] == ["mean accuracy", "mean class recall", "exact match"]
    assert table.row_count == 5 and "8 test images" in table.title
    for column, name in enumerate(("mean_accuracy", "mean_class_recall", "exact_match"), start=1):
        mean = np.mean([getattr(member.scores, name) for member in alone])
        gain = getattr(both[0].scores, name) - mean
        assert list(table.columns[column].cells)[-1] == f"{gain:+.4f}"


@pytest.mark.slow
def test_one_network_learns_what_the_ensemble_answers(runs, tmp_path, capsys):
    paths = [run.directory for run in runs]
    ensemble_command(paths, tmp_path / "ensemble", ["val", "test"], tmp_path / "one")
    one = Run.load(tmp_path / "one")
    assert one.config.teacher == tmp_path / "ensemble"
    assert (tmp_path / "ensemble" / "export" / "saved_model.pb").is_file()
    assert (one.directory / "metrics.json").is_file()
    words = capsys.readouterr().out
    assert "24 val images" in words and "8 test images" in words and "their mean" in words


@pytest.mark.slow
def test_taught_labels_are_half_the_label_and_half_the_answer(
    runs, wardrobe, tmp_path, monkeypatch
):
    split = read_split(wardrobe, "train")
    labels = split.labels.copy()
    labels[:10, 0] = -1
    split = dataclasses.replace(split, labels=labels)
    config = dataclasses.replace(runs[0].config, teacher=runs[0].directory)
    reader = cached_reader(split, 32)
    found = taught_labels(config, split, lambda size: reader)
    sums = found["texture"].sum(axis=1)
    np.testing.assert_allclose(sums[:10], SHARE, atol=1e-5)
    np.testing.assert_allclose(sums[10:], 1.0, atol=1e-5)
    crops = np.concatenate(list(crop_batches(split, 32)))
    answers = with_views(runs[0].load_model(), "flip")(normalize(crops, runs[0].normalization))
    own = np.eye(3)[split.labels_of("fit")]
    expected = (1 - SHARE) * own + SHARE * answers["fit"].numpy()
    np.testing.assert_allclose(found["fit"], expected, atol=1e-5)

    batches = training_dataset(
        split, reader, runs[0].normalization, batch_size=48, epochs=1, seed=0, targets=found
    )
    ((_, given),) = batches
    np.testing.assert_allclose(
        np.sort(given["fit"], axis=0), np.sort(found["fit"], axis=0), atol=1e-6
    )


@pytest.mark.slow
def test_runs_that_do_not_go_together_are_told_why(runs, wardrobe, challenge, tmp_path):
    with pytest.raises(InputError, match="at least two runs"):
        ensemble_runs(runs[:1], tmp_path / "one")
    other = Run(runs[1].directory, dataclasses.replace(runs[1].config, tta="none"), SCHEMA)
    with pytest.raises(InputError, match=r"together: --tta is flip here and none there"):
        ensemble_runs([runs[0], other], tmp_path / "two")
    with pytest.raises(InputError, match="not empty"):
        ensemble_runs(runs, runs[0].directory)
    other = Run(runs[1].directory, dataclasses.replace(runs[1].config, box_padding=0.1), SCHEMA)
    with pytest.raises(InputError, match=r"--box-padding is 0\.0 here and 0\.1 there"):
        ensemble_runs([runs[0], other], tmp_path / "padded")
    foreign = dataclasses.replace(runs[1].config, data=str(challenge))
    with pytest.raises(InputError, match="validation or test images are others"):
        ensemble_runs([runs[0], Run(runs[1].directory, foreign, SCHEMA)], tmp_path / "three")
    together = ensemble_runs(runs, tmp_path / "four")
    with pytest.raises(InputError, match="an ensemble: name its members"):
        ensemble_runs([runs[0], together], tmp_path / "five")
    with pytest.raises(InputError, match="the first is an ensemble"):
        ensemble_runs([together, runs[0]], tmp_path / "five")
    split = read_split(wardrobe, "train")
    config = dataclasses.replace(runs[0].config, teacher=runs[0].directory, box_padding=0.1)
    with pytest.raises(InputError, match=r"its --box-padding is 0\.0, this run's 0\.1\. Name a"):
        taught_labels(config, split, lambda size: DirectReader(split, size))


def own_answers(run, images):
    """A run's own answers for crops of its size, as floating-point pixels."""
    model = with_views(run.load_model(), run.config.tta)
    return {c: v.numpy() for c, v in model(normalize(images, run.normalization)).items()}


@pytest.mark.slow
def test_members_of_other_sizes_and_normalizations_answer_as_they_would_themselves(
    runs, larger, tmp_path
):
    together = ensemble_runs([larger, runs[0]], tmp_path / "ensemble", recall_price=1.5)
    config = Run.load(together.directory).config
    assert (config.image_size, config.recall_price) == (40, 1.5)
    assert together.normalization == larger.normalization != runs[0].normalization
    assert together.network == "resnet50, 40 px + resnet50, 32 px"
    split = together.read_split("val")
    crops = np.concatenate(list(crop_batches(split, 40)))
    matrix = resampling_matrix(40, 32)
    resized = np.einsum("ih,nhwc,jw->nijc", matrix, crops.astype("float32"), matrix)
    large, small = own_answers(larger, crops), own_answers(runs[0], resized)
    found = answer(Run.load(together.directory), split).raw
    for category in SCHEMA:
        expected = (large[category] + small[category]) / 2
        np.testing.assert_allclose(found[category], expected, atol=1e-5)

    predicted = Predictor.load(together.directory).answer(crops)
    exported = Predictor.load(export_run(together)).answer(crops)
    for category in SCHEMA:
        np.testing.assert_allclose(predicted[category], found[category], atol=1e-5)
        np.testing.assert_allclose(exported[category], predicted[category], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "package"),
    [("openvino", "openvino"), ("litert", "ai_edge_litert")],
)
def test_an_ensemble_of_other_sizes_is_exported_for_each_engine(mixed, tmp_path, engine, package):
    pytest.importorskip(package)
    pytest.importorskip(engine) if engine != "litert" else None
    together = mixed
    EXPORTERS["onnx" if engine == "onnxruntime" else engine](together)
    crops = next(crop_batches(together.read_split("test"), 40))
    found = Predictor.load(together.directory, engine).answer(crops)
    expected = Predictor.of_run(together).answer(crops)
    for category in SCHEMA:
        # OpenVINO computes in bfloat16 where the processor has units for it.
        np.testing.assert_allclose(found[category], expected[category], atol=0.02)


@pytest.mark.slow
def test_maps_of_members_of_other_sizes_are_enlarged_to_the_finest(mixed, runs):
    model = mixed.load_model()
    crops = next(crop_batches(mixed.read_split("test"), 40))[:2]
    images = normalize(crops, mixed.normalization).numpy()
    large, small = members_of(model)
    answers = model(images)["fabric"].numpy().argmax(axis=1)
    ask = {"category": "fabric", "class_id": answers, "stage": 3}
    fine = evidence(large.model, images, **ask)
    coarse = evidence(small.model, small.images(images), **ask)
    assert (fine.shape, coarse.shape) == ((2, 5, 5), (2, 4, 4))
    enlarged = tf.image.resize(coarse[..., None], (5, 5))[..., 0]
    expected = (fine + enlarged.numpy()) / 2
    np.testing.assert_allclose(evidence(model, images, "fabric", stage=3), expected, atol=1e-5)
    explainer = Explainer(model, mixed.normalization)
    assert explainer.stage == 3
    expected = np.maximum(expected, 0)
    highest = expected.max(axis=(1, 2), keepdims=True)
    maps = explainer.explain(crops)["fabric"]
    np.testing.assert_allclose(maps, expected / np.where(highest, highest, 1), atol=1e-3)
    looks = explainer.look(crops)["fit"]
    prepared = small.images(tf.constant(images))
    alone = Explainer(small.model, runs[0].normalization)._look_at(prepared)["fit"]
    np.testing.assert_array_equal(looks, alone)  # the other member's heads do not look


@pytest.mark.slow
def test_a_teacher_answers_at_its_own_size_once(mixed, wardrobe, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    split = read_split(wardrobe, "train")
    student = small_config(wardrobe, tmp_path, batch_size=16, teacher=mixed.directory)
    asked = []

    def reader_of(size):
        asked.append(size)
        return DirectReader(split, size)

    found = taught_labels(student, split, reader_of)
    expected = answer(mixed, split).raw
    for category in SCHEMA:
        own = np.eye(len(SCHEMA[category]))[split.labels_of(category)]
        labels = (1 - SHARE) * own + SHARE * expected[category]
        np.testing.assert_allclose(found[category], labels, atol=1e-5)
    again = taught_labels(student, split, reader_of)
    assert asked == [40]
    for category in SCHEMA:
        np.testing.assert_array_equal(found[category], again[category])

    # A second student finds the answers, too.
    other = dataclasses.replace(student, jitter=0.1, cache="none")
    with pytest.MonkeyPatch.context() as patch:
        make_tiny(patch)
        patch.setattr("deepfashion_tf.training.teacher._answering", None)
        run = train(other).run
    assert run.config.image_size == 32 and run.model_path.is_file()


@pytest.mark.slow
def test_heads_are_searched_with_a_teachers_answers(mixed, wardrobe, tmp_path, monkeypatch):
    """The student learns from features, as recipe probe does."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    given = []

    def search(schema, train, *others, **options):
        given.append(train[1])
        return search_heads(schema, train, *others, **options)

    monkeypatch.setattr("deepfashion_tf.training.start.search_heads", search)
    make_tiny(monkeypatch)
    options = {"heads": "multiscale", "search_heads": True, "freeze_stages": -1}
    student = small_config(
        wardrobe, tmp_path, batch_size=16, teacher=mixed.directory, gamma=0.0, **options
    )
    assert train(student).run.model_path.is_file()
    split = read_split(wardrobe, "train")
    expected = taught_labels(student, split, lambda size: DirectReader(split, size))
    for category in SCHEMA:
        np.testing.assert_allclose(given[0][category], expected[category], atol=1e-5)


@pytest.mark.parametrize(("side", "size"), [(260, 224), (240, 224), (64, 16), (41, 32)])
def test_crops_are_resized_as_tensorflow_does_by_lanczos5(side, size):
    images = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype("float32")
    expected = tf.image.resize(images, (size, size), "lanczos5", antialias=True)
    # Of grey levels up to 255; TensorFlow's places are float32.
    np.testing.assert_allclose(MemberImages(size)(images), expected, atol=0.02)


@pytest.mark.parametrize("source", NORMALIZATIONS)
@pytest.mark.parametrize("target", NORMALIZATIONS)
def test_renormalized_pixels_are_those_of_the_other_normalization(source, target):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), np.uint8)
    one, other = NORMALIZATIONS[source], NORMALIZATIONS[target]
    found = MemberImages(5, *renormalization(one, other))(normalize(pixels, one))
    # Of values up to 128 in float32.
    np.testing.assert_allclose(found, normalize(pixels, other), atol=1e-4)
