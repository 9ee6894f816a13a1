"""Several runs as one: a model that answers with the mean of their probabilities."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from keras import layers
from rich.table import Table

from deepfashion_tf.data.sources import open_splits
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.evaluate import answer_labelled
from deepfashion_tf.evaluation.finish import finish_run
from deepfashion_tf.evaluation.scores import Scores
from deepfashion_tf.files import absolute, write_atomically
from deepfashion_tf.progress import console
from deepfashion_tf.serving.export.saved_model import export_run
from deepfashion_tf.training.run import Run
from deepfashion_tf.training.train import train

ENSEMBLE_FILE = "ensemble.json"


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


def ensemble_runs(runs: Sequence[Run], directory: Path) -> Run:
    """Makes a run directory whose model averages the probabilities of several runs.

    It is a run like any other: evaluated, exported, asked. Its data are those of the first one.

    Args:
        runs: at least two, of the same categories, image size, normalization and views.
        directory: to make.

    Raises:
        InputError: they do not go together, or the directory holds something already.
    """
    check_runs(runs)
    first = runs[0]
    config = replace(first.config, output_dir=directory)
    images = keras.Input(first.load_model().input_shape[1:], name="images")
    answers = []
    for number, run in enumerate(runs, start=1):
        model = run.load_model()
        # Layers of one model need names of their own.
        member = keras.Model(model.inputs, model.output, name=f"member-{number}")
        answers.append(member(images))
    outputs = {
        category: layers.Average(name=category)([found[category] for found in answers])
        for category in first.schema
    }
    together = Run.create(config, first.schema)
    together.save_model(keras.Model(images, outputs, name="ensemble"))
    members = [str(run.directory) for run in runs]
    write_atomically(directory / ENSEMBLE_FILE, json.dumps({"members": members}, indent=2) + "\n")
    return together


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
            ("the image size", first.config.image_size, run.config.image_size),
            ("the normalization", first.normalization, run.normalization),
            ("--tta", first.config.tta, run.config.tta),
            ("the categories that were learnt", first.trained, run.trained),
        ):
            if one != other:
                differences = [*differences, f"{what} is {one} here and {other} there"]
        if not differences and _data_of(first) != _data_of(run):
            differences = ["their validation or test images are others"]
        if (run.directory / ENSEMBLE_FILE).is_file():
            differences = [*differences, "the second is an ensemble: name its members"]
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


def distil(together: Run, directory: Path) -> Run:
    """Trains one network, as the ensemble's first run was trained, on the ensemble's answers.

    Raises:
        InputError: as of `train`; or Ctrl-C has ended it.
    """
    teacher = absolute(together.directory)
    trained = train(replace(together.config, output_dir=directory, teacher=teacher))
    finish_run(trained.run, trained.val, not trained.interrupted, export_run)
    return trained.run


def members_table(alone: Sequence[Member], others: Sequence[Member]) -> Table:
    """Makes a table of runs, and of what others gain over their mean and what they cost.

    Args:
        alone: the members of an ensemble.
        others: the ensemble, and what was distilled of it.
    """
    scores = alone[0].scores
    table = Table(title=f"{scores.images} {scores.split} images")
    for name in ("", "mean accuracy", "gain", "mean class recall", "gain", "seconds", "times"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=not name)

    def mean(name: str) -> float:
        return float(np.mean([getattr(member.scores, name) for member in alone]))

    seconds = float(np.mean([member.seconds for member in alone]))
    for member in alone:
        accuracy, recall = member.scores.mean_accuracy, member.scores.mean_class_recall
        table.add_row(member.name, f"{accuracy:.4f}", "", f"{recall:.4f}", "", _told(member), "")
    accuracy, recall = mean("mean_accuracy"), mean("mean_class_recall")
    table.add_section()
    table.add_row("their mean", f"{accuracy:.4f}", "", f"{recall:.4f}", "", f"{seconds:.1f}", "")
    for member in others:
        found = member.scores
        table.add_row(
            member.name,
            f"{found.mean_accuracy:.4f}",
            f"{found.mean_accuracy - accuracy:+.4f}",
            f"{found.mean_class_recall:.4f}",
            f"{found.mean_class_recall - recall:+.4f}",
            _told(member),
            f"{member.seconds / seconds:.1f}",
        )
    return table


def _told(member: Member) -> str:
    return f"{member.seconds:.1f}"


def ensemble_command(
    paths: Sequence[Path], directory: Path, splits: Sequence[str], distilled: Path | None
) -> None:
    """Does what scripts/ensemble.py is asked for.

    Raises:
        InputError: the runs, the data or a directory cannot be used.
    """
    runs = [Run.load(path) for path in paths]
    check_runs(runs)
    first = runs[0]
    known = [first.read_split(name) for name in splits]
    known = [split for split in known if set(split.labelled_categories()) & set(first.trained)]
    if left := [name for name in splits if name not in {split.name for split in known}]:
        console.print(f"Nothing is labelled in {', '.join(left)}: not compared there.")
    together = ensemble_runs(runs, directory)
    finish_run(together, first.read_split("val"), export=export_run)
    made = [together, distil(together, distilled)] if distilled else [together]
    for split in known:
        console.print(members_table(score_runs(runs, split), score_runs(made, split)))
    console.print(f"Ensemble: {together.directory}/", soft_wrap=True, markup=False)
