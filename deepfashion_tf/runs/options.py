"""The command line of `deepfashion train`, generated from TrainConfig and RuntimeOptions."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from deepfashion_tf.data.drawings import is_wardrobe
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import absolute, expand_user
from deepfashion_tf.models.variants import known_backbone
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import CONFIG_FILE, TrainConfig
from deepfashion_tf.runs.older import REPLACED
from deepfashion_tf.runs.option_help import short_help, whole_help
from deepfashion_tf.runs.recipe_file import read_recipe_file, without_replaced
from deepfashion_tf.runs.recipes import RECIPES
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.usage import command

RecipeFile = Annotated[Path | None, tyro.conf.arg(name="config")]
T = TypeVar("T")
_ALIASES = {"data_dir": "data", "cache_dir": "cache", "image_pattern": "image_column"}
_BACKBONE = "seresnet50"
_FOR_CPU = "efficientnetlite0"


@dataclass(frozen=True)
class Command:
    """What `deepfashion train` is asked for."""

    config: tyro.conf.OmitArgPrefixes[TrainConfig]
    options: tyro.conf.OmitArgPrefixes[RuntimeOptions]
    recipe_file: RecipeFile = None
    """YAML or JSON file with options as defaults, or the config.json of a run. Options on the
    command line override it."""


def parse_command(description: str, args: Sequence[str] | None = None) -> Command:
    """Parses options on top of the recipe's defaults, or of the run that is to go on.

    Args:
        description: the first lines of ``--help``.
        args: the options; None = those of this process.

    Returns:
        The command. On a wrong option the process ends with a sentence and exit code 2.

    Raises:
        InputError: the recipe file cannot be used; the run to go on with is none, or has
            other options than those given, in the file or on the command line.
    """
    parsed, given = parse_with_recipe(Command, "train", description, args, options=RuntimeOptions())
    return parsed if parsed.options.resume is None else _go_on(parsed, given)


def parse_with_recipe(
    form: type[T],
    name: str,
    description: str,
    args: Sequence[str] | None = None,
    own: object = None,
    **defaults,
) -> tuple[T, set[str]]:
    """Parses a command line that has the options of a training, and ``--config``, among others.

    The defaults of those are the recipe's, and on top of them the recipe file's.

    Args:
        form: dataclass with the fields `config` and `recipe_file`, as `Command` has them.
        name: of the subcommand.
        description: the first lines of ``--help``.
        args: the options; None = those of this process.
        own: options that no training has, with their defaults.
        defaults: of the form's other fields.

    Returns:
        The form, filled in, and the names of the options given, in the file too.

    Raises:
        InputError: the recipe file cannot be used.
    """
    args = _join_weights(sys.argv[1:] if args is None else list(args))
    if {"-h", "--help"} & set(args):
        print(short_help(command(name), description, own))
        sys.exit(0)
    early, given = _look_ahead(args), _given(args)
    path = None if early.config is None else expand_user(Path(early.config), "--config")
    values = {} if path is None else without_replaced(read_recipe_file(path), given)
    data = early.data or values.get("data")
    backbone = early.backbone or values.get("backbone")
    recipe = early.recipe or values.get("recipe")
    weights = early.weights or values.get("weights")
    base = recipe_for(data, recipe, backbone, weights)
    try:
        base = dataclasses.replace(base, **values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if "--help-all" in args:
        print(whole_help(command(name), description, base, own))
        sys.exit(0)
    # For tyro, a default that is a mapping fixes which names there may be.
    default = form(config=dataclasses.replace(base, loss_weights={}), **defaults)
    parsed = tyro.cli(form, description=description, default=default, args=args)
    weights = base.loss_weights | parsed.config.loss_weights
    config = dataclasses.replace(parsed.config, loss_weights=weights)
    return dataclasses.replace(parsed, config=config), given | values.keys()


def recipe_for(
    data: Path | str | None, recipe: str | None, backbone: str | None, weights: str | None
) -> TrainConfig:
    """Returns a recipe's options, and chooses recipe and backbone where nobody names them.

    Raises:
        InputError: an unknown recipe or backbone.
    """
    if recipe is None:
        recipe, backbone = _usual(data, backbone, weights)
    if recipe not in RECIPES:
        raise InputError(f"--recipe is {recipe!r}, but must be one of {', '.join(RECIPES)}.")
    try:
        backbone = known_backbone(backbone or _BACKBONE)
    except ValueError as error:
        raise InputError(f"--backbone is {backbone!r}, but {error}.") from error
    return RECIPES[recipe](backbone)


def _usual(data: Path | str | None, backbone: str | None, weights: str | None) -> tuple[str, str]:
    """Chooses recipe and backbone by the data, the weights and the machine.

    On a CPU it is what reaches the best accuracy in a quarter of an hour for 5,000 images.
    """
    if not data or is_wardrobe(str(data)):
        return "demo", backbone or _BACKBONE
    if weights in ("none", "wardrobe"):
        return "strong", backbone or _BACKBONE  # random features must not be frozen
    if Path("/proc/driver/nvidia").exists():
        return "finetune", backbone or _BACKBONE
    if (backbone or _FOR_CPU).startswith("efficientnet"):
        recipe, backbone = "finetune", backbone or _FOR_CPU
        why = "sized for a quarter of an hour with 5,000 images on two CPU cores"
    else:
        recipe, why = "probe", f"a CPU needs hours to train more of {backbone} than its heads"
    console.print(
        f"--recipe {recipe} --backbone {backbone}: {why}. On a GPU take --recipe finetune "
        f"--backbone {_BACKBONE}.",
        style="dim",
        soft_wrap=True,
    )
    return recipe, backbone


def _go_on(command: Command, given: set[str]) -> Command:
    """Takes the options of the run that is to go on, and compares those given with them.

    A run that is not there yet is begun, if ``--output-dir`` names the same folder.
    """
    asked, directory = command.config, command.options.resume
    is_same = asked.output_dir is not None and absolute(asked.output_dir) == absolute(directory)
    if is_same and not (directory / CONFIG_FILE).is_file():
        return dataclasses.replace(
            command, options=dataclasses.replace(command.options, resume=None)
        )
    config = TrainConfig.load(directory / CONFIG_FILE)
    if "output_dir" in given and not is_same:
        raise InputError(
            f"--output-dir {asked.output_dir} and --resume {directory} name two folders: a run "
            f"goes on in its own; leave --output-dir out."
        )
    if "epochs" in given and asked.epochs > config.epochs and _has_ended(directory, config):
        # It has ended: the schedule of the learning rate begins anew for the added epochs.
        config = dataclasses.replace(config, epochs=asked.epochs, first_epochs=config.epochs)
    wanted = dataclasses.asdict(asked)
    if not asked.is_wardrobe:
        from deepfashion_tf.data.sources import located

        wanted["data"] = located(asked)
    differences = []
    # Where files lie may change; whether they hold the same is looked at when they are read.
    free = {"output_dir", "schema", "cache"}
    if asked.is_wardrobe and config.is_wardrobe:
        free.add("data")  # where they are drawn
    if asked.precision == "auto":
        free.add("precision")  # the run's own, chosen when it began
    for name in given.intersection(wanted) - free:
        value, other = getattr(config, name), wanted[name]
        if other != value and not (isinstance(value, dict) and other.items() <= value.items()):
            differences.append(f"--{name.replace('_', '-')} {other} (it has {value})")
    if differences:
        raise InputError(
            f"The run {directory} cannot go on with {', '.join(differences)}: leave that out, or "
            f"train anew, with another --output-dir."
        )
    own = {"output_dir": directory}
    if "cache" in given:
        own["cache"] = asked.cache  # the disk may have become too small
    return dataclasses.replace(command, config=dataclasses.replace(config, **own))


def _has_ended(directory: Path, config: TrainConfig) -> bool:
    """Whether a run has all of its epochs, and its checkpoints are gone."""
    history = directory / "history.csv"
    # `state` knows the checkpoints, and would load TensorFlow.
    if any(directory.glob("checkpoints/*.safetensors")) or not history.is_file():
        return False
    return len(history.read_text(encoding="utf-8").splitlines()) - 1 >= config.epochs


def _look_ahead(args: list[str]) -> argparse.Namespace:
    """Finds out what the defaults hang on before the options are parsed."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--recipe", choices=list(RECIPES))
    early.add_argument("--data", "--data-dir", "--data_dir")
    early.add_argument("--backbone")
    early.add_argument("--weights")
    early.add_argument("--config")
    try:
        return early.parse_known_args(args)[0]
    except argparse.ArgumentError:
        # tyro will say what is wrong with it.
        return early.parse_args([])


def _given(args: list[str]) -> set[str]:
    """Lists the options given, ``--no-flip`` as flip.

    Raises:
        InputError: one that another option has taken in.
    """
    names = {arg[2:].partition("=")[0].replace("-", "_") for arg in args if arg.startswith("--")}
    names = {_ALIASES.get(name, name) for name in names}
    if gone := names & REPLACED.keys():
        name = min(gone)
        raise InputError(f"--{name.replace('_', '-')} is gone: say {REPLACED[name]} instead.")
    return {name.removeprefix("no_") for name in names}


def _join_weights(args: list[str]) -> list[str]:
    """Puts ``--loss-weights.NAME VALUE``, one a category, together as ``--loss-weights``."""
    option, others, weights = "--loss-weights", [], []
    rest = iter(args)
    for arg in rest:
        name, _, value = arg.replace("_", "-", 1 if arg.startswith("--loss_w") else 0).partition(
            "="
        )
        if name.startswith(f"{option}."):
            weights += [name.removeprefix(f"{option}."), value or next(rest, "")]
        else:
            others.append(arg)
    return [*others, option, *weights] if weights else others
