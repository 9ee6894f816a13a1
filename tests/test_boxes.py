"""Boxes that are enlarged: NumPy's slices, whoever reads the image."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from image_files import HEIGHT, WIDTH, jpeg, supported

from deepfashion_tf.data.boxes import enlarged_box
from deepfashion_tf.data.check import bad_images
from deepfashion_tf.data.decode import decode_and_crop, enlarged_corners, image_fault
from deepfashion_tf.data.images import read_crop
from deepfashion_tf.data.normalization import NORMALIZATIONS
from deepfashion_tf.data.pipeline import evaluation_dataset
from deepfashion_tf.data.reading import SkippingReader, cached_reader, crop_batches
from deepfashion_tf.data.split import WHOLE_IMAGE, Split
from deepfashion_tf.errors import InputError
from deepfashion_tf.schema import builtin_schema

FILES = supported() | {f"jpeg orientation {number}": jpeg(number) for number in range(1, 9)}
BOX, PADDING = (5, 3, 17, 26), 0.25
RNG = np.random.default_rng(0)


def by_numpy(whole: np.ndarray, box, padding: float) -> np.ndarray:
    x1, y1, x2, y2 = box
    right, down = int(padding * (x2 - x1) + 0.5), int(padding * (y2 - y1) + 0.5)
    return whole[max(y1 - down, 0) : y2 + down, max(x1 - right, 0) : x2 + right]


def split_of(boxes, padding: float = PADDING) -> Split:
    boxes = np.array(boxes, np.int32)
    labels = np.zeros((len(FILES), 6), np.int32)
    read = list(FILES.values()).__getitem__
    return Split(builtin_schema(), "val", read, list(FILES), boxes, labels, "here", padding=padding)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_what_is_read_is_the_slice_of_the_enlarged_box(name):
    encoded = tf.constant(FILES[name])
    whole = decode_and_crop(encoded, tf.constant(WHOLE_IMAGE)).numpy()
    for box, padding in ((BOX, PADDING), (BOX, 1.0), ((20, 12, 23, 14), 0.5)):
        found = decode_and_crop(encoded, tf.constant(box), padding).numpy()
        expected = by_numpy(whole, box, padding).astype(int)
        assert found.shape == expected.shape
        # JPEG upsamples colour across the crop's edge: some grey levels at the rim.
        difference = np.abs(found - expected)
        assert difference.max() <= (12 if name.startswith("jpeg") else 0)
        if min(found.shape[:2]) > 4:
            assert difference[2:-2, 2:-2].max() <= (1 if name.startswith("jpeg") else 0)
    np.testing.assert_array_equal(
        decode_and_crop(encoded, tf.constant(WHOLE_IMAGE), PADDING), whole
    )


def test_python_and_a_graph_enlarge_alike_to_the_pixel():
    """Halves too: 0.1 of 15 and 0.3 of 5 are some in float64, and none in float32."""
    graphs = {
        padding: tf.function(lambda c, s, p=padding: enlarged_corners(c, s, p))
        for padding in (0.1, 0.3, 0.25, 0.5, 1 / 3, 1.0)
    }
    for padding, in_graph in graphs.items():
        for _ in range(100):
            size = RNG.integers(20, 60, 2)
            low = RNG.integers(0, size)
            high = RNG.integers(low, size) + 1
            found = in_graph(tf.constant([low, high], tf.int32), tf.constant(size, tf.int32))
            ours = enlarged_box((*low, *high), tuple(size), padding)
            assert ours == tuple(np.reshape(found, 4).tolist())
    assert enlarged_box((20, 20, 35, 25), (90, 90), 0.1) == (18, 19, 37, 26)


def test_a_box_without_padding_a_whole_image_and_a_box_outside_stay_as_they_are():
    assert enlarged_box(BOX, (WIDTH, HEIGHT), 0.0) is BOX
    for box in (WHOLE_IMAGE, (0, 0, WIDTH + 1, HEIGHT), (-1, 0, 5, 5), (5, 5, 5, 9)):
        assert enlarged_box(box, (WIDTH, HEIGHT), 0.5) == box


@pytest.mark.slow
@pytest.mark.parametrize("box", [BOX, WHOLE_IMAGE])
def test_readers_and_the_exports_function_see_the_same_surroundings(box):
    split = split_of([box] * len(FILES))
    crops = np.concatenate(list(crop_batches(split, 32)))
    plain = np.concatenate(list(crop_batches(dataclasses.replace(split, padding=0.0), 32)))
    for crop, without, (name, encoded) in zip(crops, plain, FILES.items(), strict=True):
        expected = read_crop(tf.constant(encoded), tf.constant(box), 32, PADDING)
        np.testing.assert_array_equal(crop, expected, err_msg=name)
        assert np.array_equal(crop, without) == (box == WHOLE_IMAGE), name
    normalization = NORMALIZATIONS["torch"]
    skipping = SkippingReader(split, 32, lambda *fault: pytest.fail(str(fault)))
    for reader_crops, _ in evaluation_dataset(split, skipping, normalization, batch_size=100):
        restored = reader_crops.numpy() * normalization.std + normalization.mean
        np.testing.assert_allclose(restored * 255, crops, atol=1e-3)
    assert bad_images(split) == {}


def test_a_box_that_does_not_fit_is_not_made_to_fit():
    outside = (0, 0, WIDTH + 1, HEIGHT)
    split = split_of([outside] * len(FILES), 1.0)
    words = f"is {WIDTH} x {HEIGHT} pixels: the box 0,0,{WIDTH + 1},{HEIGHT} is empty or lies"
    faults = bad_images(split)
    assert list(faults) == list(range(len(FILES)))
    assert words in faults[0] and words in image_fault(FILES["jpeg"], outside, 1.0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="lies outside the image"):
        decode_and_crop(tf.constant(FILES["jpeg"]), tf.constant(outside), 1.0)


def test_damage_beside_the_box_is_a_fault_where_padding_reaches_it():
    whole, box = jpeg(), (0, 0, WIDTH, 12)
    cut = whole[: int(len(whole) * 0.8)]  # its lowest rows are missing
    assert image_fault(cut, box) is None
    assert image_fault(cut, box, 1.0) == "is not a readable image"
    split = split_of([box] * len(FILES), 1.0)
    # A file that is cut is a fault wherever its box lies, unless such files are taken.
    split = dataclasses.replace(split, encoded=lambda row: cut, accepts_damage=True)
    assert set(bad_images(split).values()) == {"is not a readable image"}
    assert bad_images(dataclasses.replace(split, padding=0.0)) == {}
    few = dataclasses.replace(split, padding=0.5)
    assert len(bad_images(few)) == len(FILES)
    with pytest.raises(InputError, match=f"{len(FILES)} of the {len(FILES)} val images"):
        cached_reader(few, 32)
