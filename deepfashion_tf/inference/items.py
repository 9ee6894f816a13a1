"""What is to be answered: images, and boxes where there are some, one after the other.

Images are looked for on the way, so that a list of ten million images takes no more memory than
one of ten. No TensorFlow.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from deepfashion_tf.data.addresses import (
    AddressFault,
    ahead,
    fetch,
    fetch_all,
    files_at,
    is_address,
)
from deepfashion_tf.data.folder import IMAGE_SUFFIXES, files_in
from deepfashion_tf.data.headers import image_size
from deepfashion_tf.data.image_paths import find_image, joined
from deepfashion_tf.data.split import WHOLE_IMAGE, Split, read_file
from deepfashion_tf.data.table_file import SUFFIXES, Entry, TableFile
from deepfashion_tf.data.table_options import TableOptions
from deepfashion_tf.data.table_place import TablePlace
from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.files import is_file, is_folder
from deepfashion_tf.inference.tally import Tally

Box = tuple[int, int, int, int]
_SAMPLE = 1000  # rows whose boxes tell their convention
_LOOKED_AT = 100  # images, likewise


@dataclass(frozen=True)
class Item:
    """An image to be answered.

    Attributes:
        image: what it is called: a path as it was given, or a name in its source.
        box: x1 y1 x2 y2 in half-open pixels; all -1 = the whole image.
        path: the file; None = `encoded` has it.
        encoded: the file's bytes, where there is no file.
        fault: why it cannot be answered, known before anybody has looked at the image.
        address: where to fetch it; `fetched` gives it a path.
        kept: cells of its row that the answers keep, in the order of their columns.
        group: what several images show together; None = nobody has said so.
    """

    image: str
    box: Box = WHOLE_IMAGE
    path: str | None = None
    encoded: bytes | None = None
    fault: str | None = None
    address: str | None = None
    kept: tuple[str | int | float | None, ...] = ()
    group: str | None = None

    def read(self) -> bytes:
        """Reads the image's bytes.

        Raises:
            OSError: the file cannot be read.
            ValueError: no file can have that name.
        """
        if self.address and self.path is None:
            try:
                return read_file(fetch(self.address))
            except AddressFault as fault:
                raise OSError(str(fault)) from fault
        return self.encoded if self.path is None else read_file(self.path)


class Found:
    """The images that some inputs stand for, looked for anew whenever they are asked for.

    Attributes:
        tally: of the last pass that has come to its end.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        box: Box | None,
        options: TableOptions,
        outside: Path | None = None,
        kept: Sequence[str] = (),
        group_by: str | None = None,
    ) -> None:
        self._inputs, self._box, self._options = inputs, box, options
        self._kept, self._group_by = tuple(kept), group_by
        forms = (os.path.abspath, os.path.realpath) if outside else ()
        self._outside = tuple(f"{form(outside)}{os.sep}" for form in forms)
        self.tally = Tally()

    def __iter__(self) -> Iterator[Item]:
        tally = Tally()
        for text in self._inputs:
            for item in self._find(text, tally):
                own = item.box != WHOLE_IMAGE or self._box is None
                yield item if own else replace(item, box=self._box)
        self.tally = tally

    def _find(self, text: str, tally: Tally) -> Iterator[Item]:
        if is_address(text) and (text.endswith("/") or _is_table(text)):
            yield from self._at_address(text, tally)
        elif is_folder(text):
            yield from self._in_folder(text, tally)
        elif _is_table(text):
            yield from self._in_table(text, tally)
        elif not is_file(text) and glob.has_magic(text):
            paths = sorted(glob.iglob(text, recursive=True))  # noqa: PTH207
            files = [path for path in paths if is_file(path) and not self._is_outside(path)]
            if not files:
                tally.files += 1
                yield Item(text, fault="is a pattern that no file fits")
            for path in files:
                yield from self._find(path, tally)
        else:
            tally.files += 1
            if is_address(text):
                yield Item(text, address=text)
            else:
                yield Item(text, path=text)

    def _in_folder(self, folder: str, tally: Tally) -> Iterator[Item]:
        empty = True
        for path, kind in files_in(folder):
            if self._is_outside(path):
                continue
            if kind == "hidden":
                tally.hidden += 1
            elif kind == "image":
                empty = False
                tally.files += 1
                yield Item(path, path=path)
            else:
                tally.others += 1
                tally.other = tally.other or path
        if empty:
            tally.files += 1
            yield Item(folder, fault="is a folder without an image")

    def _at_address(self, address: str, tally: Tally) -> Iterator[Item]:
        """Finds the images below a prefix of an object store, or in a table at an address."""
        try:
            if _is_table(address):
                yield from self._in_table(address, tally)
                return
            for found in files_at(address):
                name = found.rsplit("/", 1)[1]
                if name.startswith("."):
                    tally.hidden += 1
                elif Path(name).suffix.lower() in IMAGE_SUFFIXES:
                    tally.files += 1
                    yield Item(found, address=found)
                else:
                    tally.others += 1
                    tally.other = tally.other or found
        except AddressFault as fault:
            tally.files += 1
            yield Item(address, fault=str(fault))

    def _in_table(self, text: str, tally: Tally) -> Iterator[Item]:
        place = TablePlace.of(text)
        if not is_file(place.path):
            tally.files += 1
            yield Item(text, fault="is missing")
            return
        with place.named():
            yield from self._rows(place, tally)

    def _rows(self, place: TablePlace, tally: Tally) -> Iterator[Item]:
        names = {*self._kept, *filter(None, [self._group_by])}
        table = TableFile(place.path, self._options, {}, {name: name for name in names})
        table.name = place.name
        if place.base is None:
            _check_convention(table)
        # Looked up once: Path.resolve asks the disk.
        folder = place.path.resolve().parent
        for entry in table:
            tally.rows += 1
            if isinstance(entry.image, str):
                entry = entry._replace(image=place.image(entry.image))
            item = _item_of(table, folder, entry)
            if names and entry.values:
                cells = dict(zip(table.names, entry.values, strict=True))
                kept = tuple(cells.get(name) for name in self._kept)
                item = replace(item, kept=kept, group=cells.get(self._group_by))
            elif self._kept:
                item = replace(item, kept=(None,) * len(self._kept))
            yield item
        tally.empty += table.empty
        tally.notes += table.notes()

    def _is_outside(self, path: str) -> bool:
        return bool(self._outside) and os.path.abspath(path).startswith(self._outside)  # noqa: PTH100


