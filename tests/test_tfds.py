"""The builder by TFDS's own test case, and other people's data sets through the door."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from conftest import write_lines

from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.deepfashion_attributes import Builder, DeepFashionConfig
from deepfashion_tf.data.tfds import read_tfds
from deepfashion_tf.data.wardrobe import write_wardrobe
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.evaluate import evaluate
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import Schema, builtin_schema
from deepfashion_tf.training.train import train

SCHEMA = builtin_schema()
PACKAGE = Path(__file__).parents[1] / "deepfashion_tf" / "data" / "deepfashion_attributes"
COUNTS = {"train": 6, "validation": 4, "test": 2}


class SmallBuilder(Builder, skip_registration=True):
    """The builder with a small wardrobe; TFDS reads its texts beside the real one."""

    name = "deepfashion_attributes"
    pkg_dir_path = PACKAGE
    BUILDER_CONFIGS = [  # noqa: RUF012, TFDS's own way
        *Builder.BUILDER_CONFIGS[:2],
        DeepFashionConfig(name="wardrobe", sizes=tuple(COUNTS.values())),
    ]


class BuilderCase(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = SmallBuilder
    SPLITS = COUNTS
    # The annotations are read with Python's own files.
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False
    SKIP_CHECKSUMS = True

    @classmethod
    def setUpClass(cls):
        cls.dummy_data = str(cls.make_dummy_data(Path(tempfile.mkdtemp())))
        cls.EXAMPLE_DIR = cls.dummy_data
        super().setUpClass()

    @classmethod
    def make_dummy_data(cls, folder: Path) -> Path:
        train, val, test = COUNTS.values()
        write_wardrobe(folder / "data", train=train, val=val, test=test, seed=0, workers=1)
        return folder / "data"


class TestChallenge(BuilderCase):
    BUILDER_CONFIG_NAMES_TO_TEST = ("challenge", "wardrobe")


class TestFine(BuilderCase):
    BUILDER_CONFIG_NAMES_TO_TEST = ("fine",)

    @classmethod
    def make_dummy_data(cls, folder: Path) -> Path:
        data = super().make_dummy_data(folder)
        for name in ("train", "val", "test"):
            rows = []
            for labels in read_split(data, name).labels:
                pairs = zip(labels, SCHEMA.values(), strict=True)
                ones = [int(label == i) for label, names in pairs for i in range(len(names))]
                rows.append(" ".join(map(str, ones)))
            write_lines(data / "split" / f"{name}_attr.txt", rows)
        (data / "split").rename(data / "Anno_fine")
        return data


del BuilderCase  # pytest would collect it


class Shoes(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Somebody else's data set: no validation images, other names, a box, a feature unused."""

    VERSION = tfds.core.Version("1.0.0")
    FEATURES = {  # noqa: RUF012
        "picture": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
        "where": tfds.features.BBoxFeature(),
        "kind-of-shoe": tfds.features.ClassLabel(names=["boot", "high heel"]),
        "label": tfds.features.ClassLabel(num_classes=3),
        "price": np.float32,
    }

    def _info(self):
        features = tfds.features.FeaturesDict(self.FEATURES)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(60), "test": self._generate_examples(10)}

    def _generate_examples(self, count):
        for i in range(count):
            yield (
                i,
                {
                    "picture": np.full((20, 40, 3), i, np.uint8),
                    "where": tfds.features.BBox(ymin=0.1, xmin=0.25, ymax=0.5, xmax=0.5),
                    "kind-of-shoe": i % 2,
                    "label": i % 3 if i % 4 else -1,
                    "price": 1.0,
                },
            )


@pytest.fixture(scope="module")
def shoes(tmp_path_factory) -> str:
    builder = Shoes(data_dir=tmp_path_factory.mktemp("tfds"))
    builder.download_and_prepare()
    return f"tfds:{builder.data_path}"


def test_a_data_set_of_somebody_else(shoes):
    train, val, test = read_tfds(shoes, ["train", "val", "test"])
    assert list(train.schema.items()) == [
        ("kind_of_shoe", ("boot", "high heel")),
        ("label", ("0", "1", "2")),
    ]
    assert len(train) + len(val) == 60 and len(val) == 6 and len(test) == 10
    assert not set(train.keys) & set(val.keys)
    for split in (train, val, test):
        for row in range(len(split)):
            image = cv2.imdecode(np.frombuffer(split.encoded(row), np.uint8), cv2.IMREAD_COLOR)
            number = int(image[0, 0, 0])
            assert split.labels[row].tolist() == [number % 2, number % 3 if number % 4 else -1]
            assert split.boxes[row].tolist() == [10, 2, 20, 10]


