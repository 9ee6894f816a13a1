"""Weights files damaged at random: an answer or one sentence, and nothing that hangs.

DEEPFASHION_FUZZ=2000 makes so many files instead of the few that the suite has time for.
"""

import faulthandler
import io
import os
import sys
import zipfile

import numpy as np
import pytest
from tiny_weights import KINDS, make_tiny, values_of

from deepfashion_tf.errors import InputError
from deepfashion_tf.models.weights import check, describe, load_weights, network, read_weights
from deepfashion_tf.models.weights.files import read_file

COUNT = int(os.environ.get("DEEPFASHION_FUZZ", "150"))
# Parts of these files; each HDF5 file costs a process.
SHARES = {kind: 0.4 if kind == "timm.safetensors" else 0.15 for kind in KINDS}
# A sound file takes 0.2, and 1 on a busy machine.
SECONDS = 5


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Gives a network and the bytes of its file of each kind."""
    folder = tmp_path_factory.mktemp("sound")
    made = {kind: make_tiny(kind, folder) for kind in KINDS}
    return {kind: (network, path.read_bytes()) for kind, (network, path) in made.items()}


def answer(path, model, monkeypatch) -> str:
    """Asks all that reads weights for an answer; gives what went wrong in words."""
    faulthandler.dump_traceback_later(60, exit=True, file=sys.__stderr__)
    try:
        file = read_file(path)
        # Read once: the rest works on what was read.
        monkeypatch.setattr(network, "read_file", lambda path: file)
        monkeypatch.setattr(describe, "read_file", lambda path: file)
        monkeypatch.setattr(describe, "build_backbone", lambda *arguments: model)
        weights = read_weights(path)
        assert all(text.isprintable() for _, text in describe.describe(path))
        load_weights(weights, model)
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) < 2500
        return str(error)
    finally:
        faulthandler.cancel_dump_traceback_later()
    return ""


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_sound_file_loads(sound, tmp_path, monkeypatch, kind):
    model, data = sound[kind]
    before = values_of(model)
    for variable in model.variables:
        variable.assign(variable * 0)
    (tmp_path / kind).write_bytes(data)
    assert read_weights(tmp_path / kind).variant == KINDS[kind]
    assert answer(tmp_path / kind, model, monkeypatch) == ""
    for name, value in values_of(model).items():
        np.testing.assert_array_equal(value, before[name])


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Damages bytes as a bad disk, a cut copy or a bad merge would."""
    copy = bytearray(data)
    at = int(rng.integers(len(data)))
    length = int(2 ** rng.uniform(0, 11))
    match rng.integers(7):
        case 0 | 1:
            for place in rng.integers(len(data), size=rng.integers(1, 9)):
                copy[place] ^= 1 << rng.integers(8)
        case 2:
            del copy[at:]
        case 3:
            copy[at:at] = rng.bytes(length)
        case 4:
            other = int(rng.integers(len(data)))
            copy[at : at + length], copy[other : other + length] = (
                copy[other : other + length],
                copy[at : at + length],
            )
        case 5:
            copy[at : at + length] = bytes([rng.choice([0, 255])]) * length
        case 6:
            # An absurd or a near number where a size, an offset or a count may stand.
            at -= at % 8
            number = rng.choice([2**62, 2**40, 2**31, 2**16, at, len(data)])
            copy[at : at + 8] = int(number).to_bytes(8, "little")
    return bytes(copy)


def mutate_member(data: bytes, rng: np.random.Generator) -> bytes:
    """Damages one file in a zip, and zips anew: all checksums are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(["config.json", "model.weights.h5"])
    members[name] = mutate(members[name], rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_damaged_file_gives_an_answer_or_a_sentence(sound, tmp_path, monkeypatch, kind):
    model, data = sound[kind]
    monkeypatch.setattr(check, "TIME_LIMIT", SECONDS)
    rng = np.random.default_rng(list(KINDS).index(kind))
    path = tmp_path / kind
    said = []
    for number in range(round(COUNT * SHARES[kind])):
        inside = kind.endswith(".keras") and number % 4
        damaged = (mutate_member if inside else mutate)(data, rng)
        path.write_bytes(damaged)
        try:
            said.append(answer(path, model, monkeypatch))
        except Exception as error:
            raise AssertionError(f"file {number} of {kind}: {error!r}") from error
    late = sum("not done" in sentence for sentence in said)
    crashed = sum("HDF5 stops" in sentence for sentence in said)
    print(
        f"\n{kind}: {len(said)} files, {said.count('')} load, {late} would hang, "
        f"{crashed} would crash"
    )