def find_items(
    inputs: Sequence[str],
    box: Box | None = None,
    options: TableOptions | None = None,
    outside: Path | None = None,
    kept: Sequence[str] = (),
    group_by: str | None = None,
) -> Found:
    """Finds the images that inputs stand for, in their order.

    Args:
        inputs: image files; folders, with all images below them, in the order of their names;
            patterns with ``*``, ``?`` or ``**``; and tables (CSV, spreadsheets, Parquet) with a
            column of images and, where one wishes, of boxes.
        box: of every image that has none of its own; None = the whole image.
        options: names of the tables' columns and the convention of their boxes.
        outside: a folder whose files are left out, such as the one that answers go to.
        kept: columns of the tables whose cells go into `Item.kept`; see `kept_columns`.
        group_by: column of the tables that goes into `Item.group`.

    Raises:
        InputError: nothing is named; later, on the way: a table cannot be read.
    """
    if not inputs:
        raise InputError("No image is named: give images, folders, patterns or tables of them.")
    return Found(inputs, box, options or TableOptions(), outside, kept, group_by)


def kept_columns(
    inputs: Sequence[str],
    wanted: Sequence[str],
    options: TableOptions,
    group_by: str | None = None,
) -> list[str]:
    """Finds the columns of tables that answers keep.

    Args:
        inputs: as `find_items` takes them.
        wanted: names, or "all": every column but those of images and boxes.
        options: as `find_items` takes them.
        group_by: as `find_items` takes it; this column is kept, too.

    Raises:
        InputError: no table has such a column, or no input is a table.
    """
    asked = [("--group-by", group_by)] if group_by is not None else []
    is_all = list(wanted) == ["all"]
    asked += [] if is_all else [("--keep-columns", name) for name in wanted]
    if not asked and not is_all:
        return []
    option = asked[0][0] if asked else "--keep-columns"
    tables = [_opened(TablePlace.of(text), options) for text in inputs if _is_table(text)]
    if not tables:
        raise InputError(f"{option} needs a table of images: name one, or leave it out.")
    known = list(dict.fromkeys(name for table in tables for name in table.names))
    for option, name in asked:
        if all(table.columns.find(name) is None for table in tables):
            raise InputError(
                f"{option} {name}: no table has this column; their columns are "
                f"{list_some([repr(one) for one in known], most=30)}."
            )
    return known if is_all else list(dict.fromkeys(name for _, name in asked))


