"""Options in a file, as defaults on top of the recipe's."""

import dataclasses
import json
from pathlib import Path

import pytest

from deepfashion_tf.errors import InputError
from deepfashion_tf.runs.config import FOUND_OUT, TrainConfig
from deepfashion_tf.runs.older import REMOVED
from deepfashion_tf.runs.options import parse_command
from deepfashion_tf.runs.recipe_file import read_recipe_file, recipe_text
from deepfashion_tf.runs.recipes import RECIPES
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def parse(path: str, *options: str) -> TrainConfig:
    return parse_command("", ["--config", path, *options]).config


def test_the_file_stands_between_recipe_and_options(write):
    path = write(
        "recipe: report\ngamma: 1.5\nlearning_rate: 7e-4\nflip: false\nschema: s.yaml\n"
        "loss_weights: {fabric: 1.2, fit: 2}\nepochs: 9\n"
    )
    config = parse(path, "--epochs", "3", "--loss-weights.fit", "0.5")
    assert config == dataclasses.replace(
        RECIPES["report"](),
        gamma=1.5,
        learning_rate=7e-4,
        flip=False,
        schema=Path("s.yaml"),
        loss_weights={"fabric": 1.2, "fit": 0.5},
        epochs=3,
    )
    # The same in JSON.
    values = {"recipe": "report", "gamma": 1.5, "loss_weights": {"fabric": 1.2}}
    assert parse(write(json.dumps(values))) == dataclasses.replace(RECIPES["report"](), **values)


@pytest.mark.parametrize(
    ("text", "options", "recipe"),
    [
        ("gamma: 1", [], "demo"),
        ("data: shop.csv", [], "finetune"),
        ("data: wardrobe", [], "demo"),
        ("gamma: 1", ["--data-dir", "shop"], "finetune"),
        ("data: shop.csv", ["--data", "wardrobe"], "demo"),
        ("recipe: report", ["--data-dir", "shop"], "report"),
        ("recipe: report", ["--recipe", "demo"], "demo"),
    ],
)
def test_which_recipe_the_other_defaults_come_from(write, text, options, recipe):
    config = parse(write(text), *options)
    assert config.recipe == recipe
    expected = RECIPES[recipe](config.backbone)
    assert (config.image_size, config.epochs) == (expected.image_size, expected.epochs)


def test_an_option_replaces_what_hangs_on_it(write):
    path = write("data: shop.csv\nbackbone: seresnet50\nvariant: timm.seresnet50\nweights: w.h5\n")
    config = parse(path, "--data-dir", "other", "--backbone", "resnet50")
    assert config.data == "other"
    assert (config.backbone, config.variant, config.weights) == ("resnet50", None, "w.h5")


def test_a_runs_config_trains_another_run_like_it(tmp_path):
    config = TrainConfig(
        data="wardrobe:/drawn",
        wardrobe_images=(8, 4, 4),
        weights="imagenet",
        weights_sha256="0" * 64,
        output_dir=tmp_path / "run",
        untrained=("fit",),
        first_epochs=2,
    ).for_schema(SCHEMA)
    config.save(tmp_path / "config.json")
    found = parse(str(tmp_path / "config.json"), "--seed", "3")
    assert found == dataclasses.replace(config, seed=3, output_dir=None, **FOUND_OUT)
    # Others are not drawn into their folder.
    more = parse(str(tmp_path / "config.json"), "--wardrobe-images", "9", "4", "4")
    assert (more.data, more.wardrobe_images) == (None, (9, 4, 4))
    # A file that somebody has written may say where to, and which weights it is meant for.
    (tmp_path / "mine.yaml").write_text(f"output_dir: mine\nweights_sha256: '{'1' * 64}'")
    mine = parse(str(tmp_path / "mine.yaml"))
    assert (mine.output_dir, mine.weights_sha256) == (Path("mine"), "1" * 64)


