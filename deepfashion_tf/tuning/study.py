"""The study on disk: its trials, what they may share, and which comes next."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock
import numpy as np
import optuna
import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

from deepfashion_tf import files
from deepfashion_tf.data.split import Split
from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import InputError
from deepfashion_tf.outputs import check_local
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.older import of_today
from deepfashion_tf.tuning.space import Space

STUDY_FILE = "study.db"
TRIALS_FOLDER = "trials"
STARTUP_TRIALS = 8  # drawn at random before the sampler has something to learn from
_PRUNED_AFTER = 5  # complete trials, before which there is no median worth the name
_WARMUP = 1 / 3  # of the epochs, in which no trial is ended
_BASE, _FORGIVEN = "base", "forgiven"  # attributes of the study
_DEFAULT, _FAILURE = "is_default", "failure"  # and of its trials
# Where the data lie may change; their digest says whether they are the same.
_PLACES = (*("data", "schema", "output_dir", "cache", "untrained", "offline"),)


class Study:
    """Optuna's study in the folder of a search.

    Args:
        directory: of the search; made if it is not there.
        space: what is searched, and the configuration around it.
        splits: of the data, to know them again.

    Raises:
        InputError: the folder has a study of something else, or one that cannot be read.
    """

    def __init__(self, directory: Path, space: Space, splits: Sequence[Split]) -> None:
        self.directory = directory
        self.space = space
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        path = (directory / STUDY_FILE).absolute()
        # The search's own lock begins with a point.
        if not path.exists() and any(p.name[0] != "." for p in directory.iterdir()):
            raise InputError(
                f"--output-dir {directory} is not empty and holds no search: name another."
            )
        url = sqlalchemy.URL.create("sqlite", database=str(path))
        try:
            storage = optuna.storages.RDBStorage(url.render_as_string())
            self._study = optuna.create_study(
                storage=storage,
                study_name="tuning",
                direction="maximize",
                pruner=make_pruner(space.base.epochs),
                load_if_exists=True,
            )
            self._check_base(splits)
        except (sqlalchemy.exc.SQLAlchemyError, RuntimeError) as error:
            raise InputError(
                f"{path} cannot be used as a study ({str(error).splitlines()[0]}): name another "
                f"--output-dir."
            ) from error

    def _check_base(self, splits: Sequence[Split]) -> None:
        wanted = json.loads(as_json(_describe(self.space.base, splits), default=str))
        known = self._study.user_attrs.get(_BASE)
        if known is None:
            self._study.set_user_attr(_BASE, wanted)
            return
        known = of_today(known)
        differences = [
            "other data"
            if name == "data"
            else f"--{name.replace('_', '-')} {known.get(name)}, not {value}"
            for name, value in wanted.items()
            if known.get(name) != value
        ]
        if differences:
            raise InputError(
                f"{self.directory} holds a search with {'; '.join(differences)}: name another "
                f"--output-dir, or leave the options as they were."
            )

    def finished(self) -> list[FrozenTrial]:
        """Lists the trials that have ended, whichever way, in their order."""
        return [trial for trial in self._trials() if trial.state.is_finished()]

    def count(self) -> int:
        """Counts the trials that have ended, without failures that were forgiven."""
        return len(self.finished()) - self._study.user_attrs.get(_FORGIVEN, 0)

    def forgive_failures(self) -> None:
        """Counts the trials anew, of which none has a score yet."""
        self._study.set_user_attr(_FORGIVEN, len(self.finished()))

    def complete(self) -> list[FrozenTrial]:
        """Lists the trials that have a score, the best one first, the earlier first of equals."""
        trials = [t for t in self._trials() if t.state == TrialState.COMPLETE]
        return sorted(trials, key=lambda trial: (-trial.value, trial.number))

    def default(self) -> FrozenTrial | None:
        """Returns the trial of the untuned configuration, if it has a score."""
        return next((trial for trial in self.complete() if is_default(trial)), None)

    def next_trial(self) -> optuna.Trial:
        """Returns the trial that a process of before has left, or a new one.

        The first is the untuned configuration; it is tried again if it has failed. What a
        trial draws hangs on the seed, its number and the trials before it, not on how often
        the search was stopped.
        """
        trials = self._trials()
        left = next((trial for trial in trials if trial.state == TrialState.RUNNING), None)
        if left is not None:
            self._seed(left.number)
            return optuna.Trial(self._study, left._trial_id)
        if not any(is_default(t) and t.state in _ALIVE for t in trials):
            self._study.enqueue_trial(self.space.defaults(), user_attrs={_DEFAULT: True})
        waiting = [t.number for t in self._trials() if t.state == TrialState.WAITING]
        self._seed(min(waiting, default=len(trials)))
        return self._study.ask()

    def reported(self, number: int) -> dict[int, float]:
        """Returns what a trial has reported so far: epoch -> validation mean accuracy."""
        return dict(self._trials()[number].intermediate_values)

    def run_directory(self, number: int) -> Path:
        """Names a trial's run directory."""
        return self.directory / TRIALS_FOLDER / f"{number:04d}"

    def config(self, trial: FrozenTrial | optuna.Trial) -> TrainConfig:
        """Returns what a trial trains or has trained, with its run directory."""
        config = self.space.config(self.space.rounded(trial.params))
        return dataclasses.replace(config, output_dir=self.run_directory(trial.number))

    def tell_score(self, trial: optuna.Trial, score: float) -> None:
        self._study.tell(trial, score)

    def tell_pruned(self, trial: optuna.Trial) -> None:
        self._study.tell(trial, state=TrialState.PRUNED)

    def tell_failed(self, trial: optuna.Trial, reason: str) -> None:
        trial.set_user_attr(_FAILURE, reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def importances(self, share: float) -> dict[str, float]:
        """Parameter -> how much it tells the best trials from all, by PED-ANOVA; sums to 1.

        Args:
            share: of the trials with a score that are the best.

        Reference:
            Watanabe, Bansal, Hutter: PED-ANOVA, IJCAI 2023.
        """
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share)
        return optuna.importance.get_param_importances(self._study, evaluator=evaluator)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _seed(self, number: int) -> None:
        # One sampler for all would draw the same numbers again after a restart.
        (seed,) = np.random.SeedSequence([self.space.base.seed, number]).generate_state(1)
        self._study.sampler = optuna.samplers.TPESampler(
            seed=int(seed), n_startup_trials=STARTUP_TRIALS
        )


