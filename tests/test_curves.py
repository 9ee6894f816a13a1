from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from deepfashion_tf.evaluation.curves import plot_curves, read_history, save_curves
from deepfashion_tf.evaluation.evaluate import evaluate
from deepfashion_tf.evaluation.scores import score
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()


@pytest.fixture(scope="module")
def scores(trained):
    return evaluate(trained.run, trained.val)


def test_the_curves_show_the_history(trained, scores):
    history = read_history(trained.run.directory / "history.csv")
    figure = plot_curves(history, scores, "a run")
    drawn = {axis.get_title("left"): axis for axis in figure.axes if axis.get_title("left")}
    assert set(drawn) == set(SCHEMA)
    for category, axis in drawn.items():
        validation, training = axis.lines[:2]
        np.testing.assert_array_equal(validation.get_ydata(), history[f"val_{category}_accuracy"])
        np.testing.assert_array_equal(training.get_ydata(), history[f"{category}_accuracy"])
        baseline = scores.categories[category].majority_baseline
        assert any(line.get_ydata()[0] == baseline for line in axis.lines)
    plt.close(figure)


def test_a_category_without_labels_is_said_to_be_none(trained):
    history = read_history(trained.run.directory / "history.csv")
    history["val_fit_accuracy"] = [np.nan] * 2
    labels = trained.val.labels.copy()
    labels[:, 5] = -1
    figure = plot_curves(
        history, score(replace(trained.val, labels=labels), labels.clip(0)), "a run"
    )
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert texts == ["not labelled"]
    plt.close(figure)


def test_the_file_is_a_picture_and_nothing_is_drawn_of_nothing(trained, scores, tmp_path):
    save_curves(trained.run.directory / "history.csv", scores, "a run", tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size[0] > 800
    save_curves(tmp_path / "none.csv", scores, "a run", tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
