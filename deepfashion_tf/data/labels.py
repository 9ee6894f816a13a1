"""Labels from the words of a table: attributes, their synonyms, and words for "not labelled"."""

import difflib
from collections import Counter

from deepfashion_tf.category import fold_word
from deepfashion_tf.errors import list_some
from deepfashion_tf.schema import NOT_LABELLED, UNLABELLED, Category, Schema


class LabelReader:
    """Reads the class ids of one category.

    An attribute's own name goes first. Synonyms follow, and spellings that differ in case, spaces,
    hyphens or underscores. Words that mean "not labelled" come last.

    Attributes:
        category: whose labels they are.
        ignored: word that means "not labelled" -> how often it came.
        respelled: word -> the attribute that it was read as, and how often.
    """

    def __init__(self, category: Category, schema: Schema) -> None:
        self.category = category
        self.ignored: Counter[str] = Counter()
        self.respelled: Counter[tuple[str, str]] = Counter()
        self._ids = {attribute: n for n, attribute in enumerate(category.attributes)}
        self._folded: dict[str, int] = {}
        self._known: dict[str, int | None] = {}  # other words that have been looked up
        for attribute, words in category.synonyms.items():
            self._folded |= {fold_word(word): self._ids[attribute] for word in words}
        spellings = Counter(map(fold_word, category.attributes))
        for attribute, number in self._ids.items():
            if spellings[fold_word(attribute)] == 1:
                self._folded.setdefault(fold_word(attribute), number)
        words = NOT_LABELLED if schema.not_labelled is None else schema.not_labelled
        self._words = {fold_word(word) for word in words}

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
            self.respelled[word, self.category.attributes[number]] += 1
        return number

    def fault(self, word: str, count: int) -> str:
        """Says that a word, found so many times, is no attribute."""
        attributes = list(self.category.attributes)
        near = difflib.get_close_matches(word[:100], attributes, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        more = f" and {count - 1} more" if count > 1 else ""
        return (
            f"{self.category.name} is {word[:100]!r}{hint}{more}, but the attributes are "
            f"{list_some(attributes, most=20)} (empty: not labelled)"
        )

    def notes(self) -> list[str]:
        """Returns what was read otherwise than it is written."""
        found = []
        if self.respelled:
            words = [f"{w!r} as {a} ({n})" for (w, a), n in self.respelled.most_common()]
            found.append(f"{self.category.name}: {list_some(words, most=5)}")
        if self.ignored:
            words = [f"{word!r} ({count})" for word, count in self.ignored.most_common()]
            found.append(f"{self.category.name}: {list_some(words, most=5)} as not labelled")
        return found
