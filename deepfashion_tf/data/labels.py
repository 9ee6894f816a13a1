"""Labels from the words of a table: attributes, their synonyms, and words for "not labelled"."""

import difflib
import json
import re
from collections import Counter
from collections.abc import Collection

from deepfashion_tf.category import NONE, NOT_APPLICABLE, NOT_APPLICABLE_WORDS, fold_word
from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import list_some
from deepfashion_tf.schema import NOT_LABELLED, UNLABELLED, Schema

SEPARATOR = ";"
# "80 % cotton". Bounded, or a cell of a million digits would be searched for hours.
_SHARES = re.compile(r"(?<!\d)\d{1,3}([.,]\d{1,6})?\s{0,3}%")


class LabelReader:
    """Reads the labels of one category, or of all parts of one of kind multi.

    An attribute's own name goes first. Synonyms follow, and spellings that differ in case, spaces,
    hyphens or underscores. Words that mean "not labelled" come last.

    Attributes:
        name: of the category, as a user knows it.
        count: how many labels a cell has: one, or one a part.
        ignored: word that means "not labelled" -> how often it came.
        respelled: word -> the attribute that it was read as, and how often.
    """

    def __init__(self, name: str, schema: Schema) -> None:
        self.name = name
        parts = schema.groups[name]
        self.count, self._is_multi = len(parts), parts[0].part_of is not None
        self.ignored: Counter[str] = Counter()
        self.respelled: Counter[tuple[str, str]] = Counter()
        self._attributes = (
            tuple(part.attributes[-1] for part in parts) if self._is_multi else parts[0].attributes
        )
        self._ids = {attribute: n for n, attribute in enumerate(self._attributes)}
        self._folded: dict[str, int] = {}
        self._known: dict[str, int | None] = {}  # other words that have been looked up
        for part in parts:
            for attribute, words in part.synonyms.items():
                self._folded |= {fold_word(word): self._ids[attribute] for word in words}
        spellings = Counter(map(fold_word, self._attributes))
        for attribute, number in self._ids.items():
            if spellings[fold_word(attribute)] == 1:
                self._folded.setdefault(fold_word(attribute), number)
        if NOT_APPLICABLE in self._ids:
            for word in NOT_APPLICABLE_WORDS:
                self._folded.setdefault(fold_word(word), self._ids[NOT_APPLICABLE])
        words = NOT_LABELLED if schema.not_labelled is None else schema.not_labelled
        self._words = {fold_word(word) for word in words}

    @property
    def nothing(self) -> tuple[int, ...]:
        """The labels of a cell that says nothing."""
        return (UNLABELLED,) * self.count

    def read_cell(self, word: str | None) -> tuple[int, ...] | None:
        """Returns the class ids of a cell, `count` of them; None: it holds another word."""
        if not self._is_multi:
            number = self.read(word)
            return None if number is None else (number,)
        if word is None or (number := self.read(word)) == UNLABELLED:
            return self.nothing
        return self._read_several(word) if number is None else self._flags([number])

    def _read_several(self, cell: str) -> tuple[int, ...] | None:
        """Reads ``cotton;elastane``, ``80% cotton, 20% elastane`` or a list in JSON."""
        words = _words_of(cell)
        if [word.casefold() for word in words] in ([], [NONE]):
            return self._flags([])
        numbers = [self._read_part(word) for word in words]
        if None in numbers:
            return None
        known = [number for number in numbers if number != UNLABELLED]
        return self._flags(known) if known else self.nothing

    def _read_part(self, word: str) -> int | None:
        number = self.read(word)
        return self.read(_SHARES.sub(" ", word).strip()) if number is None else number

    def _flags(self, numbers: list[int]) -> tuple[int, ...] | None:
        """Returns which parts are answered with yes; None: a contradiction."""
        if self._ids.get(NOT_APPLICABLE) in numbers:
            return (*self.nothing[:-1], 1) if len(numbers) == 1 else None
        return tuple(int(number in numbers) for number in range(self.count))

    def read(self, word: str | None) -> int | None:
        """Returns the class id of a word, UNLABELLED, or None: it is no attribute."""
        if word is None:
            return UNLABELLED
        if (number := self._ids.get(word)) is not None:
            return number
        if word not in self._known:
            folded = fold_word(word)
            self._known[word] = UNLABELLED if folded in self._words else None
            self._known[word] = self._folded.get(folded, self._known[word])
        number = self._known[word]
        if number == UNLABELLED:
            self.ignored[word] += 1
        elif number is not None:
            self.respelled[word, self._attributes[number]] += 1
        return number

    def fault(self, word: str, count: int) -> str:
        """Returns the fault that a word, found so many times, is no attribute."""
        attributes = list(self._attributes)
        near = difflib.get_close_matches(word[:100], attributes, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        more = f" and {count - 1} more" if count > 1 else ""
        return (
            f"{self.name} is {word[:100]!r}{hint}{more}, but the attributes are "
            f"{list_some(attributes, most=20)} (empty: not labelled{self._hint()})"
        )

    def _hint(self) -> str:
        return f'; several: "{SEPARATOR}" between them; {NONE}: none of them' * self._is_multi

    def notes(self) -> list[str]:
        """Returns what was read otherwise than it is written."""
        found = []
        if self.respelled:
            words = [f"{w!r} as {a} ({n})" for (w, a), n in self.respelled.most_common()]
            found.append(f"{self.name}: {list_some(words, most=5)}")
        if self.ignored:
            words = [f"{word!r} ({count})" for word, count in self.ignored.most_common()]
            found.append(f"{self.name}: {list_some(words, most=5)} as not labelled")
        return found


def join_attributes(attributes: list[str], known: Collection[str] = ()) -> str:
    """Returns the cell of a table that `LabelReader` reads as these attributes of kind multi.

    Args:
        attributes: those that an image has.
        known: all of the category; one of them may be called "a;b".
    """
    joined = SEPARATOR.join(attributes)
    if any(SEPARATOR in name or "|" in name for name in attributes) or (
        len(attributes) > 1 and joined in known
    ):
        return as_json(attributes, ensure_ascii=False)
    return joined or NONE


def split_words(cell: str) -> list[str]:
    """Returns the words of a cell that may hold several, without their shares."""
    words = (_SHARES.sub(" ", word).strip() for word in _words_of(cell))
    return [word for word in words if word and word.casefold() != NONE]


def _as_word(value: object) -> str:
    # Not "None": a word for none of the attributes.
    return value if isinstance(value, str) else as_json(value)


def _words_of(cell: str) -> list[str]:
    if cell[:1] in "[{":
        try:
            found = json.loads(cell)
            if isinstance(found, dict):  # as Label Studio exports several choices
                found = found["choices"]
            return [_as_word(word).strip() for word in found]
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
    # No comma of a decimal number.
    separators = r"[;|\n]" if re.search(r"[;|\n]", cell) else r",(?!\d)"
    return [word for part in re.split(separators, cell) if (word := part.strip())]
