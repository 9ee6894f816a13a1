"""No command writes onto what it reads."""

import os
import shutil
from pathlib import Path

import pytest

from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.items import find_items
from deepfashion_tf.outputs import check_outputs, is_same, is_within


@pytest.fixture
def table(challenge) -> Path:
    """A table of images with labels, as `--fix` writes it."""
    lines = ["image,split,season"]
    for number in range(18):
        split = ("train", "val", "test")[number // 6]
        lines.append(f"img/{number:05d}.jpg,{split},{('warm', 'cold')[number % 2]}")
    path = challenge / "in.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


NAMES = ["in.csv", "./in.csv", "img/../in.csv", "link.csv", "hard.csv", "folder/in.csv"]


@pytest.fixture(params=NAMES)
def alias(request, table) -> str:
    """Another name of the table, through links too."""
    (table.parent / "link.csv").symlink_to(table)
    os.link(table, table.parent / "hard.csv")
    (table.parent / "folder").symlink_to(table.parent, target_is_directory=True)
    return request.param


def refuses(run_here, table: Path, script: str, *options) -> str:
    before = {path: path.read_bytes() for path in table.parent.rglob("*") if path.is_file()}
    code, _, err = run_here(script, *options, cwd=table.parent)
    assert code == 2 and err.count("\n") == 1, err
    assert {p: p.read_bytes() for p in table.parent.rglob("*") if p.is_file()} == before
    return err


def test_predict(run_here, trained, table, alias):
    err = refuses(run_here, table, "predict", trained.run.directory, "in.csv", "--output", alias)
    assert err.startswith(f"error: --output {Path(alias)} is what this command reads (in.csv)")
    data = ("--data", "in.csv", "--output", alias)
    assert "--output" in refuses(run_here, table, "predict", trained.run.directory, *data)


def test_the_doctor(run_here, table, alias):
    assert "--fix" in refuses(run_here, table, "check_data", "in.csv", "--fix", alias)


def test_make_schema(run_here, table, alias):
    assert "--output" in refuses(run_here, table, "make_schema", "in.csv", "--output", alias)


def test_no_schema_or_table_takes_the_place_of_a_photograph(run_here, trained, table):
    for script, options, message in (
        ("make_schema", ("in.csv", "--output", "img/00003.jpg"), "is no schema: name a file that"),
        ("make_table", ("img", "--output", "img/00003.jpg"), "is no table: name a file that ends"),
        ("make_table", ("img", "--schema", "img/00003.jpg"), "is no schema: name a file that"),
    ):
        assert message in refuses(run_here, table, script, *options)
    run = trained.run.directory
    err = refuses(run_here, table, "tag_catalogue", run, "--input", "img", "--output", "in.csv")
    assert err == "error: --output in.csv is a file: name a folder.\n"


def test_the_doctors_other_files(run_here, trained, table):
    run = ("--run", trained.run.directory)
    page = table.with_name("in.html")
    shutil.copy(table, page)
    shutil.copy(table, table.with_name("schema.yaml"))
    for options, option in (
        (("in.csv", "--schema", "in.html", "--html", "in.html"), "--html"),
        (("in.csv", *run, "--folds", 2, "--export", "in.csv"), "--export"),
        (("x", "--relabel", "in.csv", "--fix", "in.csv"), "--fix"),
        ((".", *run, "--folds", 2, "--noise-dir", "."), "--noise-dir"),
        (("in.csv", *run, "--folds", 2, "--noise-dir", ".", "--schema", "schema.yaml"), "schema"),
        (
            ("in.csv", *run, "--folds", 2, "--export", "a.csv", "--fix", "a.csv"),
            "--fix and --export both name",
        ),
    ):
        assert option in refuses(run_here, table, "check_data", *options)


def test_a_runs_own_files(run_here, trained, table):
    run = trained.run.directory
    before = (run / "config.json").read_bytes()
    for output in (
        run / "config.json",
        run / "history.csv",
        run / "checkpoints" / ".." / "config.json",
    ):
        err = refuses(run_here, table, "predict", run, "in.csv", "--output", output)
        assert "file of the run" in err
    assert (run / "config.json").read_bytes() == before
    # What is no file of a run may be written again.
    check_outputs({"--output": run / "mine.csv"}, [], [run])
    (run / "mine.csv").touch()
    check_outputs({"--output": run / "mine.csv"}, [], [run])
    (run / "mine.csv").unlink()


@pytest.mark.slow
def test_evaluate_does_not_replace_the_table_that_it_scores(run_here, trained, wardrobe, tmp_path):
    run = tmp_path / "run"
    # Other tests score the shared run too: their tables stay behind.
    shutil.copytree(trained.run.directory, run, ignore=shutil.ignore_patterns("answers-*"))
    code, _, err = run_here("evaluate", run, "--data", wardrobe, cwd=tmp_path)
    assert code == 0, err
    (answers,) = run.glob("answers-val-*.csv")
    # The table's name makes the file's name: a link brings the two together.
    table = tmp_path / "table.csv"
    from deepfashion_tf.data.deepfashion import read_split
    from deepfashion_tf.data.table import write_table

    write_table(table, [read_split(wardrobe, name) for name in ("train", "val")])
    code, _, err = run_here("evaluate", run, "--data", table, cwd=tmp_path)
    assert code == 0, err
    (own,) = set(run.glob("answers-val-*.csv")) - {answers}
    own.unlink()
    own.symlink_to(table)
    before = table.read_bytes()
    code, _, err = run_here("evaluate", run, "--data", table, cwd=tmp_path)
    assert code == 2 and "is what this command reads" in err and table.read_bytes() == before


def test_converted_weights(run_here, tmp_path):
    path = tmp_path / "a.weights.h5"
    path.write_bytes(b"weights")
    (tmp_path / "b.weights.h5").symlink_to(path)
    err = refuses(run_here, path, "convert_weights", path, tmp_path / "b.weights.h5")
    assert "is what this command reads" in err


def test_a_search_does_not_replace_its_recipe(run_here, tmp_path):
    recipe = tmp_path / "best.yaml"
    recipe.write_text("gamma: 1.5\n")
    err = refuses(run_here, recipe, "tune", "--config", recipe, "--output-dir", tmp_path)
    assert "best.yaml of --output-dir" in err


def test_pictures_of_answers_are_not_put_among_the_photographs(run_here, trained, table):
    options = (trained.run.directory, "img", "--explain", "img/maps")
    assert "lies in img" in refuses(run_here, table, "predict", *options)
    assert not (table.parent / "img" / "maps").exists()


def test_a_catalogue_does_not_read_its_own_files(run_here, trained, table, tmp_path):
    output = tmp_path / "img" / "tags"
    output.mkdir()
    for name in ("part-000000.parquet", "_faults.csv"):
        (output / name).write_bytes(b"x")
    found = [item.path for item in find_items([f"{tmp_path}/img/**"], outside=output)]
    assert len(found) == 18 and not [path for path in found if "tags" in path]
    (tmp_path / "link").symlink_to(tmp_path / "img")
    assert len(list(find_items([f"{tmp_path}/link/**"], outside=tmp_path / "link" / "tags"))) == 18
    options = (trained.run.directory, "--input", output / "part-000000.parquet", "--output", output)
    assert "lies in --output" in refuses(run_here, table, "tag_catalogue", *options)


def test_names_that_are_no_paths():
    assert not is_same("a\0b", "a") and not is_same("x" * 5000, "y")
    assert is_same("not/there", "not/../not/there")
    assert is_within("a/b", "a") and is_within("a", "a") and not is_within("ab", "a")
    check_outputs({"--output": Path("a.csv")}, ["tfds:x", "wardrobe", None, "*.jpg", "a\0b"])
    with pytest.raises(InputError, match="both name"):
        check_outputs({"--html": Path("a"), "--fix": Path("./a")}, [])
