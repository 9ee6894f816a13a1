"""Rows of a spreadsheet: .xlsx, .xlsm, .xlsb, .xls and .ods, by python-calamine."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from deepfashion_tf.data.excel_cells import hidden_cells
from deepfashion_tf.data.row import Row
from deepfashion_tf.errors import InputError

if TYPE_CHECKING:
    import python_calamine


class ExcelRows:
    """The rows of a spreadsheet's first visible sheet that holds something; see `row.Rows`.

    Every cell of a merged area has the value of the area.

    Raises:
        InputError: the package is missing, or the file is broken.
    """

    unit = "row"

    def __init__(self, path: Path) -> None:
        try:
            import python_calamine
        except ImportError as error:
            raise InputError(
                f"{path} is a spreadsheet, and python-calamine, which reads it, is missing: "
                f"pip install 'deepfashion_tf[excel]', or save the table as CSV."
            ) from error
        try:
            book = python_calamine.load_workbook(str(path))
            sheets = {
                sheet.name: book.get_sheet_by_name(sheet.name)
                for sheet in sorted(book.sheets_metadata, key=_is_hidden)
            }
            tables = {name: sheet.to_python(False) for name, sheet in sheets.items()}
            merged = {name: sheet.merged_cell_ranges or [] for name, sheet in sheets.items()}
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        # The package is written in Rust, whose panics are no Exception.
        except BaseException as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{path} cannot be read as a spreadsheet ({reason}): save it anew as .xlsx or CSV."
            ) from error
        filled = [name for name, rows in tables.items() if any(map(any, rows))]
        name = filled[0] if filled else ""
        self._rows: list[list] = tables.get(name, [])
        self.notes, self.empty, self._columns = [], 0, None
        if len(filled) > 1:
            self.notes.append(f"has several sheets: {name} is read, {', '.join(filled[1:])} not")
        for row, column, text in hidden_cells(path, name) if filled else ():
            self._put(row, column, text)
        for area in merged.get(name, ()):
            self._spread(*area)
        self._start = next((n for n, row in enumerate(self._rows) if any(map(_text, row))), 0)
        header = self._rows[self._start] if self._rows else []
        self.names = [(_text(cell) or "").strip() for cell in header]

    def _put(self, row: int, column: int, value: object) -> None:
        self._rows += [[] for _ in range(row + 1 - len(self._rows))]
        cells = self._rows[row]
        cells += [""] * (column + 1 - len(cells))
        if cells[column] == "":
            cells[column] = value

    def _spread(self, first: tuple[int, int], last: tuple[int, int]) -> None:
        """Gives every cell of a merged area of rows the value of its first one."""
        (top, left), (bottom, right) = first, last
        if top == bottom or top >= len(self._rows) or left >= len(self._rows[top]):
            return
        for row in range(top, min(bottom + 1, len(self._rows))):
            for column in range(left, right + 1):
                self._put(row, column, self._rows[top][left])

    def choose(self, columns: list[int], image: int | None) -> None:
        self._columns = columns

    def __iter__(self) -> Iterator[Row]:
        self.empty = 0
        width, columns = len(self.names), self._columns
        for number, row in enumerate(self._rows[self._start + 1 :], self._start + 2):
            cells = [_text(cell) for cell in row]
            if not any(cells):
                self.empty += 1
            elif any(cells[width:]):
                yield Row(number, [], f"has {len(row)} values where the header has {width}")
            else:
                cells += [None] * (width - len(cells))
                yield Row(number, [cells[c] for c in columns] if columns else cells)


def _is_hidden(sheet: "python_calamine.SheetMetadata") -> bool:
    return not str(sheet.visible).endswith(".Visible")


def _text(cell: object) -> str | None:
    """Returns a cell as text, a whole number without a decimal point."""
    if cell is None or isinstance(cell, str):
        return cell.strip() or None if cell else None
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return cell.isoformat() if isinstance(cell, date) else str(cell)
