"""Crops without TensorFlow against those with it: the same pixels, the same refusals."""

import io

import cv2
import numpy as np
import pillow_heif
import pytest
import tensorflow as tf
from image_files import jpeg, refused, supported
from PIL import Image, ImageCms
from test_mutated_images import FILES, mutate

from deepfashion_tf.data.crops import CropFault, crop_of
from deepfashion_tf.data.damage import jpeg_damage
from deepfashion_tf.data.decode import image_fault
from deepfashion_tf.data.plain import make_plain, plain_crop
from deepfashion_tf.data.split import WHOLE_IMAGE
from deepfashion_tf.inference.items import Item
from deepfashion_tf.inference.tensorflow_engine import cropper

BOX = (5, 3, 17, 26)
SUPPORTED, REFUSED = supported(), refused()


def by_tensorflow(encoded: bytes, box, side: int, padding: float = 0.0) -> np.ndarray:
    encoded, box = make_plain(encoded, box, padding, side)
    return plain_crop(tf.constant(encoded), tf.constant(box, tf.int32), side).numpy()


def distance(encoded: bytes, box, side: int, padding: float = 0.0) -> np.ndarray:
    expected = by_tensorflow(encoded, box, side, padding).astype(int)
    return np.abs(crop_of(encoded, box, side, padding) - expected)


@pytest.mark.parametrize("side", [8, 32, 100])
@pytest.mark.parametrize("name", SUPPORTED)
def test_pixels_are_those_of_tensorflow(name, side):
    assert distance(SUPPORTED[name], WHOLE_IMAGE, side).max() <= 1


@pytest.mark.parametrize("padding", [0, 0.2])
@pytest.mark.parametrize("name", SUPPORTED)
def test_boxes_are_those_of_tensorflow(name, padding):
    # Of a crop alone, TensorFlow does not see the colours beside its rim.
    far = 8 if name.startswith("jpeg") else 1
    assert distance(SUPPORTED[name], BOX, 16, padding).max() <= far


@pytest.mark.parametrize("side", [28, 64, 200])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_large_jpegs_are_decoded_smaller(orientation, side):
    rng = np.random.default_rng(orientation)
    coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8))
    image = coarse.resize((1501, 1103), Image.Resampling.BICUBIC)
    kept = image.getexif()
    kept[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, exif=kept)
    sides = (1501, 1103) if orientation < 5 else (1103, 1501)
    boxes = (WHOLE_IMAGE, (1, 2, sides[0] - 4, sides[1] - 2))
    for box in boxes:
        assert distance(file.getvalue(), box, side).max() <= 2
        assert distance(file.getvalue(), box, side).mean() < 0.05


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_those_of_tensorflow(name):
    encoded, _ = REFUSED[name]
    with pytest.raises(CropFault) as fault:
        crop_of(encoded, WHOLE_IMAGE, 32)
    assert str(fault.value) == image_fault(encoded)


