"""The six categories and their 26 attributes, in the order used everywhere.

A class id is the position of an attribute inside its category. ``UNLABELLED``
(-1) stands for "nobody said": such a value takes no part in a loss or a metric.
"""

from typing import Final

CATEGORIES: Final[dict[str, tuple[str, ...]]] = {
    "texture": ("floral", "graphic", "striped", "embroidered", "pleated", "solid", "lattice"),
    "sleeve": ("long_sleeve", "short_sleeve", "sleeveless"),
    "length": ("maxi_length", "mini_length", "no_dress"),
    "neckline": ("crew_neckline", "v_neckline", "square_neckline", "no_neckline"),
    "fabric": ("denim", "chiffon", "cotton", "leather", "faux", "knit"),
    "fit": ("tight", "loose", "conventional"),
}

UNLABELLED: Final[int] = -1
