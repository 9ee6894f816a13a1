"""The search: one trial after the other, each a training in a process of its own."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from deepfashion_tf.data.sources import located, open_splits
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError, list_some, printable
from deepfashion_tf.evaluation.curves import read_history
from deepfashion_tf.files import absolute, remove_unfinished
from deepfashion_tf.interrupts import TERMINATED, Terminated
from deepfashion_tf.progress import console, make_progress
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.jobs import Job, run_jobs, sigterm_raises
from deepfashion_tf.tuning.options import SearchOptions
from deepfashion_tf.tuning.outcome import print_outcome, write_best, write_trials
from deepfashion_tf.tuning.space import Space
from deepfashion_tf.tuning.study import STUDY_FILE, Study, failure, is_default, locked
from deepfashion_tf.usage import typed

_HOPELESS = 3  # trials that fail with the same words before the others are spared them


def tune(base: TrainConfig, options: SearchOptions) -> int:
    """Searches, or goes on with a search, until there are as many trials as asked for.

    Args:
        base: the untuned configuration; its `output_dir` is the search's folder.
        options: how many trials, and whether they may be ended early.

    Returns:
        The exit code: 130 after Ctrl-C.

    Raises:
        InputError: the data or the folder cannot be used, or all trials have failed.
        Terminated: SIGTERM; all is saved.
    """
    how = f"What was computed is kept. To go on: {typed('tune')}"
    try:
        with sigterm_raises(), locked(base.output_dir):
            splits = open_splits(base, ["train", "val"], check_images=False)
            study = _open(base, splits)
            _search(study, options)
            if not study.complete():
                failed = study.finished()
                raise InputError(
                    f"All {len(failed)} trials failed, the last one with: {failure(failed[-1])}"
                )
            print_outcome(study, splits)
    except KeyboardInterrupt:
        print(f"\nInterrupted. {printable(how)}", file=sys.stderr, flush=True)
        return 130
    except Terminated as end:
        raise Terminated(f"SIGTERM. {how}") from end
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InputError(
            f"{base.output_dir / STUDY_FILE} cannot be read or written ({reason}). {how}"
        ) from error
    return 0


def _open(base: TrainConfig, splits: Sequence[Split]) -> Study:
    directory, schema = base.output_dir, splits[0].schema
    # What names files works from any folder, as best.yaml will hold it.
    places = {"data": located(base)}
    if base.schema:
        places["schema"] = absolute(base.schema)
    if folder := base.cache_folder:
        places["cache"] = str(absolute(folder))
    base = replace(base, **places)
    space = Space.around(base.for_schema(schema), splits[0].labelled_categories())
    return Study(directory, space, splits)


def _search(study: Study, options: SearchOptions) -> None:
    """Runs the trials that are missing.

    Raises:
        InputError: the first ones all fail alike.
    """
    if not study.complete():
        # Something was wrong that may be mended now.
        study.forgive_failures()
    _tidy(study)
    ended: list[FrozenTrial] = []
    while (done := study.count()) < options.trials:
        trial = study.next_trial()
        study.space.suggest(trial)
        label = f"[{done + 1}/{options.trials}] trial {trial.number}"
        console.print(f"{label}: {_values(study, trial)}", style="dim", soft_wrap=True)
        run_trial(study, trial, options.prune, label)
        _tidy(study)
        write_trials(study)
        if study.complete():
            write_best(study)
        ended.append(study.finished()[-1])
        _tell(study, ended, label, options.trials - done - 1)
        words = {failure(one) for one in ended}
        if len(ended) == _HOPELESS and len(words) == 1 and words != {""}:
            raise InputError(f"The first {_HOPELESS} trials all failed: {words.pop()}")


def run_trial(study: Study, trial: optuna.Trial, prune: bool, label: str) -> None:
    """Trains one trial, or what is left of it, and tells the study what came out.

    Raises:
        Terminated: its process was told to end by somebody else.
    """
    config = study.config(trial)
    job = Job(config)
    # The others are compared with the untuned configuration, which is trained to its end.
    watch = Watch(study, trial, job, prune and not is_default(trial))
    watch.look()
    if not watch.is_pruned and not job.is_done:
        with make_progress("epochs") as bar:
            task = bar.add_task(label, total=config.epochs)

            def on_change(running: list[Job]) -> None:
                watch.look()
                bar.update(task, completed=job.epochs_done())

            run_jobs([job], on_change=on_change)
        seconds = trial.user_attrs.get("seconds", 0.0) + job.seconds
        trial.set_user_attr("seconds", seconds)
    if watch.is_pruned:
        study.tell_pruned(trial)
    elif job.is_done:
        study.tell_score(trial, max(watch.scores.values()))
    elif job.returncode == TERMINATED:
        raise Terminated("the trial's process was ended")
    else:
        study.tell_failed(trial, job.last_words())


class Watch:
    """Reports the epochs of a running trial, and ends it when it falls behind.

    Each epoch is judged by itself and what comes after the verdict is not reported, so that
    what the study knows does not hang on how often somebody looks.

    Args:
        study: of the trial.
        trial: that runs.
        job: its process.
        prune: whether it may be ended.

    Attributes:
        scores: epoch -> validation mean accuracy, as reported.
        is_pruned: it was ended.
    """

    def __init__(self, study: Study, trial: optuna.Trial, job: Job, prune: bool) -> None:
        self.trial, self.job, self.prune = trial, job, prune
        self.scores = study.reported(trial.number)
        self.is_pruned = False
        if self.scores:
            # A process of before may have died between report and verdict.
            self._judge(max(self.scores))

    def look(self) -> None:
        """Reads the history; to be called again and again."""
        found = read_scores(self.job.directory)
        for epoch in sorted(found.keys() - self.scores.keys()):
            if self.is_pruned:
                return
            self.scores[epoch] = found[epoch]
            self.trial.report(found[epoch], epoch)
            self._judge(epoch)

    def _judge(self, epoch: int) -> None:
        # After the last epoch there is nothing to be saved.
        if self.prune and epoch < self.job.config.epochs and self.trial.should_prune():
            self.is_pruned = True
            self.job.terminate()


def read_scores(directory: Path) -> dict[int, float]:
    """Reads a run's history so far: epoch -> validation mean accuracy."""
    path = directory / "history.csv"
    history = read_history(path) if path.is_file() else {}
    if not history:
        return {}
    epochs = map(int, history["epoch"])
    return dict(zip(epochs, history["val_mean_accuracy"], strict=True))


