"""Images of rarer kinds and colours: as the same picture saved as JPEG or PNG."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageCms

from deepfashion_tf.data.check import bad_images
from deepfashion_tf.data.conversion import convert, is_huge, needs_conversion
from deepfashion_tf.data.damage import DAMAGED, jpeg_damage
from deepfashion_tf.data.decode import image_fault
from deepfashion_tf.data.headers import image_size
from deepfashion_tf.data.plain import decode_any, make_plain, plain_crop
from deepfashion_tf.data.split import WHOLE_IMAGE, FileReader, Split, whole_images
from deepfashion_tf.schema import Schema

SIZE = (120, 80)


def picture() -> Image.Image:
    """Smooth colours, which lossy formats keep to a few grey levels."""
    x, y = np.meshgrid(np.linspace(0, 1, SIZE[0]), np.linspace(0, 1, SIZE[1]))
    return Image.fromarray((np.stack([x, y, 1 - x * y], axis=-1) * 230 + 10).astype(np.uint8))


def saved(kind: str, image: Image.Image | None = None, **options) -> bytes:
    file = io.BytesIO()
    (image or picture()).save(file, kind, **options)
    return file.getvalue()


def difference(encoded: bytes) -> float:
    return np.abs(decode_any(encoded).astype(float) - np.asarray(picture())).mean()


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "JPEG2000", "HEIF"])
def test_kinds_that_pillow_reads(kind):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    encoded = saved(kind, quality=95) if kind in ("AVIF", "HEIF") else saved(kind)
    assert image_size(encoded) == SIZE
    assert needs_conversion(encoded)
    assert difference(encoded) < 3
    assert image_fault(encoded) is None
    assert image_fault(encoded[: len(encoded) // 2]) is not None
    assert "the box" in image_fault(encoded, (0, 0, 121, 80))
    plain, box = make_plain(encoded, (10, 20, 70, 60), size=32)
    expected, whole = make_plain(saved("PNG"), (10, 20, 70, 60), size=32)
    crops = [
        plain_crop(tf.constant(image), tf.constant(part), 32).numpy().astype(float)
        for image, part in ((plain, box), (expected, whole))
    ]
    assert np.abs(crops[0] - crops[1]).mean() < 4


@pytest.mark.parametrize("mode", ["L", "I;16", "RGBA", "P", "CMYK", "1"])
def test_modes_of_tiff(mode):
    if mode == "I;16":
        grey = np.asarray(picture().convert("L")).astype(np.uint16) * 257
        image = Image.fromarray(grey)
    else:
        image = picture().convert(mode)
    found = decode_any(saved("TIFF", image)).astype(float)
    expected = np.asarray(picture().convert("L" if mode in ("L", "I;16", "1") else "RGB"))
    expected = expected[..., None] if expected.ndim == 2 else expected
    # A palette, and dots of two colours, are no smooth picture.
    limit = {"P": 20, "1": 130}.get(mode, 3)
    assert np.abs(found - expected).mean() < limit
    assert found.shape == (*SIZE[::-1], 3)


def test_what_is_transparent_is_white():
    image = picture().convert("RGBA")
    image.putalpha(0)
    assert (decode_any(saved("TIFF", image)) == 255).all()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_tiff_is_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = saved("TIFF", exif=exif)
    turned = {1: 0, 3: 180, 6: 270, 8: 90}[orientation]
    expected = np.asarray(picture().rotate(turned, expand=True))
    assert image_size(encoded) == expected.shape[1::-1]
    np.testing.assert_array_equal(decode_any(encoded), expected)


def gamma_profile() -> bytes:
    """A profile of sRGB's primaries whose tone curve differs, made of Pillow's own."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # Exchange the tags of the red and the green primary: another colour space.
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_colour_profiles_are_converted(kind):
    """The profile says that red is green and green is red, so that sRGB has them exchanged."""
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    options |= {"subsampling": 0} if kind == "JPEG" else {}
    encoded = saved(kind, icc_profile=gamma_profile(), **options)
    assert needs_conversion(encoded)
    found = decode_any(encoded)[..., [1, 0, 2]].astype(float)
    assert np.abs(found - np.asarray(picture())).mean() < 6
    plain, box = make_plain(encoded, WHOLE_IMAGE, size=32)
    crop = plain_crop(tf.constant(plain), tf.constant(box), 32).numpy()
    assert crop[0, -1, 1] > 200 > 60 > crop[0, -1, 0]


