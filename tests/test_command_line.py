"""Where standard output goes, and where it does not: every script ends quietly."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepfashion_tf import command_line

ROOT = Path(__file__).parents[1]
# All of them are one program; a test in test_cli.py holds that.
SCRIPTS = ("make_schema", "predict", "train")


def shell(line: str, *words, cwd: Path = ROOT, seconds: int = 300) -> subprocess.CompletedProcess:
    """Runs a line of bash in which $0 is Python and $1, $2, … are words."""
    return subprocess.run(
        ["bash", "-c", line, sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=seconds,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_help_into_a_closed_pipe_and_into_nothing(script):
    path = ROOT / "scripts" / f"{script}.py"
    # A reader that is gone before anything is written.
    done = shell('"$0" "$1" --help | true; echo "${PIPESTATUS[0]}"', path)
    assert done.stdout.strip() in ("0", "141") and not done.stderr, done.stderr
    for closed in (">&-", "2>&-", "<&-", ">&- 2>&- <&-"):
        done = shell(f'"$0" "$1" --help {closed}', path)
        assert done.returncode == 0 and not done.stderr, (closed, done.stderr)


@pytest.fixture
def table(tmp_path) -> Path:
    lines = [f"a.jpg,{('red', 'blue')[n % 2]},{('x', 'y')[n % 2]}" for n in range(20)]
    (tmp_path / "t.csv").write_text("image,colour,kind\n" + "\n".join(lines) + "\n")
    return tmp_path / "t.csv"


def test_a_script_that_prints_into_a_closed_pipe(table):
    line = '"$0" "$1" t.csv | true; echo "${PIPESTATUS[0]}"'
    done = shell(line, ROOT / "scripts/make_schema.py", cwd=table.parent)
    assert done.stdout.strip() == "141" and not done.stderr, done.stderr
    assert (table.parent / "schema.yaml").is_file()


def test_a_script_without_standard_output_does_its_work(table):
    done = shell('"$0" "$1" t.csv >&-', ROOT / "scripts/make_schema.py", cwd=table.parent)
    assert done.returncode == 0 and not done.stderr
    # Nothing that is printed lands in the file that would have the number of standard output.
    assert (table.parent / "schema.yaml").read_text().startswith("categories:")


def test_a_full_disk_behind_standard_output_is_a_sentence(table):
    done = shell('"$0" "$1" t.csv >/dev/full', ROOT / "scripts/make_schema.py", cwd=table.parent)
    assert done.returncode == 2 and done.stderr.startswith("error: The disk is full")
    assert done.stderr.count("\n") == 1


def test_bad_input_without_standard_error(table):
    done = shell('"$0" "$1" none.csv 2>&-', ROOT / "scripts/make_schema.py", cwd=table.parent)
    assert done.returncode == 2 and not done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("where", ["| head -1", ">&-", "2>&1 >/dev/null | true"])
def test_predict(trained, tmp_path, where):
    folder = Path(trained.val.keys[0]).parent
    (tmp_path / "none.jpg").write_bytes(b"no image")
    line = f'"$0" "$1" "$2" "$3" none.jpg {where}; echo "${{PIPESTATUS[0]}}" >&2'
    done = shell(line, ROOT / "scripts/predict.py", trained.run.directory, folder, cwd=tmp_path)
    # 1: an image could not be answered.
    *told, code = done.stderr.splitlines()
    assert code in ("1", "141"), done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    if where == "| head -1":
        assert done.stdout.count("\n") == 1 and code == "141" and not told


def test_a_package_that_is_missing_is_named():
    program = "import sys; sys.modules['matplotlib'] = None\n"
    program += "from deepfashion_tf import command_line\n"
    program += "def main():\n    import matplotlib\ncommand_line.run(main)"
    done = shell('"$0" -c "$1"', program)
    assert done.returncode == 2
    assert done.stderr.startswith("error: matplotlib is not installed: pip install deepfashion_tf")


@pytest.mark.parametrize("is_enabled", [True, False])
def test_garbage_is_collected_after_an_import_as_before_it(is_enabled, monkeypatch):
    frozen = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(gc.isenabled()))
    was_enabled = gc.isenabled()
    (gc.enable if is_enabled else gc.disable)()
    try:
        with pytest.raises(ImportError), command_line._no_garbage_collection():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() is is_enabled and not frozen
        with command_line._no_garbage_collection():
            pass
        assert gc.isenabled() is is_enabled and frozen == [False]
    finally:
        (gc.enable if was_enabled else gc.disable)()
