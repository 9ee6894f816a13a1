from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from deepfashion_tf.evaluation.curves import (
    plot_curves,
    plot_means,
    read_history,
    save_curves,
    smooth,
)
from deepfashion_tf.evaluation.evaluate import evaluate
from deepfashion_tf.evaluation.scores import score
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()


@pytest.fixture(scope="module")
def scores(trained):
    return evaluate(trained.run, trained.val)


def test_the_curves_show_the_history(trained, scores):
    history = read_history(trained.run.directory / "history.csv")
    figure = plot_curves({"a run": [history]}, scores, "a run")
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
    unlabelled = score(replace(trained.val, labels=labels), labels.clip(0))
    figure = plot_curves({"a run": [history]}, unlabelled, "a run")
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert texts == ["not labelled"]
    plt.close(figure)


def test_the_file_is_a_picture_and_nothing_is_drawn_of_nothing(trained, scores, tmp_path):
    save_curves(trained.run.directory / "history.csv", scores, "a run", tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size[0] > 800
    save_curves(tmp_path / "none.csv", scores, "a run", tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_several_runs_are_drawn_as_means_over_their_seeds(trained, scores):
    history = read_history(trained.run.directory / "history.csv")
    higher = {name: [value + 0.1 for value in values] for name, values in history.items()}
    higher["epoch"] = history["epoch"]
    figure = plot_curves({"a": [history, higher], "b": [history]}, scores, "two runs")
    axis = next(axis for axis in figure.axes if axis.get_title("left") == "fit")
    expected = np.array(history["val_fit_accuracy"]) + 0.05
    np.testing.assert_allclose(axis.lines[0].get_ydata(), expected)
    assert len(axis.collections) == 1, "a band for the run with two seeds"
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[:3] == ["a", "b", "validation: mean of 2 seeds, and range"]
    plt.close(figure)


def test_smoothing_is_the_exponential_mean_and_is_stated(trained, scores):
    np.testing.assert_allclose(smooth([1.0, 2.0, 4.0], 0.5), [1.0, 1.5, 2.75])
    np.testing.assert_array_equal(smooth([1.0, np.nan, 4.0], 0.5), [1.0, np.nan, 4.0])
    np.testing.assert_array_equal(smooth([3.0, 1.0], 0.0), [3.0, 1.0])
    history = read_history(trained.run.directory / "history.csv")
    figure = plot_means({"a": [history]}, 0.5, "smoothed", smoothing=0.5)
    assert any("smoothed by 0.5" in text.get_text() for text in figure.legends[0].get_texts())
    plt.close(figure)


def test_the_mean_loss_counts_every_category_once(trained):
    history = read_history(trained.run.directory / "history.csv")
    figure = plot_means({"a": [history]}, 0.5, "a run")
    accuracy, loss = figure.axes
    expected = np.mean([history[f"val_{category}_loss"] for category in SCHEMA], axis=0)
    np.testing.assert_allclose(loss.lines[0].get_ydata(), expected)
    np.testing.assert_allclose(accuracy.lines[1].get_ydata(), history["mean_accuracy"])
    plt.close(figure)
    figure = plot_means({"a": [history]}, 0.5, "other losses", with_loss=False)
    assert len(figure.axes) == 1
    plt.close(figure)
