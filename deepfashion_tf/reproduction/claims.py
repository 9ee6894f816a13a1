"""The report's claims, each beside what was measured, with a verdict.

Source: X. Li 2021, DeepFashion Attribute Prediction Challenge Report: its Table 2 and figures
6 and 8 to 10. Its numbers are those of one run each; they are compared, never used.
"""

from dataclasses import dataclass

from deepfashion_tf.evaluation.statistics import Interval, over_images, over_seeds
from deepfashion_tf.reproduction.grid import BACKBONES, FINAL
from deepfashion_tf.reproduction.results import Difference, Results, compare

REPORTED = {
    "resnet50-fc0": 0.7985,
    "resnet50-fc2": 0.7978,
    "resnet50-fc4": 0.7743,
    "seresnet50-fc0": 0.8235,
    "seresnet50-fc2": 0.8172,
    "seresnet50-fc4": 0.8138,
    "seresnext50-fc0": 0.7964,
    "seresnext50-fc2": 0.7918,
    "seresnext50-fc4": 0.7717,
    FINAL: 0.8265,
}
"""Mean accuracy on the challenge's 1,000 test images, as the report prints it."""

FAST = ("sleeve", "length")
SLOW = "fabric"


@dataclass(frozen=True)
class Verdict:
    """A claim and what became of it.

    Attributes:
        key: short name.
        claim: as a sentence.
        shown_in: where the report says so.
        reported: its number, signed as `seeds`; None = it gives none.
        unit: of all numbers: "accuracy" or "epochs".
        seeds: what was measured, with the interval over seeds.
        images: its interval over images; None = it is not about images.
        verdict: "agrees", "disagrees" or "undecided".
        note: why, where that is not plain from the numbers.
    """

    key: str
    claim: str
    shown_in: str
    reported: float | None
    unit: str
    seeds: Interval
    images: Interval | None
    verdict: str
    note: str = ""


def verdicts(results: Results) -> list[Verdict]:
    """Judges every claim whose cells are there."""
    found = [*_comparisons(results), _fabric_gains_most(results), *_speeds(results)]
    return [verdict for verdict in [*found, _final_score(results)] if verdict]


_SE, _FOCAL = "SE-ResNet-50", "Focal loss (γ = 2) is better than cross-entropy"
# Key, claim, where the report shows it, the two cells, the sign, and whether it gives a number.
_CLAIMS = (
    ("se", f"{_SE} is better than ResNet-50", "Table 2, Figure 9")
    + ("seresnet50-fc0", "resnet50-fc0", 1, True),
    ("next", f"SE-ResNeXt-50 is worse than {_SE}", "Table 2, Figure 10")
    + ("seresnext50-fc0", "seresnet50-fc0", -1, True),
    *(
        (f"{name}-fc{count}", f"{count} FC layers are worse than none ({title})", "Table 2")
        + (f"{name}-fc{count}", f"{name}-fc0", -1, True)
        for name, title in BACKBONES.items()
        for count in (2, 4)
    ),
    ("flip", "Mirroring training images helps (ResNet-50)", "Figure 8")
    + ("resnet50-fc0", "resnet50-fc0-no_flip", 1, False),
    ("crop", "Cropping to the box helps (ResNet-50)", "an example only")
    + ("resnet50-fc0", "resnet50-fc0-no_crop", 1, False),
    ("focal", f"{_FOCAL} ({_SE})", "the step from eq. 6 to focal loss")
    + ("seresnet50-fc0", "seresnet50-fc0-cross_entropy", 1, False),
    ("weights", f"The loss weights of eq. 7 help ({_SE})", "the final model")
    + (FINAL, "seresnet50-fc0", 1, True),
)


def _comparisons(results: Results) -> list[Verdict | None]:
    found = []
    for key, claim, shown_in, one, other, sign, has_number in _CLAIMS:
        number = REPORTED[one] - REPORTED[other] if has_number else None
        found.append(_compare(results, key, claim, shown_in, one, other, sign, number))
    return found


def _compare(
    results: Results,
    key: str,
    claim: str,
    shown_in: str,
    one: str,
    other: str,
    sign: int,
    number: float | None,
) -> Verdict | None:
    cells = results.cells
    if one not in cells or other not in cells or not set(cells[one].runs) & set(cells[other].runs):
        return None
    difference = compare(cells[one], cells[other])
    return _judge(key, claim, shown_in, number, difference, sign)


