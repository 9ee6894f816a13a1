"""What a benchmark has measured is printed round by round, so that no end loses it."""

import pytest

from benchmarks.options import Options
from benchmarks.rates import Rate


def interrupted(kind: str):
    """Makes a benchmark that is interrupted after its first round."""

    def found(*given, **options):
        if kind == "seconds":
            yield {"one": [4321.0]}
        else:
            yield [Rate("one", (4321.0,))]
        raise KeyboardInterrupt

    return lambda *given, **options: [(1, found())] if kind == "batches" else found()


@pytest.mark.parametrize(
    ("what", "module", "function", "kind"),
    [
        ("input", "input", "benchmark_input", "rates"),
        ("step", "training", "benchmark_training", "rates"),
        ("first-step", "training", "benchmark_first_step", "seconds"),
        ("precision", "precision", "benchmark_precision", "rates"),
        ("predict", "prediction", "benchmark_prediction", "rates"),
        ("inference", "engines", "benchmark_engines", "batches"),
        ("workers", "scaling", "benchmark_workers", "rates"),
    ],
)
def test_a_contest_that_is_interrupted_has_printed_its_first_round(
    what, module, function, kind, monkeypatch, capsys, wardrobe, trained
):
    from benchmarks import contests

    path = f"benchmarks.{module}.{function}"
    monkeypatch.setattr(path, interrupted(kind))
    options = Options(what, run=trained.run.directory, data=str(wardrobe), rounds=5)
    with pytest.raises(KeyboardInterrupt):
        contests.CONTESTS[what](options)
    printed = " ".join(capsys.readouterr().out.split())
    assert "(1 of 5 rounds)" in printed and "4321" in printed


def test_ctrl_c_in_the_second_round_finds_the_first_one_told(monkeypatch, capsys):
    from benchmarks import contests, precision

    turns = []

    def work() -> int:
        turns.append(1)
        if len(turns) > 5:  # two contestants, and a round to warm up
            raise KeyboardInterrupt
        return 7

    monkeypatch.setattr(precision, "steps_of", lambda config: (work, None))
    with pytest.raises(KeyboardInterrupt):
        contests.contest_precision(Options("precision", rounds=3))
    printed = capsys.readouterr().out
    assert printed.count("(1 of 3 rounds)") == 1 and "(2 of 3" not in printed
    assert "mixed_bfloat16" in printed
