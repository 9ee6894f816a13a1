import errno
import json

import keras
import numpy as np
import pytest

from deepfashion_tf.data.augment import Augmentation
from deepfashion_tf.data.pipeline import batch_rows, training_dataset
from deepfashion_tf.errors import InputError
from deepfashion_tf.training.state import (
    KEPT,
    Checkpoints,
    Position,
    RunState,
    has_checkpoints,
    remove_checkpoints,
)

ROW = {"epoch": 1, "loss": 0.1 + 0.2, "val_loss": float("nan")}


def arrays(value: float) -> dict[str, np.ndarray]:
    return {
        "model/00000/kernel": np.full((3, 2), value, np.float32),
        "model/00001/seed_generator_state": np.array([1, 2], np.uint32),
        "optimizer/00000/iteration": np.array(7, np.int64),
    }


@pytest.fixture
def checkpoints(tmp_path) -> Checkpoints:
    """Three were saved; the last two are kept."""
    checkpoints = Checkpoints(tmp_path, "mine")
    with checkpoints.locked():
        for epoch in (1, 2, 3):
            checkpoints.save(arrays(epoch), Position(epoch, 0, [ROW], 1, 0.5))
    return checkpoints


def test_what_is_saved_is_loaded_to_the_last_bit(checkpoints):
    found, position = checkpoints.load(arrays(0))
    assert position.epoch == 3 and position.best_epoch == 1 and position.best_value == 0.5
    assert position.rows[0]["loss"] == ROW["loss"] and np.isnan(position.rows[0]["val_loss"])
    for name, array in arrays(3).items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert len(checkpoints.files()) == KEPT


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_checkpoint_is_recognised_and_the_one_before_it_used(
    checkpoints, share, capsys
):
    last = checkpoints.files()[0]
    last.write_bytes(last.read_bytes()[: int(share * last.stat().st_size)])
    assert checkpoints.load(arrays(0))[1].epoch == 2
    assert "not used" in capsys.readouterr().out


def test_a_changed_byte_anywhere_is_recognised(checkpoints):
    """In the header, where names, position and checksum are, or in the arrays."""
    last = checkpoints.files()[0]
    whole = last.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 60).astype(int):
        changed = bytearray(whole)
        changed[place] ^= 1
        last.write_bytes(bytes(changed))
        found, position = checkpoints.load(arrays(0))
        # A byte of the header's padding may change nothing.
        assert (position.epoch, found["model/00000/kernel"][0, 0]) in ((2, 2), (3, 3))
        if place > len(whole) - 44:
            assert position.epoch == 2


def test_a_checkpoint_of_another_model_is_not_used(checkpoints):
    other = {**arrays(0), "model/00000/kernel": np.zeros((3, 3), np.float32)}
    assert checkpoints.load(other) is None


def test_checkpoints_of_other_options_or_data_are_refused(checkpoints, tmp_path):
    with pytest.raises(InputError, match="of other options or of other data"):
        Checkpoints(tmp_path, "another").load(arrays(0))


def test_a_foreign_checkpoint_is_passed_over(checkpoints, tmp_path):
    foreign = Checkpoints(tmp_path, "another")
    foreign.save(arrays(9), Position(9))
    assert checkpoints.load(arrays(0))[1].epoch == 3


def test_a_full_disk_leaves_the_checkpoint_before(checkpoints, monkeypatch):
    from safetensors import SafetensorError

    from deepfashion_tf.training import state

    def full(*args):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(state, "save_file", full)
    with pytest.raises(OSError) as raised:
        checkpoints.save(arrays(4), Position(4))
    assert raised.value.errno == errno.ENOSPC and "epoch-000004" in raised.value.filename
    assert checkpoints.load(arrays(0))[1].epoch == 3
    assert not list(checkpoints.directory.glob(".unfinished-*"))


def test_what_a_killed_process_was_writing_is_removed(checkpoints):
    (checkpoints.directory / ".unfinished-epoch").mkdir()
    with checkpoints.locked():
        assert not list(checkpoints.directory.glob(".unfinished-*"))


def test_two_processes_do_not_train_one_run(checkpoints, tmp_path):
    with (
        checkpoints.locked(),
        pytest.raises(InputError, match="being trained by another process"),
        Checkpoints(tmp_path, "mine").locked(),
    ):
        pass


def test_complete_runs_keep_no_checkpoints(checkpoints, tmp_path):
    assert has_checkpoints(tmp_path)
    remove_checkpoints(tmp_path)
    assert not has_checkpoints(tmp_path)


def test_a_state_comes_back_into_another_model():
    """Moments, counters and the random state of dropout included."""

    def build():
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
        )
        model.compile(keras.optimizers.Adam(0.1), "mse")
        model.optimizer.build(model.trainable_variables)
        return model, RunState(model, model.optimizer)

    x, y = np.random.default_rng(0).normal(size=(2, 8, 4)).astype("float32")
    model, state = build()
    model.fit(x, y[:, :3], verbose=0)
    saved = json.loads(json.dumps({k: v.tolist() for k, v in state.arrays().items()}))
    other, other_state = build()
    like = state.arrays()
    other_state.assign({k: np.array(v, like[k].dtype) for k, v in saved.items()})
    for both in (model, other):
        both.fit(x, y[:, :3], epochs=3, shuffle=False, verbose=0)
    for ours, theirs in zip(state.arrays().values(), other_state.arrays().values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert any(name.endswith("state") for name in saved) and any(
        "iteration" in name for name in saved
    )


def test_a_stream_that_begins_in_the_middle_goes_on_as_the_whole_one(wardrobe):
    from deepfashion_tf.data.deepfashion import read_split
    from deepfashion_tf.data.normalization import NORMALIZATIONS
    from deepfashion_tf.data.reading import DirectReader

    split = read_split(wardrobe, "train")
    reader = DirectReader(split, 32)
    options = {"batch_size": 20, "epochs": 3, "seed": 5}
    options["augmentation"] = Augmentation(jitter=1.0, least_crop=0.5, erase=0.5)
    whole = list(training_dataset(split, reader, NORMALIZATIONS["torch"], **options))
    rest = list(training_dataset(split, reader, NORMALIZATIONS["torch"], start=(1, 2), **options))
    assert len(whole) == 9 and len(rest) == 4
    for (ours, our_labels), (theirs, their_labels) in zip(rest, whole[5:], strict=True):
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(our_labels["fit"], their_labels["fit"])
    rows = batch_rows(split, batch_size=20, seed=5, epoch=1, step=2)
    np.testing.assert_array_equal(split.labels[rows, 5], whole[5][1]["fit"])
