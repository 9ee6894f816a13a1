"""Notebooks begin alike and define nothing; their outputs are small and name no machine."""

import ast
import base64
import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def cells_of(path: Path, kind: str = "code") -> list[dict]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == kind]


def code_of(path: Path) -> list[str]:
    """Returns the code cells as Python, with `pass` for IPython's own commands."""
    cells = ["".join(cell["source"]) for cell in cells_of(path)]
    return [re.sub(r"^( *)[%!].*$", r"\1pass", cell, flags=re.MULTILINE) for cell in cells]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_begins_with_what_a_reader_learns(path):
    first = "".join(cells_of(path, "markdown")[0]["source"])
    assert re.fullmatch(r"# .+\n\n.+\n\n\*\*What you learn\*\*\n\n(- .+(\n|$)){2,4}", first)


def test_notebooks_install_the_package_in_colab_alone():
    starts = {"".join(cells_of(path)[0]["source"]) for path in NOTEBOOKS}
    assert len(starts) == 1
    assert re.findall(r"^( *)[%!]", starts.pop(), re.MULTILINE) == ["    "] * 3
    for path in NOTEBOOKS:
        guarded = [
            node.test for node in ast.parse(code_of(path)[0]).body if isinstance(node, ast.If)
        ]
        assert [ast.unparse(test) for test in guarded] == ["'google.colab' in sys.modules"]
        assert "pass" not in "".join(code_of(path)[1:]).split()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_defines_nothing(path):
    tree = ast.parse("\n".join(code_of(path)))
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert not [node.name for node in ast.walk(tree) if isinstance(node, definitions)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_small_and_without_errors(path):
    for output in (output for cell in cells_of(path) for output in cell["outputs"]):
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr"
        for kind, data in output.get("data", {}).items():
            if kind.startswith("image/"):
                assert len(base64.b64decode("".join(data))) < 100_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_name_no_folder_of_this_machine(path):
    outputs = json.dumps([cell["outputs"] for cell in cells_of(path)])
    assert not [root for root in ("/tmp/", "/home/", "/root/", "/work/") if root in outputs]
