"""Several runs as one: a model that answers with the mean of their probabilities."""

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.table import Table

from deepfashion_tf.data.normalization import renormalization
from deepfashion_tf.data.sources import open_splits
from deepfashion_tf.data.split import Split
from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import InputError, printable
from deepfashion_tf.evaluation.evaluate import answer_labelled
from deepfashion_tf.evaluation.finish import finish_run
from deepfashion_tf.evaluation.scores import Scores
from deepfashion_tf.export.saved_model import export_run
from deepfashion_tf.files import absolute, write_atomically
from deepfashion_tf.models.ensemble import MemberImages, average_models
from deepfashion_tf.outputs import check_outputs
from deepfashion_tf.progress import console
from deepfashion_tf.runs.run import ENSEMBLE_FILE, Run
from deepfashion_tf.training.train import train


@dataclass(frozen=True)
class Member:
    """What a run, or all of them together, scored.

    Attributes:
        name: of the run.
        scores: on the split that was asked for.
        seconds: that answering took, reading included.
    """

    name: str
    scores: Scores
    seconds: float


def ensemble_runs(runs: Sequence[Run], directory: Path, recall_price: float | None = None) -> Run:
    """Makes a run directory whose model averages the probabilities of several runs.

    It is a run like any other: evaluated, exported, asked. Its crops, normalization and
    configuration are those of the member with the largest images. Inside the model each other
    member resizes and normalizes them as its own.

    Args:
        runs: at least two, of the same categories, crops and views.
        directory: to make.
        recall_price: points of mean accuracy that mean class recall may cost; None = as of the
            member with the largest images.

    Raises:
        InputError: they do not go together, or the directory holds something already.
    """
    check_runs(runs)
    largest = _largest(runs)
    config = replace(largest.config, output_dir=directory)
    if recall_price is not None:
        config = replace(config, recall_price=recall_price)
    members = [(run.load_model(), _images_of(run, largest)) for run in runs]
    together = Run.create(config, largest.schema)
    together.save_model(average_models(members))
    document = {
        "members": [str(run.directory) for run in runs],
        "networks": [run.network for run in runs],
    }
    write_atomically(directory / ENSEMBLE_FILE, as_json(document, indent=2) + "\n")
    return together


def _largest(runs: Sequence[Run]) -> Run:
    """Finds the run of the largest images; of several, the first."""
    return max(runs, key=lambda run: run.config.image_size)


def _images_of(run: Run, largest: Run) -> MemberImages | None:
    """Makes what turns the images of the largest member into those of a run."""
    size = run.config.image_size
    if run.normalization != largest.normalization:
        return MemberImages(size, *renormalization(largest.normalization, run.normalization))
    return MemberImages(size) if size != largest.config.image_size else None


def check_runs(runs: Sequence[Run]) -> None:
    """Refuses runs that cannot answer together, or of which one may have learnt from others' tests.

    Raises:
        InputError: says why.
    """
    if len(runs) < 2:
        raise InputError("An ensemble needs at least two runs: name them.")
    first = runs[0]
    for run in runs[1:]:
        differences = first.schema.differences(run.schema)
        for what, one, other in (
            ("--crop", first.config.crop, run.config.crop),
            ("--box-padding", first.config.box_padding, run.config.box_padding),
            ("--tta", first.config.tta, run.config.tta),
            ("the categories that were learnt", first.trained, run.trained),
        ):
            if one != other:
                differences = [*differences, f"{what} is {one} here and {other} there"]
        if not differences and _data_of(first) != _data_of(run):
            differences = ["their validation or test images are others"]
        for name, one in (("first", first), ("second", run)):
            if one.is_ensemble:
                differences = [*differences, f"the {name} is an ensemble: name its members"]
        if differences:
            raise InputError(
                f"{first.directory} and {run.directory} cannot answer together: "
                f"{'; '.join(differences)}."
            )


def _data_of(run: Run) -> str:
    digest = hashlib.sha256()
    for split in open_splits(run.config, ["val", "test"], run.schema, check_images=False):
        split.add_to(digest)
    return digest.hexdigest()


