"""Rows of a CSV file, its damaged rows named one by one.

The standard library parses the rows. It does not notice a quotation mark that never closes: such
a cell swallows the rows that follow. Here that row becomes a fault and reading goes on at the
next line, so that every line is either read or reported.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from deepfashion_tf.data.row import Row
from deepfashion_tf.data.text_encoding import detect_encoding
from deepfashion_tf.errors import InputError
from deepfashion_tf.escaping import read_cell

_DELIMITERS = ",;\t|"
_MOST_LINES = 500  # lines that one cell may span
_LONGEST = 2**24  # characters of a line
_SUFFIX = re.compile(r"\.\w{2,5}$")
_OPEN = "unexpected end of data"  # what the csv module says of a quotation mark that stays open


class CsvRows:
    """The rows of a CSV file; see `row.Rows`.

    Args:
        path: commas, semicolons, tabs or vertical bars separate its cells; a first line
            ``sep=;`` names another separator. UTF-8, UTF-16 or Windows-1252.

    Attributes:
        spanning: lines of the last pass where a cell with line ends begins.
        continued: lines of the last pass that belong to a row which began before them.

    Raises:
        InputError: the file is no text.
    """

    unit = "line"

    def __init__(self, path: Path) -> None:
        self.path, self._encoding = path, detect_encoding(path)
        self.notes = [self._encoding.note] if self._encoding.note else []
        self.empty, self.continued, self.spanning, self._most_lines = 0, 0, [], _MOST_LINES
        self._delimiter, self._start = ",", 1
        self._columns, self._image = None, None
        with self._open() as file:
            self.names = [cell.strip() for cell in self._header(_Lines(path, file))]

    def choose(self, columns: list[int], image: int | None) -> None:
        self._columns = columns
        self._image = None if image is None else columns[image]

    def __iter__(self) -> Iterator[Row]:
        self.empty, self.continued, self.spanning, self._most_lines = 0, 0, [], _MOST_LINES
        width, columns = len(self.names), self._columns
        with self._open() as file:
            lines = _Lines(self.path, file)
            lines.skip_to(self._start)
            while (line := lines.next()) is not None:
                number = lines.number
                cells, fault = self._parse(line, lines)
                if fault:
                    yield Row(number, [], fault)
                elif not any(cell.strip() for cell in cells):
                    self.empty += 1
                elif len(cells) != width and (len(cells) < width or any(cells[width:])):
                    text = f"has {len(cells)} values where the header has {width}"
                    yield Row(number, [], text)
                else:
                    chosen = [cells[c] for c in columns] if columns else cells[:width]
                    yield Row(number, [read_cell(c) if c[:1] == "'" else c for c in chosen])

    def _open(self) -> TextIO:
        encoding = self._encoding
        return self.path.open(encoding=encoding.name, errors=encoding.errors, newline="")

    def _header(self, lines: "_Lines") -> list[str]:
        line = lines.next()
        declared = line and re.match(r'"?sep=(.)"?\s*$', line, re.IGNORECASE)
        if declared:
            line = lines.next()
        while line is not None and not line.strip(f"{_DELIMITERS} \r\n"):
            line = lines.next()
        if line is None:
            return []
        bare = re.sub(r'"[^"]*"', "", line)
        self._delimiter = declared[1] if declared else max(_DELIMITERS, key=bare.count)
        self.names = []
        cells, fault = self._parse(line, lines)
        if fault:
            raise InputError(f"{self.path}, line {lines.number}: the header {fault}.")
        self._start = lines.number + 1
        return cells

    def _parse(self, line: str, lines: "_Lines") -> tuple[list[str], str | None]:
        """Parses a row that begins with a line; takes the lines that its cells go on in."""
        cells, error = self._split(line)
        if error is None:
            return cells, None
        if error != _OPEN:
            return self._split(line, strict=False)
        swallowed, text, ended = [], line, False
        first = line.rstrip("\r\n").split(self._delimiter)
        is_full = len(first) >= len(self.names) > 0
        by_image = self._image is not None and is_full and _is_file(first[self._image])
        while len(swallowed) < self._most_lines and (more := lines.next()) is not None:
            swallowed.append(more)
            if is_full and self._is_row(more, by_image):
                break
            text += more
            if more.count('"') % 2:
                cells, error = self._split(text)
                if error is None:
                    self.spanning.append(lines.number - len(swallowed))
                    self.continued += len(swallowed)
                    return cells, None
                if error != _OPEN:
                    break
        else:
            ended = True
        if ended:
            # Where this recurs, nobody waits for it again and again.
            self._most_lines = max(20, self._most_lines // 2)
        lines.give_back(swallowed)
        return [], "has a cell whose quotation mark does not close in this row"

    def _split(self, text: str, strict: bool = True) -> tuple[list[str], str | None]:
        try:
            reader = csv.reader([text], delimiter=self._delimiter, strict=strict)
            return next(reader, []), None
        except csv.Error as error:
            return [], str(error)

    def _is_row(self, line: str, by_image: bool) -> bool:
        """Whether a line that a cell would swallow looks like a row of its own."""
        width = len(self.names)
        bare = line.rstrip("\r\n").split(self._delimiter)
        cells = bare if len(bare) == width else self._split(line)[0]
        return len(cells) == width and (not by_image or _is_file(cells[self._image]))


def _is_file(cell: str) -> bool:
    return bool(_SUFFIX.search(cell.strip(' "')))


class _Lines:
    """The lines of a file, of which some can be given back.

    Attributes:
        number: of the last line, from 1.
    """

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._file = path, file
        self._waiting: deque[str] = deque()
        self.number = 0

    def next(self) -> str | None:
        line = self._waiting.popleft() if self._waiting else self._file.readline(_LONGEST)
        if not line:
            return None
        self.number += 1
        if len(line) >= _LONGEST:
            raise InputError(
                f"{self._path}, line {self.number} has more than {_LONGEST // 10**6} million "
                f"characters: this is no table."
            )
        return line

    def skip_to(self, number: int) -> None:
        while self.number < number - 1 and self.next() is not None:
            pass

    def give_back(self, lines: list[str]) -> None:
        self._waiting.extendleft(reversed(lines))
        self.number -= len(lines)
