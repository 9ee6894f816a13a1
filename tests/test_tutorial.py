"""The commands of docs/own_data.md, as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deepfashion_tf.schema import Schema

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = TEXT) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.slow
def test_every_command_of_the_tutorial(tmp_path):
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    said = ""
    for block in blocks("bash"):
        for command in block.splitlines():
            done = subprocess.run(
                command,
                shell=True,
                cwd=tmp_path,
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            said += done.stdout
    schema = Schema.load(tmp_path / "saved_models" / "shop" / "schema.yaml")
    assert list(schema) == ["sleeve", "length", "neckline"]
    assert said.count("mean accuracy") == 5
    assert "with its heads for sleeve, length, neckline" in " ".join(said.split())
    assert (tmp_path / "saved_models" / "shop" / "export" / "saved_model.pb").is_file()
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 3
    assert len((tmp_path / "test.csv").read_text().splitlines()) == 1 + 20


@pytest.mark.parametrize("page", ["own_data.md", "inputs.md"])
def test_the_schemas_shown_can_be_read(tmp_path, page):
    shown = blocks("yaml", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert shown
    for text in shown:
        (tmp_path / "schema.yaml").write_text(text, encoding="utf-8")
        found = Schema.load(tmp_path / "schema.yaml").groups
        assert list(found) == list(yaml.safe_load(text)["categories"])
