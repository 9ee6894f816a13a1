import json

import numpy as np
import pytest
from conftest import labelled

from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.evaluation.scores import Scores, score
from deepfashion_tf.evaluation.table import print_scores, remarks
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()

RNG = np.random.default_rng(0)
SIZES = np.array([len(attributes) for attributes in SCHEMA.values()])


def random_labels(count: int) -> np.ndarray:
    return RNG.integers(0, SIZES, (count, 6))


def test_right_answers_score_1_and_wrong_ones_0():
    labels = random_labels(500)
    assert score(labelled(labels), labels).mean_accuracy == 1.0
    assert score(labelled(labels), labels).mean_class_recall == 1.0
    assert score(labelled(labels), (labels + 1) % SIZES).mean_accuracy == 0.0


def test_the_baseline_is_the_best_constant_answer():
    labels = random_labels(500)
    for column, (category, attributes) in enumerate(SCHEMA.items()):
        constant = [
            score(labelled(labels), np.full((500, 6), i)).categories[category].accuracy
            for i in range(len(attributes))
        ]
        right = score(labelled(labels), labels)
        assert right.categories[category].majority_baseline == max(constant)
        assert np.bincount(labels[:, column]).max() / 500 == max(constant)


def test_mean_accuracy_is_the_challenges():
    """4959 of 6000 right answers on 1,000 images are 0.8265."""
    labels = random_labels(1000)
    answers = labels.copy()
    wrong = RNG.permutation(6000)[: 6000 - 4959]
    answers.flat[wrong] = (answers.flat[wrong] + 1) % np.tile(SIZES, 1000)[wrong]
    assert score(labelled(labels, "test"), answers).mean_accuracy == pytest.approx(0.8265)


def test_class_recall_is_a_mean_over_classes_and_not_over_images():
    labels = np.zeros((10, 6), int)
    labels[:2, 1] = 1
    answers = np.zeros((10, 6), int)
    scores = score(labelled(labels), answers)
    assert scores.categories["sleeve"].class_recall == {
        "long_sleeve": 1.0,
        "short_sleeve": 0.0,
        "sleeveless": None,
    }
    # Seven classes have images; six of them are answered rightly.
    assert scores.mean_class_recall == pytest.approx(6 / 7)
    assert scores.majority_class_recall == pytest.approx(6 / 7)
    assert len(scores.classes_without_images) == 26 - 7


def test_unlabelled_images_do_not_count():
    labels = random_labels(100)
    answers = random_labels(100)
    hidden = labels.copy()
    hidden[50:, 2] = -1
    hidden[:, 5] = -1
    scores = score(labelled(hidden), answers)
    only = score(labelled(labels[:50]), answers[:50])
    assert scores.categories["length"] == only.categories["length"]
    assert scores.categories["fit"].accuracy is None
    accuracies = [s.accuracy for s in scores.categories.values() if s.images]
    assert len(accuracies) == 5
    assert scores.mean_accuracy == pytest.approx(np.mean(accuracies))


def test_exact_match_counts_images_labelled_in_all_categories():
    labels = np.array([[0] * 6, [0] * 6, [0] * 5 + [1], [0] * 5 + [-1], [1] * 6])
    answers = np.array([[0] * 6, [0] * 5 + [2], [0] * 5 + [1], [0] * 6, [1] * 6])
    scores = score(labelled(labels), answers)
    # Right: the first, the third and the fifth of the four that are labelled in all.
    assert (scores.exact_match_images, scores.exact_match) == (4, 0.75)
    # Fit is 0 twice and 1 twice: 0, the first, is the commonest with 0 elsewhere.
    assert scores.majority_exact_match == 0.5
    hits = Answers(SCHEMA, range(5), answers, answers, labels, answers).exact_hits
    np.testing.assert_array_equal(hits[:, 0], [1, 0, 1, np.nan, 1])


def test_without_an_image_labelled_in_all_categories_exact_match_is_left_out(tmp_path, capsys):
    labels = random_labels(60)
    labels[:30, 0], labels[30:, 1] = -1, -1
    scores = score(labelled(labels), labels)
    assert scores.exact_match is None and scores.majority_exact_match is None
    assert "No image is labelled in all categories: exact match is left out." in remarks(scores)
    print_scores(scores, "test")
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "exact match  " in line)
    assert line.split()[3:] == ["│", "0", "│", "-", "│", "-", "│", "-", "│"]
    scores.save(tmp_path / "metrics.json")
    assert Scores.load(tmp_path / "metrics.json") == scores


def test_scores_of_before_exact_match_are_read(tmp_path):
    path = tmp_path / "metrics.json"
    score(labelled(random_labels(60)), random_labels(60)).save(path)
    document = json.loads(path.read_text())
    for name in ("exact_match", "majority_exact_match", "exact_match_images"):
        del document[name]
    path.write_text(json.dumps(document))
    assert Scores.load(path).exact_match is None


def test_metrics_json_has_the_documented_shape(tmp_path):
    labels = random_labels(60)
    scores = score(labelled(labels), random_labels(60))
    scores.save(tmp_path / "metrics.json")
    assert Scores.load(tmp_path / "metrics.json") == scores
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["split"] == "val" and found["images"] == 60
    assert found["mean_accuracy"] == pytest.approx(scores.mean_accuracy)
    assert {"mean_class_recall", "majority_baseline", "categories"} <= set(found)
    assert found["exact_match"] == scores.exact_match and found["exact_match_images"] == 60
    assert list(found["categories"]) == list(SCHEMA)
    for category, attributes in SCHEMA.items():
        entry = found["categories"][category]
        assert {"accuracy", "majority_baseline", "class_recall"} <= set(entry)
        assert list(entry["class_recall"]) == list(attributes)


def test_a_model_that_is_no_better_than_the_baseline_says_so(capsys):
    labels = random_labels(200)
    majority = np.tile([np.bincount(column).argmax() for column in labels.T], (200, 1))
    scores = score(labelled(labels), majority)
    assert scores.beaten_by_baseline == list(SCHEMA)
    print_scores(scores, "test")
    printed = " ".join(capsys.readouterr().out.split())
    assert "beats the majority baseline in no category" in printed
    assert printed.count("not above") == 6


def test_one_category_below_its_baseline_is_marked(capsys):
    labels = random_labels(200)
    answers = labels.copy()
    answers[:, 4] = (answers[:, 4] + 1) % 6
    scores = score(labelled(labels), answers)
    assert scores.beaten_by_baseline == ["fabric"]
    assert "Not above the majority baseline: fabric." in remarks(scores)
    print_scores(scores, "test")
    assert capsys.readouterr().out.count("not above") == 1
