"""Small data sets and one small trained run that the tests share."""

import csv
import dataclasses
import os
import runpy
import shutil
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import filelock
import numpy as np
import pytest

from deepfashion_tf.data.split import Split, whole_images
from deepfashion_tf.data.wardrobe import write_wardrobe
from deepfashion_tf.schema import Schema, builtin_schema

REAL_PHOTOS = Path(__file__).parents[2] / "shared" / "real_photos" / "FashionDataset"


# Files of few tests that take long. They start first, or one process would wait for the other.
LONGEST = (
    *(
        "test_tutorial",
        "test_tune",
        "test_ensemble",
        "test_replicas",
        "test_engines",
        "test_resume",
    ),
    *(
        "test_train",
        "test_kills",
        "test_precision",
        "test_reproduce",
        "test_head_start",
        "test_hub",
    ),
    *("test_explanations", "test_scripts", "test_bad_images", "test_probe", "test_views"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session")
def real_photos() -> Path:
    """859 photographs with partial labels; they are no part of the repository."""
    if not REAL_PHOTOS.is_dir():
        pytest.skip(f"{REAL_PHOTOS} is not here")
    return REAL_PHOTOS


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id) -> Path:
    """A folder of all test processes of this session."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def wardrobe(shared_folder) -> Path:
    """A wardrobe of 48 + 24 + 8 drawings, made once for all processes."""
    directory = shared_folder / "data" / "wardrobe"
    with filelock.FileLock(shared_folder / "wardrobe.lock"):
        if not directory.exists():
            write_wardrobe(directory, train=48, val=24, test=8, seed=0, workers=2)
    return directory


@pytest.fixture(scope="session")
def trained(wardrobe, shared_folder, tmp_path_factory):
    """A run that the real `train` made in two epochs at 32 px, of a narrow SE-ResNet.

    It is trained once; each process has a copy of its own.
    """
    from deepfashion_tf.runs.config import TrainConfig
    from deepfashion_tf.runs.run import Run
    from deepfashion_tf.training.train import Trained, train

    original = shared_folder / "trained"
    with filelock.FileLock(shared_folder / "trained.lock"), pytest.MonkeyPatch.context() as patch:
        make_narrow(patch)
        if not original.exists():
            train(
                TrainConfig(
                    data=str(wardrobe),
                    weights="none",
                    output_dir=original,
                    image_size=32,
                    epochs=2,
                    batch_size=20,
                    schedule="cosine",
                )
            )
    directory = tmp_path_factory.mktemp("runs") / "run"
    shutil.copytree(original, directory)
    run = Run.load(directory)
    return Trained(run, run.read_split("val"), False)


@pytest.fixture
def challenge(tmp_path) -> Path:
    """A data set in the challenge layout: six images of 40 x 60 pixels a split."""
    rng = np.random.default_rng(0)
    for folder in ("img", "split"):
        (tmp_path / folder).mkdir()
    number = 0
    for split in ("train", "val", "test"):
        names = []
        for _ in range(6):
            names.append(f"img/{number:05d}.jpg")
            image = rng.integers(0, 256, (60, 40, 3), np.uint8)
            cv2.imwrite(str(tmp_path / names[-1]), image)
            number += 1
        write_lines(tmp_path / "split" / f"{split}.txt", names)
        write_lines(tmp_path / "split" / f"{split}_attr.txt", ["5 0 2 0 2 2", "0 1 1 3 5 -1"] * 3)
        write_lines(tmp_path / "split" / f"{split}_bbox.txt", ["001 002 040 060"] * 6)
    return tmp_path


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("there is no Chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        # As root Chromium has no sandbox; a small /dev/shm is what containers have.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = started.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def run_here(monkeypatch, capsys):
    """Runs a script as a command line does, but in this process, which has TensorFlow already."""

    def run(script: str, *options, cwd: Path) -> tuple[int, str, str]:
        path = Path(__file__).parents[1] / "scripts" / f"{script}.py"
        capsys.readouterr()
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
            patch.chdir(cwd)
            patch.setattr(sys, "argv", [str(path), *map(str, options)])
            runpy.run_path(str(path), run_name="__main__")
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def tiny(monkeypatch):
    """Puts a network of four narrow blocks where `small_config` asks for resnet50."""
    make_tiny(monkeypatch)


@pytest.fixture(scope="module")
def narrow_processes():
    """Commands started in processes of their own, and theirs, build networks like `trained`'s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).with_name("narrow")), prepend=os.pathsep)
        yield


def make_tiny(monkeypatch) -> None:
    from deepfashion_tf.models.variants import VARIANTS, Variant

    variant = Variant("resnet50", blocks=(1, 1, 1, 1), base_width=8)
    monkeypatch.setitem(VARIANTS, "keras.resnet50", variant)


def make_narrow(monkeypatch, backbone: str = "seresnet50") -> None:
    """Puts a narrow network, such as that of `trained`, where a backbone is asked for."""
    from deepfashion_tf.models.variants import BACKBONES, VARIANTS

    name = BACKBONES[backbone]
    narrow = dataclasses.replace(VARIANTS[name], blocks=(1, 1, 1, 1), base_width=8)
    monkeypatch.setitem(VARIANTS, name, narrow)


def small_config(data_dir: Path, tmp_path: Path, **options):
    """Options of a training of seconds, with `tiny`: one epoch of batches of three."""
    from deepfashion_tf.runs.config import TrainConfig

    small = {"backbone": "resnet50", "image_size": 32, "batch_size": 3, "epochs": 1}
    folders = {"data": str(data_dir), "output_dir": tmp_path / "run"}
    return TrainConfig(**{**folders, **small, "weights": "none", **options})


def write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def correct(path: Path, number: int, value: str) -> dict[str, str]:
    """Corrects a line of a table of labels in doubt; returns the line."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows[number]["correct"] = value
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows[number]


def randomize(model):
    """Gives every weight a random value, so that none is a 0 or a 1 that hides a fault."""
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if variable.path.endswith(("gamma", "variance")):
            value = rng.uniform(0.4, 0.7, variable.shape)
        elif variable.path.endswith("kernel"):
            value = rng.normal(0, np.sqrt(2 / np.prod(variable.shape[:-1])), variable.shape)
        else:
            value = rng.normal(0, 0.1, variable.shape)
        variable.assign(value.astype("float32"))
    return model


def labelled(labels: np.ndarray, name: str = "val", schema: Schema | None = None) -> Split:
    """Makes a split that has labels and no images."""
    schema = schema or builtin_schema()
    return Split(schema, name, None, range(len(labels)), whole_images(len(labels)), labels, "here")


# Names that some kind of output would read as more than words.
NASTY = (
    *("[/b]x", "[red]", "$0_$9", "![x](http://x.invalid/a.png)", "[y](http://x.invalid)", "a|b"),
    *("`c`", "<script>alert(1)</script>", "&lt;", "=1+1", "+x", "-x", "@y", "'=z", "_hidden"),
    *(":heart:", "*a*", "\\", "# h", "<http://x.invalid/>", "{body}", "$", "%s", "-1"),
)


@pytest.fixture(scope="session")
def nasty(tmp_path_factory) -> tuple[Path, Path]:
    """A table of drawings whose categories have the attributes `NASTY`, and its schema."""
    folder = tmp_path_factory.mktemp("nasty") / "runs [/x] $a_$b ![p](http:)"
    (folder / "<i>").mkdir(parents=True)
    rng = np.random.default_rng(0)
    half = len(NASTY) // 2
    schema = Schema.of({"first": NASTY[:half], "second": NASTY[half:]})
    schema.save(folder / "schema.yaml")
    lines = ["image\tsplit\tfirst\tsecond"]
    for split, count in (("train", 24), ("val", 12), ("test", 6)):
        for number in range(count):
            name = f"<i>/=[/b]{split} $a_$b `{number}` ![x](http:).jpg"
            name = name.replace("/b", "b").replace("//", "")
            cv2.imwrite(str(folder / name), rng.integers(0, 256, (40, 40, 3), np.uint8))
            first, second = NASTY[number % half], NASTY[half + number % (len(NASTY) - half)]
            # As `cell_text` writes them: one apostrophe more.
            signs = ("=", "'=", "+", "-x", "@")
            cells = [f"'{word}" if word.startswith(signs) else word for word in (first, second)]
            lines.append("\t".join([name, split, *cells]))
    (folder / "t $0_$9 [red] :heart:.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "t $0_$9 [red] :heart:.csv", folder / "schema.yaml"


@pytest.fixture(scope="session")
def nasty_run(nasty):
    """A narrow run of two epochs on the table `nasty`, in a folder of its kind of name."""
    from deepfashion_tf.evaluation.finish import finish_run
    from deepfashion_tf.runs.config import TrainConfig
    from deepfashion_tf.training.train import train

    table, schema = nasty
    with pytest.MonkeyPatch.context() as patch:
        make_narrow(patch)
        trained = train(
            TrainConfig(
                data=str(table),
                schema=schema,
                weights="none",
                output_dir=table.parent / "run [/bold] $x_$y :heart:",
                image_size=32,
                epochs=2,
                batch_size=12,
            )
        )
        finish_run(trained.run, trained.val)
    return trained.run
