"""Cells of .xlsx that python-calamine reads as empty: errors, and formulas without a value.

Programs that are no spreadsheets write formulas without their values. Of a merged area, a file
holds the first cell alone.
"""

import html
import posixpath
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

_MOST_BYTES = 2**30  # of a sheet
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
# "[^<]" keeps each pattern inside one cell.
_ERROR = re.compile(rb'<c\s([^>]*\bt="e"[^>]*)>(?:<f\b[^>]*/>|<f\b[^>]*>[^<]*</f>)?<v>([^<]*)</v>')
_FORMULA = re.compile(
    rb"<c\s([^>]*[^>/])>\s*<f\b(?:[^>]*/>|[^>]*>([^<]*)</f>)\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>"
)
_PLACE = re.compile(rb'\br="([A-Z]{1,3})([0-9]{1,7})"')


def hidden_cells(path: Path, sheet: str) -> Iterator[tuple[int, int, str]]:
    """Yields row and column, from 0, of cells that seem empty and are not, and a text for each.

    Args:
        path: of an .xlsx or .xlsm; other files have no such cells.
        sheet: its name.
    """
    try:
        with zipfile.ZipFile(path) as book:
            name = _part(book, sheet)
            if name is None or book.getinfo(name).file_size > _MOST_BYTES:
                return
            content = book.read(name)
    # RuntimeError: it is encrypted, or compressed in another way. python-calamine judges the file.
    except (zipfile.BadZipFile, OSError, KeyError, ElementTree.ParseError, RuntimeError):
        return
    if b't="e"' in content:
        for attributes, text in _ERROR.findall(content):
            yield from _placed(attributes, _shown(text))
    if b"<f" in content:
        for attributes, text in _FORMULA.findall(content):
            # A text may be empty.
            if b't="str"' not in attributes:
                yield from _placed(attributes, f"={_shown(text)} (a formula without a value)")


def _part(book: zipfile.ZipFile, sheet: str) -> str | None:
    """Finds the file of a sheet."""
    if "xl/workbook.xml" not in book.namelist():
        return None
    links = ElementTree.fromstring(book.read("xl/_rels/workbook.xml.rels"))
    targets = {link.get("Id"): link.get("Target", "") for link in links}
    for element in ElementTree.fromstring(book.read("xl/workbook.xml")).iter():
        if element.tag.endswith("}sheet") and element.get("name") == sheet:
            target = targets.get(element.get(_ID), "")
            return posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")
    return None


def _placed(attributes: bytes, text: str) -> Iterator[tuple[int, int, str]]:
    if place := _PLACE.search(attributes):
        column = 0
        for letter in place[1]:
            column = 26 * column + letter - 64
        yield int(place[2]) - 1, column - 1, text


def _shown(text: bytes) -> str:
    return html.unescape(text.decode("utf-8", "replace"))
