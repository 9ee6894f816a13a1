"""Every output shows names as they are: console, figures, Markdown, HTML, tables."""

import ast
import csv
import html
import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from conftest import NASTY, correct
from markdown_it import MarkdownIt
from matplotlib import cbook
from matplotlib.figure import Figure
from matplotlib.text import Text
from rich.table import Table

import deepfashion_tf.progress
from deepfashion_tf.data.table import read_table
from deepfashion_tf.errors import InputError, printable
from deepfashion_tf.escaping import (
    cell_text,
    encodable,
    figure_text,
    html_text,
    markdown_text,
    read_cell,
)
from deepfashion_tf.evaluation.evaluate import predict_split
from deepfashion_tf.page import render_page, table
from deepfashion_tf.progress import PlainConsole, make_progress
from deepfashion_tf.schema import Schema

HOSTILE = (*NASTY, "a\x1b[31mb", "a\nb", "tab\tc", "\udce9", "\u202eabc", "\\$", "\\|", "a\\")


def shown(markdown: str) -> str:
    """Gives the words of a Markdown text, and fails where it is more than words."""
    page = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(markdown)
    assert re.fullmatch(r"<p>[^<>]*</p>\n", page), page
    return html.unescape(page)[3:-5]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_shown_by_every_kind_of_output(name):
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True, width=200)
    console.print(name.replace("\n", " "), soft_wrap=True)
    words = Table(title=name.replace("\n", " "))
    words.add_column(printable(name))
    words.add_row(printable(name))
    console.print(words)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    assert plain.count(printable(name.replace("\n", " ")).strip()) >= 2
    assert plain.count(printable(name).strip()) >= 2
    assert re.sub(r"[\n]", "", plain).isprintable()
    # Between words, as sentences and tables hold it.
    assert shown(f"x {markdown_text(name)} y") == f"x {printable(name)} y"
    if name == name.strip():
        assert shown(markdown_text(name)) == printable(name)
    assert html.unescape(html_text(name)) == printable(name) and "<" not in html_text(name)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_cell_is_no_formula_and_comes_back(name):
    cell = cell_text(name)
    assert cell.isprintable() and (cell[:1] not in tuple("=+@") and not cell.startswith("-x"))
    assert read_cell(cell) == printable(name)


@pytest.mark.parametrize("number", ["-1", "+2.5", "-1e-3", "12"])
def test_numbers_stay_numbers(number):
    assert cell_text(number) == number
    assert read_cell(f"'{number}") == f"'{number}"


def test_a_figure_draws_the_signs_of_a_name(tmp_path):
    """matplotlib writes a text of an SVG file as text where fonts are not embedded."""
    with plt.rc_context({"svg.fonttype": "none"}):
        figure, axis = plt.subplots()
        names = [figure_text(name) for name in NASTY]
        for name in names:
            axis.plot([0, 1], [0, 1], label=name)
        axis.legend()
        axis.set_yticks(range(len(names)), names)
        figure.savefig(tmp_path / "names.svg")
        plt.close(figure)
    words = [
        "".join(text.itertext())
        for text in ET.parse(tmp_path / "names.svg").iter("{http://www.w3.org/2000/svg}text")
    ]
    for name in NASTY:
        assert sum(word.lstrip("\u200b") == name for word in words) == 2, name


def test_a_bar_shows_its_description(monkeypatch):
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True, width=200)
    monkeypatch.setattr(deepfashion_tf.progress, "console", console)
    progress = make_progress()
    progress.add_task("[/b]x :heart: \x1b[5m", total=1)
    console.print(progress.make_tasks_table(progress.tasks))
    assert r"[/b]x :heart: \x1b[5m" in re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())


def test_a_page_asks_the_network_for_nothing():
    text = "![x](http://x.invalid/a.png) [y](http://x.invalid) <http://x.invalid> ![p](a.png)"
    text += "\n\n[z]: http://x.invalid\n\n[z]\n"
    page = render_page("</title><script>{body}", text, {"a.png": b"1"})
    assert re.findall(r'src="([^"]*)"', page) == ["data:image/png;base64,MQ=="]
    assert "href" not in page and "<script" not in page
    assert "<title>&lt;/title&gt;&lt;script&gt;{body}</title>" in page


def test_a_cell_of_a_table_may_come_escaped_or_not():
    page = render_page("t", table(["one"], [["a|b"], [markdown_text("c|d")]]), {})
    assert "<td>a|b</td>" in page and "<td>c|d</td>" in page


def test_nothing_prints_markup():
    """The console reads none, so a tag in a text would be seen."""
    tag = re.compile(r"\[/?(bold|dim|red|green|yellow|italic)\]|\[/\w*\]")
    folder = Path(deepfashion_tf.__file__).parent
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert path.name == "escaping.py" or not tag.search(node.value), (path, node.value)


@pytest.fixture
def drawn(monkeypatch) -> list[str]:
    """Gathers the texts of all figures that are saved."""
    texts: list[str] = []
    save = Figure.savefig

    def savefig(figure, *args, **options):
        save(figure, *args, **options)
        texts.extend(text.get_text() for text in figure.findobj(Text))

    monkeypatch.setattr(Figure, "savefig", savefig)
    return texts


