"""The rows of a table as images, boxes and labels; each row is used or has a fault."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from deepfashion_tf.data.addresses import fetch_all, is_address
from deepfashion_tf.data.faults import Faults
from deepfashion_tf.data.headers import image_size
from deepfashion_tf.data.image_paths import find_image, joined
from deepfashion_tf.data.inspection import find_missing, inspect_images
from deepfashion_tf.data.labels import LabelReader
from deepfashion_tf.data.row_boxes import Corners, fits
from deepfashion_tf.data.split import WHOLE_IMAGE, FileReader, split_id
from deepfashion_tf.data.spool import Spool
from deepfashion_tf.data.table_file import Entry, TableFile
from deepfashion_tf.data.table_options import RowOptions
from deepfashion_tf.data.table_place import TablePlace
from deepfashion_tf.errors import InputError, counted, list_some, printable
from deepfashion_tf.progress import console, progress_bar
from deepfashion_tf.schema import Schema

_SAMPLE = 500  # boxes that are compared with their images where not all are


class TableRows:
    """All rows of a table.

    Args:
        place: of the table.
        schema: categories that are columns of it.
        options: names of its other columns, and the convention of its boxes.
        offline: fetch no image from a network.

    Attributes:
        keys: what each image is called in messages: its path, or its place in the table.
        faults: position of a row -> what is wrong with it.

    Raises:
        InputError: the file is broken, lacks a column, or its boxes follow another convention.
    """

    def __init__(
        self, place: TablePlace, schema: Schema, options: RowOptions, offline: bool = False
    ) -> None:
        names = {"split": options.split_column, "group": options.group_column}
        self.name, self.schema, self._offline = place.name, schema, offline
        self.table = TableFile(
            place.path,
            options,
            {
                **{name: parts[0].column or name for name, parts in schema.groups.items()},
                **{name: column for name, column in names.items() if column},
            },
            {name: name for name, column in names.items() if not column},
        )
        self.table.name, self._at = place.name, place
        self._readers = [LabelReader(name, schema) for name in schema.groups]
        self._repaired, self._missing, self._not_fetched = 0, {}, {}
        self._folder = place.path.resolve().parent
        self._numbers: list[int] = []
        self.keys: list[str] = []
        self._paths: list[str] = []
        self._texts: list[str | None] = []
        self._spool, self._spooled = Spool(), []
        self._corners: list[Corners | None] = []
        self._labels: list[list[int]] = []
        self._groups: list[str | None] = []
        self._split_ids: list[int] = []
        self.faults: dict[int, list[str]] = {}
        self._words: dict[tuple[int, str], list[int]] = {}
        for entry in self.table:
            self._add(entry)
        self._spool.flush()
        if not self._numbers:
            raise InputError(f"{place.name} has no row below its header.")
        if self.table.boxes and (contradiction := self.table.boxes.contradiction()):
            raise InputError(f"{place.name}: {contradiction}.")
        self._boxes = [WHOLE_IMAGE] * len(self)
        if not (self.table.boxes and self.table.boxes.is_share):
            for row, corners in enumerate(self._corners):
                if corners:
                    self._boxes[row] = self.table.boxes.pixels(corners, None)

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def needs_sizes(self) -> bool:
        """Whether boxes are shares of the sides, so that each image's size has to be known."""
        return self.table.boxes is not None and self.table.boxes.is_share

    @property
    def has_splits(self) -> bool:
        """Whether the table itself says which split a row is in."""
        return "split" in self.table.names

    @property
    def has_groups(self) -> bool:
        """Whether the table itself says which images belong together."""
        return "group" in self.table.names

    def find_images(self) -> None:
        """Finds the files of images whose paths in the table are not exactly the files'."""
        files = [row for row, place in enumerate(self._spooled) if place < 0]
        files = [row for row in files if row not in self.faults]
        absent = [files[n] for n in find_missing([self._paths[row] for row in files])]
        addresses = {row: address for row in absent if (address := self._address(row))}
        if addresses:
            self._fetch(addresses)
        for row in absent:
            if row in addresses:
                continue
            path, fault = find_image(self._folder, self._texts[row])
            self.keys[row] = self._paths[row] = path
            self._repaired += fault is None
            if fault:
                self._missing[row] = fault

    def _address(self, row: int) -> str | None:
        """Returns the address that a row's text is, or the member of an archive."""
        return next(filter(is_address, (self._texts[row], self._paths[row])), None)

    def _fetch(self, addresses: dict[int, str]) -> None:
        with progress_bar(
            f"fetching images of {Path(self.name).name}", len(addresses)
        ) as on_progress:
            found = fetch_all(addresses.values(), self._offline)
            for done, (row, (path, fault)) in enumerate(zip(addresses, found, strict=True), 1):
                self.keys[row] = addresses[row]
                if fault:
                    self._missing[row] = self._not_fetched[row] = fault
                else:
                    self._paths[row] = path
                on_progress(done, len(addresses))

    def check_convention(self) -> None:
        """Compares boxes with the sizes of some images, to check their convention.

        Raises:
            InputError: most boxes follow another convention; names the likely one.
        """
        boxed = [row for row, corners in enumerate(self._corners) if corners]
        some = boxed[:: max(1, len(boxed) // _SAMPLE)]
        sizes = {row: self._size(row) for row in some}
        some = [row for row in some if isinstance(sizes[row], tuple)]
        if some:
            boxes = [self.table.boxes.pixels(self._corners[row], sizes[row]) for row in some]
            self.table.boxes.outside(self.name, boxes, [sizes[row] for row in some])

    def check_images(self, reports: bool) -> None:
        """Checks the header of every image.

        Args:
            reports: an image that cannot be used is a fault of its row; False = somebody else
                will say which. A box that lies outside its image is a fault of its row.
        """
        files = [row for row, place in enumerate(self._spooled) if place < 0]
        files = [row for row in files if row not in self.faults]
        seen = inspect_images([self._paths[row] for row in files], always=self.needs_sizes)
        sizes = dict(zip(files, seen, strict=True))
        for row in range(len(self)):
            if row in self.faults:
                continue
            size = self._missing.get(row) or (
                sizes[row] if self._spooled[row] < 0 else self._size(row)
            )
            if isinstance(size, str) and reports:
                self._fault(row, f"{self.keys[row]} {size}" if self._spooled[row] < 0 else size)
            elif isinstance(size, tuple) and self._corners[row]:
                self._boxes[row] = box = self.table.boxes.pixels(self._corners[row], size)
                if not fits(box, size):
                    self._fault(
                        row,
                        f"box {' '.join(map(str, box))} lies outside {Path(self.keys[row]).name}, "
                        f"which is {size[0]} x {size[1]} pixels",
                    )

    def raise_if_faulty(self) -> None:
        """Raises InputError with the first faults and a count, if there is one."""
        listed = [(row, text) for row, texts in self.faults.items() for text in texts]
        for (column, word), rows in self._words.items():
            listed.append((rows[0], self._readers[column].fault(word, len(rows))))
        faults = Faults()
        for row, text in sorted(listed, key=lambda one: one[0]):
            faults.add_at(self.name, self.table.place(self._numbers[row]), text)
        faults.raise_if_any(f"{self.name} cannot be used")

    def left_out(self) -> list[tuple[str, str]]:
        """Lists the rows that have a fault: the place in the table, and what is wrong there."""
        texts = {row: list(found) for row, found in self.faults.items()}
        for (column, word), rows in self._words.items():
            for row in rows:
                texts.setdefault(row, []).append(self._readers[column].fault(word, 1))
        return [(self._place(row), "; ".join(texts[row])) for row in sorted(texts)]

    def sound(self) -> np.ndarray:
        """Returns the positions of the rows without a fault, int64, ascending."""
        faulty = {*self.faults, *(row for rows in self._words.values() for row in rows)}
        return np.array([row for row in range(len(self)) if row not in faulty], np.int64)

    def encoded(self) -> Callable[[int], bytes]:
        """Returns what reads the bytes of a row's image."""
        files = FileReader(self._paths, self._not_fetched)
        if all(place < 0 for place in self._spooled):
            return files
        return lambda row: (
            files(row) if self._spooled[row] < 0 else self._spool.read(self._spooled[row])
        )

    def row_name(self) -> Callable[[int], str]:
        """Returns what names a row, given its position; it keeps one integer a row."""
        unit, numbers = self.table.format.unit, np.array(self._numbers, np.int32)
        return lambda row: f"{unit} {numbers[row]}"

    def boxes(self) -> np.ndarray:
        """Returns int32 ``[n, 4]``, half-open pixels; all -1 = the whole image."""
        return np.array(self._boxes, np.int32).reshape(-1, 4)

    def labels(self) -> np.ndarray:
        """Returns class ids, int32 ``[n, categories]``; -1 = not labelled."""
        return np.array(self._labels, np.int32).reshape(len(self), len(self.schema))

    def split_ids(self) -> np.ndarray:
        """Returns positions in SPLITS, int8 ``[n]``."""
        return np.array(self._split_ids, np.int8)

    def groups(self) -> np.ndarray:
        """Numbers the groups, int64 ``[n]``: of what has none, rows of one image are together."""
        # A prefix each, since a group may be called as an image is.
        names = [
            f"i{key}" if group is None else f"g{group}"
            for key, group in zip(self.keys, self._groups, strict=True)
        ]
        return pa.array(names, pa.string()).dictionary_encode().indices.to_numpy().astype(np.int64)

    def report(self, used: int) -> None:
        """Prints how many rows there are, how many are used, and what was read otherwise."""
        notes = [f"{self.name} reads {note}" for reader in self._readers for note in reader.notes()]
        for note in [*self.table.notes(), *notes]:
            console.print(note, style="dim", soft_wrap=True)
        repaired = f"; {self._repaired} of the paths repaired" * (self._repaired > 0)
        console.print(
            f"{self.name}: {counted(len(self), 'row')}, {used} read, "
            f"{len(self) - used} left out{repaired}",
            style="dim",
            soft_wrap=True,
        )
        found = [f"  {place}: {printable(fault)}" for place, fault in self.left_out()]
        if found:
            shown = list_some(found, separator="\n")
            console.print(shown, style="yellow", soft_wrap=True)

    def _add(self, entry: Entry) -> None:
        row = len(self._numbers)
        self._numbers.append(entry.number)
        self._corners.append(entry.box)
        if entry.fault:
            self._fault(row, entry.fault)
        if isinstance(entry.image, bytes):
            self._spooled.append(self._spool.append(entry.image))
            self._texts.append(None)
            self.keys.append(self._place(row))
            self._paths.append("")
        else:
            self._spooled.append(-1)
            text = entry.image and self._at.image(entry.image)
            self._texts.append(text)
            self._paths.append(joined(self._folder, text or ""))
            self.keys.append(self._paths[row])
        values = dict(zip(self.table.names, entry.values, strict=False))
        self._groups.append(values.get("group"))
        self._labels.append(self._read_labels(row, values))
        self._split_ids.append(self._read_split(row, values.get("split")))

    def _read_labels(self, row: int, values: dict[str, str | None]) -> list[int]:
        labels = []
        for column, reader in enumerate(self._readers):
            word = values.get(reader.name)
            found = reader.read_cell(word)
            if found is None:
                self._words.setdefault((column, word), []).append(row)
                found = reader.nothing
            labels += found
        return labels

    def _read_split(self, row: int, text: str | None) -> int:
        if not self.has_splits or row in self.faults:
            return 0
        if (found := split_id(text)) is None:
            self._fault(row, f"split is {text or 'empty'!r}: train, val or test")
        return found or 0

    def _size(self, row: int) -> tuple[int, int] | str:
        place = self._spooled[row]
        return image_size(self._paths[row] if place < 0 else self._spool.read(place))

    def _fault(self, row: int, text: str) -> None:
        self.faults.setdefault(row, []).append(text)

    def _place(self, row: int) -> str:
        unit, number = self.table.place(self._numbers[row])
        return f"{self.name}, {unit} {number}"
