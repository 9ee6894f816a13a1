"""Fills the page of all training options from the dataclasses that define them."""

from dataclasses import MISSING, Field, fields
from typing import Any, get_type_hints

from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.option_help import GROUPS, option_texts, values_of
from deepfashion_tf.runs.runtime_options import RuntimeOptions

PAGE = "options.md"
MARK = "<!-- options -->"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replaces the mark on the options page by the tables of options."""
    return markdown.replace(MARK, options_text()) if page.file.src_uri == PAGE else markdown


def options_text() -> str:
    """Returns a heading and a table for each group of options."""
    kinds = (TrainConfig, RuntimeOptions)
    texts = {name: text for kind in kinds for name, text in option_texts(kind)}
    hints = {name: hint for kind in kinds for name, hint in get_type_hints(kind).items()}
    known = {field.name: field for kind in kinds for field in fields(kind)}
    lines: list[str] = []
    for group, names in GROUPS.items():
        lines += ["", f"## {group.capitalize()}", ""]
        lines += ["| option | values | default | effect |", "|---|---|---|---|"]
        lines += [_row(known[name], hints[name], texts[name]) for name in names]
    return "\n".join(lines)


def _row(field: Field, hint: Any, text: str) -> str:
    option = f"`--{field.name.replace('_', '-')}`"
    if hint is bool:
        option += f", `--no-{field.name.replace('_', '-')}`"
    values = values_of(hint).strip("{}").replace(",", ", ").lower() or "flag"
    return f"| {option} | {values} | {_default(field)} | {text.replace('|', chr(92) + '|')} |"


def _default(field: Field) -> str:
    if field.default is MISSING or field.default is None:
        return ""
    if isinstance(field.default, bool):
        return "on" if field.default else "off"
    if isinstance(field.default, tuple):
        return f"`{' '.join(map(str, field.default))}`"
    return f"`{field.default}`"
