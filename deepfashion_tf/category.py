"""A category: one question about a garment, and the names that it may bear.

A head of the network answers one category. Of a category of kind ``multi``, whose images have
any number of its attributes, each attribute is a category with two answers: see `parts_of`.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

NONE: Final = "none"  # of a category of kind multi: it has none of the attributes
NOT_APPLICABLE: Final = "not_applicable"
# What tables hold where an optional category does not apply.
NOT_APPLICABLE_WORDS: Final = ("n/a", "n.a.", "na", "not applicable", "does not apply")

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
_GROWN += ("{}_status",)
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
        part_of: the category of kind multi that this one is a yes-or-no question of; None = none.
    """

    name: str
    attributes: tuple[str, ...]
    description: str = ""
    loss_weight: float = 1.0
    column: str | None = field(default=None, compare=False)
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False, hash=False)
    part_of: str | None = None

    @property
    def is_optional(self) -> bool:
        """Whether an answer says that the category does not apply; it is the last class."""
        return self.attributes[-1:] == (NOT_APPLICABLE,)

    @property
    def detects(self) -> str | None:
        """The attribute, of class id `len(attributes)` - 1, that is detected or not.

        An attribute of a category of kind multi, or that an optional category does not apply.
        None = all attributes are alike.
        """
        return self.attributes[-1] if self.part_of or self.is_optional else None


def parts_of(
    category: Category, *, is_multi: bool = False, is_optional: bool = False
) -> tuple[Category, ...]:
    """Returns the categories that heads answer, of one as it is written in a schema file.

    Args:
        category: as it is written.
        is_multi: an image has any number of its attributes. Each is a yes-or-no question then.
            The softmax of a head with two classes is the sigmoid of the difference of their
            logits.
        is_optional: one more attribute, or one more question, is that it does not apply.

    Raises:
        ValueError: its attributes cannot be those of a category of kind multi.
    """
    if not is_multi:
        ending = (NOT_APPLICABLE,) if is_optional else ()
        return (replace(category, attributes=(*category.attributes, *ending)),)
    for fault in _faults_of_multi(category):
        raise ValueError(fault)
    names = Counter(map(_slug, category.attributes))
    questions = []
    for number, attribute in enumerate(category.attributes, start=1):
        end = _slug(attribute)
        if not end or names[end] > 1:
            end = str(number) if str(number) not in names else f"attribute_{number}"
        questions.append((end, (f"no {attribute}", attribute)))
    if is_optional:
        questions.append((NOT_APPLICABLE, ("applicable", NOT_APPLICABLE)))
    return tuple(
        replace(
            category,
            name=f"{category.name}_{end}"[:60],
            attributes=answers,
            synonyms={a: words for a, words in category.synonyms.items() if a == answers[-1]},
            column=category.column or category.name,
            part_of=category.name,
        )
        for end, answers in questions
    )


def _slug(attribute: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", attribute).strip("_").lower()


def faults_of(categories: tuple[Category, ...]) -> Iterator[tuple[int, str]]:
    """Yields what is wrong with categories: the number of the category, and a sentence."""
    if not categories:
        yield 0, "it has no category: write at least one, with two attributes or more"
    taken = dict.fromkeys(_TAKEN)
    named = [(number, category.name) for number, category in enumerate(categories)]
    parents = {c.part_of: number for number, c in reversed([*enumerate(categories)]) if c.part_of}
    named += [(number, name) for name, number in parents.items()]
    for number, name in sorted(named, key=lambda one: (one[0], one[1] not in parents)):
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
    for number, category in enumerate(categories):
        yield from ((number, fault) for fault in _faults_of_attributes(category))


def _faults_of_multi(category: Category) -> Iterator[str]:
    """Yields what is wrong with a category of kind multi, as it is written."""
    if not category.attributes:
        yield f"{category.name} has no attributes: give it one or more, or leave it out"
    for attribute in category.attributes:
        if fold_word(attribute) == NONE:
            yield (
                f"{category.name} is of kind multi and has the attribute {attribute}, which means "
                f"none of its attributes: leave it out"
            )
    yield from _faults_of_words(category)


def _faults_of_attributes(category: Category) -> Iterator[str]:
    if len(category.attributes) < 2:
        yield (
            f"{category.name} has {len(category.attributes)} attribute(s), so there is no "
            f"choice: give it two or more, or leave it out"
        )
    yield from _faults_of_words(category)


def _faults_of_words(category: Category) -> Iterator[str]:
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
        if attribute not in (*category.attributes, NOT_APPLICABLE):
            yield f"{category.name} has synonyms of {attribute}, which is none of its attributes"
        for word in words:
            other = meant.setdefault(fold_word(word), attribute)
            if other != attribute:
                yield f"{category.name} has {word!r} as a synonym of {attribute} and for {other}"


def fold_word(word: str) -> str:
    """Returns what two spellings of a word have in common: no case, and one kind of space."""
    # Not at the start, where a hyphen is the sign of a number.
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", word.casefold().replace("_", " ").strip())
