"""The help of a training: its options in six groups, the common ones or all."""

import ast
import inspect
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.runtime_options import RuntimeOptions

GROUPS = {
    "data": (
        *("data", "schema", "image_column", "boxes", "group_column", "split_column"),
        *("on_bad_row", "on_bad_image", "accept_damaged", "cache", "wardrobe_images"),
    ),
    "model": (
        *("recipe", "backbone", "weights", "variant", "offline", "heads", "fc_layers"),
        *("dropout", "image_size", "teacher"),
    ),
    "augmentation": (
        *("crop", "box_padding", "flip", "jitter", "least_crop", "erase", "grow_epochs"),
    ),
    "loss": ("gamma", "loss_weights", "recall_price", "tta"),
    "optimization": (
        *("epochs", "batch_size", "learning_rate", "schedule", "warmup_epochs", "weight_decay"),
        *("search_heads", "freeze_stages", "backbone_lr_scale", "freeze_batch_norm"),
        *("precision", "seed"),
    ),
    "runtime": (
        *("output_dir", "resume", "checkpoint_every_steps", "on_full_disk"),
        *("strategy", "devices", "local_workers"),
    ),
}
# What most trainings need: `--help` has these alone.
COMMON = {
    *("data", "schema", "boxes", "group_column", "on_bad_row", "on_bad_image"),
    *("recipe", "backbone", "weights", "image_size", "jitter", "least_crop"),
    *("gamma", "loss_weights", "recall_price", "tta"),
    *("epochs", "batch_size", "learning_rate", "weight_decay", "freeze_stages"),
    *("output_dir", "resume", "local_workers", "seed"),
}
_END = re.compile(r"(?<!et al)(?<!eq)\. ")  # of a sentence
_COLUMN = 21


def short_help(command: str, description: str, own: object = None) -> str:
    """Returns the help of a training: at most 25 options in groups, a sentence each.

    Args:
        command: as it is typed.
        description: its first lines.
        own: dataclass of options that this command alone has.
    """
    texts = _texts(own)
    lines = _head(command, description)
    for group, names in _groups(command, own).items():
        names = [name for name in names if name in COMMON or group not in GROUPS]
        lines += ["", f"{group}:"]
        for name in names:
            option = f"  --{name.replace('_', '-')}"
            lines += _wrapped(f"{option:<20}", _END.split(texts[name])[0].rstrip("."))
    lines += ["", f"{command} --help-all lists all options, with their defaults."]
    return "\n".join(lines)


def whole_help(command: str, description: str, config: TrainConfig, own: object = None) -> str:
    """Returns the help of a training with all options.

    Args:
        command: as it is typed.
        description: its first lines.
        config: the defaults.
        own: dataclass of options that this command alone has, with its defaults.
    """
    texts, lines = _texts(own), _head(command, description)
    defaults = asdict(config) | asdict(RuntimeOptions()) | (asdict(own) if own else {})
    hints = get_type_hints(TrainConfig) | get_type_hints(RuntimeOptions)
    hints |= get_type_hints(type(own)) if own else {}
    for group, names in _groups(command, own).items():
        lines += ["", f"{group}:"]
        for name in names:
            option = f"--{name.replace('_', '-')}"
            if hints[name] is bool:
                option += f", --no-{option[2:]}"
            lines.append(f"  {option} {values_of(hints[name])}".rstrip())
            default = _shown(defaults[name])
            text = texts[name] + (f" Default: {default}." if default else "")
            lines += _wrapped("", text)
    lines += ["", "--config FILE"]
    lines += _wrapped(
        "",
        "YAML or JSON file with options as defaults, or the config.json of a run. Options on the "
        "command line override it.",
    )
    return "\n".join(lines)


def values_of(hint: Any) -> str:
    """Returns what an option takes: {none,flip}, INTEGER, or nothing for a flag."""
    names = {bool: "", int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}
    if get_origin(hint) is Literal:
        return f"{{{','.join(map(str, get_args(hint)))}}}"
    if get_origin(hint) is dict:
        return "NAME NUMBER ..."
    if hint in names:
        return names[hint]
    return " ".join(filter(None, (values_of(p) for p in get_args(hint) if p is not type(None))))


def _shown(value: Any) -> str:
    if value is None or value == {}:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _head(command: str, description: str) -> list[str]:
    wrapped = textwrap.wrap(" ".join(description.split()), _width())
    return [f"usage: {command} [OPTIONS]", "", *wrapped]


def _groups(command: str, own: object) -> dict[str, tuple[str, ...]]:
    if own is None:
        return GROUPS
    return {command.split()[-1]: tuple(field.name for field in fields(own)), **GROUPS}


def _texts(own: object) -> dict[str, str]:
    kinds = (TrainConfig, RuntimeOptions, *([type(own)] if own else []))
    return {name: text for kind in kinds for name, text in option_texts(kind)}


def option_texts(kind: type) -> Iterator[tuple[str, str]]:
    """Yields the options of a dataclass and what stands below each."""
    names = {field.name for field in fields(kind)}
    for each in kind.__mro__:
        if each is object or not hasattr(each, "__dataclass_fields__"):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0].body
        for one, other in pairwise(body):
            is_text = isinstance(other, ast.Expr) and isinstance(other.value, ast.Constant)
            if isinstance(one, ast.AnnAssign) and is_text and one.target.id in names:
                yield one.target.id, " ".join(other.value.value.split())


def _wrapped(option: str, text: str) -> Iterable[str]:
    indent = " " * _COLUMN
    first = f"{option} " if option else indent
    return textwrap.wrap(text, _width(), initial_indent=first, subsequent_indent=indent) or [option]


def _width() -> int:
    return min(shutil.get_terminal_size((80, 24)).columns, 80)


def all_options() -> set[str]:
    """Returns the names of all options."""
    return {name for names in GROUPS.values() for name in names}