@pytest.mark.slow
def test_trains_from_a_data_set_of_somebody_else(shoes, tmp_path, tiny):
    config = TrainConfig(
        data=shoes,
        weights="none",
        output_dir=tmp_path / "run",
        backbone="resnet50",
        image_size=32,
        epochs=1,
    )
    run = Run.load(train(config).run.directory)
    assert list(run.schema) == ["kind_of_shoe", "label"]
    scores = evaluate(run, run.read_split("test"))
    assert scores.images == 10 and scores.categories["label"].images == 7


def test_boxes_without_area_are_told(tmp_path, capsys):
    class Flat(Shoes, skip_registration=True):
        def _generate_examples(self, count):
            for i, example in super()._generate_examples(count):
                box = tfds.features.BBox(ymin=0.1, xmin=0.25, ymax=0.1, xmax=0.5)
                yield i, {**example, "where": box if i % 2 else example["where"]}

    builder = Flat(data_dir=tmp_path)
    builder.download_and_prepare()
    (split,) = read_tfds(f"tfds:{builder.data_path}", ["test"])
    assert (split.boxes == -1).all(axis=1).sum() == 5
    assert "5 boxes of" in " ".join(capsys.readouterr().out.split())


def test_the_division_repeats(shoes):
    first, again = (read_tfds(shoes, ["val"])[0] for _ in range(2))
    assert first.keys == again.keys


def test_a_selection_of_its_labels(shoes):
    schema = Schema.of({"kind_of_shoe": ["boot", "high heel"]})
    (split,) = read_tfds(shoes, ["test"], schema)
    assert split.schema == schema and split.labels.shape == (10, 1)
    wrong = Schema.of({"kind_of_shoe": ["boot", "clog"], "sole": ["a", "b"]})
    with pytest.raises(InputError, match=r"sole is missing there; kind_of_shoe is \[boot, clog\]"):
        read_tfds(shoes, ["test"], wrong)


def test_names_that_are_none(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError, match="tfds:nothing_of_this_name cannot be prepared"):
        read_tfds("tfds:nothing_of_this_name", ["train"])
    with pytest.raises(InputError, match="cannot be prepared"):
        read_tfds("tfds:", ["train"])
    with pytest.raises(InputError, match="--offline forbids"):
        read_tfds("tfds:mnist", ["train"], offline=True)
    with pytest.raises(InputError, match="cannot be prepared"):
        read_tfds(f"tfds:{tmp_path}", ["train"])


def test_the_licensed_configurations_say_where_to_register(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError, match="Register at https://mmlab"):
        read_tfds("tfds:deepfashion_attributes/challenge", ["train"])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"image": Shoes.FEATURES["picture"]}, "no class label"),
        ({"label": Shoes.FEATURES["label"]}, "no image"),
    ],
)
def test_data_sets_without_images_or_labels(tmp_path, monkeypatch, features, message):
    class Bare(Shoes, skip_registration=True):
        FEATURES = features

        def _generate_examples(self, count):
            for i, example in super()._generate_examples(count):
                example["image"] = example["picture"]
                yield i, {name: example[name] for name in features}

    builder = Bare(data_dir=tmp_path)
    builder.download_and_prepare()
    with pytest.raises(InputError, match=message):
        read_tfds(f"tfds:{builder.data_path}", ["train"])


@pytest.mark.slow
def test_tfds_build_and_load_from_outside(tmp_path):
    """In a folder of its own, from a script that may not be imported twice."""
    command = [Path(sys.executable).with_name("tfds"), "build", PACKAGE, "--config", "wardrobe"]
    options = ["--data_dir", tmp_path / "data", "--max_examples_per_split", "2"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    program = f"""
import json
import tensorflow_datasets as tfds
import deepfashion_tf.data.deepfashion_attributes
name = "deepfashion_attributes/wardrobe"
rows = tfds.load(name, data_dir={str(tmp_path / "data")!r}, split="train")
print(json.dumps([int(row["fit"]) for row in rows]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(json.loads(done.stdout.splitlines()[-1])) == 2
