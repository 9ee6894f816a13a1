"""From which probability on an answer is sure. No TensorFlow."""

from rich.table import Table

from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.answers import Calibrated
from deepfashion_tf.inference.calibration import Calibration
from deepfashion_tf.progress import console
from deepfashion_tf.usage import command

NEVER = 2.0  # a probability that no answer reaches


def check_shares(threshold: float | None, accept_accuracy: float | None) -> None:
    """Checks what decides about unsure answers.

    Raises:
        InputError: one is no share, or both are given.
    """
    shares = {"--threshold": threshold, "--accept-accuracy": accept_accuracy}
    for name, value in shares.items():
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"{name} is {value:g}, but must lie between 0 and 1.")
    if None not in shares.values():
        raise InputError(f"{' and '.join(shares)} both say what is unsure: give one of them.")


def thresholds(
    model: Calibrated, threshold: float | None, accept_accuracy: float | None
) -> dict[str, float] | None:
    """Returns the probability from which on an answer of each category is sure; None = always.

    Args:
        model: whose calibration knows what may be accepted.
        threshold: the same for all categories.
        accept_accuracy: share of the accepted answers that has to be right.

    Raises:
        InputError: an accuracy is asked for, and the run was never calibrated.
    """
    if threshold is not None:
        return dict.fromkeys(model.schema, threshold)
    if accept_accuracy is None:
        return None
    calibration = model.calibration
    if not calibration:
        raise InputError(
            f"{model.name} has no calibration, which knows the accuracy from a probability "
            f"on: run {command('evaluate')} --split val on the run, and export it again."
        )
    found = {
        category: calibration[category].coverage.threshold_for(accept_accuracy)
        if category in calibration
        else None
        for category in model.schema
    }
    _print_thresholds(calibration, found, accept_accuracy)
    return {name: NEVER if value is None else value for name, value in found.items()}


def _print_thresholds(
    calibration: Calibration, found: dict[str, float | None], accuracy: float
) -> None:
    table = Table(title=f"Accepted at {accuracy:.0%} accuracy, by the validation split")
    for name in ("category", "from a probability of", "share accepted"):
        table.add_column(name, justify="left" if name == "category" else "right")
    for category, threshold in found.items():
        if threshold is None:
            table.add_row(category, "never", "none")
        else:
            share = calibration[category].coverage.share_from(threshold)
            table.add_row(category, f"{threshold:.3f}", f"{share:.0%}")
    console.print(table)
    console.print(
        "Holds with 95 % confidence for images like those of the validation split; never: too few "
        "of them are labelled and answered rightly to promise it.",
        soft_wrap=True,
    )