def test_options_of_older_versions(tmp_path):
    config = TrainConfig(epochs=3)
    config.save(tmp_path / "config.json")
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | REMOVED))
    assert parse(str(tmp_path / "config.json")) == config
    (tmp_path / "config.json").write_text(json.dumps(values | {"balance": "dwa"}))
    with pytest.raises(InputError, match=r"config\.json: balance = 'dwa': this version has no"):
        parse(str(tmp_path / "config.json"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_written_is_read(write, recipe):
    config = dataclasses.replace(
        RECIPES[recipe](),
        data="größer/a: b",
        wardrobe_images=(1, 2, 3),
        schema=Path("s.yaml"),
        learning_rate=1e-5,
        dropout=0.2,
        crop=False,
        jitter=0.25,
        loss_weights={"fabric": 1.25},
    )
    text = recipe_text(config)
    assert "batch_size" not in text  # as the recipe has it
    assert parse(write(text)) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gama: 1", r"mine\.yaml, line 1: gama is no option of a training; do you mean gamma\?"),
        ("learning-rate: 1", "do you mean learning_rate"),
        ("\n7: 1", "7 is no option of a training"),
        ("flip: true\nepochs: many", "line 2: epochs is 'many', but must be a whole number"),
        ("epochs: 2.5", "must be a whole number"),
        ("epochs: yes", "must be a whole number"),
        ("epochs:", "epochs is None"),
        ("gamma: much", "gamma is 'much', but must be a number"),
        ("gamma: true", "must be a number"),
        ("flip: 1", "must be true or false"),
        ("backbone: vgg", "must be one of resnet50, seresnet50, seresnext50"),
        ("fc_layers: 2.0", "must be one of 0, 2, 4"),
        ("data: 5", "must be text"),
        ('data: "a\\0b"', "must be text"),
        ("loss_weights: 1", "must be names with numbers"),
        ("loss_weights: {no: 1}", "must be names with numbers"),
        ("loss_weights: {fabric: x}", "must be a number"),
        ("loss_weights: {fabric: 1, fabric: 2}", "fabric is there twice"),
        ("gamma: 1\ngamma: 2", "line 2: gamma is there twice"),
        ("gamma: -1", r"mine\.yaml: --gamma is -1\.0"),
        ("gamma: .nan", r"mine\.yaml: --gamma is nan"),
        ("loss_weights: {fabric: -1}", "--loss-weights holds fabric"),
        ("recipe: strong\nrepresentation: pooled", r"line 2: representation is gone: say --heads"),
        ("wardrobe_images: 3", "wardrobe_images is 3, but must be a list such as"),
        ("wardrobe_images: [3, a, 1]", "must be a list such as"),
        ("", "holds no names with values"),
        ("- gamma", "holds no names with values"),
        ("gamma: [1", "this is no YAML"),
        ("gamma: 1\n---\ngamma: 2", "this is no YAML"),
        ("gamma: 2026-99-99", "this is no YAML"),
        ("gamma: !!python/name:os.system", "this is no YAML"),
        ("gamma: \x01", "this is no YAML"),
        ("[" * 5000, "this is no YAML"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(write, text, message):
    with pytest.raises(InputError, match=message) as told:
        parse(write(text))
    assert len(str(told.value)) < 400


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="There is no recipe file"):
        parse(str(tmp_path / "none.yaml"))
    with pytest.raises(InputError, match="cannot be read as text"):
        parse(str(tmp_path))
    (tmp_path / "latin.yaml").write_bytes(b"data: caf\xe9")
    with pytest.raises(InputError, match="cannot be read as text"):
        read_recipe_file(tmp_path / "latin.yaml")
    with pytest.raises(InputError, match="no such user"):
        parse("~nobody-of-this-name/x.yaml")


def test_going_on_compares_the_file_like_options(write, tmp_path):
    config = TrainConfig(data=str(tmp_path / "data"), epochs=4, gamma=1.5).for_schema(SCHEMA)
    (tmp_path / "run").mkdir()
    own = tmp_path / "run" / "config.json"
    config.save(own)
    resume = ("--resume", str(tmp_path / "run"))
    for path in (write("gamma: 1.5\nloss_weights: {fabric: 1}"), str(own)):
        assert parse(path, *resume).gamma == 1.5
    with pytest.raises(InputError, match=r"cannot go on with --gamma 2\.5 \(it has 1\.5\)"):
        parse(write("gamma: 2.5"), *resume)
    with pytest.raises(InputError, match="--flip False"):
        parse(str(own), *resume, "--no-flip")
