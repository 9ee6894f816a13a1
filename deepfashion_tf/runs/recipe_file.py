"""A recipe file: some of TrainConfig's options in YAML, as defaults for a command line."""

import dataclasses
import difflib
import types
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from deepfashion_tf.data.drawings import drawings_folder
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import read_small_text
from deepfashion_tf.plain_yaml import PlainLoader
from deepfashion_tf.runs.config import FOUND_OUT, TrainConfig
from deepfashion_tf.runs.older import REPLACED, of_today
from deepfashion_tf.runs.recipes import RECIPES
from deepfashion_tf.usage import command

_HELP = "a recipe file holds options of a training, one a line, such as gamma: 1.5"
# What a run's config.json says about that run alone.
_OF_ONE_RUN = {"output_dir", *FOUND_OUT}
# An option of the command line -> what it replaces in the file besides itself.
_HANGING_ON = {
    "backbone": ("variant", "weights_sha256"),
    "weights": ("variant", "weights_sha256"),
}


def read_recipe_file(path: Path) -> dict[str, Any]:
    """Reads a recipe file, or a run's config.json.

    Of a config.json (which only it tells by its ``untrained``) the run directory and what the
    training found out are left out: they belong to that run. Paths are, as on the command line,
    those of the working directory.

    Returns:
        Option -> value, those that stand in the file, of the types that TrainConfig wants.

    Raises:
        InputError: says with file and line what is wrong.
    """
    values, lines = _load(path)
    if "untrained" in values:
        values = {name: value for name, value in values.items() if name not in _OF_ONE_RUN}
    elif "representation" in values and "heads" not in values:
        # What it stood beside in a recipe of older versions is not to be guessed.
        where = f"{path}, line {lines['representation']}"
        raise InputError(f"{where}: representation is gone: say {REPLACED['representation']}.")
    try:
        values = of_today(values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    hints = get_type_hints(TrainConfig)
    found = {}
    for name, value in values.items():
        where = f"{path}, line {lines[name]}" if name in lines else str(path)
        if name not in hints:
            close = difflib.get_close_matches(str(name), hints, n=1)
            advice = (
                f"do you mean {close[0]}?"
                if close
                else f"{command('train')} --help lists them, with - for _."
            )
            raise InputError(f"{where}: {name} is no option of a training; {advice}")
        try:
            found[name] = _convert(value, hints[name])
        except ValueError as error:
            raise InputError(f"{where}: {name} is {_shown(value)}, but must be {error}.") from error
    return found


def without_replaced(values: dict[str, Any], given: Collection[str]) -> dict[str, Any]:
    """Leaves out of a file's values what options of the command line make void.

    Args:
        values: as `read_recipe_file` gives them.
        given: names of the options on the command line. Weights of categories
            are replaced one by one, and so stay.
    """
    replaced = {name for option in given for name in _HANGING_ON.get(option, ())} | set(given)
    if "wardrobe_images" in given and drawings_folder(str(values.get("data"))):
        replaced.add("data")  # others stand there
    return {n: value for n, value in values.items() if n not in replaced - {"loss_weights"}}


def recipe_text(config: TrainConfig) -> str:
    """Writes what `read_recipe_file` reads: the recipe, and what a config has otherwise."""
    usual = dataclasses.asdict(RECIPES[config.recipe](config.backbone))
    values = {
        name: str(value)
        if isinstance(value, Path)
        else list(value)
        if isinstance(value, tuple)
        else value
        for name, value in dataclasses.asdict(config).items()
        if name not in ("output_dir", "untrained") and value != usual[name]
    }
    # The recipe's own values hang on the backbone.
    chosen = {"recipe": config.recipe, "backbone": config.backbone}
    return yaml.safe_dump({**chosen, **values}, sort_keys=False, allow_unicode=True)


def _load(path: Path) -> tuple[dict, dict[str, int]]:
    """Loads the file's mapping, and finds the line of each name."""
    try:
        text = read_small_text(path)
    except FileNotFoundError as error:
        raise InputError(f"There is no recipe file {path}: {_HELP}.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as text ({error}): {_HELP}.") from error
    try:
        loader = PlainLoader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise InputError(f"{path} holds no names with values: {_HELP}.")
        for node in (root, *(value for _, value in root.value)):
            _check_single(node, path)
        lines = {key.value: key.start_mark.line + 1 for key, _ in root.value}
        return loader.construct_document(root), lines
    # What stands for a date or a number may be none.
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise InputError(f"{where}: this is no YAML ({reason}); {_HELP}.") from error


def _check_single(node: yaml.Node, path: Path) -> None:
    """Refuses a name that stands twice, of which YAML would take the last."""
    seen = set()
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode) and key.value in seen:
            raise InputError(f"{path}, line {key.start_mark.line + 1}: {key.value} is there twice.")
        seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))


def _convert(value: Any, hint: Any) -> Any:
    """Returns a value the type of an option.

    Raises:
        ValueError: says what it must be.
    """
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            raise ValueError(f"one of {', '.join(map(str, choices))}")
        return value
    if get_origin(hint) in (types.UnionType, Union):
        return None if value is None else _convert(value, get_args(hint)[0])
    if get_origin(hint) is dict:
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise ValueError("names with numbers, such as {fabric: 1.2}")
        return {name: _number(weight) for name, weight in value.items()}
    if get_origin(hint) is tuple:
        if not isinstance(value, list) or not all(type(each) is int for each in value):
            raise ValueError("a list such as [3000, 400, 400]")
        return tuple(value)
    if hint is float:
        return _number(value)
    if hint in (str, Path):
        if not isinstance(value, str) or "\0" in value:
            raise ValueError('text: put it in "quotes"')
        return hint(value)
    if type(value) is not hint:
        raise ValueError("true or false" if hint is bool else "a whole number")
    return value


def _number(value: Any) -> float:
    # YAML takes 7e-4, without a point, for a word.
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a number")
    try:
        return float(value)
    except (ValueError, OverflowError) as error:
        raise ValueError("a number") from error


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
