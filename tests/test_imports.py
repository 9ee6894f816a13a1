"""Imports run one way, and what needs no TensorFlow does not load it."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "deepfashion_tf"
# A room may import from itself and from the rooms before it.
ROOMS = [
    *(
        "data",
        "models",
        "training",
        "inference",
        "evaluation",
        "doctor",
        "tuning",
        "serving",
        "benchmark",
    ),
    "reproduction",
]


def rooms_imported_by(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    parts = [name.split(".") for name in names if name.startswith("deepfashion_tf.")]
    return {part[1] for part in parts if part[1] in ROOMS} | {
        "scripts" for name in names if name.split(".")[0] == "scripts"
    }


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_stands_before_it(room):
    allowed = set(ROOMS[: ROOMS.index(room) + 1]) - ({"data"} if room == "models" else set())
    for path in (PACKAGE / room).rglob("*.py"):
        assert rooms_imported_by(path) <= allowed, path


@pytest.mark.parametrize(
    "module",
    [
        "schema",
        "data.deepfashion",
        "data.sources",
        "data.headers",
        "data.wardrobe",
        "training.config",
        "training.options",
        "tuning.search",
        "serving.catalogue.command",
    ],
)
def test_what_needs_no_tensorflow_does_not_load_it(module):
    program = f"import sys, deepfashion_tf.{module}; sys.exit('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=PACKAGE.parent, check=False)
    assert done.returncode == 0


def test_the_project_asks_for_what_its_requirements_pin():
    lines = (PACKAGE.parent / "requirements.txt").read_text().splitlines()
    pinned = [line.split("==")[0] for line in lines if "==" in line]
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == pinned
    assert lines[-1] == "-e ."
