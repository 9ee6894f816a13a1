"""The wardrobe: drawn photographs of garments with known attributes, from a seed.

The built-in data set: what runs without DeepFashion's licence, and what tests and
demonstrations stand on. Its pictures are drawings; scores on them say nothing about
photographs.
"""

from deepfashion_tf.data.wardrobe.contact_sheet import draw_contact_sheet
from deepfashion_tf.data.wardrobe.draw import LANDMARKS, Drawing, draw_garment
from deepfashion_tf.data.wardrobe.sampling import sample_labels
from deepfashion_tf.data.wardrobe.write import WARDROBE_VERSION, end_if_reloaded, write_wardrobe

__all__ = [
    "LANDMARKS",
    "WARDROBE_VERSION",
    "Drawing",
    "draw_contact_sheet",
    "draw_garment",
    "end_if_reloaded",
    "sample_labels",
    "write_wardrobe",
]
