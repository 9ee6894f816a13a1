"""The quick commands of the pages, each run as it stands there, on a narrow run and drawings.

`test_tutorial` runs docs/own_data.md. Trainings, servers, downloads and benchmarks are parsed alone
(`test_documents_site`), and tested by the files of their modules.
"""

import runpy
import shutil
import sys
from pathlib import Path

import pytest
from test_documents_site import PAGES, command_lines

ROOT = Path(__file__).parents[1]
QUICK = ("check", "evaluate", "export", "predict", "similar", "table", "wardrobe")
SCRIPTS = {"make_table": "table", "export": "export", "predict": "predict", "evaluate": "evaluate"}
# Written by one command, and read by another.
KEPT = ("features.parquet", "relabel.csv")
# They train folds, draw thousands of garments, export what `test_engines` and `test_phones` do, or
# need a run of other pages.
LONG = (
    *("--folds", "--train", "onnx", "litert", "--warmup", "saved_models/kinds"),
    *("shop/table.csv", "shop/img/00000.jpg"),
)


def quick_commands() -> list[tuple[str, list[str]]]:
    """Lists verbs and arguments, those first that write what others read."""
    found = []
    for page in PAGES:
        for program, *args in command_lines(page.read_text(encoding="utf-8")):
            name = Path(program).stem
            verb, *args = [SCRIPTS.get(name, name), *args] if program.endswith(".py") else args
            line = verb, args
            if verb in QUICK and not {*LONG} & {*args} and line not in found:
                found.append(line)
    return sorted(found, key=lambda line: QUICK.index(line[0]) if line[0] != "export" else -1)


@pytest.fixture
def sandbox(trained, wardrobe, tmp_path) -> Path:
    """A folder with what the pages name."""
    images = sorted((wardrobe / "img").glob("*.jpg"))
    shutil.copytree(trained.run.directory, tmp_path / "saved_models" / "shop")
    (tmp_path / "saved_models" / "seresnet50-demo").symlink_to("shop")
    (tmp_path / "RUN").symlink_to("saved_models/shop")
    places = [f"{s}/{k}/{t}" for s in ("train", "val") for k in "ab" for t in ("summer", "winter")]
    for number, place in enumerate(places):
        (tmp_path / "photos" / place).mkdir(parents=True)
        shutil.copy(images[number], tmp_path / "photos" / place / f"{number}.jpg")
    for name in ("PHOTO_OR_FOLDER", "PHOTOS_OR_TABLE"):
        (tmp_path / name).symlink_to("photos")
    shutil.copy(images[0], tmp_path / "photo.jpg")
    rows = "".join(
        f"photos/{place}/{number}.jpg,P{number // 2}\n" for number, place in enumerate(places)
    )
    (tmp_path / "products.csv").write_text(f"image,product\n{rows}")
    for name in ("FashionDataset", "DATA"):
        (tmp_path / name).symlink_to(wardrobe)
    return tmp_path


@pytest.mark.slow
def test_quick_commands_of_the_pages_run(sandbox, monkeypatch, capsys):
    lines = quick_commands()
    assert len(lines) >= 15 and {verb for verb, _ in lines} == {*QUICK}
    monkeypatch.chdir(sandbox)
    # Two pages read the mistakes that this writes.
    lines.insert(0, ("evaluate", ["saved_models/shop", "--split", "val"]))
    kept = {*sandbox.iterdir(), *(sandbox / name for name in KEPT)}
    for verb, args in lines:
        monkeypatch.setattr(sys, "argv", ["deepfashion", verb, *args])
        with pytest.raises(SystemExit) as end:
            runpy.run_module("deepfashion_tf", run_name="__main__")
        said = capsys.readouterr()
        # A data audit with findings ends with 1.
        allowed = (0, 1) if verb == "check" else (0,)
        assert end.value.code in allowed, f"{verb} {args}\n{said.out}\n{said.err}"
        if not (sandbox / "relabel.csv").exists():
            shutil.copy("saved_models/shop/relabel-val.csv", "relabel.csv")
        for path in {*sandbox.iterdir()} - kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
