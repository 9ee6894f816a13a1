"""Proposes a schema for a table, and says what in its words looks like a mistake."""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deepfashion_tf.data.table_file import TableFile
from deepfashion_tf.data.table_options import TableOptions
from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.schema import NOT_LABELLED, Category, Schema, faults_of, fold_word

_MOST = 60  # attributes of a category
_RARE = 10  # images, fewer of which teach nothing
_NEAR = 0.8  # similarity of two words that may be one
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
    warnings: list[str] = field(default_factory=list)


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
    options = options or TableOptions()
    wanted = {name: name for name in columns} if columns else None
    table = TableFile(path, options, wanted)
    names = table.names if columns else _candidates(table, options)
    counts = {name: Counter() for name in names}
    places = [(table.names.index(name), counts[name]) for name in names]
    for entry in table:
        for place, counter in places if entry.values else ():
            if (value := entry.values[place]) is not None:
                counter[value] += 1
    nested = getattr(table.format, "left_out", {})
    known = getattr(table.format, "labels", {})
    proposal = Proposal(Schema((Category("a", ("x", "y")),)), {}, {}, [])
    taken: list[Category] = []
    for name in names:
        if name in nested and not columns:
            proposal.left_out[name] = nested[name]
            continue
        category, merged, reason = _category(name, counts[name], known.get(name), bool(columns))
        reason = reason or next((f for _, f in faults_of((*taken, category))), None)
        if reason and not columns:
            proposal.left_out[name] = reason
            continue
        taken.append(category)
        proposal.counts[category.name] = {a: merged[a] for a in category.attributes}
        proposal.warnings.extend(_warnings(category.name, counts[name], merged))
    if not taken:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in proposal.left_out.items())
        raise InputError(f"No column of {path} looks like a category ({reasons or 'no others'}).")
    if table.faulty:
        proposal.warnings.append(
            f"{table.faulty} of {table.rows} rows cannot be read: train.py and check_data.py say "
            f"which."
        )
    proposal.warnings.extend(table.notes())
    return Proposal(Schema(tuple(taken)), proposal.counts, proposal.left_out, proposal.warnings)


def _candidates(table: TableFile, options: TableOptions) -> list[str]:
    own = [options.split_column or _OWN[0], options.group_column or _OWN[1]]
    places = {table.columns.find(name) for name in own}
    return [name for name in table.names if table.columns.find(name) not in places]


def _category(
    column: str, counts: Counter, known: list[str] | None, is_named: bool
) -> tuple[Category, Counter, str | None]:
    """Makes a category of a column, and says why it looks like none."""
    merged: Counter = Counter()
    spelling: dict[str, str] = {}
    skipped = {fold_word(word) for word in NOT_LABELLED}
    for value, count in counts.most_common():
        if fold_word(value) not in skipped:
            merged[spelling.setdefault(fold_word(value), value)] += count
    name = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_")[:60]
    name = name if name[:1].isalpha() else f"c_{name}"[:60]
    attributes = tuple(known) if known else tuple(value for value, _ in merged.most_common())
    category = Category(name, attributes, column=None if name == column else column)
    rows = sum(merged.values())
    if not is_named and known is None and not 2 <= len(merged) <= min(_MOST, rows // 2):
        return category, merged, f"{len(merged)} different values in {rows} rows"
    return category, merged, None


def _warnings(name: str, counts: Counter, merged: Counter) -> list[str]:
    found = []
    skipped = {fold_word(word) for word in NOT_LABELLED}
    empty = [f"{word!r} ({n})" for word, n in counts.items() if fold_word(word) in skipped]
    if empty:
        found.append(f"{name}: {list_some(empty)} means not labelled.")
    twins = [
        f"{word!r} ({count})"
        for word, count in counts.items()
        if word not in merged and fold_word(word) not in skipped
    ]
    if twins:
        found.append(f"{name}: {list_some(twins)} differs from an attribute by spelling alone.")
    words = list(merged)
    near = [
        f"{one!r} and {other!r}"
        for place, one in enumerate(words[:_MOST])
        for other in words[place + 1 : _MOST]
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
