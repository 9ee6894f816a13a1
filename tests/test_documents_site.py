"""The README, the documentation and the notebooks: their size, English, commands and links."""

import ast
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import tyro
import yaml

from benchmarks.options import Options as BenchmarkOptions
from deepfashion_tf.cli import COMMANDS, command_module
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.option_help import all_options, option_texts
from deepfashion_tf.runs.options import Command, parse_command
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.tuning.options import SearchOptions, parse_tune_command
from deepfashion_tf.usage import SCRIPTS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_WORDS = 25
# Phrases with a standard term instead: CONTRIBUTING.md lists some.
UNWANTED = re.compile(
    r"\b(heads that look|views?|looks at|head start|starts? from drawings|tells?|told|says?|said"
    r"|gives?|gave|hangs? on|from chance|same bytes|not begun|runs? out of time)\b",
    re.IGNORECASE,
)


def text_of(path: Path) -> str:
    """Reads a page, or the markdown cells of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
    return "\n\n".join("".join(cell["source"]) for cell in cells) + "\n"


def prose(text: str) -> Iterator[str]:
    """Yields paragraphs and list items: no code, tables, headings, comments or pictures."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!--.*?-->|!\[[^]]*\]\([^)]*\)", "", text, flags=re.DOTALL)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*|#]|\d+\.) ?)", text):
        block = " ".join(block.split())
        if block and not block.startswith(("#", "|", ":::")):
            yield re.sub(r"^(?:[-*]|\d+\.) ", "", block)


def sentences(text: str) -> Iterator[str]:
    """Yields sentences, with each piece of code as one word, and links as their text."""
    for block in prose(text):
        plain = re.sub(r"`[^`]*`", "CODE", block)
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", plain)
        plain = re.sub(r"[*_]{1,2}(?=\S)|(?<=\S)[*_]{1,2}(?!\w)", "", plain)
        yield from re.split(r"(?<=[.!?])(?<!et al\.)(?<!eq\.)(?<!eqs\.)\)? (?=[\"“(A-Z0-9])", plain)


def words(sentence: str) -> list[str]:
    return [word for word in sentence.split() if re.search(r"\w", word)]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def command_lines(text: str) -> Iterator[list[str]]:
    """Yields this project's command lines in bash blocks, as `deepfashion NAME` or a script."""
    for block in blocks(text, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|", line):
                found = shlex.split(part, comments=True)
                places = [
                    place
                    for place, word in enumerate(found)
                    if re.search(r"(^|/)(deepfashion|scripts/\w+\.py)$", word)
                ]
                if places:
                    yield found[places[0] :]


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= 9000
    assert len((DOCS / "benchmarks.md").read_bytes()) <= 12_000


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=shown)
def test_sentences_are_short(path):
    for sentence in sentences(text_of(path)):
        assert len(words(sentence)) <= MOST_WORDS, sentence


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=shown)
def test_terms_are_standard(path):
    text = re.sub(r"^```.*?^```$|`[^`]*`", "", text_of(path), flags=re.DOTALL | re.MULTILINE)
    assert not UNWANTED.findall(text)


