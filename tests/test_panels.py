"""Panels of a figure: rows of about the same length, without holes."""

import matplotlib.pyplot as plt
import pytest

from deepfashion_tf.evaluation.panels import draw_panels, row_lengths


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [1]), (2, [2]), (4, [2, 2]), (5, [3, 2]), (6, [3, 3]), (7, [3, 2, 2]), (10, [3, 3, 2, 2])],
)
def test_rows_differ_by_one_panel_at_most(count, expected):
    assert row_lengths(count) == expected and row_lengths(count, 1) == [1] * count


@pytest.mark.parametrize("count", range(1, 9))
def test_panels_fill_their_figure_in_order(count):
    names = [f"c{number}" for number in range(count)]
    figure, panels = draw_panels(names, (3.0, 2.0), heights=(2, 1), sharex=True)
    assert [axes[0].get_title("left") for axes in panels] == names
    cells = [axis.get_subplotspec() for axes in panels for axis in axes]
    covered = [(row, column) for c in cells for row in c.rowspan for column in c.colspan]
    grid = cells[0].get_gridspec()
    assert len(covered) == len(set(covered)) == grid.nrows * grid.ncols
    starts = [
        (axes[0].get_subplotspec().rowspan.start, axes[0].get_subplotspec().colspan.start)
        for axes in panels
    ]
    assert starts == sorted(starts)
    plt.close(figure)
