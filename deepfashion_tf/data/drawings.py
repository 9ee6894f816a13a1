"""The ``--data`` that names the wardrobe: alone, with a folder, or as a TensorFlow Dataset."""

WARDROBE = "wardrobe"
_OF_TFDS = "tfds:deepfashion_attributes/wardrobe"


def drawn_in(folder: object) -> str:
    """Returns the ``--data`` that names the drawings in a folder."""
    return f"{WARDROBE}:{folder}"


def drawings_folder(data: str) -> str | None:
    """Returns the folder that ``wardrobe:DIR`` names, "" for ``wardrobe``; None = other data."""
    name, _, folder = data.partition(":")
    return folder if name == WARDROBE else None


def is_wardrobe(data: str) -> bool:
    """Whether a ``--data`` names drawings of the wardrobe."""
    return drawings_folder(data) is not None or data == _OF_TFDS