@pytest.mark.slow
def test_a_training_ends_well_and_its_files_show_the_names(nasty_run):
    names = {path.name for path in nasty_run.directory.iterdir()}
    assert {"model.keras", "curves.png", "tradeoff.png", "history.csv"} <= names
    assert list(nasty_run.schema.values()) == [NASTY[: len(NASTY) // 2], NASTY[len(NASTY) // 2 :]]


@pytest.mark.slow
def test_evaluate_shows_the_names_and_lists_mistakes_for_correction(
    nasty, nasty_run, run_here, drawn, tmp_path
):
    relabel = nasty_run.directory / "relabel-val.csv"
    relabel.unlink(missing_ok=True)
    code, out, err = run_here("evaluate", nasty_run.directory, cwd=tmp_path)
    assert code == 0, err
    assert str(nasty_run.directory) in out
    assert r"\$0_\$9" in drawn and not [text for text in drawn if cbook.is_math_text(text)]
    page = (nasty_run.directory / "report-val.html").read_text()
    for name in NASTY:
        assert f"<td>{name}</td>" in html.unescape(page), name
    assert not re.search(r'(src|href)="(?!data:)', page) and "<script" not in page
    with (nasty_run.directory / "answers-val.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell[:1] in tuple("=+@") or cell.startswith("-x")]
    # A line of the mistakes is corrected, and so is the data's label.
    assert f"Mistakes: {relabel}" in out
    right = next(name for name in NASTY[: len(NASTY) // 2] if name.startswith("="))
    with relabel.open(newline="", encoding="utf-8") as file:
        lines = [(line["category"], line["label"]) for line in csv.DictReader(file)]
    number = next(
        n for n, line in enumerate(lines) if line[0] == "first" and line[1] != cell_text(right)
    )
    image = correct(relabel, number, cell_text(right))["image"]
    (table, schema), fixed = nasty, tmp_path / "fixed.csv"
    options = ("--schema", schema, "--relabel", relabel, "--fix", fixed)
    code, _, err = run_here("check_data", table, *options, cwd=tmp_path)
    assert code in (0, 1) and not err, err
    before, after = (
        {
            key: labels.tolist()
            for split in read_table(path, ["train", "val", "test"], Schema.load(schema))
            for key, labels in zip(split.keys, split.labels, strict=True)
        }
        for path in (table, fixed)
    )
    assert [key for key in before if after[key] != before[key]] == [image]
    assert after[image] == [NASTY.index(right), before[image][1]]


@pytest.mark.slow
def test_predict_shows_the_names_and_writes_tables_that_are_read_back(
    nasty, nasty_run, run_here, tmp_path
):
    table, schema = nasty
    options = (nasty_run.directory, "--data", table, "--split", "test", "--top", 3)
    code, out, err = run_here("predict", *options, cwd=tmp_path)
    assert code == 0, err
    expected = predict_split(
        nasty_run, nasty_run.load_model(), nasty_run.read_split("test", str(table), schema)
    )
    best = NASTY[expected["first"][0].argmax()]
    assert re.search(rf"^  first +{re.escape(best)} ", out, re.M)
    assert f"{table.parent}/<i>/=[b]test $a_$b `0` ![x](http:).jpg\n" in out
    folder = tmp_path / "[/b]"
    folder.mkdir(parents=True)
    for ending in (".csv", ".json", ".jsonl", ".parquet"):
        output = folder / f"answers{ending}"
        code, out, err = run_here("predict", *options, "--output", output, cwd=tmp_path)
        assert code == 0 and f"6 predictions: {output}" in out, err
        if ending in (".csv", ".parquet"):
            # Its own answers are a table of images again.
            code, _, err = run_here(
                "predict", nasty_run.directory, output, "--output", tmp_path / "b.csv", cwd=tmp_path
            )
            assert code == 0, err
    with (folder / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [read_cell(row["first"]) for row in rows] == [
        NASTY[row.argmax()] for row in expected["first"]
    ]
    assert all(float(row["first_probability"]) for row in rows)
    explain = tmp_path / "[/b] maps"
    code, _, err = run_here("predict", *options, "--explain", explain, cwd=tmp_path)
    assert code == 0 and len(list(explain.glob("*.jpg"))) == 6, err


def test_the_doctor_shows_the_names_and_its_table_is_read_back(nasty, run_here, drawn, tmp_path):
    table, schema = nasty
    page, fixed = tmp_path / "[/b].html", tmp_path / "[/b].csv"
    page.parent.mkdir()
    options = (table, "--schema", schema, "--html", page, "--fix", fixed)
    code, out, err = run_here("check_data", *options, cwd=tmp_path)
    assert code in (0, 1) and not err, err
    assert str(table) in out and f"Page: {page}" in out
    assert r"\$0_\$9" in drawn and not [text for text in drawn if cbook.is_math_text(text)]
    for name in NASTY:
        assert f"<td>{name}</td>" in html.unescape(page.read_text()), name
        assert re.search(rf"(^| ){re.escape(name)} ", out, re.M), name
    assert not re.search(r'(src|href)="(?!data:)', page.read_text())
    code, _, err = run_here("check_data", fixed, "--schema", schema, cwd=tmp_path)
    assert code in (0, 1), err


def test_an_error_names_what_it_is_about(run_here, tmp_path):
    code, _, err = run_here("evaluate", tmp_path / "[/b] \x1b[31m $a", cwd=tmp_path)
    assert code == 2 and r"[/b] \x1b[31m $a" in err and "\x1b" not in err and err.count("\n") == 1


def test_bytes_that_are_no_text_are_shown():
    assert encodable("caf\udce9.jpg") == r"caf\udce9.jpg" and encodable("é🧥") == "é🧥"


def test_a_schema_of_nasty_names_is_none_with_control_characters():
    with pytest.raises(InputError, match="printed"):
        Schema.of({"first": ["a\x1b", "b"]})
    assert replace(Schema.of({"first": NASTY})) == Schema.of({"first": NASTY})
