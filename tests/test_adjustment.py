"""Adjustment after training, on posterior probabilities that are known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import make_tiny, small_config

from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.command import evaluate_command
from deepfashion_tf.evaluation.evaluate import Answered, answer_labelled
from deepfashion_tf.evaluation.finish import finish_run
from deepfashion_tf.evaluation.report import write_report
from deepfashion_tf.evaluation.scores import Scores
from deepfashion_tf.evaluation.table import remarks
from deepfashion_tf.inference.adjustment import (
    RECALL_WEIGHTS,
    TAUS,
    Tradeoff,
    power_offsets,
    recall_offsets,
    shares_of,
)
from deepfashion_tf.inference.calibration import (
    CALIBRATION_FILE,
    Calibration,
    logits_of,
    scale,
    unscale,
    weigh_recall,
)
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.training.train import train

COUNTS = {"sleeve": np.array([900, 80, 20]), "fit": np.array([600, 400])}
SHARES = {category: shares_of(counts) for category, counts in COUNTS.items()}
ONES = dict.fromkeys(COUNTS, 1.0)
SCHEMA = builtin_schema()


def drawn(count: int, seed: int = 0, temperature: float = 1.0):
    """Draws features and labels; gives probabilities as of logits times `temperature`, labels."""
    rng = np.random.default_rng(seed)
    probabilities, labels = {}, {}
    for category, shares in SHARES.items():
        classes = len(shares)
        labels[category] = rng.choice(classes, count, p=shares)
        features = np.eye(classes)[labels[category]] * 1.6 + rng.normal(size=(count, classes))
        # Gaussians of the same width: log p is linear in the features.
        logits = temperature * (1.6 * features + np.log(shares))
        probabilities[category] = scale(np.exp(logits), 1.0)
    return probabilities, labels


def answers(probabilities, offsets):
    return {c: (logits_of(p) + offsets[c]).argmax(axis=1) for c, p in probabilities.items()}


def test_nothing_changes_at_0_and_with_equal_shares():
    for offsets in (recall_offsets(SHARES, ONES, 0.0), power_offsets(SHARES, 0.0)):
        for values in offsets.values():
            np.testing.assert_array_equal(values, 0)
    even = {"sleeve": np.full(3, 1 / 3), "fit": np.full(3, 1 / 3)}
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], 50)
    for offsets in (recall_offsets(even, ONES, 0.7), power_offsets(even, 1.3)):
        np.testing.assert_allclose(scale(probabilities, 1.0, offsets["fit"]), probabilities)


def test_all_of_recall_is_the_power_1_of_the_shares():
    probabilities, _ = drawn(200)
    found, expected = recall_offsets(SHARES, ONES, 1.0), power_offsets(SHARES, 1.0)
    for category, values in probabilities.items():
        balanced = values / SHARES[category]
        balanced /= balanced.sum(axis=1, keepdims=True)
        for offsets in (found, expected):
            # Probabilities below the least are taken as that.
            np.testing.assert_allclose(scale(values, 1.0, offsets[category]), balanced, atol=1e-9)


def test_with_posterior_probabilities_all_of_recall_is_the_balanced_bayes_answer():
    probabilities, _ = drawn(300)
    found = answers(probabilities, recall_offsets(SHARES, ONES, 1.0))
    for category, shares in SHARES.items():
        # The density of the features under each class, which knows of no shares.
        density = np.log(probabilities[category]) - np.log(shares)
        np.testing.assert_array_equal(found[category], density.argmax(axis=1))


def test_no_power_and_no_other_weight_has_a_better_sum_of_both_scores():
    probabilities, labels = drawn(40_000)
    weighed = weigh_recall(probabilities, labels, SHARES, ONES)
    logits = {category: logits_of(values) for category, values in probabilities.items()}
    powers = Tradeoff.of(logits, labels, TAUS, [power_offsets(SHARES, tau) for tau in TAUS])
    for weight in (0.2, 0.5, 0.8):
        place = RECALL_WEIGHTS.index(weight)
        accuracies, recalls = np.array([*weighed.accuracies]), np.array([*weighed.recalls])
        objective = (1 - weight) * accuracies + weight * recalls
        others = (1 - weight) * np.array(powers.accuracies) + weight * np.array(powers.recalls)
        # A rare class has 800 images: its recall is known to within 0.015, a third of it counts.
        assert objective[place] > max(*objective, *others) - 0.003


def test_the_networks_own_temperature_does_not_change_the_choice():
    plain, _ = drawn(4000)
    sure, _ = drawn(4000, temperature=1.5)
    expected = answers(plain, recall_offsets(SHARES, ONES, 0.6))
    found = answers(sure, recall_offsets(SHARES, dict.fromkeys(COUNTS, 1.5), 0.6))
    for category in COUNTS:
        np.testing.assert_array_equal(found[category], expected[category])


@pytest.mark.parametrize("price", [0.5, 2.0, 5.0])
def test_the_price_is_kept_and_bought_for(price):
    probabilities, labels = drawn(2000, temperature=0.6)
    fitted = Calibration.fit(probabilities, labels, SHARES, price)
    before, after = (
        Tradeoff.of(p, labels, [0.0], [{}]) for p in (probabilities, fitted.scale(probabilities))
    )
    cost = 100 * (before.accuracies[0] - after.accuracies[0])
    assert cost <= price + 1e-6 and after.recalls[0] > before.recalls[0] + 0.02
    assert 0 < fitted.recall_weight <= 1 and fitted.recall_price == price
    # What may be accepted is counted on the answers as they are given.
    for category, values in fitted.scale(probabilities).items():
        coverage = fitted[category].coverage
        wrong = (values.argmax(axis=1) != labels[category]).sum()
        assert coverage.accepted[-1] == 2000 and coverage.wrong[-1] == wrong


def test_one_weight_keeps_the_price_on_other_images_on_average():
    costs, gains = [], []
    other, other_labels = drawn(20_000, seed=10_000)
    base = Tradeoff.of(other, other_labels, [0.0], [{}])
    for seed in range(20):
        fitted = Calibration.fit(*drawn(1000, seed), SHARES, 1.5)
        found = Tradeoff.of(fitted.scale(other), other_labels, [0.0], [{}])
        costs.append(100 * (base.accuracies[0] - found.accuracies[0]))
        gains.append(found.recalls[0] - base.recalls[0])
    # The standard error of the mean of 20 costs is about 0.15.
    assert np.mean(costs) < 1.5 + 0.4 and np.mean(gains) > 0.03


def test_without_a_price_answers_stay_and_unlabelled_categories_do_not_count():
    probabilities, labels = drawn(300)
    labels["fit"] = np.full(300, -1)
    free = Calibration.fit(probabilities, labels, SHARES)
    assert list(free) == ["sleeve"] and free["sleeve"].offsets == () and free.recall_weight == 0
    np.testing.assert_allclose(free["sleeve"].shares, SHARES["sleeve"])
    assert Calibration.fit(probabilities, labels).shares is None
    priced = Calibration.fit(probabilities, labels, SHARES, 3.0)
    assert list(priced) == ["sleeve"] and any(priced["sleeve"].offsets)
    np.testing.assert_array_equal(
        priced.scale(probabilities)["fit"].argmax(axis=1), probabilities["fit"].argmax(axis=1)
    )
    with pytest.raises(InputError, match="labels of the training images"):
        Calibration.fit(probabilities, labels, None, 3.0)


def test_an_attribute_without_training_images_is_finite_and_never_favoured():
    shares = {"sleeve": shares_of(np.array([500, 10, 0])), "fit": SHARES["fit"]}
    for offsets in (recall_offsets(shares, ONES, 0.9), power_offsets(shares, 1.0)):
        assert offsets["sleeve"][2] == offsets["sleeve"].min() == offsets["sleeve"][0]
    probabilities, labels = drawn(500)
    probabilities["sleeve"][:, 2] = 0
    labels["sleeve"][labels["sleeve"] == 2] = -1
    found = Calibration.fit(probabilities, labels, shares, 100.0)
    for values in found.scale(probabilities).values():
        assert np.isfinite(values).all()
        np.testing.assert_allclose(values.sum(axis=1), 1)


def test_what_was_adjusted_is_found_again():
    probabilities, _ = drawn(100)
    offsets = recall_offsets(SHARES, ONES, 0.5)["sleeve"]
    adjusted = scale(probabilities["sleeve"], 1.7, offsets)
    np.testing.assert_allclose(unscale(adjusted, 1.7, offsets), probabilities["sleeve"], atol=1e-9)


def test_a_file_keeps_it_and_one_of_before_is_read(tmp_path):
    path = tmp_path / CALIBRATION_FILE
    fitted = Calibration.fit(*drawn(500), SHARES, 2.0)
    fitted.save(path)
    loaded = Calibration.load(path)
    assert loaded == fitted
    assert (loaded.recall_price, loaded.recall_weight) == (2.0, fitted.recall_weight)
    old = {
        category: {name: found[name] for name in ("temperature", "coverage")}
        for category, found in json.loads(path.read_text())["categories"].items()
    }
    path.write_text(json.dumps(old))
    loaded = Calibration.load(path)
    assert list(loaded) == list(COUNTS) and loaded.recall_price == 0 and loaded.shares is None
    assert loaded.offsets("sleeve") == () and loaded["sleeve"].coverage == fitted["sleeve"].coverage


@pytest.fixture(scope="module")
def finished(wardrobe, tmp_path_factory):
    """A run of one epoch that was trained with a price."""
    with pytest.MonkeyPatch.context() as patch:
        make_tiny(patch)
        folder = tmp_path_factory.mktemp("finished")
        config = small_config(wardrobe, folder, batch_size=16, recall_price=20.0)
        result = train(config)
        finish_run(result.run, result.val)
        yield result


@pytest.mark.slow
def test_a_run_with_a_price_scores_its_adjusted_answers(finished, tmp_path):
    run = finished.run
    scores = Scores.load(run.directory / "metrics.json")
    calibration = Calibration.load(run.directory / CALIBRATION_FILE)
    assert calibration.recall_price == scores.adjustment.recall_price == 20.0
    assert (run.directory / "tradeoff.png").stat().st_size > 10_000
    answered = answer_labelled(run, finished.val)
    adjusted = answered.calibration.scale(answered.raw)
    for category, values in adjusted.items():
        right = values.argmax(axis=1) == finished.val.labels_of(category)
        assert scores.categories[category].accuracy == pytest.approx(right.mean())
    plain = Answered(answered.split, answered.raw, Calibration()).scores()
    assert scores.adjustment.mean_accuracy_before == pytest.approx(plain.mean_accuracy)
    assert plain.mean_accuracy - scores.mean_accuracy <= 0.2 + 1e-9
    assert scores.mean_class_recall >= plain.mean_class_recall
    assert [line for line in remarks(scores) if line.startswith("--recall-price 20 (weight")]
    assert plain.adjustment is None and "price" not in " ".join(remarks(plain))
    write_report(run, answered, scores, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "What recall of rare attributes costs" in page
    # Confusion, reliability, coverage, the price; and a crop a mistake.
    assert page.count("<img") > 4


@pytest.mark.slow
def test_a_price_is_set_without_training_and_stays(finished, capsys):
    run = Run.load(finished.run.directory)
    names = ("data", "schema", "tta")
    usual = {"run": run.directory, **dict.fromkeys(names), "report": False}
    usual |= {"split": "val", "engine": "tensorflow", "recall_price": None}

    def evaluate(**options) -> Calibration:
        evaluate_command(SimpleNamespace(**(usual | options)))
        return Calibration.load(run.directory / CALIBRATION_FILE)

    first = Calibration.load(run.directory / CALIBRATION_FILE)
    assert evaluate() == first
    off = evaluate(recall_price=0.0)
    assert off.recall_weight == 0 and not off.offsets("texture")
    assert evaluate().recall_price == 0
    capsys.readouterr()
    again = evaluate(recall_price=20.0)
    assert again == first and again.recall_weight == first.recall_weight
    scores, own = (run.directory / name for name in ("metrics-val.json", "metrics.json"))
    assert Scores.load(own).adjustment == Scores.load(scores).adjustment
    assert Scores.load(own).adjustment.recall_price == 20
    assert "--recall-price 20" in capsys.readouterr().out
    assert Predictor.load(run.directory).calibration == first
    for options in ({"split": "test"}, {"tta": "flip"}, {"data": "elsewhere", "split": "val"}):
        with pytest.raises(InputError):
            evaluate(recall_price=1.0, **options)
    with pytest.raises(InputError, match="must lie between 0 and 100"):
        evaluate(recall_price=-1.0)
    assert Calibration.load(run.directory / CALIBRATION_FILE) == first
