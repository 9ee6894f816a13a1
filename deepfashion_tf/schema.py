"""The schema: which categories there are, and which attributes each of them has.

A value that data, model, run and export carry. A class id is the position of an
attribute inside its category. ``UNLABELLED`` (-1) stands for "nobody said": such a
value takes no part in a loss or a metric.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Final

import yaml

from deepfashion_tf.errors import InputError
from deepfashion_tf.files import write_atomically

UNLABELLED: Final[int] = -1
# What people write into a table where they know nothing. "none" is no such word: it is an answer.
NOT_LABELLED: Final = (
    *("n/a", "na", "n.a.", "#n/a", "nan", "null", "nil", "unknown", "unlabelled", "unlabeled"),
    *("not labelled", "not labeled", "-", "--", "?", "-1"),
)

# What a Keras layer, an output of a SavedModel and a column of a table can all be called.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
# Names that layers, tables and files of this project have given to something else.
_TAKEN = {
    *("images", "image", "image_bytes", "boxes", "x1", "y1", "x2", "y2", "split", "group"),
    *("attention_pooling", "fc1", "fc2", "fc3", "fc4", "resnet50", "seresnet50", "seresnext50"),
    *("epoch", "loss", "val_loss", "mean_accuracy", "val_mean_accuracy"),
    *("mean_class_recall", "val_mean_class_recall"),
}
# What a category's name grows into: layers, losses, metrics, columns.
_GROWN = ("{}", "{}_dropout", "{}_loss", "{}_labelled_loss", "{}_accuracy", "{}_probability")
_GROWN += ("val_{}_loss", "val_{}_labelled_loss", "val_{}_accuracy")
_GROWN += ("{}_class_recall", "{}_classes_seen", "val_{}_class_recall", "val_{}_classes_seen")


@dataclass(frozen=True)
class Category:
    """One question about a garment, and its possible answers.

    Attributes:
        name: letters, digits and _, a letter first, at most 60.
        attributes: at least two, in the order of their class ids.
        description: for people.
        loss_weight: of the category in the total loss, >= 0 (the report's eq. 7).
        column: of a table that holds its labels; None = one that is called as the category.
        synonyms: attribute -> other words that tables have for it.
    """

    name: str
    attributes: tuple[str, ...]
    description: str = ""
    loss_weight: float = 1.0
    column: str | None = field(default=None, compare=False)
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False, hash=False)


@dataclass(frozen=True)
class Schema(Mapping):
    """Categories in order; read as a mapping, category -> its attributes.

    Attributes:
        categories: in order.
        not_labelled: words of tables that mean "nobody said"; None = NOT_LABELLED.

    Example:
        schema = Schema.of({"season": ["summer", "winter"], "collar": ["none", "polo", "shirt"]})
        schema["season"]  # ("summer", "winter")

    Raises:
        InputError: a category with fewer than two attributes, a repeated name, or a name
            that no layer or column may bear.
    """

    categories: tuple[Category, ...]
    not_labelled: tuple[str, ...] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for _, fault in faults_of(self.categories):
            raise InputError(f"The schema cannot be used: {fault}.")

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self.categories)

    @cached_property
    def _by_name(self) -> dict[str, tuple[str, ...]]:
        return {category.name: category.attributes for category in self.categories}

    @property
    def loss_weights(self) -> dict[str, float]:
        """Category -> its weight in the total loss."""
        return {category.name: category.loss_weight for category in self.categories}

    def count(self) -> int:
        """Counts the attributes of all categories together."""
        return sum(map(len, self.values()))

    def check(self, name: str, mapping: Mapping) -> None:
        """Checks that a mapping has one entry for each category and no other.

        Keras itself shifts loss weights by sorted position when a key is misspelt, and
        trains a head whose loss is missing without one; neither says a word.

        Raises:
            ValueError: names the missing and the unknown keys.
        """
        missing = [category for category in self if category not in mapping]
        unknown = [key for key in mapping if key not in self]
        if missing or unknown:
            raise ValueError(
                f"{name} must have the keys {', '.join(self)}; "
                f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
            )

    def select(self, names: Iterable[str]) -> "Schema":
        """Gives a schema of some of the categories."""
        by_name = {category.name: category for category in self.categories}
        return replace(self, categories=tuple(by_name[name] for name in names))

    def find_attribute(self, name: str) -> tuple[str, str]:
        """Finds what ``attribute`` or ``category.attribute`` means.

        Raises:
            KeyError: nothing here is called so, or several are; its argument says which.
        """
        category, _, attribute = name.partition(".")
        if attribute in self.get(category, ()):
            return category, attribute
        found = [category for category, attributes in self.items() if name in attributes]
        if len(found) != 1:
            raise KeyError([f"{category}.{name}" for category in found])
        return found[0], name

    def differences(self, other: "Schema") -> list[str]:
        """Says in words where another schema has other categories, attributes or another order."""
        found = [f"{name} is missing there" for name in self if name not in other]
        found += [f"{name} is only there" for name in other if name not in self]
        for name in self:
            if name in other and self[name] != other[name]:
                found.append(f"{name} is {_list(self[name])} here and {_list(other[name])} there")
        if not found and list(self) != list(other):
            found.append(f"the order is {', '.join(self)} here and {', '.join(other)} there")
        return found

    @classmethod
    def of(cls, categories: Mapping[str, list[str] | tuple[str, ...]]) -> "Schema":
        """Makes a schema of category -> attributes."""
        return cls(tuple(Category(name, tuple(values)) for name, values in categories.items()))

    @classmethod
    def load(cls, path: str | Path) -> "Schema":
        """Reads a YAML file; ``schema.yaml`` of this package shows the format.

        Raises:
            InputError: says with file and line what is wrong.
        """
        from deepfashion_tf.schema_yaml import read_schema

        return read_schema(Path(path))

    def save(self, path: Path) -> None:
        """Writes what `load` reads."""
        entries = {}
        for category in self.categories:
            entry = {"description": category.description} if category.description else {}
            if category.loss_weight != 1.0:
                entry["loss_weight"] = float(category.loss_weight)
            if category.column is not None:
                entry["column"] = category.column
            if category.synonyms:
                entry["synonyms"] = {name: list(w) for name, w in category.synonyms.items()}
            attributes = list(category.attributes)
            entries[category.name] = {**entry, "attributes": attributes} if entry else attributes
        content: dict = {"categories": entries}
        if self.not_labelled is not None:
            content["not_labelled"] = list(self.not_labelled)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None)
        write_atomically(path, text)


@cache
def builtin_schema() -> Schema:
    """Reads the schema of this package: six categories, 26 attributes, the report's weights."""
    return Schema.load(Path(__file__).with_suffix(".yaml"))


def faults_of(categories: tuple[Category, ...]) -> Iterator[tuple[int, str]]:
    """Yields what is wrong with categories: the number of the category, and a sentence."""
    if not categories:
        yield 0, "it has no category: write at least one, with two attributes or more"
    taken = dict.fromkeys(_TAKEN)
    for number, category in enumerate(categories):
        name = category.name
        if not _NAME.fullmatch(name):
            yield (
                number,
                f"{name!r} cannot name a category, since layers and columns bear its name: use "
                f"letters, digits and _, a letter first, at most 60",
            )
            continue
        grown = [form.format(name) for form in _GROWN]
        clash = next((key for key in grown if key in taken), None)
        if clash in _TAKEN:
            yield number, f"{name} cannot name a category: {clash} is the name of something else"
        elif clash and taken[clash] == name:
            yield number, f"the category {name} is there twice: keep one"
        elif clash:
            yield (
                number,
                f"the categories {taken[clash]} and {name} would both make {clash}: rename one",
            )
        taken |= dict.fromkeys(grown, name)
        yield from ((number, fault) for fault in _faults_of_attributes(category))


def _faults_of_attributes(category: Category) -> Iterator[str]:
    if len(category.attributes) < 2:
        yield (
            f"{category.name} has {len(category.attributes)} attribute(s), so there is nothing "
            f"to tell apart: give it two or more, or leave it out"
        )
    for attribute, count in Counter(category.attributes).items():
        if count > 1:
            yield f"{category.name} has the attribute {attribute} {count} times: keep one"
        if not attribute.strip() or attribute != attribute.strip() or not attribute.isprintable():
            yield (
                f"{category.name} has the attribute {attribute!r}: give it a name that can be "
                f"printed, without spaces around it"
            )
    yield from _faults_of_synonyms(category)
    if not (0 <= category.loss_weight < math.inf):
        yield f"{category.name} has the loss weight {category.loss_weight}: give a number >= 0"


def _faults_of_synonyms(category: Category) -> Iterator[str]:
    meant = {fold_word(attribute): attribute for attribute in category.attributes}
    for attribute, words in category.synonyms.items():
        if attribute not in category.attributes:
            yield f"{category.name} has synonyms of {attribute}, which is none of its attributes"
        for word in words:
            other = meant.setdefault(fold_word(word), attribute)
            if other != attribute:
                yield f"{category.name} has {word!r} as a synonym of {attribute} and for {other}"


def fold_word(word: str) -> str:
    """Returns what two spellings of a word have in common: no case, and one kind of space."""
    # Not at the start, where a hyphen is the sign of a number.
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", word.casefold().replace("_", " ").strip())


def _list(attributes: tuple[str, ...]) -> str:
    return f"[{', '.join(attributes)}]"
