import hashlib
import subprocess
import sys

import numpy as np
import pytest

from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.wardrobe import (
    draw_contact_sheet,
    draw_garment,
    sample_labels,
    write_wardrobe,
)
from deepfashion_tf.data.wardrobe.sampling import REAL_COUNTS
from deepfashion_tf.errors import InputError
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()

_, SLEEVE, LENGTH, NECKLINE, FABRIC, FIT = range(6)


def digest(directory) -> str:
    total = hashlib.sha256()
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        total.update(path.relative_to(directory).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


@pytest.mark.slow
def test_same_seed_same_bytes_however_many_processes(wardrobe, tmp_path):
    write_wardrobe(tmp_path / "one", train=48, val=24, test=8, seed=0, workers=1)
    assert digest(tmp_path / "one") == digest(wardrobe)
    write_wardrobe(tmp_path / "two", train=48, val=24, test=8, seed=1, workers=1)
    assert digest(tmp_path / "two") != digest(wardrobe)


def test_an_image_does_not_depend_on_how_many_there_are(wardrobe, tmp_path):
    write_wardrobe(tmp_path / "few", train=2, val=1, test=0, seed=0, workers=1)
    for few, many in (("00000", "00000"), ("00001", "00001"), ("00002", "00048")):
        one = (tmp_path / "few" / "img" / f"{few}.jpg").read_bytes()
        assert one == (wardrobe / "img" / f"{many}.jpg").read_bytes()


def test_it_is_a_data_set_in_the_challenge_layout(wardrobe):
    splits = [read_split(wardrobe, name) for name in ("train", "val", "test")]
    assert [len(split) for split in splits] == [48, 24, 8]
    assert (splits[0].labels >= 0).all()
    for line in (wardrobe / "split" / "train_landmards.txt").read_text().splitlines():
        assert len(line.split()) == 16


def test_class_frequencies_are_the_real_ones():
    count = 50_000
    labels = sample_labels(np.random.default_rng(0), count)
    for column, category in enumerate(SCHEMA):
        expected = np.array(REAL_COUNTS[category]) / 5000
        found = np.bincount(labels[:, column], minlength=len(expected)) / count
        # Five standard errors of a share.
        assert np.all(np.abs(found - expected) < 5 * np.sqrt(expected / count)), category


def test_no_category_tells_another():
    labels = sample_labels(np.random.default_rng(1), 20_000)
    for fabric in range(len(SCHEMA["fabric"])):
        of_fabric = labels[labels[:, FABRIC] == fabric]
        assert len(np.unique(of_fabric[:, FIT])) == 3
        assert len(np.unique(of_fabric[:, SLEEVE])) >= 2
        assert len(np.unique(of_fabric[:, NECKLINE])) >= 3


def test_impossible_garments_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="no garment has the labels"):
        # Fur with flowers.
        draw_garment([0, 0, 2, 0, 4, 2], rng)


def drawings(count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    for labels in sample_labels(rng, count):
        yield labels, draw_garment(labels, rng)


def test_the_box_holds_the_garment_tightly():
    for labels, drawing in drawings(60):
        height, width = drawing.image.shape[:2]
        assert drawing.image.dtype == np.uint8 and max(height, width) == 300
        x1, y1, x2, y2 = drawing.box
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
        garment = drawing.regions["garment"]
        assert garment[y1:y2, x1:x2].sum() > 0.97 * garment.sum(), labels
        # Its outline comes near every side of the box.
        rows, columns = np.flatnonzero(garment.any(axis=1)), np.flatnonzero(garment.any(axis=0))
        assert columns[0] - x1 < 25 and x2 - columns[-1] < 25
        assert rows[0] - y1 < 60 and y2 - rows[-1] < 25


def test_sleeves_are_there_when_they_should_be():
    for labels, drawing in drawings(60, seed=3):
        has_sleeves = drawing.regions["sleeve"].any()
        assert has_sleeves == (labels[SLEEVE] != 2)
        assert (drawing.landmarks[2:4] >= 0).any() <= has_sleeves


@pytest.mark.parametrize(
    ("category", "attribute"),
    [(c, a) for c, attributes in SCHEMA.items() for a in attributes],
)
def test_every_attribute_can_be_drawn(category, attribute):
    rng = np.random.default_rng(5)
    column = list(SCHEMA).index(category)
    pool = sample_labels(rng, 20_000)
    having = pool[pool[:, column] == SCHEMA[category].index(attribute)]
    drawing = draw_garment(having[0], rng)
    assert drawing.image[drawing.regions["garment"]].std() > 1


@pytest.mark.slow
def test_attributes_show_where_they_belong():
    """Every maxi dress reaches further below its waist than any mini; long sleeves are larger."""
    reach, sleeve_share = {0: [], 1: []}, {0: [], 1: []}
    for labels, drawing in drawings(150, seed=7):
        garment = drawing.regions["garment"]
        collar, waist, hem = drawing.landmarks[[0, 4, 6], 1]
        if labels[LENGTH] in reach and min(collar, waist, hem) >= 0:
            reach[labels[LENGTH]].append((hem - waist) / (waist - collar))
        if labels[SLEEVE] in sleeve_share:
            share = drawing.regions["sleeve"].sum() / garment.sum()
            sleeve_share[labels[SLEEVE]].append(share)
    assert min(reach[0]) > max(reach[1])
    assert np.mean(sleeve_share[0]) > 1.5 * np.mean(sleeve_share[1])


def test_the_contact_sheet_has_a_column_for_each_attribute():
    sheet = draw_contact_sheet(0, rows=1, cell=(40, 50))
    assert sheet.shape == (2 * (36 + 50), 13 * 40, 3)
    assert sheet.std() > 10


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        write_wardrobe(tmp_path, train=1, val=0, test=0, seed=0)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("counts", [(0, 0, 0), (-1, 2, 2)])
def test_counts_that_make_no_data_set(tmp_path, counts):
    train, val, test = counts
    with pytest.raises(InputError, match="cannot be drawn"):
        write_wardrobe(tmp_path / "w", train=train, val=val, test=test, seed=0)


def test_an_interrupted_drawing_leaves_nothing(tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_wardrobe(
            tmp_path / "w", train=80, val=0, test=0, seed=0, workers=1, on_progress=interrupt
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("asked", ["write_wardrobe", "open_splits"])
def test_a_script_without_a_guard_is_told_of_it_and_does_not_hang(tmp_path, asked):
    program = {
        "write_wardrobe": """
from deepfashion_tf.data.wardrobe import write_wardrobe
write_wardrobe("drawn", train=4, val=2, test=0, seed=0, workers=2)
""",
        "open_splits": """
from deepfashion_tf.data.sources import open_splits
from deepfashion_tf.runs.config import TrainConfig
open_splits(TrainConfig(wardrobe_images=(4, 2, 0)), ["train"])
""",
    }[asked]
    (tmp_path / "script.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert 'below `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]
    assert not list(tmp_path.rglob("*.jpg"))
