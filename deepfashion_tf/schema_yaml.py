"""Reads a schema from YAML, node by node: nodes know their lines, and words stay words."""

from pathlib import Path

import yaml

from deepfashion_tf.category import Category, faults_of, parts_of
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import read_small_text
from deepfashion_tf.plain_yaml import PlainLoader

_TEXTS = ("description", "loss_weight", "column")
_KEYS = ("attributes", *_TEXTS, "synonyms", "kind", "optional")
_CHOICES = {"kind": ("single", "multi"), "optional": ("false", "true")}
_HELP = 'a schema is "categories:" and below it "NAME: [ATTRIBUTE, ATTRIBUTE, …]", one a category'


def read_schema(path: Path) -> tuple[tuple[Category, ...], tuple[str, ...] | None]:
    """Reads the categories of a schema, and its words for "nobody said" (None: the usual ones).

    Raises:
        InputError: says with file and line what is wrong.
    """
    try:
        text = read_small_text(path)
    except FileNotFoundError as error:
        raise InputError(f"There is no schema {path}: {_HELP}.") from error
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path} cannot be read as text ({error}): {_HELP}.") from error
    try:
        # Composed, not loaded: "no" stays a word where a value would be False.
        root = yaml.compose(text, Loader=PlainLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise InputError(f"{where}: this is no YAML ({reason}); {_HELP}.") from error
    entries = _mapping(root, path, "the file")
    nodes = {key: node for key, _, node in entries}
    unknown = [key for key, _, _ in entries if key not in ("categories", "not_labelled")]
    if "categories" not in nodes or unknown or len(nodes) != len(entries):
        line = entries[0][1] if entries else 1
        raise InputError(
            f"{path}, line {line}: {', '.join(unknown) or 'nothing'} stands there; {_HELP}."
        )
    words = nodes.get("not_labelled")
    not_labelled = None if words is None else _words(words, path, "the words of not_labelled")
    categories, lines = [], []
    for name, line, node in _mapping(nodes["categories"], path, "categories"):
        try:
            parts = _parts(name, node, path)
        except ValueError as error:
            raise InputError(f"{path}, line {line}: {error}.") from error
        categories += parts
        lines += [line] * len(parts)
    for number, fault in faults_of(tuple(categories)):
        raise InputError(f"{path}, line {(lines or [1])[number]}: {fault}.")
    return tuple(categories), not_labelled


def _parts(name: str, node: yaml.Node, path: Path) -> tuple[Category, ...]:
    if isinstance(node, yaml.SequenceNode):
        return (Category(name, _words(node, path, f"the attributes of {name}")),)
    values: dict[str, yaml.Node] = {}
    for key, line, value in _mapping(node, path, name):
        if key not in _KEYS or key in values:
            fault = "is there twice" if key in values else f"is none of {', '.join(_KEYS)}"
            raise InputError(f"{path}, line {line}: {key} of {name} {fault}.")
        values[key] = value
    attributes = (
        _words(values["attributes"], path, f"the attributes of {name}")
        if "attributes" in values
        else ()
    )
    texts = {key: _word(values[key], path, f"{key} of {name}") for key in _TEXTS if key in values}
    if "loss_weight" in texts:
        try:
            texts["loss_weight"] = float(texts["loss_weight"])
        except ValueError as error:
            raise InputError(
                f"{_at(values['loss_weight'], path)}: the loss weight of {name} is "
                f"{texts['loss_weight']}: give a number >= 0."
            ) from error
    synonyms = {
        attribute: _words(words, path, f"the synonyms of {attribute}")
        for attribute, _, words in (
            _mapping(values["synonyms"], path, f"synonyms of {name}")
            if "synonyms" in values
            else ()
        )
    }
    chosen = {key: _choice(key, values, path, name) for key in _CHOICES}
    return parts_of(
        Category(name, attributes, synonyms=synonyms, **texts),
        is_multi=chosen["kind"] == "multi",
        is_optional=chosen["optional"] == "true",
    )


def _choice(key: str, values: dict[str, yaml.Node], path: Path, name: str) -> str:
    choices = _CHOICES[key]
    if key not in values:
        return choices[0]
    word = _word(values[key], path, f"{key} of {name}")
    if word.lower() not in choices:
        raise InputError(
            f"{_at(values[key], path)}: {key} of {name} is {word}: write {' or '.join(choices)}."
        )
    return word.lower()


def _at(node: yaml.Node, path: Path) -> str:
    return f"{path}, line {node.start_mark.line + 1}"


def _mapping(node: yaml.Node | None, path: Path, name: str) -> list[tuple[str, int, yaml.Node]]:
    if node is None:
        raise InputError(f"{path} is empty: {_HELP}.")
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"{_at(node, path)}: {name} holds no names with values; {_HELP}.")
    return [
        (_word(key, path, f"a name in {name}"), key.start_mark.line + 1, value)
        for key, value in node.value
    ]


def _words(node: yaml.Node, path: Path, what: str) -> tuple[str, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise InputError(f"{_at(node, path)}: {what} are no list: write [ONE, TWO, …].")
    return tuple(_word(item, path, f"one of {what}") for item in node.value)


def _word(node: yaml.Node, path: Path, what: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise InputError(f"{_at(node, path)}: {what} is a list or a mapping, not a word.")
    return node.value
