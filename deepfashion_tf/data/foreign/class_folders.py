"""A folder per class: ``train/dress/1.jpg``; each level of folders is a split or a category."""

import os
from collections.abc import Sequence
from pathlib import Path

from deepfashion_tf.data.folder import files_in
from deepfashion_tf.data.foreign.record import Record, Records
from deepfashion_tf.data.split import split_id
from deepfashion_tf.errors import InputError


def read_class_folders(folder: Path, levels: Sequence[str] = ()) -> Records:
    """Reads the images below a folder.

    Args:
        folder: of the data set.
        levels: what each level of folders is, from the top: "split", "-" for nothing, or the
            name of a category. None = a first level whose names are splits is that, and the
            others are class, or class_1, class_2 and so on.

    Raises:
        InputError: there is no image in a folder of its own.
    """
    found = Records()
    paths = [path for path, kind in files_in(str(folder)) if kind == "image"]
    if not paths:
        raise InputError(f"{folder} holds no image: name a folder of folders of images.")
    places = [(path, Path(os.path.relpath(path, folder)).parts[:-1]) for path in paths]
    if twins := [one for one in levels if not one or (one != "-" and levels.count(one) > 1)]:
        raise InputError(f"--levels has {twins[0]!r} in several places: name each level once.")
    levels = list(levels) or _guess(folder, [parts for _, parts in places])
    for path, parts in places:
        if len(parts) != len(levels):
            found.left_out.append((path, f"lies {len(parts)} folders deep, not {len(levels)}"))
            continue
        record = Record(path)
        for level, name in zip(levels, parts, strict=True):
            if level == "split":
                record.split = name
            elif level != "-":
                record.values[level] = [name]
        found.records.append(record)
    if not found.records:
        raise InputError(
            f"No image of {folder} lies {len(levels)} folders deep: give --levels a name for each "
            f"level of folders."
        )
    return found


def _guess(folder: Path, places: list[tuple[str, ...]]) -> list[str]:
    depths = [len(parts) for parts in places if parts]
    depth = max(depths, key=depths.count, default=0)
    if not depth:
        raise InputError(f"{folder} has no folder per class: its images lie in it directly.")
    firsts = {parts[0] for parts in places if len(parts) == depth}
    has_splits = depth > 1 and all(split_id(name) is not None for name in firsts)
    count = depth - has_splits
    names = ["class"] if count == 1 else [f"class_{n}" for n in range(1, count + 1)]
    return ["split"] * has_splits + names
