"""Wrong labels: planted ones are among the least believed, and the corrected table is read back."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from conftest import labelled

from deepfashion_tf.doctor.check import check_data
from deepfashion_tf.doctor.noise import (
    estimate_noise,
    find_doubts,
    fold_of,
)
from deepfashion_tf.doctor.options import Options
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.relabel import read_doubts, write_doubts
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()
SLEEVE = SCHEMA.select(["sleeve"])


def planted(count: int = 1000, share: float = 0.05, skill: float = 3.0, seed: int = 0):
    """Labels of which a share was swapped, and what a model makes of the images.

    Returns:
        The split, the probabilities, and which labels are wrong.
    """
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, count, p=[0.3, 0.2, 0.5])
    logits = rng.normal(size=(count, 3)) + skill * np.eye(3)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    is_wrong = rng.uniform(size=count) < share
    labels = np.where(is_wrong, (truth + rng.integers(1, 3, count)) % 3, truth)
    return (
        labelled(labels[:, None].astype(np.int32), "all", SLEEVE),
        {"sleeve": probabilities.astype("float32")},
        is_wrong,
    )


def test_planted_labels_are_the_least_believed():
    split, probabilities, is_wrong = planted()
    doubts = find_doubts(split, probabilities)
    assert len(doubts) == 1000
    assert [d.belief for d in doubts] == sorted(d.belief for d in doubts)
    first = {doubt.row for doubt in doubts[:100]}
    assert len(first & set(np.flatnonzero(is_wrong))) >= 0.9 * is_wrong.sum()
    found = {doubt.row for doubt in doubts if doubt.is_issue}
    assert np.mean([is_wrong[row] for row in found]) > 0.7


def test_a_hard_category_does_not_hide_the_wrong_labels_of_an_easy_one():
    (easy, known, is_wrong), (hard, guessed, _) = planted(400), planted(400, skill=0.5, seed=1)
    both = builtin_schema().select(["sleeve", "length"])
    split = replace(easy, schema=both, labels=np.concatenate([easy.labels, hard.labels], axis=1))
    doubts = find_doubts(split, {"sleeve": known["sleeve"], "length": guessed["sleeve"]})
    first = doubts[:80]
    assert sum(doubt.category == "sleeve" for doubt in first) == 40
    found = {doubt.row for doubt in first if doubt.category == "sleeve"}
    assert len(found & set(np.flatnonzero(is_wrong))) >= 0.8 * is_wrong.sum()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_the_estimate_is_near_what_was_planted(share):
    split, probabilities, is_wrong = planted(3000, share, skill=5.0)
    found = estimate_noise(split, probabilities)["sleeve"]
    assert found.low <= found.share <= found.high
    assert found.share == pytest.approx(is_wrong.mean(), abs=0.02)


def test_what_is_not_labelled_is_not_doubted_and_unseen_classes_do_no_harm():
    split, probabilities, _ = planted(200)
    labels = np.where(split.labels == 1, -1, split.labels)
    split = replace(split, labels=labels)
    doubts = find_doubts(split, probabilities)
    assert {doubt.row for doubt in doubts} == set(np.flatnonzero(labels[:, 0] >= 0))
    assert {doubt.label for doubt in doubts} == {"long_sleeve", "sleeveless"}
    assert list(estimate_noise(split, probabilities)) == ["sleeve"]
    lonely = replace(split, labels=np.zeros_like(labels))
    assert find_doubts(lonely, probabilities) == [] and estimate_noise(lonely, probabilities) == {}


def test_folds_are_even_and_do_not_cut_groups():
    groups = np.concatenate([np.arange(80), np.full(5, 3), np.full(15, 7)])
    fold = fold_of(groups, 4)
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
    assert np.bincount(fold, minlength=4).tolist() == [25] * 4
    np.testing.assert_array_equal(fold, fold_of(groups, 4))


def test_a_corrected_table_is_read_back(tmp_path):
    split, probabilities, _ = planted(30)
    doubts = find_doubts(split, probabilities)[:6]
    path = tmp_path / "relabel.csv"
    write_doubts(path, split, doubts)
    (same,) = read_doubts(path, [split])
    np.testing.assert_array_equal(same.labels, split.labels)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0]["correct"], rows[1]["correct"] = rows[0]["answer"], ""
    write(path, rows)
    (changed,) = read_doubts(path, [split])
    attributes = SLEEVE["sleeve"]
    assert changed.labels[doubts[0].row, 0] == attributes.index(doubts[0].answer)
    assert changed.labels[doubts[1].row, 0] == -1
    others = np.setdiff1d(np.arange(30), [doubts[0].row, doubts[1].row])
    np.testing.assert_array_equal(changed.labels[others], split.labels[others])
    write(path, [{**rows[0], "correct": "longsleeve"}])
    with pytest.raises(InputError, match="'longsleeve', but the attributes are"):
        read_doubts(path, [split])
    path.write_text("image\n1\n")
    with pytest.raises(InputError, match="columns image, category"):
        read_doubts(path, [split])


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.slow
def test_each_image_is_answered_by_a_model_that_has_not_seen_it(
    trained, wardrobe, tmp_path, monkeypatch, capsys, narrow_processes
):
    """Two real trainings by the run's options; a second call trains nothing."""
    options = Options(
        str(wardrobe),
        html=tmp_path / "page.html",
        fix=tmp_path / "fixed.csv",
        run=trained.run.directory,
        folds=2,
        noise_dir=tmp_path / "noise",
        export=tmp_path / "relabel.csv",
    )
    assert check_data(options) == 0
    text = capsys.readouterr().out
    assert "estimated with 2 folds" in text and "is no proof" in text
    assert "Labels to look at" in (tmp_path / "page.html").read_text()
    times = [path.stat().st_mtime_ns for path in sorted((tmp_path / "noise").rglob("model.keras"))]
    assert len(times) == 2
    first = (tmp_path / "relabel.csv").read_bytes()
    assert check_data(options) == 0
    again = [path.stat().st_mtime_ns for path in sorted((tmp_path / "noise").rglob("model.keras"))]
    assert again == times and (tmp_path / "relabel.csv").read_bytes() == first
    with pytest.raises(InputError, match="other data or labels"):
        check_data(replace(options, folds=3))
    # Corrected, it is data again.
    back = replace(options, folds=None, run=None, html=None, relabel=options.export)
    assert check_data(back) == 0 and options.fix.is_file()
