from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import labelled
from matplotlib.colors import to_rgb

from deepfashion_tf.colours import colours
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.evaluation.confusion import (
    confusion_matrix,
    most_confident_mistakes,
    plot_confusions,
)
from deepfashion_tf.evaluation.scores import score
from deepfashion_tf.schema import Schema

SCHEMA = Schema.of(
    {
        "fit": ["tight", "loose"],
        "collar": ["none", "polo", "shirt"],
        "season": ["summer", "winter"],
        "sole": [f"s{i}" for i in range(9)],
    }
)


@pytest.fixture
def split():
    rng = np.random.default_rng(0)
    labels = np.stack([rng.integers(-1, len(a), 200) for a in SCHEMA.values()], axis=1)
    labels[:, 2] = -1
    labels[labels[:, 1] == 1, 1] = 0  # no polo
    return labelled(labels.astype(np.int32), schema=SCHEMA)


@pytest.fixture
def answers(split) -> Answers:
    rng = np.random.default_rng(1)
    return Answers.of(
        split, {name: rng.dirichlet(np.ones(len(a)), 200) for name, a in SCHEMA.items()}
    )


def test_rows_are_labels_and_columns_answers(answers):
    for column, (category, attributes) in enumerate(SCHEMA.items()):
        counts = confusion_matrix(answers, category)
        pairs = list(zip(answers.labels[:, column], answers.answers[:, column], strict=True))
        classes = range(len(attributes))
        assert counts.tolist() == [[pairs.count((i, j)) for j in classes] for i in classes]


def test_the_diagonal_is_what_the_scores_count(split, answers):
    scores = score(split, answers.answers)
    for category, found in scores.categories.items():
        counts = confusion_matrix(answers, category)
        assert counts.sum() == found.images
        if found.images:
            assert np.trace(counts) / counts.sum() == found.accuracy
        for total, hits, recall in zip(
            counts.sum(axis=1), np.diag(counts), found.class_recall.values(), strict=True
        ):
            assert recall == (hits / total if total else None)


def test_a_category_without_answers_is_one_sentence(answers):
    with pytest.raises(InputError, match="no answers in 'colour': name one of fit, collar"):
        confusion_matrix(answers, "colour")


def test_mistakes_come_in_order_and_none_is_missing(answers):
    mistakes = most_confident_mistakes(answers)
    found = [mistake.probability for mistake in mistakes]
    assert found == sorted(found, reverse=True)
    assert (
        len({(m.row, m.category) for m in mistakes}) == len(mistakes) == np.sum(answers.hits == 0)
    )
    for mistake in mistakes:
        column = list(SCHEMA).index(mistake.category)
        attributes = SCHEMA[mistake.category]
        assert mistake.answered == attributes[answers.answers[mistake.row, column]]
        assert mistake.labelled == attributes[answers.labels[mistake.row, column]]
        assert mistake.answered != mistake.labelled
        assert mistake.probability == answers.probabilities[mistake.row, column]


def test_equal_mistakes_keep_the_order_of_the_images(answers):
    sure = replace(answers, probabilities=np.ones_like(answers.probabilities))
    places = [(m.row, list(SCHEMA).index(m.category)) for m in most_confident_mistakes(sure)]
    assert places == sorted(places)


def test_who_answers_rightly_makes_no_mistake(answers):
    assert most_confident_mistakes(replace(answers, answers=answers.labels)) == []


def test_the_figure_has_the_counts_in_the_colours_of_the_categories(answers):
    figure = plot_confusions(answers, "a run")
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in shown] == list(SCHEMA)
    for axis, (category, colour) in zip(shown, colours(list(SCHEMA)).items(), strict=True):
        counts = confusion_matrix(answers, category)
        written = {text.get_position(): int(text.get_text()) for text in axis.texts}
        kept = counts.sum(axis=1) > 0
        assert written == {(j, i): n for (i, j), n in np.ndenumerate(counts) if kept[i]}
        (image,) = axis.images
        np.testing.assert_allclose(image.get_array().sum(axis=1), kept)
        assert image.cmap(1.0)[:3] == pytest.approx(to_rgb(colour)) and image.cmap(0.0) == (
            1,
            1,
            1,
            1,
        )
        assert [t.get_text() for t in axis.get_yticklabels()] == list(SCHEMA[category])
        assert (axis.get_xlabel(), axis.get_ylabel()) == ("answered", "labelled")
    plt.close(figure)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_any_number_of_categories_fits(count):
    schema = Schema.of({f"c{i}": ["yes", "no"] for i in range(count)})
    split = labelled(np.zeros((4, count), np.int32), schema=schema)
    answers = Answers.of(split, {name: np.tile([0.4, 0.6], (4, 1)) for name in schema})
    figure = plot_confusions(answers, "a run")
    assert sum(axis.get_visible() for axis in figure.axes) == count
    plt.close(figure)