def test_srgb_is_left_as_it_is():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    encoded = saved("JPEG", icc_profile=profile)
    assert not needs_conversion(encoded)
    assert make_plain(encoded, WHOLE_IMAGE, size=32)[0] is encoded
    broken = saved("JPEG", icc_profile=b"no profile at all" * 20)
    assert not needs_conversion(broken)


def test_a_jpeg_beyond_the_limit_is_decoded_at_an_eighth():
    wide = Image.new("RGB", (12_000, 8_000), (200, 30, 60))
    wide.paste((20, 200, 90), (0, 0, 6_000, 8_000))
    encoded = saved("JPEG", wide)
    assert image_size(encoded) == (12_000, 8_000)
    assert is_huge(encoded) and image_fault(encoded) is None
    assert decode_any(encoded).shape == (1000, 1500, 3)
    left = decode_any(encoded, (0, 0, 5_000, 8_000))
    assert np.abs(left.astype(int) - (20, 200, 90)).max() < 6
    assert image_fault(encoded, (0, 0, 12_001, 10)) is not None
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by a quarter, so that the left half becomes the upper
    turned = saved("JPEG", wide, exif=exif)
    assert image_size(turned) == (8_000, 12_000)
    upper = decode_any(turned, (0, 0, 8_000, 5_000))
    assert upper.shape == (625, 1000, 3)
    assert np.abs(upper.astype(int) - (20, 200, 90)).max() < 6
    # All of a progressive one would have to be held in memory.
    assert "million pixels" in image_size(saved("JPEG", wide, progressive=True))


def cut(encoded: bytes, share: float) -> bytes:
    """Cuts a JPEG and puts its end bytes back: no decoder of a browser complains."""
    return encoded[: int(len(encoded) * share)] + b"\xff\xd9"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_cut_jpeg_is_damaged(progressive, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    whole = saved("JPEG", Image.fromarray(noise), progressive=progressive)
    assert jpeg_damage(whole) is None
    assert jpeg_damage(whole + b"what a camera appends") is None
    assert jpeg_damage(saved("PNG")) is None
    (tmp_path / "cut.jpg").write_bytes(cut(whole, 2 / 3))
    (tmp_path / "whole.jpg").write_bytes(whole)
    paths = [str(tmp_path / name) for name in ("cut.jpg", "whole.jpg")]
    split = Split(
        Schema.of({"a": ["x", "y"]}),
        "train",
        FileReader(paths),
        paths,
        whole_images(2),
        np.zeros((2, 1), np.int32),
        "test",
    )
    assert bad_images(split) == {0: DAMAGED}
    assert bad_images(Split(**{**vars(split), "accepts_damage": True})) == {}


def test_stray_bytes_between_segments_are_skipped():
    """As decoders do, the exported graph's included."""
    encoded = saved("JPEG")
    place = encoded.index(b"\xff\xdb")
    stray = encoded[:place] + b"\0abc" + encoded[place:]
    assert image_size(stray) == SIZE
    assert image_fault(stray) is None
    assert jpeg_damage(stray) is None
    np.testing.assert_array_equal(decode_any(stray), decode_any(encoded))


def test_broken_files_of_rarer_kinds_are_told():
    rng = np.random.default_rng(0)
    for kind in ("TIFF", "AVIF", "JPEG2000"):
        encoded = saved(kind)
        for _ in range(60):
            broken = bytearray(encoded)
            for place in rng.integers(0, len(broken), 4):
                broken[place] = rng.integers(0, 256)
            fault = image_fault(bytes(broken[: rng.integers(1, len(broken) + 1)]))
            assert fault is None or isinstance(fault, str)


def test_convert_says_what_is_wrong():
    with pytest.raises(ValueError, match="not a readable image"):
        convert(b"nothing")
