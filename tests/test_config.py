import dataclasses
import json
from pathlib import Path

import pytest

from deepfashion_tf.errors import InputError
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.older import REMOVED, REPLACED
from deepfashion_tf.runs.options import parse_command
from deepfashion_tf.runs.recipes import RECIPES
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()


def parse_config(args: list[str]) -> TrainConfig:
    return parse_command("", args).config


def test_a_config_survives_its_file(tmp_path):
    config = TrainConfig(
        data="data",
        variant="timm.seresnet50",
        gamma=1.5,
        loss_weights=dict.fromkeys(SCHEMA, 1.0),
    )
    config.save(tmp_path / "config.json")
    assert TrainConfig.load(tmp_path / "config.json") == config
    # One of before there were these.
    values = json.loads((tmp_path / "config.json").read_text())
    del values["box_padding"]
    assert TrainConfig.from_values(values) == config


def test_options_of_older_versions(tmp_path, monkeypatch):
    monkeypatch.setitem(REMOVED, "old_option", "off")
    values = {"epochs": 3, "old_option": "off"}
    assert TrainConfig.from_values(values).epochs == 3
    (tmp_path / "config.json").write_text(json.dumps(values | {"old_option": "on"}))
    with pytest.raises(InputError, match="old_option = 'on': this version has no such option"):
        TrainConfig.load(tmp_path / "config.json")
    today = {field.name for field in dataclasses.fields(TrainConfig)}
    assert not (REMOVED.keys() | REPLACED.keys()) & today


@pytest.mark.parametrize(
    ("old", "today"),
    [
        ({"data": None, "data_dir": "/a"}, {"data": "/a"}),
        ({"data": "wardrobe", "wardrobe_dir": "/w"}, {"data": "wardrobe:/w"}),
        ({"image_pattern": "{id}.jpg", "image_column": None}, {"image_column": "{id}.jpg"}),
        ({"representation": "pooled", "heads": "pooled"}, {"heads": "pooled"}),
        ({"representation": "pooled"}, {"heads": "pooled"}),
        ({"representation": "pooled", "heads": "attention"}, {"heads": "attention"}),
        ({"representation": "logits", "heads": "pooled"}, {"heads": "logits"}),
        ({"cache": True, "cache_dir": None}, {"cache": "memory"}),
        ({"cache": True, "cache_dir": "/c"}, {"cache": "/c"}),
        ({"cache": False}, {"cache": "none"}),
        ({"loss": "cross_entropy", "gamma": 2.0}, {"gamma": 0.0}),
        ({"loss": "focal", "gamma": 1.0}, {"gamma": 1.0}),
        ({"loss": "focal"}, {"gamma": 2.0}),
        ({"wardrobe_train": 300}, {"wardrobe_images": (300, 400, 400)}),
    ],
)
def test_options_that_others_took_in(old, today):
    assert TrainConfig.from_values(old) == TrainConfig(**today)


def test_heads_of_older_versions_that_nothing_builds_are_refused():
    with pytest.raises(InputError, match="representation = 'logits': this version"):
        TrainConfig.from_values({"representation": "logits", "heads": "attention"})


def test_who_types_an_option_of_older_versions_is_told_todays():
    for options in (["--loss", "focal"], ["--no-cache"], ["--wardrobe-train=3"]):
        with pytest.raises(InputError, match=r"is gone: say --\S+"):
            parse_config(options)
    same = ["--data-dir", "a", "--cache-dir", "b", "--image-pattern", "{c}.jpg"]
    config = parse_config([*same, "--recipe", "probe"])
    assert (config.data, config.cache, config.image_column) == ("a", "b", "{c}.jpg")


def test_a_hash_behind_the_weights_is_theirs():
    config = TrainConfig(weights=f"a#b.h5#sha256={'AB' * 32}")
    assert (config.weights, config.weights_sha256) == ("a#b.h5", "ab" * 32)
    assert TrainConfig(weights="a.h5#sha256=ab").weights == "a.h5#sha256=ab"


