"""The schema: which categories there are, and which attributes each of them has.

A value that data, model, run and export carry. A class id is the position of an
attribute inside its category. ``UNLABELLED`` (-1) stands for "nobody said": such a
value takes no part in a loss or a metric.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Final

import yaml

from deepfashion_tf.category import NOT_APPLICABLE, Category, faults_of, parts_of
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import write_atomically
from deepfashion_tf.schema_yaml import read_schema

UNLABELLED: Final[int] = -1
# What people write into a table where they know nothing. "none" is no such word: it is an answer.
NOT_LABELLED: Final = (
    *("n/a", "na", "n.a.", "#n/a", "nan", "null", "nil", "unknown", "unlabelled", "unlabeled"),
    *("not labelled", "not labeled", "-", "--", "?", "-1"),
)


@dataclass(frozen=True)
class Schema(Mapping):
    """Categories in order; read as a mapping, category -> its attributes.

    A category of kind multi, whose images have any number of its attributes, is one category
    an attribute, with two answers each; `groups` puts them together. An optional category has
    one more attribute, "not_applicable".

    Attributes:
        categories: in order.
        not_labelled: words of tables that mean "nobody said"; None = NOT_LABELLED.

    Example:
        schema = Schema.of(
            {"sleeve": ["long", "short"], "fabric": ["cotton", "wool"]},
            multi=["fabric"],
            optional=["sleeve"],
        )
        schema["sleeve"]  # ("long", "short", "not_applicable")
        schema["fabric_wool"]  # ("no wool", "wool")
        list(schema.groups)  # ["sleeve", "fabric"]

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

    @cached_property
    def groups(self) -> dict[str, tuple[Category, ...]]:
        """Category as a user knows it -> itself, or the yes-or-no questions that it consists of."""
        found: dict[str, list[Category]] = {}
        for category in self.categories:
            found.setdefault(category.part_of or category.name, []).append(category)
        return {name: tuple(parts) for name, parts in found.items()}

    @property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        """Category as a user knows it -> its attributes, "not_applicable" among them."""
        return {
            name: tuple(part.attributes[-1] for part in parts)
            if parts[0].part_of
            else parts[0].attributes
            for name, parts in self.groups.items()
        }

    @property
    def loss_weights(self) -> dict[str, float]:
        """Category -> its weight in the total loss."""
        return {category.name: category.loss_weight for category in self.categories}

    def group_mean(self, values: Mapping[str, float]) -> float:
        """Computes the mean over categories, those of kind multi as the mean of their parts.

        Args:
            values: category -> value; NaN, or none, where there is none.

        Returns:
            NaN where there is no value.
        """
        groups = [
            [v for part in parts if not math.isnan(v := values.get(part.name, math.nan))]
            for parts in self.groups.values()
        ]
        means = [sum(known) / len(known) for known in groups if known]
        return sum(means) / len(means) if means else math.nan

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
        """Returns a schema of some of the categories."""
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
        """Lists the differences of another schema: categories, attributes, their order."""
        found = [f"{name} is missing there" for name in self if name not in other]
        found += [f"{name} is only there" for name in other if name not in self]
        for name in self:
            if name in other and self[name] != other[name]:
                found.append(f"{name} is {_list(self[name])} here and {_list(other[name])} there")
        if not found and list(self) != list(other):
            found.append(f"the order is {', '.join(self)} here and {', '.join(other)} there")
        return found

    @classmethod
    def of(
        cls,
        categories: Mapping[str, list[str] | tuple[str, ...]],
        *,
        multi: Iterable[str] = (),
        optional: Iterable[str] = (),
    ) -> "Schema":
        """Makes a schema of category -> attributes.

        Args:
            categories: the attributes of each category.
            multi: categories of which an image has any number of attributes.
            optional: categories that do not apply to every image.

        Raises:
            InputError: as of `Schema`; or another name in `multi` or `optional`.
        """
        multi, optional = set(multi), set(optional)
        if unknown := (multi | optional) - set(categories):
            raise InputError(f"{', '.join(sorted(unknown))} is none of the categories.")
        parts: list[Category] = []
        for name, values in categories.items():
            kind = {"is_multi": name in multi, "is_optional": name in optional}
            try:
                parts += parts_of(Category(name, tuple(values)), **kind)
            except ValueError as error:
                raise InputError(f"The schema cannot be used: {error}.") from error
        return cls(tuple(parts))

    @classmethod
    def load(cls, path: str | Path) -> "Schema":
        """Reads a YAML file; ``schema.yaml`` of this package shows the format.

        Raises:
            InputError: says with file and line what is wrong.
        """
        return cls(*read_schema(Path(path)))

    def save(self, path: Path) -> None:
        """Writes what `load` reads."""
        entries = {}
        for name, parts in self.groups.items():
            category, kind = _whole(parts)
            entry: dict[str, object] = (
                {"description": category.description} if category.description else {}
            )
            entry |= kind
            if category.loss_weight != 1.0:
                entry["loss_weight"] = float(category.loss_weight)
            if category.column not in (None, name):
                entry["column"] = category.column
            if category.synonyms:
                entry["synonyms"] = {name: list(w) for name, w in category.synonyms.items()}
            attributes = list(category.attributes)
            entries[name] = {**entry, "attributes": attributes} if entry else attributes
        content: dict = {"categories": entries}
        if self.not_labelled is not None:
            content["not_labelled"] = list(self.not_labelled)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None)
        write_atomically(path, text)


def _whole(parts: tuple[Category, ...]) -> tuple[Category, dict[str, object]]:
    """Returns a category as it is written in a schema file, and its kind; undoes `parts_of`."""
    first, kind = parts[0], {}
    attributes = first.attributes
    if first.part_of:
        kind["kind"] = "multi"
        attributes = tuple(part.attributes[-1] for part in parts)
    if NOT_APPLICABLE in attributes:
        kind["optional"] = True
        attributes = tuple(name for name in attributes if name != NOT_APPLICABLE)
    synonyms = {name: words for part in parts for name, words in part.synonyms.items()}
    return replace(first, attributes=attributes, synonyms=synonyms), kind


@cache
def builtin_schema() -> Schema:
    """Reads the schema of this package: six categories, 26 attributes, the report's weights."""
    return Schema.load(Path(__file__).with_suffix(".yaml"))


def _list(attributes: tuple[str, ...]) -> str:
    return f"[{', '.join(attributes)}]"