def docstrings() -> Iterator[str]:
    for path in sorted((ROOT / "deepfashion_tf").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                yield ast.get_docstring(node) or ""


def test_spelling_and_style_are_clean(tmp_path):
    """codespell for all texts and code; proselint for pages, notebooks and docstrings."""
    (tmp_path / "docstrings.md").write_text("\n\n".join(docstrings()), encoding="utf-8")
    for path in NOTEBOOKS:
        (tmp_path / f"{path.stem}.md").write_text(text_of(path), encoding="utf-8")
    tools = Path(sys.executable).parent
    folders = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs", "deepfashion_tf"]
    pages = [*PAGES, ROOT / "CONTRIBUTING.md", *sorted(tmp_path.glob("*.md"))]
    for command in (
        [tools / "codespell", *folders, tmp_path],
        [tools / "proselint", "check", "--config", ".proselintrc.json", *pages],
    ):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_splitter_finds_what_it_is_for():
    text = "# Head\n\nOne two. Three `a b c` [four](five.md).\n\n| a | b |\n\n- Five\n  six.\n"
    assert list(sentences(text)) == ["One two.", "Three CODE four.", "Five six."]
    assert UNWANTED.search("It gives a name") and not UNWANTED.search("given, reviews")


# --- commands --------------------------------------------------------------------------------

_NAMES = {script: name for name, script in SCRIPTS.items()} | {"inspect_weights": "weights"}
ALL_COMMANDS = [(shown(path), line) for path in PAGES for line in command_lines(path.read_text())]


@pytest.mark.parametrize(
    ("page", "line"),
    ALL_COMMANDS,
    ids=lambda value: value if isinstance(value, str) else " ".join(value)[:60],
)
def test_commands_and_their_options_exist(page, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # a file that a command names need not be there
    program, *args = line
    if program.endswith("benchmark.py"):
        tyro.cli(BenchmarkOptions, args=args)
        return
    if program.endswith(".py"):
        assert (ROOT / "scripts" / Path(program).name).is_file()
        name = _NAMES[Path(program).stem]
    else:
        name, *args = args
        if name in ("COMMAND", "--help"):
            return
    assert name in COMMANDS
    if name not in ("train", "tune"):
        tyro.cli(command_module(name).Options, args=args)
        return
    # The files of these options would have to be there.
    for option in ("--config", "--resume"):
        if option in args:
            del args[args.index(option) : args.index(option) + 2]
    parse_command("", args) if name == "train" else parse_tune_command("", args)


def known_options() -> set[str]:
    """Returns the options of all commands, and of the programs that the pages name."""
    kinds = [command_module(name) for name in COMMANDS]
    kinds = [module.Options for module in kinds if hasattr(module, "Options")]
    names = {
        field.name for kind in (*kinds, SearchOptions, BenchmarkOptions) for field in fields(kind)
    }
    names = {name.replace("_", "-") for name in names | all_options() | {"config"}}
    names |= {f"no-{name}" for name in names}
    return names | {"help", "help-all", "version", "strict"}


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=shown)
def test_options_in_sentences_exist(path):
    text = re.sub(r"^```.*?^```$", "", text_of(path), flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"`([^`]+)`", text):
        if "tests/" in code or "saved_model_cli" in code:
            continue
        for name in re.findall(r"(?<!\S)--([a-z][a-z-]*)", code):
            assert name in known_options(), code


def test_enough_commands_are_found():
    found = {Path(line[0]).stem for _, line in ALL_COMMANDS}
    assert {"deepfashion", "train", "benchmark", "reproduce"} <= found
    assert len(ALL_COMMANDS) > 60


def test_the_parser_refuses_what_a_page_must_not_have(capsys):
    with pytest.raises(SystemExit):
        parse_command("", ["--class-balance", "none"])


# --- links and pages -------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """Returns the anchors of a page's headings, as the site and GitHub make them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text).strip().lower().replace(" ", "-") for text in headings}


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CONTRIBUTING.md", *NOTEBOOKS], ids=shown)
def test_links_lead_to_files(path):
    text = re.sub(r"^```.*?^```$", "", text_of(path), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


def nav_pages(entries: list) -> Iterator[str]:
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from nav_pages(value) if isinstance(value, list) else [value]


def test_the_site_has_every_page_once():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    pages = list(nav_pages(site["nav"]))
    assert len(pages) == len(set(pages))
    assert all((DOCS / page).is_file() for page in pages)
    assert {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} == set(pages)


def test_the_site_is_built_strictly(tmp_path):
    for package in ("material", "mkdocstrings"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict"]
    done = subprocess.run(
        [*command, "--site-dir", tmp_path / "site"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    options = (tmp_path / "site" / "options.html").read_text()
    assert "--learning-rate" in options and "<!-- options -->" not in options


def test_every_picture_of_the_documents_is_on_a_page():
    texts = "".join(path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md"))
    for kind in ("*.png", "*.jpg"):
        for path in DOCS.rglob(kind):
            assert path.name in texts, path


# --- the page of all options -----------------------------------------------------------------


@pytest.fixture
def options_page(monkeypatch):
    spec = importlib.util.spec_from_file_location("options_page", DOCS / "hooks/options_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_options_has_them_all(options_page):
    assert options_page.MARK in (DOCS / options_page.PAGE).read_text()
    rows = [row for row in options_page.options_text().splitlines() if row.startswith("| `--")]
    assert {re.match(r"\| `--([a-z0-9-]+)`", row)[1] for row in rows} == {
        name.replace("_", "-") for name in all_options()
    }
    assert all(len(re.split(r"(?<!\\)\|", row)) == 6 for row in rows)
    assert options_page.options_text().count("\n## ") == len(options_page.GROUPS)


def option_docs() -> Iterator[tuple[str, str]]:
    """Yields the kind and the text of every option of the command line."""
    kinds = [command_module(name) for name in COMMANDS]
    kinds = [module.Options for module in kinds if hasattr(module, "Options")]
    for kind in (Command, SearchOptions, *kinds):
        yield from ((f"{kind.__module__} {name}", text) for name, text in option_texts(kind))
    for kind in (TrainConfig, RuntimeOptions):
        yield from option_texts(kind)


def test_help_texts_are_short_and_standard():
    for name, text in option_docs():
        assert not UNWANTED.search(text), f"{name}: {text}"
        for sentence in sentences(text):
            assert len(words(sentence)) <= MOST_WORDS, f"{name}: {sentence}"


def test_the_site_is_part_of_the_tools_for_developers():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any(
        text.startswith("mkdocs-material") for text in project["optional-dependencies"]["dev"]
    )
    assert "mkdocs build" in (ROOT / ".ci" / "run").read_text()
