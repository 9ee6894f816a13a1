"""TensorFlow Datasets: any data set with an image and class labels, through the same door."""

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from deepfashion_tf.data.division import divide
from deepfashion_tf.data.headers import image_size
from deepfashion_tf.data.split import SPLITS, Split, whole_images
from deepfashion_tf.data.spool import Spool
from deepfashion_tf.errors import InputError, MissingSplit, list_some
from deepfashion_tf.progress import console, progress_bar
from deepfashion_tf.schema import Schema, builtin_schema

PREFIX = "tfds:"
_NAMES = {"train": ("train",), "val": ("val", "validation", "valid", "dev"), "test": ("test",)}
_OWN = "deepfashion_attributes"


def read_tfds(
    data: str,
    names: Sequence[str],
    schema: Schema | None = None,
    *,
    offline: bool = False,
    check_images: bool = True,
) -> list[Split]:
    """Reads splits of a data set of TensorFlow Datasets, which is prepared if it is not yet.

    Each class label becomes a category; -1 is not labelled. The encoded images are copied
    into a temporary file, since TFDS can read in its own order alone. Of a data set without
    validation images a share of the training images serves, likewise without test images.

    Args:
        data: ``tfds:NAME``, ``tfds:NAME/CONFIG``, or ``tfds:FOLDER`` of a prepared version.
        names: "train", "val", "test".
        schema: the categories that are wanted; None = all.
        offline: do not prepare what would be downloaded.
        check_images: refuse images without a sound header, where boxes are to be read.

    Raises:
        InputError: there is no such data set, it cannot be prepared, or it has no image, no
            class label or other categories than the schema.
    """
    builder = _prepare(data, offline)
    features = _find_features(builder.info.features, data)
    there = {name: [n for n in _NAMES[name] if n in builder.info.splits] for name in SPLITS}
    if not there["train"]:
        raise InputError(
            f"{data} has no split train, but {', '.join(builder.info.splits)}: name another."
        )
    read: dict[str, Split] = {}
    found = []
    for name in names:
        source = (there[name] or there["train"])[0]
        if source not in read:
            whole = _read(builder, source, f"{data} ({source})", features, check_images)
            read[source] = _choose(whole, schema)
        found.append(_part(read[source], name, [n for n in SPLITS if not there[n]]))
    return found


def _part(split: Split, name: str, lacking: list[str]) -> Split:
    """Takes what is `name`'s of a split: all of it, or a share of the training images."""
    if not lacking or (name != "train" and name not in lacking):
        return replace(split, name=name)
    split_of = divide(split.labels, np.arange(len(split)))
    mine = [name] if name != "train" else [n for n in SPLITS if n not in lacking]
    rows = np.flatnonzero(np.isin(split_of, [SPLITS.index(n) for n in mine]))
    if not len(rows):
        raise MissingSplit(
            name, f"{split.source} has too few images to give some to {name!r}: add some."
        )
    return split.take(rows, name)


def _prepare(data: str, offline: bool):
    """Opens a builder whose data are on this machine."""
    import tensorflow_datasets as tfds

    name = data.removeprefix(PREFIX)
    tfds.disable_progress_bar()
    if name.split("/")[0] == _OWN:
        import deepfashion_tf.data.deepfashion_attributes  # noqa: F401, registers it
    try:
        if Path(name).is_dir():
            return tfds.builder_from_directory(name)
        builder = tfds.builder(name)
        if not builder.is_prepared():
            if offline and name != f"{_OWN}/wardrobe":
                raise InputError(
                    f"{data} is not prepared on this machine, and --offline forbids to fetch it: "
                    f"leave --offline out, or prepare it elsewhere and name its folder."
                )
            console.print(
                f"preparing {data}: TensorFlow Datasets draws it, reads what you have put "
                f"there, or downloads it (and tries again for some minutes)",
                style="dim",
                soft_wrap=True,
            )
            builder.download_and_prepare()
    except InputError:
        raise
    # A builder is anybody's code, and fails with anything.
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = " ".join(lines if len(lines) < 8 else lines[:1])
        raise InputError(
            f"{data} cannot be prepared ({type(error).__name__}: {reason}): see whether its name "
            f"is right and the network is there, or prepare it elsewhere, copy it here and say "
            f"{PREFIX}FOLDER, the folder in which dataset_info.json stands."
        ) from error
    return builder


