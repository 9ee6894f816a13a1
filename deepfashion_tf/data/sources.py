"""Where a run's images come from: the user's folder, or the built-in wardrobe."""

from pathlib import Path
from typing import Protocol

from deepfashion_tf.data.annotations import Split, read_split
from deepfashion_tf.data.wardrobe import WARDROBE_VERSION, write_wardrobe
from deepfashion_tf.progress import progress_bar


class Source(Protocol):
    """The options that name a data set; `TrainConfig` has them."""

    data_dir: Path | None
    crop: bool
    wardrobe_train: int
    wardrobe_val: int
    wardrobe_test: int


def read_source(source: Source, split: str) -> Split:
    """Reads a split of the data set that the options name; draws the wardrobe if need be.

    Raises:
        InputError: the data set cannot be used.
    """
    found = read_split(source.data_dir or wardrobe_dir(source), split)
    return found if source.crop else found.without_boxes()


def wardrobe_dir(source: Source) -> Path:
    """Draws the wardrobe into ``data/`` unless it stands there already.

    Returns:
        Its folder, whose name tells its sizes and its version.
    """
    sizes = {name: getattr(source, f"wardrobe_{name}") for name in ("train", "val", "test")}
    directory = Path("data") / "-".join(
        ["wardrobe", f"v{WARDROBE_VERSION}", *(str(size) for size in sizes.values())]
    )
    if not directory.is_dir():
        directory.parent.mkdir(exist_ok=True)
        with progress_bar("drawing the wardrobe", sum(sizes.values())) as on_progress:
            write_wardrobe(directory, **sizes, seed=0, on_progress=on_progress)
    return directory
