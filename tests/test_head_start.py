import dataclasses
from pathlib import Path

import numpy as np
import pytest
from conftest import small_config, write_lines

from deepfashion_tf.errors import InputError
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.run import Run
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.training import head_start
from deepfashion_tf.training.building import build_initial_model
from deepfashion_tf.training.callbacks import StepCounter
from deepfashion_tf.training.head_start import head_start_config, is_ready
from deepfashion_tf.training.state import remove_checkpoints
from deepfashion_tf.training.train import train

SCHEMA = builtin_schema()


@pytest.fixture
def config(tiny, challenge, tmp_path, monkeypatch):
    monkeypatch.setattr(head_start, "EPOCHS", 1)
    monkeypatch.setattr(head_start, "DRAWINGS", 40)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.chdir(tmp_path)
    return small_config(
        challenge,
        tmp_path,
        weights="wardrobe",
        heads="attention",
    )


@pytest.mark.slow
def test_drawings_are_learnt_once_and_what_they_taught_is_what_a_run_begins_with(config):
    wanted = head_start_config(config)
    assert not is_ready(wanted)
    run = train(config).run
    assert is_ready(wanted) and run.config.weights == "wardrobe"
    assert len(run.config.weights_sha256) == 64
    drawn = Run.load(wanted.output_dir)
    assert not (drawn.directory / "checkpoints").exists()
    known = drawn.load_model()
    _, model = build_initial_model(SCHEMA, config)
    for ours, theirs in zip(model.variables, known.variables, strict=True):
        if "seed" not in ours.path:
            np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)

    before = drawn.model_path.stat().st_mtime_ns
    again = dataclasses.replace(config, output_dir=config.output_dir.with_name("again"), seed=1)
    train(again)
    assert drawn.model_path.stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_run_that_is_done_stays_so_and_one_like_it_begins_with_the_same(config):
    run = train(config).run
    remove_checkpoints(run.directory)
    saved = dataclasses.replace(
        TrainConfig.load(run.directory / "config.json"), output_dir=run.directory
    )
    path = head_start_config(config).output_dir / "model.keras"
    before = path.stat().st_mtime_ns
    assert head_start_config(saved).output_dir == path.parent
    train(saved, RuntimeOptions(resume=run.directory))
    train(dataclasses.replace(saved, output_dir=run.directory.with_name("again")))
    assert path.stat().st_mtime_ns == before


def test_nothing_is_drawn_for_a_run_that_cannot_begin(config):
    config.output_dir.mkdir()
    (config.output_dir / "file").touch()
    with pytest.raises(InputError, match="not empty"):
        train(config)
    assert not head_start_config(config).output_dir.exists()


@pytest.mark.slow
def test_a_category_without_labels_stays_unknown(config):
    for split in ("train", "val"):
        write_lines(Path(config.data) / "split" / f"{split}_attr.txt", ["5 0 2 0 -1 2"] * 6)
    run = train(config).run
    assert run.config.untrained == ("fabric",)
    assert not np.any(run.load_model().get_layer("fabric").kernel)


def test_what_decides_the_start_names_its_folder(config):
    one = head_start_config(config).output_dir
    for same in ({"seed": 3}, {"heads": "pooled"}, {"epochs": 9}, {"batch_size": 4}):
        assert head_start_config(dataclasses.replace(config, **same)).output_dir == one
    # Whole images have no box to be enlarged.
    whole = dataclasses.replace(config, crop=False)
    assert head_start_config(dataclasses.replace(whole, box_padding=0.1)).output_dir == one
    for other in (
        {"backbone": "seresnet50"},
        {"image_size": 48},
        {"heads": "logits"},
        {"box_padding": 0.1},
    ):
        assert head_start_config(dataclasses.replace(config, **other)).output_dir != one
    large = dataclasses.replace(config, image_size=224)
    assert head_start_config(large).image_size == head_start.SIZE


@pytest.mark.slow
def test_heads_are_taken_where_the_attributes_are_the_same(config, tmp_path):
    schema = SCHEMA.select(["fit", "fabric"])
    schema = type(schema).of({**schema, "fabric": ["denim", "silk"]})
    schema.save(tmp_path / "schema.yaml")
    for split in ("train", "val"):
        write_lines(Path(config.data) / "split" / f"{split}_attr.txt", ["0 1", "2 0"] * 3)
    train(dataclasses.replace(config, schema=tmp_path / "schema.yaml"))
    known = Run.load(head_start_config(config).output_dir).load_model()
    _, model = build_initial_model(schema, config.for_schema(schema))
    fit, fabric = (model.get_layer(name) for name in ("fit", "fabric"))
    np.testing.assert_array_equal(fit.kernel, known.get_layer("fit").kernel)
    assert fabric.kernel.shape[-1] == 2
    ours, theirs = (m.get_layer("attention_pooling").queries[0] for m in (model, known))
    np.testing.assert_array_equal(ours[:, 0], theirs[:, list(SCHEMA).index("fit")])
    assert not np.any(ours[:, 1])


@pytest.mark.slow
def test_who_is_stopped_while_drawings_are_learnt_goes_on_there(config, monkeypatch):
    def stop(self, *args, **options) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StepCounter, "on_train_batch_end", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    wanted = head_start_config(config)
    assert (wanted.output_dir / "config.json").is_file() and not is_ready(wanted)
    train(config)
    assert is_ready(wanted)


@pytest.mark.slow
def test_a_file_that_was_changed_is_not_used(config):
    train(config)
    path = head_start_config(config).output_dir / "model.keras"
    path.write_bytes(path.read_bytes() + b"x")
    again = dataclasses.replace(config, output_dir=config.output_dir.with_name("again"))
    with pytest.raises(InputError, match=r"SHA-256 is another.*delete"):
        train(again)