_ALIVE = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE)


def is_default(trial: FrozenTrial | optuna.Trial) -> bool:
    """Whether a trial is the untuned configuration."""
    return bool(trial.user_attrs.get(_DEFAULT))


def failure(trial: FrozenTrial) -> str:
    """Returns the words that a failed trial has ended with."""
    return trial.user_attrs.get(_FAILURE, "")


def make_pruner(epochs: int) -> optuna.pruners.MedianPruner:
    """Makes the rule that ends trials: the best epoch so far is below the median at that epoch."""
    warmup = max(1, round(epochs * _WARMUP))
    return optuna.pruners.MedianPruner(n_startup_trials=_PRUNED_AFTER, n_warmup_steps=warmup)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keeps other processes from searching in the same folder.

    Raises:
        InputError: one does.
    """
    check_local("--output-dir", directory)
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with files.locked(directory / ".lock"):
            yield
    except filelock.Timeout as error:
        raise InputError(
            f"Another process is searching in {directory}: wait for its end, or name another "
            f"--output-dir."
        ) from error


def _describe(base: TrainConfig, splits: Sequence[Split]) -> dict:
    """Returns what all trials of a study share: options, and a digest of the data."""
    options = dataclasses.asdict(base)
    digest = hashlib.sha256()
    for split in splits:
        split.add_to(digest)
    return {
        **{name: value for name, value in options.items() if name not in _PLACES},
        "data": digest.hexdigest(),
    }
