"""The one door for data: whatever names images, splits of it come out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import filelock

from deepfashion_tf.data.addresses import is_address
from deepfashion_tf.data.clothing import NAME as CLOTHING
from deepfashion_tf.data.clothing import TABLE, fetch_clothing
from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.drawings import WARDROBE, drawings_folder, drawn_in
from deepfashion_tf.data.split import Split
from deepfashion_tf.data.table import read_table
from deepfashion_tf.data.table_file import SUFFIXES
from deepfashion_tf.data.tfds import PREFIX, read_tfds
from deepfashion_tf.data.wardrobe import WARDROBE_VERSION, end_if_reloaded, write_wardrobe
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import absolute, expand_user, is_folder
from deepfashion_tf.progress import progress_bar
from deepfashion_tf.schema import Schema, builtin_schema


class Source(Protocol):
    """The options that name a data set, those of tables included; `TrainConfig` has them."""

    image_column: str | None
    group_column: str | None
    split_column: str | None
    boxes: str | None
    on_bad_row: str
    accept_damaged: bool
    data_name: str
    schema: Path | None
    offline: bool
    crop: bool
    box_padding: float
    wardrobe_images: tuple[int, int, int]


def open_splits(
    source: Source,
    names: Sequence[str],
    schema: Schema | None = None,
    check_images: bool = True,
) -> list[Split]:
    """Opens splits of the data set that the options name.

    Args:
        source: what names it.
        names: "train", "val", "test".
        schema: the categories; None = those of the file ``source.schema``, else the data's
            own, else the built-in ones.
        check_images: looks at every image's header; False where somebody else will say which
            images cannot be read.

    Raises:
        InputError: the data set cannot be used.
    """
    if schema is None and source.schema:
        schema = Schema.load(source.schema)
    data = source.data_name
    if data == CLOTHING:
        data = str(fetch_clothing(clothing_dir(), source.offline))
    if data.startswith(PREFIX):
        found = read_tfds(
            data,
            names,
            schema,
            offline=source.offline,
            check_images=check_images,
        )
    elif Path(data).suffix.lower() in SUFFIXES and not is_folder(data):
        table = data if is_address(data) else absolute(expand_user(Path(data), "--data"))
        found = read_table(table, names, schema, check_images, source, source.offline)
    else:
        is_drawn = drawings_folder(data) is not None
        if is_drawn:
            _check_drawable(schema)
        if is_address(data):
            raise InputError(
                f"--data {data} is no table: name one at an address (.csv, .xlsx, .parquet), or a "
                f"folder of this machine."
            )
        folder = wardrobe_dir(source) if is_drawn else Path(data)
        found = [read_split(folder, name, schema, check_images) for name in names]
    found = [replace(split, accepts_damage=source.accept_damaged) for split in found]
    if source.crop:
        return [replace(split, padding=source.box_padding) for split in found]
    return [split.without_boxes() for split in found]


def _check_drawable(schema: Schema | None) -> None:
    """Refuses categories that the wardrobe does not draw, before it is drawn."""
    builtin = builtin_schema()
    foreign = [name for name in schema or () if schema[name] != builtin.get(name)]
    if foreign:
        raise InputError(
            f"The wardrobe does not draw {', '.join(foreign)}, only the built-in categories and "
            f"attributes: name the --data that the --schema is for."
        )


def located(source: Source) -> str:
    """Returns the ``--data`` that names the same data set from any working directory."""
    data = source.data_name
    if drawings_folder(data) is not None:
        return drawn_in(absolute(wardrobe_dir(source)))
    if data == CLOTHING:
        return str(absolute(clothing_dir() / TABLE))
    if data.startswith(PREFIX):
        folder = Path(data.removeprefix(PREFIX))
        return f"{PREFIX}{absolute(folder)}" if folder.is_dir() else data
    return data if is_address(data) else str(absolute(expand_user(Path(data), "--data")))


def clothing_dir() -> Path:
    """Names the folder that the fetched photographs stand in."""
    return Path("data") / CLOTHING


def wardrobe_dir(source: Source) -> Path:
    """Draws the wardrobe unless it stands there already.

    Returns:
        Its folder, ``data/wardrobe-…`` with its sizes and its version if none is named.
    """
    sizes = dict(zip(("train", "val", "test"), source.wardrobe_images, strict=True))
    name = "-".join([WARDROBE, f"v{WARDROBE_VERSION}", *map(str, source.wardrobe_images)])
    named = drawings_folder(source.data_name)
    directory = expand_user(Path(named), "--data") if named else Path("data") / name
    if directory.is_dir():
        return directory
    end_if_reloaded()
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Who comes second waits, and reads what the first has drawn.
    with filelock.FileLock(directory.with_name(f".{directory.name}.lock")):
        if not directory.is_dir():
            with progress_bar("drawing the wardrobe", sum(sizes.values())) as on_progress:
                write_wardrobe(directory, **sizes, seed=0, on_progress=on_progress)
    return directory
