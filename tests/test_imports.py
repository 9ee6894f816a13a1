"""Imports run one way, and what needs no TensorFlow does not load it."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deepfashion_tf.inference.engines import ENGINES

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


def requirements_in(file: str) -> list[Requirement]:
    lines = (PACKAGE.parent / file).read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith(("#", "-"))]


def version_pinned_by(requirement: Requirement) -> str:
    (pin,) = requirement.specifier
    assert pin.operator == "==" and "*" not in pin.version, requirement
    return pin.version


def test_the_project_asks_for_what_its_requirements_pin():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    base = [Requirement(text) for text in project["dependencies"]]
    pinned = requirements_in("requirements.txt")
    # The extra of a package, as in pooch[progress], is part of the agreement.
    assert [(r.name, r.extras) for r in base] == [(r.name, r.extras) for r in pinned]
    assert (PACKAGE.parent / "requirements.txt").read_text().splitlines()[-1] == "-e ."

    extras = {
        name: [Requirement(text) for text in texts]
        for name, texts in project["optional-dependencies"].items()
    }

    def installed_by(extra: str) -> Iterator[Requirement]:
        for requirement in extras[extra]:
            if requirement.name == project["name"]:
                for other in requirement.extras:
                    yield from installed_by(other)
            else:
                yield requirement

    tested = requirements_in("requirements-dev.txt")
    assert {r.name for r in tested} == {r.name for r in installed_by("dev")}
    assert "-r requirements.txt" in (PACKAGE.parent / "requirements-dev.txt").read_text()

    pins = {r.name: version_pinned_by(r) for r in pinned + tested}
    assert len(pins) == len(pinned) + len(tested)
    for bound in base + [requirement for extra in extras for requirement in installed_by(extra)]:
        assert bound.specifier, f"{bound} has no bound"
        # The peers, CUDA and cloud storage are not part of the tested set.
        if bound.name in pins:
            assert bound.specifier.contains(pins[bound.name]), bound


def test_messages_name_extras_that_exist():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    files = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "scripts").glob("*.py")]
    files += [PACKAGE.parent / "README.md", *(PACKAGE.parent / "docs").glob("*.md")]
    named = {
        name
        for path in files
        for found in re.findall(r"(?:deepfashion_tf|'\.)\[([a-z0-9,-]+)\]'", path.read_text())
        for name in found.split(",")
    }
    named |= {engine.extra for engine in ENGINES.values() if engine.extra}
    named |= {engine.export_extra for engine in ENGINES.values() if engine.export_extra}
    assert {"demo", "heic", "openvino-int8"} <= named
    assert named <= set(project["optional-dependencies"])
