"""Imports run one way, and what needs no TensorFlow does not load it."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deepfashion_tf.inference.engines import ENGINES

PACKAGE = Path(__file__).parents[1] / "deepfashion_tf"
# A room may import from itself and from the rooms before it; models and data stand side by side.
ROOMS = [
    *("data", "models", "runs", "training", "inference", "evaluation", "export"),
    *("doctor", "tuning", "serving", "reproduction", "commands"),
]
# Programs on top of the rooms. All other modules outside the rooms import no room.
TOP = {"__init__", "__main__", "api", "cli", "job_process", "registration"}
ANSWER = "requirements-answer.txt"
ANSWERING = ("api", "serving.predict", "serving.service.server", "serving.catalogue.command")
ABOVE = ("scripts", "benchmarks", "notebooks", "tests")


def is_module(name: str) -> bool:
    path = PACKAGE.parent / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def imports_of(path: Path) -> set[str]:
    """Returns the modules of this project that a file imports, wherever it does."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in found if is_module(name)}
            names |= modules if modules == found else {node.module, *modules}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.split(".")[0] in ("deepfashion_tf", *ABOVE)}


def rooms_of(names: set[str]) -> set[str]:
    parts = [name.split(".") for name in names]
    rooms = {part[1] for part in parts if part[0] == "deepfashion_tf" and len(part) > 1}
    return (rooms & set(ROOMS)) | {part[0] for part in parts if part[0] in ABOVE}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_stands_before_it(room):
    allowed = set(ROOMS[: ROOMS.index(room) + 1]) - ({"data"} if room == "models" else set())
    for path in (PACKAGE / room).rglob("*.py"):
        assert rooms_of(imports_of(path)) <= allowed, path


def test_every_folder_is_a_room():
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(ROOMS)


def test_what_stands_outside_the_rooms_imports_none():
    for path in PACKAGE.glob("*.py"):
        if path.stem not in TOP:
            assert not rooms_of(imports_of(path)), path


def test_no_modules_import_each_other_in_a_circle():
    paths = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    left = {
        name: {other for other in imports_of(path) if other in paths and other != name}
        for name, path in paths.items()
    }
    # The package loads its verbs when they are asked for.
    left["deepfashion_tf"] = set()
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"a circle among {', '.join(left)}"


def test_private_names_of_keras_stand_in_one_file():
    private = ("keras.src", "_get_variable_index", "_momentums", "_velocities", "_compile_metrics")
    private += ("_nodes_by_depth", "_loss_tracker", "_compute_loss", "_maybe_symbolic_build")
    for path in PACKAGE.rglob("*.py"):
        found = [name for name in private if name in path.read_text()]
        assert not found or path.name == "keras_private.py", (path, found)


def test_functions_are_short_and_signatures_too():
    """Sixty lines, with the docstring; ten parameters."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            lines = node.end_lineno - node.lineno + 1
            names = [each.arg for each in (*node.args.args, *node.args.kwonlyargs)]
            parameters = len([name for name in names if name not in ("self", "cls")])
            assert lines <= 60 and parameters <= 10, (path, node.name, lines, parameters)


@pytest.mark.parametrize(
    "module",
    [
        "schema",
        "data.deepfashion",
        "data.sources",
        "data.headers",
        "data.wardrobe",
        "runs.config",
        "runs.options",
        "runs.run",
        "api",
        "inference.predictor",
        "serving.predict",
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


def test_what_answers_alone_is_installed_by_requirements_answer():
    """Answering imports nothing else, and the versions are those of the other files."""
    pinned = {one.name: version_pinned_by(one) for one in requirements_in(ANSWER)}
    elsewhere = {
        one.name: version_pinned_by(one)
        for file in ("requirements.txt", "requirements-dev.txt")
        for one in requirements_in(file)
    }
    assert pinned == {name: elsewhere[name] for name in pinned}
    allowed = closure_of(pinned) | {"deepfashion-tf"}
    others = [
        module
        for module, names in metadata.packages_distributions().items()
        if not allowed & {canonicalize_name(name) for name in names}
    ]
    listed = ", ".join(f"deepfashion_tf.{name}" for name in ANSWERING)
    program = f"import sys; sys.modules.update(dict.fromkeys({others!r})); import {listed}"
    subprocess.run([sys.executable, "-c", program], cwd=PACKAGE.parent, check=True)


def closure_of(names: Iterable[str]) -> set[str]:
    """Returns distributions with all that they require."""
    found, waiting = set(), [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
    return found
