import os
import socket

import numpy as np
import pytest
from image_files import (
    HEIGHT,
    RGB,
    WIDTH,
    as_pillow_shows_it,
    jpeg,
    png_chunk,
    refused,
    save,
    supported,
    with_chunk,
)

from deepfashion_tf.data.headers import MAX_PARTS, image_size

SUPPORTED = supported()


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_size_is_what_pillow_shows(name, tmp_path):
    expected = as_pillow_shows_it(SUPPORTED[name]).shape[1::-1]
    assert image_size(SUPPORTED[name]) == expected
    path = tmp_path / "no ending"
    path.write_bytes(SUPPORTED[name])
    assert image_size(path) == image_size(str(path)) == expected


@pytest.mark.parametrize("name", supported())
def test_a_header_cut_off_is_a_fault_and_never_an_exception(name):
    encoded = SUPPORTED[name]
    for length in range(min(len(encoded), 700)):
        size = image_size(encoded[:length])
        # The orientation may stand behind the size.
        assert isinstance(size, str) or set(size) == {WIDTH, HEIGHT}
    assert image_size(encoded[:12]) == "is not a readable image"


def test_a_header_is_all_that_is_read(tmp_path):
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.write(save(RGB, "PNG"))
        file.truncate(2**40)  # a hole: takes no space
    assert image_size(path) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("length", [0, 1, 2, 12, 14, 2**31, 2**32 - 1])
def test_a_png_header_of_another_length_is_a_fault(length):
    encoded = save(RGB, "PNG")
    assert image_size(encoded[:8] + length.to_bytes(4, "big") + encoded[12:]) == (
        "is not a readable image"
    )
    short = png_chunk(b"IHDR", encoded[16 : 16 + length % 100])
    assert isinstance(image_size(encoded[:8] + short + encoded[33:]), str)


def test_long_texts_do_not_matter():
    """Pillow raises a ValueError on them."""
    text = b"Comment\0" + b"x" * 2**21
    assert image_size(with_chunk(save(RGB, "PNG"), b"tEXt", text, b"IDAT")) == (WIDTH, HEIGHT)


def test_endless_rows_of_empty_parts_end():
    comment, chunk = b"\xff\xfe\0\2", png_chunk(b"teXt", b"")
    plain = jpeg()
    assert image_size(plain[:2] + comment * 1000 + plain[2:]) == (WIDTH, HEIGHT)
    assert image_size(plain[:2] + comment * MAX_PARTS + plain[2:]) == "is not a readable image"
    encoded = save(RGB, "PNG")
    assert image_size(encoded[:33] + chunk * (MAX_PARTS + 1)) == (WIDTH, HEIGHT)
    gif = save(RGB.quantize(9), "GIF")
    assert image_size(gif[:13] + b"!\xfe\0" * 100) == "is not a readable image"


def test_what_cannot_be_opened_is_a_fault(tmp_path):
    assert image_size(tmp_path / "nothing.jpg") == "is missing"
    assert image_size(tmp_path) == "is a folder"
    assert "null byte" in image_size("a\0.jpg")
    assert "has a name that no file can have" in image_size("\ud800.jpg")
    assert image_size("x" * 300) == "cannot be read (File name too long)"
    (tmp_path / "file").touch()
    assert image_size(tmp_path / "file") == "is not a readable image"
    assert image_size(tmp_path / "file" / "below") == "cannot be read (Not a directory)"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "cannot be read" in image_size(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    assert image_size(tmp_path / "pipe") == "is no regular file"
    assert image_size("/dev/zero") == "is no regular file"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert image_size(tmp_path / "socket") == "is no regular file"
    name = os.fsdecode(bytes(tmp_path) + b"/gr\xfcn.jpg")
    with open(name, "wb") as file:  # noqa: PTH123
        file.write(jpeg())
    assert image_size(name) == (WIDTH, HEIGHT)


def test_no_rubbish_behind_a_known_beginning_raises():
    rng = np.random.default_rng(0)
    starts = [encoded[:20] for encoded, _ in refused().values()]
    starts += [encoded[:30] for encoded in SUPPORTED.values()]
    for start in starts:
        for _ in range(50):
            size = image_size(start + rng.bytes(200))
            assert isinstance(size, str) or min(size) > 0