def test_it_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().seed = 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": 1.0}, "--dropout is 1.0"),
        ({"image_size": 16}, "--image-size is 16"),
        ({"epochs": 0}, "--epochs is 0"),
        ({"learning_rate": 0.0}, "--learning-rate is 0.0"),
        ({"gamma": -1.0}, "--gamma is -1.0"),
        ({"box_padding": 1.5}, r"--box-padding is 1\.5, but must lie between 0\.0 and 1\.0\.$"),
        ({"box_padding": float("nan")}, "--box-padding is nan"),
        ({"loss_weights": dict.fromkeys(SCHEMA, -1.0)}, r"--loss-weights holds texture -1\.0"),
        ({"loss_weights": {"fabric": float("inf")}}, "--loss-weights holds fabric inf"),
        ({"data": ""}, "--data is empty"),
        ({"cache": ""}, "--cache is empty"),
        ({"weights": f"none#sha256={'0' * 64}"}, "reads no file"),
        ({"wardrobe_images": (0, 1, 1)}, r"--wardrobe-images is 0 1 1, but must be three"),
        ({"wardrobe_images": (8, 8)}, r"--wardrobe-images is 8 8, but must be three"),
        ({"output_dir": Path("~nobody-of-this-name/x")}, "no such user"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**options)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"nonsense": 1}'])
def test_a_broken_file_is_told(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        TrainConfig.load(path)
    path.unlink()
    with pytest.raises(InputError, match="is no run directory"):
        TrainConfig.load(path)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(TrainConfig)])
def test_a_value_of_another_kind_is_told_with_file_and_key(tmp_path, name):
    path = tmp_path / "config.json"
    TrainConfig().save(path)
    values = json.loads(path.read_text())
    wrong = [{"a": {"b": 1}}, [[1]], [5]]
    if not isinstance(values[name], str | None):
        wrong.append("64 px")
    if isinstance(values[name], bool):
        wrong += [1, 0.0, None]
    elif isinstance(values[name], int):
        wrong += [float(values[name]), True, None]
    elif isinstance(values[name], float):
        wrong += [True, None]
    else:
        wrong += [5, 1.5] if name == "cache" else [5, 1.5, False]  # a flag in older versions
    for value in wrong:
        path.write_text(json.dumps({**values, name: value}))
        with pytest.raises(InputError) as error:
            TrainConfig.load(path)
        message = str(error.value)
        assert message.startswith(f"{path} cannot be read as a run's configuration ({name} is ")
        assert "must be" in message and message.endswith("or train the run again.")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image_size": 16}, "image_size is 16, but must lie between 32"),
        ({"temprature": 1, "x": 2}, "temprature, x: no option has this name"),
        ({"fc_layers": 2.0}, r"fc_layers is 2\.0, but must be one of 0, 2, 4"),
        ({"variant": "timm.resnet50"}, "variant timm.resnet50 is none of backbone seresnet50"),
    ],
)
def test_what_a_config_holds_is_told_as_its_keys_are_spelled(tmp_path, changed, message):
    path = tmp_path / "config.json"
    TrainConfig().save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    with pytest.raises(InputError, match=message):
        TrainConfig.load(path)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"gamma": NaN}', '{"seed": "' + "1" * 2**24 + '"}']
)
def test_a_file_that_no_run_writes_is_told(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        TrainConfig.load(path)


def test_recipes_bear_their_names_and_documents():
    for name, recipe in RECIPES.items():
        assert recipe().recipe == name
        assert "python scripts/train.py" in recipe.__doc__


def test_the_report_recipe_is_the_reports():
    config = RECIPES["report"]()
    assert (config.image_size, config.batch_size, config.epochs) == (224, 32, 30)
    assert config.gamma == 2.0
    assert (config.learning_rate, config.schedule, config.dropout) == (1e-3, "constant", 0.1)
    assert (config.heads, config.fc_layers, config.flip, config.crop) == (
        "logits",
        0,
        True,
        True,
    )
    weights = config.for_schema(SCHEMA).loss_weights
    assert list(weights.values()) == [0.95, 0.85, 0.85, 0.9, 1.0, 0.9]


@pytest.mark.parametrize(
    ("options", "recipe", "backbone"),
    [
        ([], "finetune", "efficientnetlite0"),
        (["--backbone", "efficientnetlite2"], "finetune", "efficientnetlite2"),
        (["--backbone", "seresnet50"], "probe", "seresnet50"),
        (["--recipe", "finetune"], "finetune", "seresnet50"),
        (["--weights", "none"], "strong", "seresnet50"),
        (["--recipe", "probe", "--backbone=efficientnetlite1"], "probe", "efficientnetlite1"),
    ],
)
def test_a_cpu_gets_what_it_trains_in_a_quarter_of_an_hour(options, recipe, backbone, capsys):
    config = parse_config(["--data-dir", "somewhere", *options])
    expected = RECIPES[recipe](backbone)
    if "--weights" in options:
        expected = dataclasses.replace(expected, weights="none")
    assert config == dataclasses.replace(expected, data="somewhere")
    is_told = not {"--recipe", "--weights"}.intersection(options)
    assert (f"--recipe {recipe} --backbone {backbone}" in capsys.readouterr().out) == is_told


def test_a_run_of_the_recipe_that_finetune_replaced_is_read():
    assert TrainConfig.from_values({"recipe": "photographs"}).recipe == "finetune"


def test_the_recipe_gives_the_defaults_and_options_win():
    assert parse_config([]) == RECIPES["demo"]()
    report = parse_config(["--recipe=report", "--epochs", "3", "--data-dir", "x", "--no-flip"])
    assert (report.recipe, report.image_size, report.epochs, report.flip) == (
        "report",
        224,
        3,
        False,
    )


def test_loss_weights_on_the_command_line():
    for options in (
        ["--loss-weights.fabric", "2", "--loss-weights.fit=0"],
        ["--loss-weights", "fabric", "2", "fit", "0"],
    ):
        config = parse_config(["--epochs", "3", *options]).for_schema(SCHEMA)
        assert config.loss_weights == {**SCHEMA.loss_weights, "fabric": 2.0, "fit": 0.0}


def test_names_that_the_schema_does_not_have_are_refused():
    with pytest.raises(InputError, match="--loss-weights names febric"):
        TrainConfig(loss_weights={"febric": 1.0}).for_schema(SCHEMA)


@pytest.mark.parametrize("options", [["--epochs", "many"], ["--recipe", "none"], ["--wrong"]])
def test_wrong_options_end_with_exit_code_2(options, capsys):
    with pytest.raises(SystemExit) as raised:
        parse_config(options)
    assert raised.value.code == 2
    assert options[-1].lstrip("-") in capsys.readouterr().err


def test_the_file_is_plain_json(tmp_path):
    TrainConfig().save(tmp_path / "config.json")
    assert json.loads((tmp_path / "config.json").read_text())["backbone"] == "seresnet50"


@pytest.fixture
def run(tmp_path) -> Path:
    """A run directory as the training leaves its options there."""
    config = TrainConfig(data=str(tmp_path / "data"), epochs=4).for_schema(SCHEMA)
    (tmp_path / "run").mkdir()
    config.save(tmp_path / "run" / "config.json")
    return tmp_path / "run"


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--epochs", "4", "--backbone=seresnet50", "--recipe", "demo"],
        ["--data-dir", "{folder}/data", "--loss-weights.fabric", "1.0"],
        ["--output-dir", "{folder}/../{name}/run", "--checkpoint-every-steps", "3"],
    ],
)
def test_a_run_goes_on_with_its_own_options(run, tmp_path, options):
    names = {"folder": tmp_path, "name": tmp_path.name}
    options = [option.format(**names) for option in options]
    config = parse_config(["--resume", str(run), *options])
    saved = TrainConfig.load(run / "config.json")
    assert config == dataclasses.replace(saved, output_dir=run)


