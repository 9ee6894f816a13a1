"""Figures of one panel a category, in rows without holes."""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepfashion_tf.colours import colours
from deepfashion_tf.escaping import figure_text


def row_lengths(count: int, most: int = 3) -> list[int]:
    """Divides panels among rows as evenly as it goes: 4 into 2 and 2, 5 into 3 and 2.

    Args:
        count: of panels, at least 1.
        most: that a row has.
    """
    rows = -(-count // most)
    return [count // rows + (row < count % rows) for row in range(rows)]


def draw_panels(
    categories: Sequence[str],
    panel: tuple[float, float],
    most: int = 3,
    heights: Sequence[float] = (1.0,),
    margin: tuple[float, float] = (0.4, 0.3),
    **shared: bool,
) -> tuple[Figure, list[list[Axes]]]:
    """Makes a figure with a panel a category, titled in its colour; each row fills the width.

    Args:
        categories: one a panel.
        panel: width and height in inches where a row is full.
        most: panels in a row.
        heights: of the axes that a panel has, one above the other.
        margin: inches that the figure is wider and higher than its panels.
        shared: sharex and sharey, by all axes.

    Returns:
        The figure, and the axes of each panel from above.
    """
    lengths = row_lengths(len(categories), most)
    width, parts, cells, first = math.lcm(*lengths), range(len(heights)), [], 0
    for length in lengths:
        numbers = [first + place * length // width for place in range(width)]
        # A tuple for a name would be a figure within the figure.
        cells += [[number * len(heights) + part for number in numbers] for part in parts]
        first += length
    figure = plt.figure(
        figsize=(margin[0] + panel[0] * lengths[0], margin[1] + panel[1] * len(lengths)),
        layout="constrained",
    )
    found = figure.subplot_mosaic(cells, height_ratios=[*heights] * len(lengths), **shared)
    panels = [[found[n * len(heights) + part] for part in parts] for n in range(len(categories))]
    for (category, colour), axes in zip(colours(categories).items(), panels, strict=True):
        axes[0].set_title(figure_text(category), color=colour, fontweight="bold", loc="left")
        if len(set(lengths)) > 1:  # what stands below another panel has another width
            axes[-1].tick_params(labelbottom=True)
    return figure, panels
