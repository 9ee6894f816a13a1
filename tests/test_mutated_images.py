"""Broken files by the hundred: every one is an answer or a sentence, soon and in little memory.

``DEEPFASHION_FUZZ=10000 pytest -n 0 -m slow tests/test_mutated_images.py`` tries more of them.
"""

import os
import resource
import time

import numpy as np
import pytest
import tensorflow as tf
from image_files import jpeg, png_chunks, png_of, refused, supported

from deepfashion_tf.data.decode import decode_and_crop, image_fault
from deepfashion_tf.data.headers import image_size

COUNT = int(os.environ.get("DEEPFASHION_FUZZ", "300"))
FILES = {**supported(), **{name: encoded for name, (encoded, _) in refused().items()}}
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 9000, 2**31 - 1, 2**31, 2**32 - 1)


def flip_bytes(data: bytearray, rng: np.random.Generator) -> None:
    """Changes some bytes, half the time near the beginning."""
    reach = min(len(data), 80) if rng.random() < 0.5 else len(data)
    for place in rng.integers(0, reach, rng.integers(1, 9)):
        data[place] = rng.integers(0, 256)


def cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[rng.integers(0, len(data)) :]


def insert(data: bytearray, rng: np.random.Generator) -> None:
    """Inserts chance bytes, or bytes of the file a second time."""
    place, length = rng.integers(0, len(data)), rng.integers(1, 300)
    start = rng.integers(0, len(data))
    block = rng.bytes(length) if rng.random() < 0.5 else data[start : start + length]
    data[place:place] = block


def swap(data: bytearray, rng: np.random.Generator) -> None:
    a, b, c, d = np.sort(rng.integers(0, len(data), 4))
    data[:] = data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def set_extreme(data: bytearray, rng: np.random.Generator) -> None:
    """Sets a number to an extreme value, near the beginning or in a JPEG's frame header."""
    size, order = int(rng.choice([1, 2, 4])), str(rng.choice(["little", "big"]))
    places = [int(rng.integers(0, min(len(data), 64)))]
    places += [
        data.find(marker) + 4 + int(rng.integers(0, 8)) for marker in (b"\xff\xc0", b"\xff\xda")
    ]
    place = int(rng.choice(places))
    value = int(rng.choice(EXTREMES)) % 256**size
    data[place : place + size] = value.to_bytes(size, order)


MUTATIONS = (flip_bytes, cut, insert, swap, set_extreme)


def mutate_chunks(encoded: bytes, rng: np.random.Generator) -> bytes:
    """Swaps, drops, doubles and changes a PNG's chunks, and makes their checksums right again."""
    chunks = png_chunks(encoded)
    first, second = rng.integers(0, len(chunks), 2)
    action = rng.integers(0, 4)
    if action == 0:
        chunks[first], chunks[second] = chunks[second], chunks[first]
    elif action == 1:
        del chunks[first]
    elif action == 2:
        chunks.insert(second, chunks[first])
    name, data = chunks[0]
    if action == 3 and len(data):
        changed = bytearray(data)
        set_extreme(changed, rng) if rng.random() < 0.7 else flip_bytes(changed, rng)
        chunks[0] = name, bytes(changed)
    return png_of(chunks)


def mutate(encoded: bytes, rng: np.random.Generator) -> bytes:
    if encoded.startswith(b"\x89PNG") and rng.random() < 0.6:
        return mutate_chunks(encoded, rng)
    data = bytearray(encoded)
    for _ in range(rng.integers(1, 3)):
        if data:
            MUTATIONS[rng.integers(0, len(MUTATIONS))](data, rng)
    return bytes(data)


def check(encoded: bytes) -> str:
    """Runs all three on a file and tells how it ended."""
    size, fault = image_size(encoded), image_fault(encoded)
    assert fault is None or (isinstance(fault, str) and fault.startswith(("is ", "has ")))
    assert isinstance(size, str) or (size[0] > 0 < size[1])
    if isinstance(size, str):
        assert fault == size
    try:
        shape = decode_and_crop(tf.constant(encoded), tf.constant([-1] * 4)).shape
    except tf.errors.InvalidArgumentError:
        assert fault is not None
        return "refused by both"
    if fault is None:
        assert (shape[1], shape[0]) == size
        crop = decode_and_crop(tf.constant(encoded), tf.constant([0, 0, 1, (size[1] + 1) // 2]))
        assert crop.shape == ((size[1] + 1) // 2, 1, 3)
        return "decoded"
    # The header is read more strictly than the decoder does.
    return "refused by its header"


@pytest.mark.slow
def test_a_mutated_file_is_an_answer_or_a_sentence():
    names, seed = list(FILES), int(os.environ.get("DEEPFASHION_FUZZ_SEED", "0"))
    ends, slowest = dict.fromkeys(("decoded", "refused by both", "refused by its header"), 0), 0.0
    check(jpeg())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(COUNT):
        rng = np.random.default_rng([seed, number])
        name = names[number % len(names)]
        encoded = mutate(FILES[name], rng)
        start = time.perf_counter()
        try:
            ends[check(encoded)] += 1
        except Exception as error:
            raise AssertionError(f"{name}, number {number}, seed {seed}") from error
        slowest = max(slowest, time.perf_counter() - start)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 2**20
    print(f"{ends}, slowest {slowest:.2f} s, {grown:.2f} GiB more")
    assert ends["decoded"] > COUNT / 20
    # An image of the pixel limit takes 0.25 GiB, and as much again with alpha and 16 bits.
    assert grown < 2
    assert slowest < 20
