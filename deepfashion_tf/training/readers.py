"""Opens what a training reads its images with, and finds those that cannot be read before it."""

from collections.abc import Sequence

from deepfashion_tf.data.check import BadImages, SkippedImages, bad_images
from deepfashion_tf.data.crops_on_disk import disk_reader
from deepfashion_tf.data.reading import DirectReader, Reader, SkippingReader, cached_reader
from deepfashion_tf.data.split import Split
from deepfashion_tf.progress import console, progress_bar
from deepfashion_tf.runs.config import TrainConfig


def open_readers(
    splits: Sequence[Split], config: TrainConfig, skipped: SkippedImages
) -> list[tuple[Split, Reader]]:
    """Opens a reader for each split, and says which images are not used.

    Args:
        splits: what is to be read.
        config: whether there is a cache, a check, and what happens to bad images.
        skipped: takes what is left out, also while the readers are used.

    Returns:
        The splits, without what is left out, each with its reader.

    Raises:
        BadImages: names all bad images of all splits, or those of a split of which
            nothing is left.
    """
    opened, found = [], []
    for whole in splits:
        split = skipped.drop_again(whole)
        try:
            opened.append(
                _open_cached(split, config, skipped)
                if config.cache != "none"
                else _open_direct(split, config, skipped)
            )
        except BadImages as error:
            found += error.found
    if found and config.on_bad_image == "skip":
        names = " and ".join(split.name for split, _ in found)
        raise BadImages(found, f"Nothing is left of {names} without them: replace some")
    if found:
        raise BadImages(
            found,
            "Replace them, take their rows out of the lists, or leave them out with "
            "--on-bad-image skip",
        )
    if skipped:
        console.print(
            f"{len(skipped)} {'image' if len(skipped) == 1 else 'images'} cannot be read "
            f"and will be skipped: bad_images.txt in the run directory names them.",
            style="yellow",
            soft_wrap=True,
        )
    return opened


def plain_reader(
    split: Split,
    reader: Reader,
    config: TrainConfig,
    skipped: SkippedImages,
    image_size: int | None = None,
) -> Reader:
    """Returns a reader of training images at a size.

    Args:
        split: what is to be read.
        reader: of the training, which serves if it has this size.
        config: as of `open_readers`.
        skipped: as of `open_readers`.
        image_size: side of the crops; None = the config's, which `reader` has.
    """
    size = image_size or config.image_size
    if size == config.image_size:
        return reader
    if config.on_bad_image == "skip" and config.cache == "none":
        return SkippingReader(split, size, skipped.note_later)
    return DirectReader(split, size)


def _open_cached(split: Split, config: TrainConfig, skipped: SkippedImages) -> tuple[Split, Reader]:
    # Reading is the check: no image is decoded twice unless there are bad ones.
    while True:
        try:
            with progress_bar(f"reading {split.name} images", len(split)) as on_progress:
                if folder := config.cache_folder:
                    reader = disk_reader(split, config.image_size, folder, on_progress)
                else:
                    reader = cached_reader(split, config.image_size, on_progress)
                return split, reader
        except BadImages as error:
            ((_, faults),) = error.found
            split = _without(split, faults, config, skipped)


def _open_direct(split: Split, config: TrainConfig, skipped: SkippedImages) -> tuple[Split, Reader]:
    with progress_bar(f"checking {split.name} images", len(split)) as on_progress:
        faults = bad_images(split, on_progress)
    if not skipped.goes_on or config.on_bad_image == "error":
        split = _without(split, faults, config, skipped)
    if config.on_bad_image == "skip":
        return split, SkippingReader(split, config.image_size, skipped.note_later)
    return split, DirectReader(split, config.image_size)


def _without(
    split: Split, faults: dict[int, str], config: TrainConfig, skipped: SkippedImages
) -> Split:
    if not faults:
        return split
    if config.on_bad_image == "error" or len(faults) == len(split):
        raise BadImages([(split, faults)])
    return skipped.drop(split, faults)
