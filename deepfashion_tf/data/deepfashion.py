"""Annotation files to arrays: the challenge layout and the original ``Anno_fine`` layout.

Both are told apart by what is in them: ``{split}_attr.txt`` holds six class ids a
row in the challenge, 26 columns of 0/1 in the original. Nothing here needs
TensorFlow, and nothing here opens an image but to read its size.
"""

from pathlib import Path

import numpy as np

from deepfashion_tf.category import NOT_APPLICABLE
from deepfashion_tf.data.faults import Faults
from deepfashion_tf.data.inspection import inspect_images
from deepfashion_tf.data.split import SPLITS, FileReader, Split, whole_images
from deepfashion_tf.errors import InputError, MissingSplit
from deepfashion_tf.files import absolute, expand_user, is_file, is_folder
from deepfashion_tf.schema import UNLABELLED, Schema, builtin_schema

_LAYOUT_HELP = (
    "a data set is a folder with img/ and split/ (challenge) or img/ and Anno_fine/ (original), "
    "where train.txt, train_attr.txt, val.txt and val_attr.txt stand"
)


def read_split(
    data_dir: str | Path, split: str, schema: Schema | None = None, check_images: bool = True
) -> Split:
    """Reads one split of a data set in either layout.

    Args:
        data_dir: the folder that holds ``split/`` or ``Anno_fine/``; one more
            folder around or inside it (``FashionDataset/``) does no harm.
        split: "train", "val" or "test".
        schema: the categories that are wanted; None = the built-in ones. Where the files
            have the built-in ones, it may also be a selection of these.
        check_images: also looks at every image's header: is it there, is it an
            image, does its box lie inside.

    Returns:
        The split. Without ``{split}_bbox.txt`` every box is the whole image;
        without ``{split}_attr.txt`` (allowed for "test" only) nothing is labelled.

    Raises:
        InputError: names every fault by file and line: the first ten and a count.
    """
    schema = schema or builtin_schema()
    folder = find_annotations(data_dir)
    candidates = _candidates(folder, schema)
    source = folder / f"{split}.txt"
    faults = Faults()
    if not source.is_file():
        raise MissingSplit(
            split,
            f"{source} is missing, so there is no split {split!r}: add the file, "
            f"one image name a line, or name another split.",
        )
    names = _read_lines(source)
    if not names:
        raise InputError(f"{source} lists no image: write one image name a line.")
    labels = _read_labels(folder, split, len(names), schema, candidates, faults)
    boxes, box_line = _read_boxes(folder, split, len(names), faults)
    root = _image_root(folder, names)
    images = tuple(str(root / name) for name in names)
    if check_images:
        _check_images(images, boxes, source, (folder / f"{split}_bbox.txt", box_line), faults)
    faults.raise_if_any(f"The split {split!r} in {folder} cannot be used")
    return Split(schema, split, FileReader(images), images, boxes, labels, str(source))


def find_annotations(data_dir: str | Path) -> Path:
    """Finds the folder of annotation files in or under `data_dir`.

    Raises:
        InputError: the folder does not exist or holds no data set.
    """
    root = absolute(expand_user(Path(data_dir), "--data"))
    if not is_folder(root):
        raise InputError(f"There is no folder {root}: give --data a data set; {_LAYOUT_HELP}.")
    bases = [root, root / "FashionDataset"]
    bases += sorted(p for p in root.iterdir() if p.is_dir() and p.name.lower() != "img")
    for base in bases:
        for folder in (base / "split", base / "Anno_fine", base):
            if any((folder / f"{split}.txt").is_file() for split in SPLITS):
                return folder
    raise InputError(f"No data set was found in {root}: {_LAYOUT_HELP}.")


def _image_root(folder: Path, names: list[str]) -> Path:
    """Finds the folder that the listed names are relative to."""
    candidates = (folder.parent, folder, folder.parent / "Img", folder.parent / "img")
    # Of several, since the first may be one of those that are missing.
    found = (root for name in names[:100] for root in candidates if is_file(root / name))
    return next(found, folder.parent)


