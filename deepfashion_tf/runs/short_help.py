"""The short help of a training: its options in groups, the common ones alone."""

import ast
import inspect
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import pairwise

from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.runtime_options import RuntimeOptions

# What most trainings need; `--help-all` has the rest.
COMMON = {
    "data": ("data", "schema", "boxes", "group_column", "on_bad_row", "on_bad_image"),
    "model": ("recipe", "backbone", "weights", "image_size"),
    "augmentation": ("jitter", "least_crop"),
    "loss": ("loss", "loss_weights", "recall_price", "tta"),
    "optimization": ("epochs", "batch_size", "learning_rate", "weight_decay", "freeze_stages"),
    "runtime": ("output_dir", "seed", "resume", "local_workers"),
}


_END = re.compile(r"(?<!et al)(?<!eq)\. ")  # of a sentence


def short_help(command: str, description: str, own: type | None = None) -> str:
    """Returns the help of a training: at most 25 options in groups.

    Args:
        command: as it is typed.
        description: its first lines.
        own: dataclass of options that this command alone has.
    """
    width = min(shutil.get_terminal_size((80, 24)).columns, 80)
    lines = [
        f"usage: {command} [OPTIONS]",
        "",
        *textwrap.wrap(" ".join(description.split()), width),
    ]
    texts = dict(option_texts(TrainConfig)) | dict(option_texts(RuntimeOptions))
    groups = dict(COMMON)
    if own:
        texts |= dict(option_texts(own))
        groups = {command.split()[-1]: tuple(field.name for field in fields(own)), **groups}
    for group, names in groups.items():
        lines += ["", f"{group}:"]
        for name in names:
            lines += _wrapped(name, texts[name], width)
    lines += ["", f"{command} --help-all lists all options, with their defaults."]
    return "\n".join(lines)


def option_texts(kind: type) -> Iterator[tuple[str, str]]:
    """Yields the options of a dataclass and the first sentence of what stands below each."""
    names = {field.name for field in fields(kind)}
    for each in kind.__mro__:
        if each is object or not hasattr(each, "__dataclass_fields__"):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0].body
        for one, other in pairwise(body):
            is_text = isinstance(other, ast.Expr) and isinstance(other.value, ast.Constant)
            if isinstance(one, ast.AnnAssign) and is_text and one.target.id in names:
                yield one.target.id, " ".join(other.value.value.split())


def _wrapped(name: str, text: str, width: int) -> Iterable[str]:
    first = _END.split(text)[0].rstrip(".")
    option = f"  --{name.replace('_', '-')}"
    return textwrap.wrap(
        first, width, initial_indent=f"{option:<20} ", subsequent_indent=" " * 21
    ) or [option]


def all_options() -> set[str]:
    """Returns the names of all options."""
    hidden = {"untrained", "first_epochs"}
    return {field.name for kind in (TrainConfig, RuntimeOptions) for field in fields(kind)} - hidden
