"""Fills the page of all training options from the dataclasses that define them."""

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.runs.short_help import all_options, option_texts

PAGE = "options.md"
MARK = "<!-- options -->"
# The first option of each group, in the order of the dataclasses.
GROUPS = {
    "image_column": "Tables and images",
    "recipe": "Data and recipe",
    "backbone": "Model and weights",
    "image_size": "Crops and augmentation",
    "loss": "Loss and probabilities",
    "batch_size": "Optimization",
    "wardrobe_train": "Wardrobe",
    "strategy": "Execution",
}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replaces the mark on the options page by the tables of options."""
    return markdown.replace(MARK, options_text()) if page.file.src_uri == PAGE else markdown


def options_text() -> str:
    """Returns a heading and a table for each group of options."""
    lines: list[str] = []
    for kind in (TrainConfig, RuntimeOptions):
        texts, hints = dict(option_texts(kind)), get_type_hints(kind)
        for field in fields(kind):
            if field.name in GROUPS:
                lines += ["", f"## {GROUPS[field.name]}", ""]
                lines += ["| option | values | default | effect |", "|---|---|---|---|"]
            if field.name in all_options():
                lines.append(_row(field, hints[field.name], texts[field.name]))
    return "\n".join(lines)


def _row(field: Field, hint: Any, text: str) -> str:
    option = f"`--{field.name.replace('_', '-')}`"
    if hint is bool:
        option += f", `--no-{field.name.replace('_', '-')}`"
    values = ", ".join(_values(hint))
    return f"| {option} | {values} | {_default(field)} | {text.replace('|', chr(92) + '|')} |"


def _values(hint: Any) -> Iterator[str]:
    names = {bool: "flag", int: "integer", float: "number", str: "text", Path: "path"}
    if get_origin(hint) is Literal:
        yield from (f"`{value}`" for value in get_args(hint))
    elif get_origin(hint) is dict:
        yield "names and numbers"
    elif hint in names:
        yield names[hint]
    else:
        for part in get_args(hint):
            if part is not type(None):
                yield from _values(part)


def _default(field: Field) -> str:
    if field.default is MISSING or field.default is None:
        return ""
    if isinstance(field.default, bool):
        return "on" if field.default else "off"
    return f"`{field.default}`"