def _tidy(study: Study) -> None:
    """Removes what is large of trials that have ended, except the best one's model."""
    best = next(iter(study.complete()), None)
    for trial in study.finished():
        directory = study.run_directory(trial.number)
        shutil.rmtree(directory / "checkpoints", ignore_errors=True)
        remove_unfinished(directory)
        if best is None or trial.number != best.number:
            (directory / "model.keras").unlink(missing_ok=True)


def _tell(study: Study, ended: Sequence[FrozenTrial], label: str, missing: int) -> None:
    """Returns what has come of the last trial, and how long the missing ones will take."""
    trial = ended[-1]
    scores = trial.intermediate_values
    seconds = [one.user_attrs.get("seconds", 0.0) for one in ended]
    left = sum(seconds) / len(seconds) * missing
    time = f"{_duration(seconds[-1])}, about {_duration(left)} left"
    untuned = " (untuned)" if is_default(trial) else ""
    if trial.state == TrialState.FAIL:
        text = Text(f"failed: {printable(failure(trial))}", "red")
    elif trial.state == TrialState.PRUNED:
        text = f"pruned after epoch {max(scores)} at {max(scores.values()):.4f}; {time}"
    else:
        best = study.complete()[0]
        is_best = best.number == trial.number
        other = f"best: {best.value:.4f}, trial {best.number}"
        mark = Text("the best so far", "green") if is_best else other
        epoch = max(scores, key=scores.get)
        text = Text.assemble(f"{trial.value:.4f} in epoch {epoch}, ", mark, f"; {time}")
    console.print(Text.assemble(f"{printable(label)}{untuned}: ", text), soft_wrap=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _values(study: Study, trial: optuna.Trial) -> str:
    """Writes a trial's parameters in one line, the weights by their categories."""
    values = study.space.rounded(trial.params)
    return list_some([f"{name.partition('.')[2] or name} {v:.4g}" for name, v in values.items()])
