"""Colours of figures and pages: one a category, one a run."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import hsv_to_rgb, to_hex

# Okabe and Ito's, safe for colour-blind eyes.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")


def colours(categories: Sequence[str]) -> dict[str, str]:
    """Returns each category a colour, the same in every figure.

    Up to six are told apart by everybody; of more, neighbours still differ.
    """
    if len(categories) <= len(_COLOURS):
        return dict(zip(categories, _COLOURS, strict=False))
    hues = [index * 0.618 % 1 for index in range(len(categories))]
    return {
        category: to_hex(hsv_to_rgb((hue, 0.85, (0.55, 0.8)[index % 2])))
        for index, (category, hue) in enumerate(zip(categories, hues, strict=True))
    }


def run_colours(names: Sequence[str]) -> dict[str, str]:
    """Returns runs colours that are none of the categories', dark to light."""
    shades = np.linspace(0.0, 0.75, len(names))
    return {
        name: to_hex(plt.colormaps["inferno"](s)) for name, s in zip(names, shades, strict=True)
    }
