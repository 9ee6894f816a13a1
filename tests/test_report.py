"""The evaluation page: one file, whose numbers are those of the scores."""

import csv
import html
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_kinds import answered as several_kinds

from deepfashion_tf.evaluation import report
from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.evaluation.confusion import most_confident_mistakes
from deepfashion_tf.evaluation.evaluate import Answered, answer_labelled
from deepfashion_tf.evaluation.report import write_report
from deepfashion_tf.evaluation.statistics import over_images
from deepfashion_tf.page import render_page, table
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()


@pytest.fixture(scope="module")
def answered(trained) -> Answered:
    return answer_labelled(trained.run, trained.val)


@pytest.fixture(scope="module")
def path(answered, trained, tmp_path_factory) -> Path:
    """The page, as if a table listed the images from its second line on."""
    path = tmp_path_factory.mktemp("pages") / "report.html"
    rows = np.arange(len(answered.split))
    split = replace(answered.split, rows=rows, row_name=lambda row: f"line {row + 2}")
    found = replace(answered, split=split)
    write_report(trained.run, found, found.scores(), path)
    return path


@pytest.mark.slow
def test_the_page_needs_nothing_beside_it_and_tells_the_scores(answered, path):
    scores, page = answered.scores(), path.read_text()
    assert re.findall(r'src="(?!data:)', page) == []
    assert "http" not in re.sub(r'src="data:[^"]+"', "", page)
    assert page.count("<img") == 3 + 18 and page.count("<source") == 3
    text = html.unescape(page)
    answers = Answers.of(answered.split, answered.probabilities)
    for column, (category, score) in enumerate(scores.categories.items()):
        interval = over_images(answers.hits[:, [column]])
        assert f"<td>{category}</td>" in text
        assert f"<td>{score.accuracy:.4f}</td>" in text
        assert f"<td>{interval.low:.4f} … {interval.high:.4f}</td>" in text
        for attribute in SCHEMA[category]:
            assert f"<td>{attribute}</td>" in text
    assert f"{scores.mean_accuracy:.4f}" in text
    exact = over_images(answers.exact_hits)
    assert exact.mean == pytest.approx(scores.exact_match)
    assert f"<td>{scores.exact_match:.4f}</td>" in text
    assert f"<td>{exact.low:.4f} … {exact.high:.4f}</td>" in text


@pytest.mark.slow
def test_a_model_without_mistakes_and_a_category_without_labels(answered, trained, tmp_path):
    labels = np.stack([p.argmax(axis=1) for p in answered.raw.values()], axis=1).astype(np.int32)
    labels[:, 2] = -1
    right = replace(answered, split=replace(answered.split, labels=labels))
    write_report(trained.run, right, right.scores(), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "exact match is left out" in page
    assert "There are none." in page and page.count("<img") == 3
    assert len((tmp_path / "relabel.csv").read_text().splitlines()) == 1


@pytest.mark.slow
def test_categories_of_kind_multi_are_one_row_and_what_learnt_nothing_is_marked(
    trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(report, "draw_mistakes", lambda run, answered, some: [b"x"] * len(some))
    found = several_kinds()
    always = {name: np.full(len(found.split), 1) for name in ("fabric_cotton", "sleeve")}
    found.__dict__["answers"] = found.answers | always
    scores = found.scores()
    write_report(trained.run, found, scores, tmp_path / "report.html")
    text = html.unescape((tmp_path / "report.html").read_text())
    table, rest = text[text.index("<h2>Scores") :].split("</table>", 1)
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in table.split("<tr>")[2:]]
    assert [row[0] for row in rows[:3]] == ["sleeve", "fabric", "<strong>mean accuracy</strong>"]
    sleeve, parts = scores.categories["sleeve"], scores.groups["fabric"]
    difference = sleeve.accuracy - sleeve.majority_baseline
    assert rows[0][4] == f"<mark>{difference:+.4f} not above</mark>" and difference <= 0
    assert rows[1][2] == f"{np.mean([part.accuracy for part in parts.values()]):.4f}"
    assert "<mark>" not in "".join(rows[1])
    # Each interval is around its score.
    for _, _, value, _, _, interval, *_ in (rows[0], rows[1], rows[2]):
        low, high = map(float, interval.split(" … "))
        assert low < float(re.sub("<.*?>", "", value)) < high
    cotton = scores.detections["fabric_cotton"]
    assert f"<td><mark>{cotton.f1:.4f} not above</mark></td>" in rest
    found = [*scores.detections.values(), *scores.applicability.values()]
    beaten = [one for one in found if not one.beats_constant]
    assert rest.split("</table>")[0].count("<mark>") == len(beaten) < len(found)


def test_an_interval_of_weighted_categories_is_around_their_weighted_mean():
    hits = np.array([[1, 1, 0], [1, np.nan, 0], [0, 1, 1], [1, 0, np.nan]])
    weights = np.array([1.0, 0.5, 0.5])
    expected = (3 / 4 + (2 / 3 + 1 / 3) / 2) / 2
    assert over_images(hits, weights).mean == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_figures_are_readable_on_phones_and_on_desktops(path, browser, width):
    context = browser.new_context(
        viewport={"width": width, "height": 844}, is_mobile=width < 700, device_scale_factor=1
    )
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    figures = page.evaluate(
        "Array.from(document.querySelectorAll('picture img'), (one) => "
        "[one.currentSrc === one.src, one.clientWidth / one.naturalWidth])"
    )
    context.close()
    for is_wide, scale in figures:
        # Letters of 9 points, 12 pixels, are 9 pixels high at least.
        assert is_wide == (width > 700) and scale > 0.75


@pytest.mark.slow
def test_mistakes_are_named_by_file_and_row(answered, path):
    items = re.findall(r"<li>(.*?)</li>", path.read_text(), re.DOTALL)
    with (path.parent / "relabel.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    mistakes = most_confident_mistakes(answered.table)
    assert len(rows) == min(200, len(mistakes)) >= len(items[-18:]) == 18
    for item, row, mistake in zip(items[-18:], rows, mistakes, strict=False):
        name = Path(answered.split.keys[mistake.row]).name
        assert html.unescape(item).strip().endswith(f"{name}, line {mistake.row + 2}")
        assert (row["image"], row["row"]) == (
            answered.split.keys[mistake.row],
            f"line {mistake.row + 2}",
        )
        labelled = (row["label"], row["answer"], row["correct"])
        assert labelled == (mistake.labelled, mistake.answered, mistake.labelled)


def test_what_a_name_holds_is_shown_and_not_obeyed():
    rows = [["a|b", "<script>x</script>"], ["{body}", "c"]]
    page = render_page("t", table(["one", "two"], rows), {})
    assert "<td>a|b</td>" in page and "<script>" not in page and "<td>{body}</td>" in page