def hostile(tmp_path) -> dict[str, bytes]:
    """Images of the kinds that phones, scanners and design programs leave behind."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(
        np.kron(rng.integers(0, 256, (9, 7, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    )
    deep = np.asarray(rgb)[..., ::-1].astype(np.uint16) * 257
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    turned = Image.Exif()
    turned[0x0112] = 6
    other = rgb.transpose(Image.Transpose.ROTATE_90)
    moving = {"save_all": True, "append_images": [other.resize(rgb.size)]}
    pillow_heif.register_heif_opener()
    files: dict[str, bytes] = {}
    for name, image, options in (
        ("palette.bmp", rgb.quantize(16), {}),
        ("one_bit.bmp", rgb.convert("1"), {}),
        ("palette.png", rgb.quantize(200), {}),
        ("one_bit.png", rgb.convert("1"), {}),
        ("cmyk.jpg", rgb.convert("CMYK"), {"quality": 92}),
        ("cmyk.tif", rgb.convert("CMYK"), {}),
        ("moving.gif", rgb, moving),
        ("moving.webp", rgb, moving),
        ("moving.png", rgb, moving),
        ("lab.jpg", rgb, {"icc_profile": lab}),
        *((f"turned.{kind}", rgb, {"exif": turned}) for kind in ("png", "webp", "tif")),
        *((f"a.{kind}", rgb, {}) for kind in ("avif", "heic", "jp2", "tif", "ico", "ppm")),
        ("float.tif", Image.fromarray(np.asarray(rgb)[..., 0].astype(np.float32)), {}),
        ("thin.png", rgb.resize((1, 3000)), {}),
    ):
        image.save(tmp_path / name, **options)
        files[name] = (tmp_path / name).read_bytes()
    adobe = files["cmyk.jpg"].index(b"\xff\xee")
    end = adobe + 2 + int.from_bytes(files["cmyk.jpg"][adobe + 2 : adobe + 4], "big")
    files["cmyk_plain.jpg"] = files["cmyk.jpg"][:adobe] + files["cmyk.jpg"][end:]
    files["deep.png"] = cv2.imencode(".png", deep)[1].tobytes()
    files["deep_alpha.png"] = cv2.imencode(".png", np.dstack([deep, deep[..., :1]]))[1].tobytes()
    files["deep.tif"] = cv2.imencode(".tif", deep)[1].tobytes()
    cut = ("palette.bmp", "moving.gif", "turned.webp", "a.tif", "a.avif", "a.heic", "a.jp2")
    return files | {f"cut_{name}": files[name][: len(files[name]) * 2 // 3] for name in cut}


def test_both_engines_judge_hostile_images_alike(tmp_path):
    """The same pixels, or the same sentence, damage accepted or not."""
    crop_some = cropper(32)
    for name, encoded in hostile(tmp_path).items():
        for accepts in (False, True):
            items = [Item(name, encoded=encoded)]
            (expected,) = crop_some(items, 0.0, accepts)
            try:
                found = crop_of(encoded, WHOLE_IMAGE, 32, accept_damaged=accepts)
            except CropFault as fault:
                assert str(fault) == expected, name
            else:
                assert not isinstance(expected, str), (name, expected)
                assert np.abs(found - expected.astype(int)).max() <= 1, name


def test_a_box_outside_is_told():
    with pytest.raises(CropFault, match="the box 0,0,9999,5 is empty or lies outside"):
        crop_of(jpeg(), (0, 0, 9999, 5), 32)


@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_jpeg_is_a_fault_unless_it_is_accepted(real_photos, cut):
    encoded = next(real_photos.rglob("*.jpg")).read_bytes()
    encoded = encoded[: len(encoded) * 2 // 3] + (b"" if cut else b"\xff\xd9")
    with pytest.raises(CropFault) as fault:
        crop_of(encoded, WHOLE_IMAGE, 64)
    assert str(fault.value) == image_fault(encoded) or jpeg_damage(encoded)
    if not cut:
        found = crop_of(encoded, WHOLE_IMAGE, 64, accept_damaged=True)
        assert np.abs(found - by_tensorflow(encoded, WHOLE_IMAGE, 64).astype(int)).max() <= 1


def test_broken_files_are_judged_as_tensorflow_does():
    differing = []
    for number, name in enumerate(sorted(FILES) * 12):
        encoded = mutate(FILES[name], np.random.default_rng([7, number]))
        if encoded.startswith(b"\x89PNG") and encoded.count(b"IHDR") > 1:
            continue  # Pillow reads such a file, TensorFlow does not
        fault = image_fault(encoded) or jpeg_damage(encoded)
        try:
            crop_of(encoded, WHOLE_IMAGE, 32)
            found = None
        except CropFault as error:
            found = str(error)
        if (found is None) != (fault is None):
            differing.append((name, number, fault, found))
    # Pillow forgives more in a PNG, and less in a WebP.
    assert len(differing) < 0.05 * 12 * len(FILES), "\n".join(map(str, differing))


def test_real_photographs(real_photos):
    for path in sorted(real_photos.rglob("*.jpg"))[:40]:
        encoded = path.read_bytes()
        for side in (64, 224):
            found = distance(encoded, WHOLE_IMAGE, side)
            assert found.max() <= 1
            assert found.mean() < 1e-3
