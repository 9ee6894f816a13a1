"""Scores a run on a split; writes metrics-SPLIT.json, answers-SPLIT.csv, report-SPLIT.html."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deepfashion_tf.command_line import import_tensorflow, run


@dataclass(frozen=True)
class Options:
    run: Annotated[Path, tyro.conf.Positional]
    """Run directory that scripts/train.py made."""
    data: str | None = None
    """Folder, table, tfds:NAME or wardrobe to score on. None: what the run was trained on."""
    data_dir: Path | None = None
    """As --data, for folders."""
    schema: Path | None = None
    """YAML file of the data's categories. None: the run's."""
    split: Literal["train", "val", "test"] = "val"
    """Which split of it."""
    engine: Literal["tensorflow", "auto", "openvino", "onnxruntime"] = "tensorflow"
    """What answers: the model itself, or an export, whose answers may differ by some bits."""
    report: bool = True
    """Also write report-SPLIT.html: confusions, calibration, coverage, the surest mistakes."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    import_tensorflow()
    from deepfashion_tf.data.check import SkippedImages
    from deepfashion_tf.errors import list_some
    from deepfashion_tf.evaluation.evaluate import answer_labelled
    from deepfashion_tf.evaluation.report import write_report
    from deepfashion_tf.evaluation.table import print_scores
    from deepfashion_tf.training.run import Run

    trained = Run.load(options.run)
    split = trained.read_split(options.split, options.data, options.schema, options.data_dir)
    skipped, is_own = SkippedImages(), options.data is options.data_dir is None
    path = trained.metrics_path(split, is_own)
    answered = answer_labelled(
        trained, split, skipped, is_own and split.name == "val", options.engine
    )
    scores = answered.scores()
    which = list_some([f"{key} {fault}" for key, fault in skipped.faults.items()])
    print_scores(scores, str(options.run), trained.config.untrained, (len(skipped), which))
    scores.save(path)
    answers, report = (
        path.with_name(path.name.replace("metrics", kind, 1)).with_suffix(suffix)
        for kind, suffix in (("answers", ".csv"), ("report", ".html"))
    )
    answered.save(answers)
    print(f"Scores: {path}  Answers: {answers}")
    if options.report:
        write_report(trained, answered, scores, report)
        print(f"Report: {report}")


if __name__ == "__main__":
    run(main)
