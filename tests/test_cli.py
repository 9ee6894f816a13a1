"""The console command `deepfashion`, the scripts that do the same, and what both are called."""

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from deepfashion_tf.cli import COMMANDS, command_module, main
from deepfashion_tf.runs.config import FOUND_OUT, TrainConfig
from deepfashion_tf.runs.option_help import COMMON, GROUPS, all_options
from deepfashion_tf.runs.options import parse_command
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.usage import SCRIPTS, command, typed

ROOT = Path(__file__).parents[1]


def deepfashion(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    """Runs the console command in this process."""
    monkeypatch.setattr(sys, "argv", ["/bin/deepfashion", *words])
    with pytest.raises(SystemExit) as end:
        main()
        sys.exit(0)
    return end.value.code, *capsys.readouterr()


def test_every_command_has_a_module_and_a_script():
    assert COMMANDS.keys() == SCRIPTS.keys()
    for name, script in SCRIPTS.items():
        assert callable(command_module(name).main) and command_module(name).__doc__
        text = (ROOT / "scripts" / f"{script}.py").read_text()
        assert f'run_command("{name}")' in text
    modules = {path.stem for path in (ROOT / "deepfashion_tf" / "commands").glob("*.py")}
    assert modules == {*COMMANDS, "__init__"}


def test_the_command_lists_its_commands(monkeypatch, capsys):
    for words in ((), ("--help",), ("-h",)):
        code, out, _ = deepfashion(monkeypatch, capsys, *words)
        assert code == 0 and all(f"  {name} " in out for name in COMMANDS)
        assert max(map(len, out.splitlines())) <= 80
    code, out, _ = deepfashion(monkeypatch, capsys, "--version")
    assert code == 0 and out.startswith("deepfashion_tf ")
    code, _, err = deepfashion(monkeypatch, capsys, "trian")
    assert code == 2 and "There is no command 'trian'" in err


@pytest.mark.parametrize("name", ["train", "tune"])
def test_short_help(monkeypatch, capsys, name):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = deepfashion(monkeypatch, capsys, name, "--help")
    lines = out.splitlines()
    assert code == 0 and max(map(len, lines)) <= 80
    options = [line.split()[0] for line in lines if line.startswith("  --")]
    assert len(options) <= 25 + 2 * (name == "tune")
    assert f"deepfashion {name} --help-all" in lines[-1]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal(monkeypatch, capsys, name):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = deepfashion(monkeypatch, capsys, name, "--help")
    # A usage that is longer than a line names every option.
    lines = [line for line in out.splitlines() if not line.startswith("usage: ")]
    assert code == 0 and max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", ["train", "tune"])
def test_help_of_everything(monkeypatch, capsys, name):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = deepfashion(monkeypatch, capsys, name, "--help-all", "--recipe", "finetune")
    assert code == 0 and max(map(len, out.splitlines())) <= 80
    for option in all_options():
        assert f"  --{option.replace('_', '-')}" in out, option
    # The defaults are the recipe's.
    assert "--heads {logits,pooled,multiscale,attention}" in out and "Default: multiscale." in out


def test_options_are_few_and_each_has_a_group():
    known = {field.name for field in fields(TrainConfig)} - FOUND_OUT.keys()
    assert len(known) <= 45 and len(GROUPS) == 6
    names = [name for group in GROUPS.values() for name in group]
    assert sorted(names) == sorted(known | {field.name for field in fields(RuntimeOptions)})
    assert len(COMMON) <= 25 and all_options() >= COMMON


def test_a_message_names_what_was_typed(monkeypatch, capsys, tmp_path):
    code, _, err = deepfashion(monkeypatch, capsys, "evaluate", str(tmp_path / "none"))
    assert code == 2 and "deepfashion train makes them" in err and "scripts" not in err
    monkeypatch.setattr(sys, "argv", ["scripts/evaluate.py", "a b"])
    assert command("export") == "python scripts/export.py"
    assert typed("evaluate") == "python scripts/evaluate.py 'a b'"
    monkeypatch.setattr(sys, "argv", ["deepfashion evaluate", "a b"])
    assert typed("evaluate") == "deepfashion evaluate 'a b'"


def test_options_mean_the_same_by_either_name():
    options = ["--epochs", "3", "--data-dir", "x", "--recipe", "report"]
    config = parse_command("", options).config
    assert isinstance(config, TrainConfig) and config.epochs == 3


@pytest.mark.slow
def test_python_m_does_the_same_outside_the_repository(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "deepfashion_tf", "evaluate", "none"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "deepfashion train makes them" in done.stderr
