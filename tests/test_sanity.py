"""Where heat lies: all of it, none of it, or as chance would put it."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.sanity import PartHeat, heat_on, heat_on_parts, heat_table
from deepfashion_tf.errors import InputError
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import Schema


def part() -> np.ndarray:
    """The upper left quarter of a crop of 80 x 40 pixels."""
    found = np.zeros((80, 40), bool)
    found[:40, :20] = True
    return found


def test_heat_is_on_the_part_beside_it_or_everywhere():
    on, beside, everywhere, none = np.zeros((4, 4, 4))
    on[:2, :2] = 0.7
    beside[2:] = 1.0
    everywhere[:] = 0.2
    shares, areas = heat_on(np.stack([on, beside, everywhere, none]), [part()] * 4)
    np.testing.assert_allclose(shares[:3], [1.0, 0.0, 0.25], atol=1e-6)
    assert np.isnan(shares[3])
    np.testing.assert_allclose(areas, 0.25)


def test_a_coarse_map_shares_a_cell_that_lies_on_the_edge():
    maps = np.ones((1, 1, 1))
    shares, areas = heat_on(maps, [part()])
    assert shares[0] == areas[0] == 0.25


def test_chance_is_likely_and_more_than_chance_is_not():
    rng = np.random.default_rng(0)
    areas = np.full(100, 0.2)
    noise = rng.normal(0, 0.05, 100)
    assert PartHeat("sleeve", "long_sleeve", areas + noise, areas).p_value > 0.05
    more = PartHeat("sleeve", "long_sleeve", 2 * areas + noise, areas)
    assert more.p_value < 1e-6 and more.times_chance == pytest.approx(2, abs=0.2)


@pytest.mark.slow
def test_a_run_is_asked_and_a_run_of_something_else_is_refused(trained):
    found = heat_on_parts(trained.run, 40)
    assert {heat.category for heat in found} <= {"sleeve", "neckline"}
    for heat in found:
        assert (heat.areas >= 0.02).all() and ((heat.shares >= 0) & (heat.shares <= 1)).all()
    assert heat_table(found).row_count == len(found)
    other = Schema.of({"season": ["summer", "winter"]})
    with pytest.raises(InputError, match="has not learnt"):
        heat_on_parts(Run(trained.run.directory, trained.run.config, other), 10)
    unlearnt = replace(trained.run.config, untrained=("sleeve",))
    with pytest.raises(InputError, match="has not learnt"):
        heat_on_parts(Run(trained.run.directory, unlearnt, trained.run.schema), 10)