def _candidates(folder: Path, schema: Schema) -> list[Schema]:
    """Lists whose labels the files may hold: the wanted schema's, or all of the built-in one.

    Raises:
        InputError: ``list_attr_cloth.txt`` has the attributes of neither.
    """
    builtin = builtin_schema()
    is_selection = all(schema[name] == builtin.get(name) for name in schema)
    candidates = [schema, *([builtin] if is_selection else [])]
    path = folder / "list_attr_cloth.txt"
    if not path.is_file():
        return candidates
    lines = [line.split() for line in _read_lines(path)]
    names = [line[0] for line in lines if len(line) == 2 and line[1].isdigit()]
    expected = [_listed(one) for one in candidates]
    if names in expected:
        return [candidates[expected.index(names)]]
    if names == _listed(builtin):
        raise InputError(
            f"{path} lists the built-in categories, which are others than the schema's: "
            f"{'; '.join(schema.differences(builtin))}. Name the --schema of these data."
        )
    ours, theirs = next(
        ((a, b) for a, b in zip(expected[-1], names, strict=False) if a != b),
        (f"{len(expected[-1])} attributes", f"{len(names)}"),
    )
    raise InputError(
        f"{path} lists other attributes than the schema ({theirs} where {ours} is expected): the "
        f"labels would be read wrongly; name the right --schema, or correct the file or remove it."
    )


def _listed(schema: Schema) -> list[str]:
    """Lists the attributes that the files have a column for."""
    return [
        name
        for parts in schema.groups.values()
        for part in parts
        for name in (part.attributes if part.part_of is None else part.attributes[1:])
        if name != NOT_APPLICABLE
    ]


def _read_lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text ({error}): replace the file.") from error
    return [line.strip() for line in text.rstrip().splitlines()]


def _read_table(path: Path, faults: Faults) -> tuple[np.ndarray, int]:
    """Reads rows of integers; a first row with a word in it is a header.

    Returns:
        An int32 array ``[rows, columns]`` in which rows that cannot be read hold
        -1, and the number of the file's line that holds row 0.
    """
    lines, first_line = _read_lines(path), 1
    if lines and any(character.isalpha() for character in lines[0]):
        lines, first_line = lines[1:], 2
    rows = [line.split() for line in lines]
    columns = len(rows[0]) if rows else 0
    try:
        return np.array(rows, dtype=str).astype(np.int32).reshape(len(rows), columns), first_line
    except (ValueError, OverflowError):
        pass
    table = np.full((len(rows), columns), UNLABELLED, np.int32)
    for index, row in enumerate(rows):
        if len(row) != columns:
            faults.add(
                path, index + first_line, f"has {len(row)} values where the first row has {columns}"
            )
            continue
        try:
            table[index] = [int(value) for value in row]
        except (ValueError, OverflowError):
            faults.add(path, index + first_line, f"is not {columns} whole numbers: {lines[index]}")
    return table, first_line


def _same_rows(path: Path, rows: int, expected: int, faults: Faults) -> bool:
    if rows != expected:
        listed = path.name.replace("_attr", "").replace("_bbox", "")
        faults.add(
            path, None, f"has {rows} rows, {listed} has {expected}: both need one row an image"
        )
    return rows == expected


def _read_labels(
    folder: Path, split: str, count: int, schema: Schema, candidates: list[Schema], faults: Faults
) -> np.ndarray:
    path = folder / f"{split}_attr.txt"
    unlabelled = np.full((count, len(schema)), UNLABELLED, np.int32)
    if not path.is_file():
        if split != "test":
            faults.add(path, None, "is missing: it holds the labels, one row an image")
        return unlabelled
    table, first_line = _read_table(path, faults)
    if not _same_rows(path, len(table), count, faults):
        return unlabelled
    # Class ids first: six columns may also be the 0/1 of two categories of three.
    for read, width in ((_check_class_ids, len), (_class_ids_from_binary, _binary_columns)):
        for listed in candidates:
            if table.shape[1] == width(listed):
                wanted = [list(listed).index(category) for category in schema]
                return read(table, listed, path, first_line, faults)[:, wanted]
    expected = (
        f"{len(listed)} class ids (challenge) or {_binary_columns(listed)} of 0/1 (original)"
        for listed in candidates
    )
    faults.add(path, first_line, f"has {table.shape[1]} columns: expected {', or '.join(expected)}")
    return unlabelled


