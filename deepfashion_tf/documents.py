"""JSON files that people may have edited: read with checks, written without NaN."""

import json
import math
import types
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

MOST_BYTES = 16 * 2**20


def read_document(path: Path) -> dict[str, Any]:
    """Reads a JSON object from a file.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: the file is too large, or holds anything else; the message says what.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"it has {size:,} bytes, and at most {MOST_BYTES:,} are read")
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError(f"it holds {_shown(found)} instead of an object in braces")
    return found


def as_json(value: Any, **options) -> str:
    """Returns a value as JSON, with null for what is no finite number."""
    return json.dumps(finite_only(value), allow_nan=False, **options)


def finite_only(value: Any) -> Any:
    """Returns a value with None in place of each number in it that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite_only(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite_only(each) for each in value]
    return value


def kind_fault(name: str, value: Any, hint: Any) -> str | None:
    """Returns what is wrong with a value of another kind than a type hint asks for.

    Args:
        name: of the value, for the sentence.
        value: as JSON or Python holds it.
        hint: the hint of a dataclass's field.

    Returns:
        The middle of a sentence; None where the value is of the kind.
    """
    if _fits(value, hint):
        return None
    return f"{name} is {_shown(value)}, but must be {_kind(hint)}"


def number_fault(name: str, value: Any, low: float, high: float) -> str | None:
    """Returns what is wrong with what should be a number between two others; None = nothing."""
    if not _fits(value, float) or not low <= value <= high:
        return f"{name} is {_shown(value)}, but must be a number between {low:g} and {high:g}"
    return None


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fits(value, parts[0])
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if origin is dict:
        return isinstance(value, Mapping) and all(
            _fits(k, parts[0]) and _fits(v, parts[1]) for k, v in value.items()
        )
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(each, parts[0]) for each in value)
    if hint in (None, type(None)):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        return _is_number(value)
    return isinstance(value, hint)


def _is_number(value: Any) -> bool:
    # Whether it is finite is a question of its range.
    return isinstance(value, Real) and not isinstance(value, bool)


_KINDS = {
    str: "text",
    Path: "the name of a file or folder",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _kind(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _kind(parts[0])
    if origin in (Union, types.UnionType):
        return " or ".join(map(_kind, parts))
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin is dict:
        return f"names, each with {_kind(parts[1])}"
    if origin is tuple:
        return "a list of names" if parts[0] is str else "a list of whole numbers"
    return _KINDS[hint]


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an object in braces"
    if isinstance(value, list | tuple):
        return "a list"
    names = {True: "true", False: "false", None: "null"}
    if value is None or isinstance(value, bool):
        return names[value]
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which is no number")
