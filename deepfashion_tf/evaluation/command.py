"""What scripts/evaluate.py does with its options."""

from pathlib import Path
from typing import Protocol

from deepfashion_tf.data.check import SkippedImages
from deepfashion_tf.errors import list_some
from deepfashion_tf.evaluation.evaluate import answer_labelled
from deepfashion_tf.evaluation.report import write_report
from deepfashion_tf.evaluation.table import print_scores
from deepfashion_tf.progress import console
from deepfashion_tf.training.run import Run


class Options(Protocol):
    """The options of scripts/evaluate.py."""

    run: Path
    data: str | None
    data_dir: Path | None
    schema: Path | None
    split: str
    engine: str
    report: bool


def evaluate_command(options: Options) -> None:
    """Scores a run on a split, prints the table and writes scores, answers and the page.

    Raises:
        InputError: the run or the data cannot be used.
    """
    run = Run.load(options.run)
    split = run.read_split(options.split, options.data, options.schema, options.data_dir)
    skipped, is_own = SkippedImages(), options.data is options.data_dir is None
    calibrate = is_own and split.name == "val"
    answered = answer_labelled(run, split, skipped, calibrate, options.engine)
    path = run.metrics_path(split, is_own)
    if answered.engine != "tensorflow":
        # The scores of the model itself stay what they are.
        path = path.with_stem(f"{path.stem}-{answered.engine}")
    scores = answered.scores()
    which = list_some([f"{key} {fault}" for key, fault in skipped.faults.items()])
    print_scores(scores, str(options.run), run.config.untrained, (len(skipped), which))
    scores.save(path)
    answers, report = (
        path.with_name(path.name.replace("metrics", kind, 1)).with_suffix(suffix)
        for kind, suffix in (("answers", ".csv"), ("report", ".html"))
    )
    answered.save(answers)
    console.print(f"Scores: {path}  Answers: {answers}", soft_wrap=True, markup=False)
    if options.report:
        write_report(run, answered, scores, report)
        console.print(f"Report: {report}", soft_wrap=True, markup=False)
