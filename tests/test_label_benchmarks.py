"""benchmark.py noise: what is planted is known, and what is told is counted."""

import numpy as np
import pytest

from benchmarks import labels as benchmark
from benchmarks.labels import find_swapped, swap_labels, swapped_table
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()
SIZES = [len(attributes) for attributes in SCHEMA.values()]


def test_a_twentieth_is_swapped_to_any_other_class():
    labels = np.random.default_rng(1).integers(0, SIZES, (5000, 6)).astype(np.int32)
    swapped, is_swapped = swap_labels(labels, SIZES, seed=0)
    np.testing.assert_array_equal(swapped != labels, is_swapped)
    assert is_swapped.mean() == pytest.approx(benchmark.SWAPPED, abs=0.005)
    assert (swapped >= 0).all() and (swapped < SIZES).all()
    steps = (swapped - labels)[:, 0][is_swapped[:, 0]] % SIZES[0]
    assert set(steps.tolist()) == set(range(1, SIZES[0]))


@pytest.mark.slow
@pytest.mark.parametrize("skill", [0.0, 1.0])
def test_a_model_that_knows_finds_all_and_one_that_guesses_a_tenth(
    trained, tmp_path, monkeypatch, skill
):
    pytest.importorskip("cleanlab")
    monkeypatch.chdir(tmp_path)
    truth: dict = {}
    drawings = benchmark._drawings

    def remember(config, images):
        truth["split"] = drawings(config, images)
        return truth["split"]

    def answers(run, images, groups, folds, directory, parallel):
        rng = np.random.default_rng(2)
        found = {}
        for column, (category, attributes) in enumerate(SCHEMA.items()):
            noise = rng.dirichlet(np.ones(len(attributes)), len(images))
            right = np.eye(len(attributes))[truth["split"].labels[:, column]]
            mixed = skill * 0.9 * right + (1 - skill * 0.9) * noise
            found[category] = mixed.astype(np.float32)
        return found

    monkeypatch.setattr(benchmark, "_drawings", remember)
    monkeypatch.setattr(benchmark, "out_of_sample", answers)
    found = find_swapped(trained.run, 120, tmp_path / "models")
    assert [row.category for row in found] == [*SCHEMA, "all"]
    total = found[-1]
    assert total.swapped == sum(row.swapped for row in found[:-1]) > 20
    assert total.found == sum(row.found for row in found[:-1])
    share = total.found / total.swapped
    assert share == 1 if skill else share < 0.4
    assert swapped_table(found).row_count == 7
