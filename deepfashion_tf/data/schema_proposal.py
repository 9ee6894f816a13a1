"""Proposes a schema for a table, and says what in its words looks like a mistake."""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfashion_tf.category import faults_of, fold_word, parts_of
from deepfashion_tf.data.labels import split_words
from deepfashion_tf.data.split import split_id
from deepfashion_tf.data.table_file import TableFile
from deepfashion_tf.data.table_options import TableOptions
from deepfashion_tf.data.table_place import TablePlace
from deepfashion_tf.errors import InputError, counted, list_some
from deepfashion_tf.schema import NOT_LABELLED, Category, Schema
from deepfashion_tf.usage import command

_MOST = 60  # attributes of a category
_RARE = 10  # images, fewer of which teach nothing
_NEAR = 0.8  # similarity of two words that may be one
_SEVERAL = 0.05  # of the cells hold several words in a category of kind multi
_OWN = ("split", "group")


@dataclass(frozen=True)
class Proposal:
    """A schema for a table.

    Attributes:
        schema: attributes by falling frequency, or in the order of the file's class labels.
        counts: category -> attribute -> rows.
        left_out: column -> why it is no category.
        warnings: sentences about what looks like a mistake.
    """

    schema: Schema
    counts: dict[str, dict[str, int]]
    left_out: dict[str, str]
    warnings: list[str]


def propose_schema(
    path: Path, columns: Sequence[str] = (), options: TableOptions | None = None
) -> Proposal:
    """Proposes categories whose attributes are the words of a table's columns.

    Words that differ by case, spaces, hyphens or underscores are one attribute. Words that mean
    "not labelled" are none.

    Args:
        path: as of `read_table`; labels of any kind.
        columns: those that are categories; none = all with 2 to 60 values that repeat.
        options: names of the other columns.

    Raises:
        InputError: a column is missing, or none looks like a category.
    """
    wanted = {name: name for name in columns} if columns else None
    place = TablePlace.of(path)
    with place.named():
        table = TableFile(place.path, options, wanted)
        counts = _count(table, own=() if columns else _OWN)
    nested = getattr(table.format, "left_out", {})
    known = getattr(table.format, "labels", {})
    taken: list[Category] = []
    found, left_out, warnings = {}, {}, []
    for name, words in counts.items():
        is_multi, words = _split_cells(words, known.get(name))
        category, merged, reason = _category(name, words, known.get(name))
        reason = nested.get(name) or reason
        try:
            parts = parts_of(category, is_multi=is_multi)
        except ValueError as error:
            parts, reason = (), str(error)
        reason = reason or next((fault for _, fault in faults_of((*taken, *parts))), None)
        if reason and not columns:
            left_out[name] = reason
            continue
        taken += parts
        found[category.name] = {attribute: merged[attribute] for attribute in category.attributes}
        if is_multi:
            warnings.append(f"{category.name}: cells hold several words, so it is of kind multi.")
        warnings += _warnings(category.name, words, merged)
    if not taken:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InputError(f"No column of {path} looks like a category ({reasons or 'no others'}).")
    if table.faulty:
        warnings.append(
            f"{table.faulty} of {counted(table.rows, 'row')} cannot be read: "
            f"{command('check')} lists them."
        )
    is_usual = any(map(_is_no_label, (word for words in counts.values() for word in words)))
    schema = Schema(tuple(taken), NOT_LABELLED if is_usual else None)
    return Proposal(schema, found, left_out, warnings + table.notes())


def _count(table: TableFile, own: Sequence[str]) -> dict[str, Counter]:
    """Counts the words of each column but those that a table has for other things."""
    others = {table.columns.find(name) for name in own}
    counts = {name: Counter() for name, place in table.places.items() if place not in others}
    places = [(table.names.index(name), words) for name, words in counts.items()]
    for entry in table:
        for place, words in places if entry.values else ():
            if (value := entry.values[place]) is not None:
                words[value] += 1
    return counts


def _split_cells(cells: Counter, known: list[str] | None) -> tuple[bool, Counter]:
    """Finds out whether a column's cells hold several words, and counts these then."""
    total = sum(count for cell, count in cells.items() if not _is_no_label(cell))
    split = {cell: split_words(cell) for cell in cells if not _is_no_label(cell)}
    several = sum(cells[cell] for cell, words in split.items() if len(words) > 1)
    words: Counter = Counter()
    for cell, found in split.items():
        for word in found:
            words[word] += cells[cell]
    is_multi = known is None and several >= _SEVERAL * total > 0
    if not is_multi or not 2 <= len({*map(fold_word, words)}) <= min(_MOST, total // 2):
        return False, cells
    words.update({cell: count for cell, count in cells.items() if _is_no_label(cell)})
    return True, words


def _is_no_label(word: str) -> bool:
    return fold_word(word) in {fold_word(one) for one in NOT_LABELLED}


def _category(
    column: str, words: Counter, known: list[str] | None
) -> tuple[Category, Counter, str | None]:
    """Makes a category of a column's words, and says why it looks like none."""
    merged: Counter = Counter()
    spelling: dict[str, str] = {}
    synonyms: dict[str, tuple[str, ...]] = {}
    for word, count in words.most_common():
        if _is_no_label(word):
            continue
        attribute = spelling.setdefault(fold_word(word), word)
        merged[attribute] += count
        if attribute != word:
            synonyms[attribute] = (*synonyms.get(attribute, ()), word)
    name = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_")[:60]
    name = name if name[:1].isalpha() else f"c_{name}"[:60]
    attributes = tuple(known) if known else tuple(word for word, _ in merged.most_common())
    own_column = None if name == column else column
    category = Category(name, attributes, column=own_column, synonyms=synonyms)
    rows, reason = sum(merged.values()), None
    if merged and all(split_id(word) is not None for word in merged):
        reason = f"it names splits: say --split-column {column!r}"
    elif known is None and not 2 <= len(merged) <= min(_MOST, rows // 2):
        reason = f"{len(merged)} different values in {rows} rows"
    return category, merged, reason


def _warnings(name: str, words: Counter, merged: Counter) -> list[str]:
    found = []
    empty = [f"{word!r} ({count})" for word, count in words.items() if _is_no_label(word)]
    if empty:
        found.append(f"{name}: {list_some(empty)} means not labelled.")
    twins = [
        f"{word!r} ({count})"
        for word, count in words.items()
        if word not in merged and not _is_no_label(word)
    ]
    if twins:
        found.append(f"{name}: {list_some(twins)} differs from an attribute by spelling alone.")
    attributes = list(merged)
    near = [
        f"{one!r} and {other!r}"
        for place, one in enumerate(attributes[:_MOST])
        for other in attributes[place + 1 : _MOST]
        if difflib.SequenceMatcher(None, one.casefold(), other.casefold()).ratio() >= _NEAR
    ]
    if near:
        found.append(f"{name}: {list_some(near, most=5)} may be one attribute; make one a synonym.")
    rare = [f"{word!r} ({count})" for word, count in merged.items() if count < _RARE]
    if rare:
        found.append(f"{name}: {list_some(rare)} has fewer than {_RARE} rows, too few to learn.")
    if len(merged) > sum(merged.values()) // 2:
        found.append(f"{name}: it has {len(merged)} values in {sum(merged.values())} rows.")
    return found