def items_of(split: Split) -> Iterator[Item]:
    """Returns the images of a split with its boxes."""
    for row, key in enumerate(split.keys):
        box = tuple(int(value) for value in split.boxes[row])
        try:
            yield Item(str(key), box, encoded=split.encoded(row))
        except (OSError, ValueError) as error:
            yield Item(str(key), box, fault=f"cannot be read ({error})")


def has_boxes(inputs: Sequence[str]) -> bool:
    """Whether some input is a table, whose images may have boxes of their own."""
    return any(map(_is_table, inputs))


def _opened(place: TablePlace, options: TableOptions) -> TableFile:
    with place.named():
        return TableFile(place.path, options)


def _is_table(text: str) -> bool:
    return Path(text).suffix.lower() in SUFFIXES


def _check_convention(table: TableFile) -> None:
    """Refuses a table whose first boxes follow another convention than the one they are read by.

    Raises:
        InputError: names the likely convention.
    """
    if not table.boxes:
        return
    folder = table.path.resolve().parent
    some = [entry for entry in islice(table, _SAMPLE) if entry.box]
    if contradiction := table.boxes.contradiction():
        raise InputError(f"{table.path}: {contradiction}.")
    sizes = [(entry, _size(folder, entry)) for entry in some if not entry.fault][:_LOOKED_AT]
    found = [(entry.box, size) for entry, size in sizes if isinstance(size, tuple)]
    if found:
        boxes = [table.boxes.pixels(box, size) for box, size in found]
        table.boxes.outside(table.path, boxes, [size for _, size in found])


def _size(folder: Path, entry: Entry) -> tuple[int, int] | str:
    if isinstance(entry.image, bytes):
        return image_size(entry.image)
    return image_size(find_image(folder, entry.image)[0])


def _item_of(table: TableFile, folder: Path, entry: Entry) -> Item:
    place = f"{table.name}, {' '.join(map(str, table.place(entry.number)))}"
    embedded = entry.image if isinstance(entry.image, bytes) else None
    image = place if embedded is not None or entry.image is None else entry.image
    if entry.fault:
        return Item(image, fault=entry.fault if image == place else f"({place}) {entry.fault}")
    address = None if embedded is not None else _address(folder, entry.image)
    path = fault = None
    if address and table.boxes and table.boxes.is_share:
        # The box takes the picture's size, so that it is fetched here.
        ((path, fault),) = fetch_all([address])
    elif embedded is None and not address:
        path, fault = find_image(folder, entry.image)
    box = WHOLE_IMAGE
    if entry.box and not fault:
        size = image_size(embedded or path) if table.boxes.is_share else None
        if not isinstance(size, str):
            box = table.boxes.pixels(entry.box, size)
    return Item(image, box, path, embedded, fault, None if path or fault else address)


def _address(folder: Path, text: str) -> str | None:
    """Returns the address that a text is, or the member of an archive beside the table."""
    return next(filter(is_address, (text, joined(folder, text))), None)


def fetched(items: Iterable[Item]) -> Iterator[Item]:
    """Fetches images that have an address, by threads, ahead of whoever asks for them."""
    for item, path, fault in ahead(items, lambda item: item.address):
        yield replace(item, path=path, fault=fault) if item.address else item