def score_runs(runs: Sequence[Run], split: Split) -> list[Member]:
    """Scores each run on a split.

    Raises:
        InputError: the split cannot be scored.
    """
    found = []
    for run in runs:
        began = time.monotonic()
        scores = answer_labelled(run, split).scores()
        found.append(Member(str(run.directory), scores, time.monotonic() - began))
    return found


def distil(together: Run, first: Run, directory: Path) -> Run:
    """Trains one network, as the ensemble's first run was trained, on the ensemble's answers.

    Args:
        together: the ensemble.
        first: its first run.
        directory: to make.

    Raises:
        InputError: as of `train`; or Ctrl-C has ended it.
    """
    config = replace(
        first.config,
        output_dir=directory,
        teacher=absolute(together.directory),
        recall_price=together.config.recall_price,
    )
    trained = train(config)
    finish_run(trained.run, trained.val, not trained.interrupted, export_run)
    return trained.run


_SCORES = ("mean_accuracy", "mean_class_recall", "exact_match")


def members_table(alone: Sequence[Member], others: Sequence[Member]) -> Table:
    """Makes a table of runs, and of what others gain over their mean and what they cost.

    Args:
        alone: the members of an ensemble.
        others: the ensemble, and what was distilled of it.
    """
    scores = alone[0].scores
    names = [name for name in _SCORES if getattr(scores, name) is not None]
    paths = {m.name: absolute(Path(m.name)) for m in (*alone, *others)}
    common = Path(os.path.commonpath([path.parent for path in paths.values()]))
    short = {name: printable(str(path.relative_to(common))) for name, path in paths.items()}
    caption = f"runs in {printable(str(common))}"
    table = Table(title=f"{scores.images} {scores.split} images", caption=caption)
    table.add_column("", overflow="fold")
    for title in (*(name.replace("_", " ") for name in names), "seconds", "times"):
        table.add_column(title, justify="right", min_width=7, max_width=8)
    means = [float(np.mean([getattr(member.scores, name) for member in alone])) for name in names]
    seconds = float(np.mean([member.seconds for member in alone]))

    def add_row(title: str, values: Sequence[float], taken: float, times: str = "") -> None:
        table.add_row(title, *(f"{value:.4f}" for value in values), f"{taken:.1f}", times)

    for member in alone:
        values = [getattr(member.scores, name) for name in names]
        add_row(short[member.name], values, member.seconds)
    table.add_section()
    add_row("their mean", means, seconds)
    for member in others:
        table.add_section()
        values = [getattr(member.scores, name) for name in names]
        add_row(
            short[member.name],
            values,
            member.seconds,
            f"{member.seconds / seconds:.1f}",
        )
        gains = (f"{value - mean:+.4f}" for value, mean in zip(values, means, strict=True))
        table.add_row("gain", *gains)
    return table


def ensemble_command(
    paths: Sequence[Path],
    directory: Path,
    splits: Sequence[str],
    distilled: Path | None,
    recall_price: float | None = None,
) -> None:
    """Does what `deepfashion ensemble` is asked for.

    Raises:
        InputError: the runs, the data or a directory cannot be used.
    """
    check_outputs({"--output-dir": directory, "--distil": distilled}, paths)
    runs = [Run.load(path) for path in paths]
    check_runs(runs)
    first = runs[0]
    known = [first.read_split(name) for name in splits]
    known = [split for split in known if set(split.labelled_categories()) & set(first.trained)]
    if left := [name for name in splits if name not in {split.name for split in known}]:
        console.print(f"Nothing is labelled in {', '.join(left)}: not compared there.")
    together = ensemble_runs(runs, directory, recall_price)
    finish_run(together, first.read_split("val"), export=export_run)
    made = [together, distil(together, first, distilled)] if distilled else [together]
    for split in known:
        console.print(members_table(score_runs(runs, split), score_runs(made, split)))
    console.print(f"Ensemble: {together.directory}/", soft_wrap=True)
