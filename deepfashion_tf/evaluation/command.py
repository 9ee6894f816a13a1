"""What `deepfashion evaluate` does with its options."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from deepfashion_tf.data.check import SkippedImages
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.evaluation.evaluate import answer_labelled
from deepfashion_tf.evaluation.mistakes import relabel_path
from deepfashion_tf.evaluation.report import write_report
from deepfashion_tf.evaluation.scores import METRICS_FILE, Scores
from deepfashion_tf.evaluation.table import print_scores
from deepfashion_tf.evaluation.tradeoff import TRADEOFF_FILE, save_tradeoff
from deepfashion_tf.outputs import check_outputs
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import Views
from deepfashion_tf.runs.run import Run
from deepfashion_tf.usage import command


class Options(Protocol):
    """The options of `deepfashion evaluate`."""

    run: Path
    data: str | None
    schema: Path | None
    split: str
    engine: str
    tta: Views | None
    recall_price: float | None
    report: bool


def evaluate_command(options: Options) -> None:
    """Scores a run on a split, prints the table and writes scores, answers and the page.

    Raises:
        InputError: the run or the data cannot be used.
    """
    run = Run.load(options.run)
    split = run.read_split(options.split, options.data, options.schema)
    skipped, is_own = SkippedImages(), options.data is None
    for place, fault in split.left_out:
        skipped.note(place, fault)
    tta = options.tta or run.config.tta
    calibrate = is_own and split.name == "val" and tta == run.config.tta
    if tta != run.config.tta and options.engine != "tensorflow":
        raise InputError(
            f"--tta {tta} is not what the exports of {run.directory} answer (that is "
            f"{run.config.tta}): leave out --engine {options.engine}."
        )
    _check_price(options, calibrate)
    asked = replace(run, config=replace(run.config, tta=tta))
    began = time.monotonic()
    answered = answer_labelled(
        asked, split, skipped, calibrate, options.engine, options.recall_price
    )
    seconds = time.monotonic() - began
    path, answers, report = _outputs(options, run, split, answered.engine, tta)
    scores = answered.scores()
    which = list_some([f"{key} {fault}" for key, fault in skipped.faults.items()])
    print_scores(scores, str(options.run), run.config.untrained, (len(skipped), which))
    if tta != run.config.tta:
        _print_gain(run, split, scores, tta, seconds)
    scores.save(path)
    answered.save(answers)
    console.print(f"Scores: {path}  Answers: {answers}", soft_wrap=True)
    if calibrate and answered.engine == "tensorflow":
        title = f"{run.directory.name}: {scores.images} {scores.split} images"
        save_tradeoff(answered, scores, title, run.directory / TRADEOFF_FILE)
    if options.recall_price is not None:
        # The run's own scores are of what it answers from now on.
        scores.save(run.directory / METRICS_FILE)
        _print_outdated(run)
    if options.report:
        write_report(run, answered, scores, report)
        console.print(f"Report: {report}  Mistakes: {relabel_path(report)}", soft_wrap=True)


def _outputs(
    options: Options, run: Run, split: Split, engine: str, tta: Views
) -> tuple[Path, Path, Path]:
    """Names the files of scores and answers, and the page.

    Raises:
        InputError: one of them would take the place of what is read.
    """
    path = run.metrics_path(split, options.data is None)
    if engine != "tensorflow":
        # The scores of the model itself stay what they are.
        path = path.with_stem(f"{path.stem}-{engine}")
    if tta != run.config.tta:
        path = path.with_stem(f"{path.stem}-{tta}")
    answers, report = (
        path.with_name(path.name.replace("metrics", kind, 1)).with_suffix(suffix)
        for kind, suffix in (("answers", ".csv"), ("report", ".html"))
    )
    corrections = relabel_path(report)
    written = {"The file": path, "The table": answers, "The page": report}
    check_outputs({**written, "The corrections": corrections}, [options.data, options.schema])
    return path, answers, report


def _print_outdated(run: Run) -> None:
    """Names the exports that still answer as before."""
    names = sorted(path.name for path in run.directory.glob("export*"))
    if names:
        console.print(
            f"{', '.join(names)} still answer as before: {command('export')} {run.directory} "
            f"exports the run again.",
            soft_wrap=True,
            markup=False,
        )


def _check_price(options: Options, calibrate: bool) -> None:
    """Refuses a price that cannot be kept, or that other images would have to keep.

    Raises:
        InputError: says so.
    """
    price = options.recall_price
    if price is None:
        return
    if not 0 <= price <= 100:
        raise InputError(f"--recall-price is {price}, but must lie between 0 and 100.")
    if not calibrate or options.engine != "tensorflow":
        raise InputError(
            "--recall-price is kept on the run's own validation images, as the run itself answers: "
            "use it with --split val, and without --data, --tta and --engine."
        )


def _print_gain(run: Run, split: Split, scores: Scores, tta: Views, seconds: float) -> None:
    """Returns what other views than the run's own have gained, and what they cost."""
    began = time.monotonic()
    own = answer_labelled(run, split).scores()
    own_seconds = time.monotonic() - began
    console.print(
        f"--tta {tta} instead of {run.config.tta}: mean accuracy {own.mean_accuracy:.4f} -> "
        f"{scores.mean_accuracy:.4f}, mean class recall {own.mean_class_recall:.4f} -> "
        f"{scores.mean_class_recall:.4f}, in {seconds / own_seconds:.1f} times as many seconds "
        f"({own_seconds:.1f} -> {seconds:.1f}, reading included). "
        f"{command('train')} --tta {tta} makes a run and its exports answer so.",
        soft_wrap=True,
    )
