"""The evaluation page: one file, whose numbers are those of the scores."""

import html
import re
from dataclasses import replace

import numpy as np
import pytest

from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.evaluation.evaluate import Answered, answer_labelled
from deepfashion_tf.evaluation.report import write_report
from deepfashion_tf.evaluation.statistics import over_images
from deepfashion_tf.page import render_page, table
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()


@pytest.fixture(scope="module")
def answered(trained) -> Answered:
    return answer_labelled(trained.run, trained.val)


@pytest.mark.slow
def test_the_page_needs_nothing_beside_it_and_tells_the_scores(answered, trained, tmp_path):
    path = tmp_path / "report.html"
    scores = answered.scores()
    write_report(trained.run, answered, scores, path)
    page = path.read_text()
    assert re.findall(r'src="(?!data:)', page) == []
    assert "http" not in re.sub(r'src="data:[^"]+"', "", page)
    assert page.count("<img") == 4
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


def test_what_a_name_holds_is_shown_and_not_obeyed():
    rows = [["a|b", "<script>x</script>"], ["{body}", "c"]]
    page = render_page("t", table(["one", "two"], rows), {})
    assert "<td>a|b</td>" in page and "<script>" not in page and "<td>{body}</td>" in page
