import numpy as np
import psutil
import pytest
import tensorflow as tf
from conftest import write_lines
from image_files import supported

from deepfashion_tf.data.augment import Augmentation
from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.images import read_crop
from deepfashion_tf.data.normalization import NORMALIZATIONS
from deepfashion_tf.data.pipeline import evaluation_dataset, steps_per_epoch, training_dataset
from deepfashion_tf.data.plain import is_plain
from deepfashion_tf.data.reading import DirectReader, cached_reader, crop_batches
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()

TORCH = NORMALIZATIONS["torch"]
SIZE = 32


@pytest.fixture(scope="module")
def split(wardrobe):
    return read_split(wardrobe, "train")


@pytest.fixture(scope="module")
def reader(split):
    return cached_reader(split, SIZE)


def batches(split, reader, seed=0, epochs=2, **options):
    dataset = training_dataset(
        split, reader, TORCH, batch_size=20, epochs=epochs, seed=seed, **options
    )
    return [(images.numpy(), {c: v.numpy() for c, v in y.items()}) for images, y in dataset]


def same(one, other):
    return len(one) == len(other) and all(
        np.array_equal(a, b) and all(np.array_equal(y[c], z[c]) for c in SCHEMA)
        for (a, y), (b, z) in zip(one, other, strict=True)
    )


def test_same_seed_same_batches(split, reader):
    first = batches(split, reader)
    assert same(first, batches(split, reader))
    assert not same(first, batches(split, reader, seed=1))


def test_each_epoch_is_a_permutation_of_its_own(split, reader):
    """Without flips every image stands in every epoch once, in another order each time."""
    steps = steps_per_epoch(split, 20)
    found = batches(split, reader, augmentation=Augmentation(flip=False))
    assert len(found) == 2 * steps
    assert [len(images) for images, _ in found[:steps]] == [20, 20, 8]
    epochs = [np.concatenate([x for x, _ in found[i : i + steps]]) for i in (0, steps)]
    assert not np.array_equal(*epochs)
    keys = [sorted(image.tobytes() for image in epoch) for epoch in epochs]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == len(split)


def test_about_half_are_flipped_and_others_each_time(split, reader):
    plain = {
        image.tobytes()
        for images, _ in batches(split, reader, augmentation=Augmentation(flip=False))
        for image in images
    }
    found = batches(split, reader)
    kept = [image.tobytes() in plain for images, _ in found for image in images]
    assert 0.3 < np.mean(kept) < 0.7
    mirrored = [image[:, ::-1].tobytes() in plain for images, _ in found for image in images]
    assert np.all(np.array(kept) | np.array(mirrored))


def test_jitter_changes_each_image_and_repeats_with_its_seed(split, reader):
    plain = batches(split, reader)
    found = batches(split, reader, augmentation=Augmentation(jitter=0.5))
    assert same(found, batches(split, reader, augmentation=Augmentation(jitter=0.5)))
    for (images, labels), (others, other_labels) in zip(plain, found, strict=True):
        assert all(np.array_equal(labels[c], other_labels[c]) for c in SCHEMA)
        assert (np.abs(images - others).mean(axis=(1, 2, 3)) > 0.01).all()


def test_a_later_epoch_does_not_need_the_ones_before(split, reader):
    steps = steps_per_epoch(split, 20)
    assert same(batches(split, reader)[steps:], batches(split, reader, start=(1, 0)))


def test_labels_stay_with_their_images(split, reader):
    by_image = {}
    for images, labels in evaluation_dataset(split, reader, TORCH, batch_size=7):
        for row, image in enumerate(images.numpy()):
            by_image[image.tobytes()] = [int(labels[c][row]) for c in SCHEMA]
    assert list(by_image.values()) == split.labels.tolist()
    for images, labels in batches(split, reader, augmentation=Augmentation(flip=False)):
        for row, image in enumerate(images):
            assert by_image[image.tobytes()] == [labels[c][row] for c in SCHEMA]


def test_the_cache_changes_nothing(split, reader):
    plain = DirectReader(split, SIZE)
    assert same(batches(split, reader, epochs=1), batches(split, plain, epochs=1))


def test_a_cache_that_does_not_fit_is_refused(split, monkeypatch):
    memory = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with pytest.raises(InputError, match="--cache FOLDER, or pass --cache none"):
        cached_reader(split, SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("box", [(-1, -1, -1, -1), (5, 3, 17, 26)])
def test_every_kind_of_image_is_read_as_the_export_reads_it(box):
    """The pipeline turns rare kinds into plain ones; to the last grey level they stay the same."""
    files = list(supported().values())
    boxes = np.tile(np.int32(box), (len(files), 1))
    labels = np.zeros((len(files), 6), np.int32)
    split = Split(builtin_schema(), "val", files.__getitem__, list(supported()), boxes, labels, "")
    crops = np.concatenate(list(crop_batches(split, SIZE)))
    for crop, encoded, name in zip(crops, files, supported(), strict=True):
        expected = read_crop(tf.constant(encoded), tf.constant(box), SIZE)
        np.testing.assert_array_equal(crop, expected, err_msg=name)
    plain = [is_plain(encoded) for encoded in files]
    assert any(plain) and not all(plain)


def test_broken_images_are_named(challenge):
    for number, size in ((1, 400), (4, 700)):
        path = challenge / "img" / f"{number:05d}.jpg"
        path.write_bytes(path.read_bytes()[:size])
    split = read_split(challenge, "train", check_images=False)
    with pytest.raises(InputError) as raised:
        cached_reader(split, SIZE)
    assert "2 of the 6" in str(raised.value)
    assert "00001.jpg" in str(raised.value) and "00004.jpg" in str(raised.value)


def test_of_many_broken_images_all_are_named(challenge):
    for path in (challenge / "img").iterdir():
        path.write_bytes(path.read_bytes()[:400])
    write_lines(challenge / "split" / "train.txt", [f"img/{i:05d}.jpg" for i in range(12)])
    write_lines(challenge / "split" / "train_attr.txt", ["5 0 2 0 2 2"] * 12)
    (challenge / "split" / "train_bbox.txt").unlink()
    split = read_split(challenge, "train", check_images=False)
    with pytest.raises(InputError, match="12 of the 12") as raised:
        cached_reader(split, SIZE)
    assert all(str(raised.value).count(key) == 1 for key in split.keys)


def test_real_photographs_keep_their_pixels(real_photos):
    split = read_split(real_photos, "test")
    images, _ = next(iter(evaluation_dataset(split, DirectReader(split, 64), TORCH, batch_size=8)))
    restored = images.numpy() * TORCH.std + TORCH.mean
    assert images.shape == (8, 64, 64, 3)
    assert restored.min() > -1e-6 and restored.max() < 1 + 1e-6