def test_a_run_may_go_on_with_crops_elsewhere(run, tmp_path):
    """On another disk, or in memory again."""
    for value in (str(tmp_path), "memory"):
        config = parse_config(["--resume", str(run), "--cache", value])
        assert config.cache == value
        config.save(run / "config.json")
        assert parse_config(["--resume", str(run)]).cache == value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "5"], r"cannot go on with --epochs 5 \(it has 4\)"),
        (["--data", "elsewhere.csv"], r"--data \S+elsewhere.csv \(it has \S+data\)"),
        (["--data", "wardrobe"], r"--data wardrobe \(it has \S+data\)"),
        (["--loss-weights.fit", "3"], "--loss-weights"),
        (["--no-flip", "--seed=2"], "--(seed 2|flip False)"),
        (["--output-dir", "elsewhere"], "name two folders"),
    ],
)
def test_a_run_does_not_go_on_with_other_options(run, options, message):
    with pytest.raises(InputError, match=message):
        parse_config(["--resume", str(run), *options])


def test_a_run_that_is_not_there_yet_is_begun_by_the_same_command(tmp_path):
    options = ["--resume", str(tmp_path / "new"), "--output-dir", str(tmp_path / "new")]
    command = parse_command("", [*options, "--epochs", "2"])
    assert command.options.resume is None
    assert (command.config.epochs, command.config.output_dir) == (2, tmp_path / "new")
    with pytest.raises(InputError, match="is no run directory"):
        parse_command("", options[:2])