def _judge(
    key: str,
    claim: str,
    shown_in: str,
    number: float | None,
    difference: Difference,
    sign: int = 1,
    note: str = "",
) -> Verdict:
    side = difference.side * sign
    if difference.seeds.low is None:
        note = "one seed only: no interval over seeds"
    return Verdict(
        key,
        claim,
        shown_in,
        number,
        "accuracy",
        difference.seeds,
        difference.images,
        _word(side),
        note,
    )


def _word(side: int) -> str:
    return {1: "agrees", -1: "disagrees", 0: "undecided"}[side]


def _fabric_gains_most(results: Results) -> Verdict | None:
    """The gain of fabric minus that of the category which gains most of the others."""
    se, plain = results.cells.get("seresnet50-fc0"), results.cells.get("resnet50-fc0")
    if not se or not plain or not set(se.runs) & set(plain.runs) or SLOW not in results.schema:
        return None
    gains = category_gains(results, "seresnet50-fc0", "resnet50-fc0")
    others = {name: gain.seeds.mean for name, gain in gains.items() if name != SLOW}
    rival = max(others, key=others.get)
    return _judge(
        "se-fabric",
        "SE helps fabric most",
        "Figure 9",
        None,
        compare(se, plain, {SLOW: 1.0, rival: -1.0}),
        note=f"gain in {SLOW} minus gain in {rival}, the next or the first",
    )


def category_gains(results: Results, one: str, other: str) -> dict[str, Difference]:
    """Compares two cells category by category: category -> difference of accuracies.

    A category that no image is labelled in is left out.
    """
    cells = results.cells
    return {
        category: compare(cells[one], cells[other], {category: 1.0})
        for category, score in results.baseline.categories.items()
        if score.images
    }


def _speeds(results: Results) -> list[Verdict | None]:
    if "resnet50-fc0" not in results.cells:
        return []
    speeds = results.speeds("resnet50-fc0")
    means = {category: over_seeds(values).mean for category, values in speeds.items()}

    def row(key, claim, slow: str, fast: str) -> Verdict:
        values = [a - b for a, b in zip(speeds[slow], speeds[fast], strict=True)]
        interval = over_seeds(values)
        note = f"{slow} minus {fast}"
        if interval.low is None:
            note = "one seed only: no interval over seeds"
        return Verdict(
            key, claim, "Figure 6", None, "epochs", interval, None, _word(interval.side), note
        )

    others = [category for category in speeds if category != SLOW]
    rest = [category for category in speeds if category not in FAST]
    fast = [category for category in FAST if category in speeds]
    if SLOW not in speeds or len(fast) < len(FAST):
        return []
    slowest = max(others, key=means.get)
    slower, next_one = max(fast, key=means.get), min(rest, key=means.get)
    return [
        row("fabric-slowest", "fabric is learnt slowest (ResNet-50)", SLOW, slowest),
        row(
            "sleeve-length-fastest",
            "sleeve and length are learnt fastest (ResNet-50)",
            next_one,
            slower,
        ),
    ]


def _final_score(results: Results) -> Verdict | None:
    """The best score: comparable on the report's data and recipe alone."""
    if FINAL not in results.cells:
        return None
    cell, reported = results.cells[FINAL], REPORTED[FINAL]
    seeds = cell.accuracy
    images = over_images(sum(run.answers.hits for run in cell.runs.values()) / len(cell.runs))
    verdict, note = "undecided", ""
    if not results.is_comparable:
        verdict, note = "not comparable", f"this is {results.source}"
    elif seeds.low is None:
        note = "one seed only: no interval over seeds"
    elif max(seeds.low, images.low) > reported:
        verdict, note = "disagrees", "higher than reported"
    elif min(seeds.high, images.high) < reported:
        verdict, note = "disagrees", "lower than reported"
    elif seeds.low <= reported <= seeds.high:
        verdict = "agrees"
    return Verdict(
        "final",
        "The final model reaches a mean accuracy of 0.8265",
        "the final model",
        reported,
        "accuracy",
        seeds,
        images,
        verdict,
        note,
    )
