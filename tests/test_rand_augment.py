import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from deepfashion_tf.data.augment import Augmentation
from deepfashion_tf.data.rand_augment import CHANGES, rand_augment

SMOOTH = np.linspace(30, 200, 24, dtype=np.float32)
NOISE = np.random.default_rng(0).integers(-20, 20, (24, 24, 3))
IMAGE = np.uint8(SMOOTH[:, None, None] * np.float32([1.0, 0.7, 0.4]) + 30 + NOISE)
PICTURE = Image.fromarray(IMAGE)
KEY = tf.constant([1, 2], tf.int64)


def changed(name: str, amount: float, image: np.ndarray = IMAGE) -> np.ndarray:
    found = rand_augment(image[None], [[CHANGES.index(name)]], [[amount]])
    return found[0].numpy().astype(int)


@pytest.mark.parametrize("amount", [-1.0, -0.5, 0.5, 1.0])
@pytest.mark.parametrize(
    ("name", "enhancer"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("colour", ImageEnhance.Color),
        ("contrast", ImageEnhance.Contrast),
        ("sharpness", ImageEnhance.Sharpness),
    ],
)
def test_blends_are_what_pillow_makes(name, enhancer, amount):
    expected = np.asarray(enhancer(PICTURE).enhance(1 + 0.9 * amount)).astype(int)
    # Greys are rounded differently, and a difference of one is multiplied.
    np.testing.assert_allclose(changed(name, amount), expected, atol=2)


def test_grey_levels_are_changed_as_pillow_does():
    np.testing.assert_array_equal(changed("posterize", 1.0), ImageOps.posterize(PICTURE, 4))
    np.testing.assert_array_equal(changed("solarize", -0.5), ImageOps.solarize(PICTURE, 128))
    np.testing.assert_allclose(
        changed("autocontrast", 0.3), np.int32(ImageOps.autocontrast(PICTURE)), atol=1
    )
    # Pillow counts none of a level's own pixels, OpenCV all: some three hundredths of them here.
    many = np.tile(IMAGE, (16, 16, 1))
    expected = np.int32(ImageOps.equalize(Image.fromarray(many)))
    np.testing.assert_allclose(changed("equalize", 0.3, many), expected, atol=8)


def test_places_are_moved_as_slices_and_turns_tell():
    right = changed("translate_x", 0.5)
    np.testing.assert_array_equal(right[:, 5:], IMAGE[:, :-5])
    np.testing.assert_array_equal(right[:, :5], IMAGE[:, 4::-1])
    np.testing.assert_array_equal(
        changed("translate_y", -0.5), changed("translate_x", -0.5, mirrored()).transpose(1, 0, 2)
    )
    np.testing.assert_array_equal(
        changed("shear_y", 0.7), changed("shear_x", 0.7, mirrored()).transpose(1, 0, 2)
    )
    turned = np.asarray(PICTURE.rotate(30, Image.Resampling.BILINEAR)).astype(int)
    inside = slice(8, 16)
    assert np.abs(changed("rotate", 1.0) - turned)[inside, inside].max() <= 4


def mirrored() -> np.ndarray:
    return np.ascontiguousarray(IMAGE.transpose(1, 0, 2))


@pytest.mark.parametrize("name", CHANGES)
def test_strength_0_is_the_identity_but_for_what_has_none(name):
    if name not in ("autocontrast", "equalize"):
        np.testing.assert_array_equal(changed(name, 0.0), IMAGE)
    assert changed(name, 1.0, np.zeros((8, 8, 3), np.uint8)).shape == (8, 8, 3)


def test_two_changes_are_drawn_for_each_image_by_the_key_alone():
    augmentation = Augmentation(flip=False, rand_augment=0.4)
    images = np.stack([IMAGE] * 400)
    drawn = augmentation.draw(400, KEY)
    assert set(np.unique(drawn["choices"])) == set(range(len(CHANGES)))
    assert drawn["choices"].shape == (400, 2)
    np.testing.assert_allclose(np.abs(drawn["strengths"]), 0.4)
    assert 0.4 < np.mean(drawn["strengths"] > 0) < 0.6
    again = augmentation.draw(400, KEY)
    np.testing.assert_array_equal(
        augmentation.change(images, drawn), augmentation.change(images, again)
    )
    other = augmentation.draw(400, KEY + 1)
    assert np.mean(np.equal(drawn["choices"], other["choices"])) < 0.2


@pytest.mark.parametrize(("epoch", "share"), [(0, 0.1), (4, 0.5), (9, 1.0), (30, 1.0)])
def test_the_share_of_images_that_are_changed_grows_with_the_epochs(epoch, share):
    augmentation = Augmentation(flip=False, rand_augment=0.4, erase=0.8, grow_epochs=10)
    drawn = augmentation.draw(4000, tf.constant([5, epoch], tf.int64))
    identity = CHANGES.index("identity")
    changed = np.any(drawn["choices"] != identity, axis=1)
    # Both changes of one in 14² images are the identity by chance.
    assert np.mean(changed) == pytest.approx(share, abs=0.03)
    assert np.mean(np.any(drawn["erased"], axis=1)) == pytest.approx(0.8 * share, abs=0.03)
    whole = Augmentation(flip=False, rand_augment=0.4, erase=0.8).draw(4000, KEY)
    assert np.mean(np.any(whole["choices"] != identity, axis=1)) > 0.98
