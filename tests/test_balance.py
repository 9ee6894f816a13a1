"""The long tail: how many images an attribute has, and the recall of rare ones."""

import numpy as np
import pytest
from conftest import labelled

from deepfashion_tf.data.balance import count_classes
from deepfashion_tf.evaluation.curves import read_history
from deepfashion_tf.evaluation.evaluate import answer_labelled
from deepfashion_tf.training.metrics import ClassesSeen, ClassRecall


def test_images_are_counted_by_attribute():
    labels = np.zeros((1000, 6), np.int32)
    labels[:10, 4] = 3
    labels[10:20, 4] = -1
    assert count_classes(labelled(labels))["fabric"].tolist() == [980, 0, 0, 10, 0, 0]


def test_recall_is_meant_over_the_classes_that_there_are():
    recall, seen = ClassRecall(4), ClassesSeen(4)
    for labels, answers in (([0, 0, 1], [0, 1, 1]), ([0, -1, 3], [0, 2, 2])):
        probabilities = np.eye(4, dtype="float32")[answers]
        recall.update_state(np.array(labels), probabilities)
        seen.update_state(np.array(labels), probabilities)
    assert float(recall.result()) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert float(seen.result()) == 3
    recall.reset_state()
    assert np.isnan(float(recall.result()))


def test_history_has_the_recall_that_evaluation_finds(trained):
    history = read_history(trained.run.directory / "history.csv")
    best = int(np.argmax(history["val_mean_accuracy"]))
    scores = answer_labelled(trained.run, trained.val).scores()
    assert history["val_mean_class_recall"][best] == pytest.approx(scores.mean_class_recall)
    assert history["val_mean_accuracy"][best] == pytest.approx(scores.mean_accuracy)
