"""What is to be answered: files, folders, patterns, tables, and what is wrong with them."""

import io

import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from deepfashion_tf.data.split import WHOLE_IMAGE
from deepfashion_tf.data.table_options import TableOptions
from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.items import find_items
from deepfashion_tf.progress import count_aside


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.JPG", "b/1.png", "a.webp", "notes.txt", "c/d/3.gif"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "photos"


def encoded_png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


def names(items, folder):
    return [item.image.removeprefix(f"{folder}/") for item in items]


def test_a_folder_stands_for_the_images_below_it_in_order(folder):
    assert names(find_items([str(folder)]), folder) == ["a.webp", "b/1.png", "b/2.JPG", "c/d/3.gif"]


def test_a_pattern_stands_for_the_files_that_fit(folder):
    assert names(find_items([f"{folder}/**/[12].*"]), folder) == ["b/1.png", "b/2.JPG"]
    (item,) = find_items([f"{folder}/*.bmp"])
    assert "no file fits" in item.fault


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(folder):
    path = folder / "dress[1].jpg"
    path.write_bytes(b"")
    (item,) = find_items([str(path)])
    assert item.path == str(path) and item.fault is None


def test_files_of_a_folder_are_judged_by_their_content(tmp_path):
    jpeg = b"\xff\xd8\xff\xe0 and so on"
    for name in ("a.jpg", "b.JPG", "c.jfif", "d.jpe", "e.tif", "f.avif", "g.heic", "h.jp2"):
        (tmp_path / name).write_bytes(b"")
    for name in ("noext", "photo.download", "._a.jpg", "Thumbs.db", ".DS_Store", "__MACOSX/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg)
    (tmp_path / "notes.txt").write_text("about the photographs")
    found = find_items([str(tmp_path)])
    assert names(found, tmp_path) == [
        *("a.jpg", "b.JPG", "c.jfif", "d.jpe", "e.tif", "f.avif", "g.heic", "h.jp2"),
        *("noext", "photo.download"),
    ]
    tally = found.tally
    assert (tally.files, tally.hidden, tally.others) == (10, 3, 1)
    tally.add([None] * 8 + ["is missing", "is 3 x 4 pixels: the box 1,2,3,4 is empty"])
    assert tally.lines() == [
        "10 files: 8 answered; 2 left out (1 is missing, 1 is … x … pixels); ignored: 3 hidden "
        f"files, 1 other file ({tmp_path}/notes.txt)"
    ]


def test_the_rows_of_a_table_are_counted_whatever_they_hold(folder):
    rows = [f"b/1.png,{i},{i}" for i in range(48)]
    rows[5] = 'b/1.png,"never closed,1'
    rows[9:11] = [",,", "b/1.png,1"]
    (folder / "t.csv").write_text("\n".join(["image,text,number", *rows]))
    found = find_items([str(folder / "t.csv")])
    faults = [item.fault for item in found]
    assert (len(faults), found.tally.rows, found.tally.empty) == (47, 47, 1)
    assert [place for place, fault in enumerate(faults) if fault] == [5, 9]


@pytest.mark.parametrize("box", ["0,0,1,1", "0.1,0.1,0.5,0.9"])
def test_shares_of_the_sides_are_no_pixels(folder, box):
    (folder / "t.csv").write_text("image,x1,y1,x2,y2\n" + f"b/1.png,{box}\n" * 4)
    with pytest.raises(InputError, match="say --boxes normalised"):
        list(find_items([str(folder / "t.csv")]))


def test_boxes_in_shares_are_pixels_of_their_images(folder):
    (folder / "b" / "3.png").write_bytes(encoded_png(40, 60))
    (folder / "t.csv").write_text("image,x1,y1,x2,y2\nb/3.png,0.1,0.5,1,1\nb/1.png,0,0,1,2\n")
    options = TableOptions(boxes="normalised")
    good, bad = find_items([str(folder / "t.csv")], options=options)
    assert good.box == (4, 30, 40, 60)
    assert "no share of the sides" in bad.fault


def test_an_empty_folder_is_told(tmp_path):
    (item,) = find_items([str(tmp_path)])
    assert "without an image" in item.fault


def test_a_box_is_for_all_that_have_none_of_their_own(folder):
    (folder / "t.csv").write_text("image,x1,y1,x2,y2\na.webp,1,2,3,4\nb/1.png,,,,\n")
    boxes = [item.box for item in find_items([str(folder / "t.csv")], (5, 6, 7, 8))]
    assert boxes == [(1, 2, 3, 4), (5, 6, 7, 8)]
    boxes = [item.box for item in find_items([str(folder / "t.csv")])]
    assert boxes == [(1, 2, 3, 4), WHOLE_IMAGE]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_rows_of_a_table_that_are_wrong_are_faults_of_their_own(folder, delimiter):
    rows = ["image,price,x1,y1,x2,y2", "a.webp,1,0,0,5,5.0", ",2,0,0,1,1", "b/1.png,3,0,,5,5"]
    text = "".join(f"{row}\n" for row in rows).replace(",", delimiter)
    path = folder / "t.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    first, second, third = find_items([str(path)])
    assert (first.image, first.box, first.fault) == ("a.webp", (0, 0, 5, 5), None)
    assert first.path == str(folder / "a.webp")
    assert "line 3" in second.image and "names no image" in second.fault
    assert "box" in third.fault


def test_parquet_is_read_as_csv_is(folder):
    columns = {"image": ["a.webp", None], "x1": [1.0, None], "y1": [2, None]}
    columns |= {"x2": ["3", None], "y2": [4, None], "other": [0, 0]}
    pa.parquet.write_table(pa.table(columns), folder / "t.parquet")
    first, second = find_items([str(folder / "t.parquet")])
    assert first.box == (1, 2, 3, 4)
    assert second.fault == "names no image"


def test_a_table_that_is_none_is_refused(folder):
    (folder / "no.csv").write_text("path,x1\na,1\n")
    with pytest.raises(InputError, match="no column image"):
        list(find_items([str(folder / "no.csv")]))
    (folder / "no.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read as a Parquet table"):
        list(find_items([str(folder / "no.parquet")]))
    with pytest.raises(InputError, match="No image is named"):
        find_items([])
    (missing,) = find_items([str(folder / "none.csv")])
    assert missing.fault == "is missing"


def test_nothing_is_read_ahead_of_being_asked_for(folder, tmp_path):
    """A table of ten million rows is never in memory: its end may not even be there yet."""
    path = tmp_path / "long.csv"
    path.write_text("image\n" + "".join(f"{number}.jpg\n" for number in range(200_000)))
    items = iter(find_items([str(path)]))
    assert next(items).image == "0.jpg"
    path.write_text("image\n")
    assert sum(1 for _ in items) < 199_999


def test_a_bar_learns_how_many_there_are_while_they_are_gone_through(folder):
    items = find_items([str(folder)])
    with Progress(disable=False, console=Console(file=io.StringIO())) as progress:
        task = progress.add_task("", total=None)
        remaining = iter(items)
        next(remaining)
        count_aside(progress, task, items).join()
        assert progress.tasks[0].total == 4
        assert len(list(remaining)) == 3
        assert count_aside(progress, task, remaining) is None  # it would take them away
    (folder / "no.csv").write_text("path,x1\na,1\n")
    broken = find_items([str(folder / "no.csv")])
    with Progress(disable=False, console=Console(file=io.StringIO())) as progress:
        task = progress.add_task("", total=None)
        count_aside(progress, task, broken).join()
        assert progress.tasks[0].total is None


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_broken_parquet_table_is_named(tmp_path, cut):
    path = tmp_path / "t.parquet"
    names = [f"{number}.jpg" for number in range(5000)]
    pyarrow.parquet.write_table(pa.table({"image": names}), path)
    content = path.read_bytes()
    damaged = bytearray(content)
    place = int(len(content) * cut)
    damaged[place : place + 40] = b"\xa5" * 40
    for broken in (content[:place], bytes(damaged), content[:-20] + b"\xff" * 12 + content[-8:]):
        path.write_bytes(broken)
        try:
            found = list(find_items([str(path)]))
        except InputError as error:
            assert str(path) in str(error)
        else:
            assert len(found) == 5000