def _find_features(features, data: str) -> tuple[str, str | None, dict[str, str]]:
    """Finds the image, the box and the class labels of a data set.

    Returns:
        The image's key, the box's key or None, and category -> the label's key.
    """
    import tensorflow_datasets as tfds

    kinds = tfds.features
    # In an order of its own: what is read from a folder comes in another one each time.
    top = dict(sorted(features.items())) if isinstance(features, kinds.FeaturesDict) else {}
    images = [key for key, feature in top.items() if type(feature) is kinds.Image]
    boxes = [key for key, feature in top.items() if isinstance(feature, kinds.BBoxFeature)]
    labels = {
        re.sub(r"\W", "_", key): key
        for key, feature in top.items()
        if isinstance(feature, kinds.ClassLabel) and (feature.num_classes or 0) > 1
    }
    if not images or not labels:
        raise InputError(
            f"{data} has {'no image' if not images else 'no class label'} at the top of its "
            f"features ({list_some(sorted(top), most=20) or 'none'}): name a data set with both."
        )
    image = "image" if "image" in images else images[0]
    return image, boxes[0] if len(boxes) == 1 else None, labels


def _read(
    builder,
    source: str,
    label: str,
    keys: tuple[str, str | None, dict[str, str]],
    check_images: bool,
) -> Split:
    """Reads labels and boxes, and copies the encoded images into a temporary file."""
    import tensorflow_datasets as tfds

    image, box, labels = keys
    info = builder.info.splits[source]
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if info.num_bytes > 0.95 * free:
        raise InputError(
            f"{label} takes {info.num_bytes / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB are free "
            f"in {tempfile.gettempdir()}: free some space, or set TMPDIR to another folder."
        )
    wanted = [image, *labels.values(), *([box] if box else [])]
    rows = builder.as_dataset(
        split=source,
        decoders=tfds.decode.PartialDecoding(
            dict.fromkeys(wanted, True), decoders={image: tfds.decode.SkipDecoding()}
        ),
        read_config=tfds.ReadConfig(add_tfds_id=True, try_autocache=False),
    )
    spool = Spool()
    names, ids, shares = [], [], []
    with progress_bar(f"reading {label}", info.num_examples) as on_progress:
        for example in rows.as_numpy_iterator():
            spool.append(example[image])
            names.append(example["tfds_id"].decode())
            ids.append([example[key] for key in labels.values()])
            shares.append(example[box] if box else ())
            if len(names) % 500 == 0:
                on_progress(len(names), info.num_examples)
    spool.flush()
    features = builder.info.features
    schema = Schema.of({category: features[key].names for category, key in labels.items()})
    split = Split(
        schema,
        source,
        spool.read,
        names,
        whole_images(len(names)),
        np.array(ids, np.int32).reshape(len(names), len(labels)),
        label,
    )
    if not box:
        return split
    return replace(split, boxes=_boxes_in_pixels(split, np.array(shares), check_images))


def _boxes_in_pixels(split: Split, shares: np.ndarray, check_images: bool) -> np.ndarray:
    """Turns ymin, xmin, ymax, xmax in shares of the sides into half-open pixels."""
    boxes, empty = split.boxes.copy(), 0
    for row, (top, left, bottom, right) in enumerate(shares.tolist()):
        size = image_size(split.encoded(row))
        if isinstance(size, str):
            if not check_images:
                continue
            raise InputError(f"{split.keys[row]} of {split.source} {size}: prepare it anew.")
        width, height = size
        x1, y1 = round(left * width), round(top * height)
        x2, y2 = round(right * width), round(bottom * height)
        if 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height:
            boxes[row] = x1, y1, x2, y2
        else:
            empty += 1
    if empty:
        console.print(
            f"{empty} boxes of {split.source} have no area inside their images, which "
            f"are used whole.",
            style="yellow",
            soft_wrap=True,
        )
    return boxes


def _choose(split: Split, schema: Schema | None) -> Split:
    """Takes the wanted categories, or all; in the built-in order if they are the built-in ones.

    Raises:
        InputError: the data set lacks a wanted category, or it has other attributes there.
    """
    builtin = builtin_schema()
    if schema is None:
        is_builtin = all(split.schema.get(name) == builtin[name] for name in builtin)
        schema = builtin if is_builtin else split.schema
    wrong = [name for name in schema if split.schema.get(name) != schema[name]]
    if wrong:
        theirs = split.schema.select(name for name in split.schema if name in schema)
        differences = "; ".join(schema.differences(theirs))
        raise InputError(f"{split.source} has other categories than the schema: {differences}.")
    return replace(split.select(list(schema)), schema=schema)
