"""What is searched: gamma, the learning rate, and each category's weight in the loss."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import optuna

from deepfashion_tf.runs.config import TrainConfig

_MOST_GAMMA = 5.0  # the highest that Lin et al. 2017 tried
_RATE_FACTOR = 10.0
_WEIGHT_FACTOR = 3.0
_WEIGHT = "loss_weights."


@dataclass(frozen=True)
class Parameter:
    """One number that is searched.

    Attributes:
        name: as on the command line, with ``_`` for ``-``.
        default: its value in the untuned configuration.
        low: the lowest value tried.
        high: the highest value tried.
        is_log: whether factors count, not differences.
    """

    name: str
    default: float
    low: float
    high: float
    is_log: bool = True


@dataclass(frozen=True)
class Space:
    """The parameters around a base configuration, which every trial else shares.

    The learning rate is searched from a tenth of the base's to ten times, a weight from a
    third to three times, both by factors; gamma from 0 to 5. What cannot matter is not
    searched: gamma of cross-entropy, weights of 0 (which somebody has set), weights of
    categories that nobody has labelled, and the weight of a single one.

    Attributes:
        base: the untuned configuration, with a weight for each category of its data.
        parameters: in the order in which they are drawn.
    """

    base: TrainConfig
    parameters: tuple[Parameter, ...]

    @classmethod
    def around(cls, base: TrainConfig, labelled: Sequence[str]) -> "Space":
        """Makes the space of a base configuration.

        Args:
            base: with all its loss weights.
            labelled: categories in which some training image is labelled.
        """
        found = []
        if base.gamma:
            found.append(
                Parameter("gamma", base.gamma, 0.0, max(_MOST_GAMMA, base.gamma), is_log=False)
            )
        found.append(_around("learning_rate", base.learning_rate, _RATE_FACTOR))
        weighted = [name for name in labelled if base.loss_weights[name]]
        if len(weighted) > 1:
            found += [
                _around(f"{_WEIGHT}{name}", base.loss_weights[name], _WEIGHT_FACTOR)
                for name in weighted
            ]
        return cls(base, tuple(found))

    def defaults(self) -> dict[str, float]:
        """Parameter -> its value in the untuned configuration."""
        return {parameter.name: parameter.default for parameter in self.parameters}

    def suggest(self, trial: optuna.Trial) -> dict[str, float]:
        """Draws a value for each parameter, with four digits, so that files stay readable."""
        values = {
            p.name: trial.suggest_float(p.name, p.low, p.high, log=p.is_log)
            for p in self.parameters
        }
        return self.rounded(values)

    def rounded(self, values: dict[str, float]) -> dict[str, float]:
        """Returns the values that a trial uses for those that its study has noted."""
        defaults = self.defaults()
        return {
            name: value if value == defaults[name] else float(f"{value:.4g}")
            for name, value in values.items()
        }

    def config(self, values: dict[str, float]) -> TrainConfig:
        """Puts a trial's values into the base configuration."""
        weights = {
            name.removeprefix(_WEIGHT): value
            for name, value in values.items()
            if name.startswith(_WEIGHT)
        }
        others = {name: value for name, value in values.items() if not name.startswith(_WEIGHT)}
        return dataclasses.replace(
            self.base, loss_weights={**self.base.loss_weights, **weights}, **others
        )


def _around(name: str, default: float, factor: float) -> Parameter:
    return Parameter(name, default, default / factor, default * factor)