def _binary_columns(schema: Schema) -> int:
    return len(_listed(schema))


def _check_class_ids(
    table: np.ndarray, schema: Schema, path: Path, first_line: int, faults: Faults
) -> np.ndarray:
    for column, (category, attributes) in enumerate(schema.items()):
        values = table[:, column]
        for row in np.flatnonzero((values < UNLABELLED) | (values >= len(attributes))):
            faults.add(
                path,
                row + first_line,
                f"{category} is {values[row]}, but runs from 0 to {len(attributes) - 1} "
                f"(-1 = not labelled)",
            )
    return table


def _class_ids_from_binary(
    table: np.ndarray, schema: Schema, path: Path, first_line: int, faults: Faults
) -> np.ndarray:
    for row in np.flatnonzero(((table != 0) & (table != 1)).any(axis=1)):
        faults.add(path, row + first_line, "holds other values than 0 and 1")
    labels = []
    start = 0
    for name, parts in schema.groups.items():
        attributes = _listed(schema.select([part.name for part in parts]))
        columns = table[:, start : start + len(attributes)] == 1
        start += len(attributes)
        is_known = columns.any(axis=1)
        if parts[0].part_of:
            labels += [np.where(is_known, values, UNLABELLED) for values in columns.T]
            if len(parts) > len(attributes):  # that it does not apply, which the files never state
                labels.append(np.where(is_known, 0, UNLABELLED))
            continue
        for row in np.flatnonzero(columns.sum(axis=1) > 1):
            several = ", ".join(np.array(attributes)[columns[row]])
            faults.add(
                path,
                row + first_line,
                f"has several attributes in {name}: {several} (kind: multi in the --schema allows "
                f"several)",
            )
        labels.append(np.where(is_known, columns.argmax(axis=1), UNLABELLED))
    return np.stack(labels, axis=1).astype(np.int32)


def _read_boxes(folder: Path, split: str, count: int, faults: Faults) -> tuple[np.ndarray, int]:
    """Reads 1-based inclusive boxes into half-open pixels, the only place that does.

    Returns:
        The boxes, and the number of the file's line that holds the first of them.
    """
    path = folder / f"{split}_bbox.txt"
    whole = whole_images(count)
    if not path.is_file():
        return whole, 1
    table, first_line = _read_table(path, faults)
    if not _same_rows(path, len(table), count, faults):
        return whole, 1
    if table.shape[1] != 4:
        faults.add(path, first_line, f"has {table.shape[1]} columns: expected x1 y1 x2 y2, 1-based")
        return whole, 1
    for row in np.flatnonzero((table[:, 2] < table[:, 0]) | (table[:, 3] < table[:, 1])):
        faults.add(
            path, row + first_line, f"box {_spell(table[row])} has no area: x2 >= x1 and y2 >= y1"
        )
    for row in np.flatnonzero((table[:, :2] < 1).any(axis=1)):
        faults.add(
            path, row + first_line, f"box {_spell(table[row])} starts outside: pixels count from 1"
        )
    return table - np.int32((1, 1, 0, 0)), first_line


def _spell(box: np.ndarray) -> str:
    return " ".join(str(value) for value in box)


def _check_images(
    images: tuple[str, ...],
    boxes: np.ndarray,
    source: Path,
    box_source: tuple[Path, int],
    faults: Faults,
) -> None:
    for row, (path, size) in enumerate(zip(images, inspect_images(images), strict=True)):
        if isinstance(size, str):
            faults.add(source, row + 1, f"{path} {size}")
        elif size and (boxes[row, 2] > size[0] or boxes[row, 3] > size[1]):
            x1, y1, x2, y2 = boxes[row]
            faults.add(
                box_source[0],
                row + box_source[1],
                f"box {x1 + 1} {y1 + 1} {x2} {y2} lies outside {Path(path).name}, "
                f"which is {size[0]} x {size[1]} pixels",
            )
