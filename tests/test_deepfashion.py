import shutil

import numpy as np
import pytest
from conftest import write_lines

from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.errors import InputError
from deepfashion_tf.schema import builtin_schema

SCHEMA = builtin_schema()

ATTRIBUTES = [name for attributes in SCHEMA.values() for name in attributes]


def edit(path, change):
    path.write_text(change(path.read_text()))


def binary_rows(labels: np.ndarray) -> list[str]:
    rows = []
    for row in labels:
        ones = []
        for label, attributes in zip(row, SCHEMA.values(), strict=True):
            ones += [int(label == i) for i in range(len(attributes))]
        rows.append(" ".join(map(str, ones)))
    return rows


def test_reads_the_challenge_layout(challenge):
    split = read_split(challenge, "train")
    assert len(split) == 6
    assert split.keys[0] == str(challenge / "img" / "00000.jpg")
    assert split.labels[:2].tolist() == [[5, 0, 2, 0, 2, 2], [0, 1, 1, 3, 5, -1]]
    # 1-based and inclusive in the file, half-open inside.
    assert split.boxes[0].tolist() == [0, 1, 40, 60]


def test_reads_the_original_layout_alike(challenge, tmp_path_factory):
    expected = read_split(challenge, "train")
    (challenge / "split").rename(challenge / "Anno_fine")
    write_lines(challenge / "Anno_fine" / "train_attr.txt", binary_rows(expected.labels))
    split = read_split(challenge, "train")
    np.testing.assert_array_equal(split.labels, expected.labels)
    np.testing.assert_array_equal(split.boxes, expected.boxes)
    assert split.keys == expected.keys


def test_reads_the_original_layout_with_folders_of_garments(challenge):
    folder = challenge / "img" / "Sheer_Blouse"
    folder.mkdir()
    shutil.copy(challenge / "img" / "00000.jpg", folder / "img_00000001.jpg")
    write_lines(challenge / "split" / "train.txt", ["img/Sheer_Blouse/img_00000001.jpg"])
    write_lines(challenge / "split" / "train_attr.txt", ["5 0 2 0 2 2"])
    write_lines(challenge / "split" / "train_bbox.txt", ["1 1 40 60"])
    assert read_split(challenge, "train").keys == (str(folder / "img_00000001.jpg"),)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n",
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "category1 category2 category3 category4 category5 category6\n" + text,
        lambda text: "\ufeff" + text,
        lambda text: text.replace(" ", "   "),
    ],
    ids=["no final newline", "two", "CRLF", "header", "BOM", "wide"],
)
def test_variations_change_nothing(challenge, change):
    expected = read_split(challenge, "train")
    edit(challenge / "split" / "train_attr.txt", change)
    split = read_split(challenge, "train")
    np.testing.assert_array_equal(split.labels, expected.labels)
    assert split.keys == expected.keys


@pytest.mark.parametrize("name", ["train.txt", "train_bbox.txt"])
def test_line_ends_of_the_other_files_change_nothing(challenge, name):
    expected = read_split(challenge, "train")
    edit(challenge / "split" / name, lambda text: text.replace("\n", "\r\n"))
    split = read_split(challenge, "train")
    assert split.keys == expected.keys
    np.testing.assert_array_equal(split.boxes, expected.boxes)


@pytest.mark.parametrize("nested", ["FashionDataset", "FashionDataset/FashionDataset", "other"])
def test_one_more_folder_around(challenge, tmp_path_factory, nested):
    outer = tmp_path_factory.mktemp("outer")
    (outer / nested).parent.mkdir(exist_ok=True)
    shutil.copytree(challenge, outer / nested)
    start = outer / "FashionDataset" if nested.count("/") else outer
    assert len(read_split(start, "val")) == 6


def test_the_folder_of_annotations_itself_will_do(challenge):
    assert len(read_split(challenge / "split", "val")) == 6


def test_without_boxes_the_whole_image(challenge):
    (challenge / "split" / "train_bbox.txt").unlink()
    assert (read_split(challenge, "train").boxes == -1).all()


def test_without_labels_only_test_is_read(challenge):
    for split in ("test", "val"):
        (challenge / "split" / f"{split}_attr.txt").unlink()
    assert (read_split(challenge, "test").labels == -1).all()
    with pytest.raises(InputError, match=r"val_attr\.txt is missing"):
        read_split(challenge, "val")


def test_a_row_without_a_1_is_unlabelled(challenge):
    labels = np.array([[5, -1, 2, 0, 2, -1]] * 6)
    write_lines(challenge / "split" / "train_attr.txt", binary_rows(labels))
    np.testing.assert_array_equal(read_split(challenge, "train").labels, labels)


def replace_line(path, number: int, line: str) -> None:
    lines = path.read_text().splitlines()
    lines[number - 1] = line
    write_lines(path, lines)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("train_attr.txt", "7 0 2 0 2 2", r"train_attr\.txt, line 3: texture is 7.*0 to 6"),
        ("train_attr.txt", "5 0 2 0 2 -2", r"train_attr\.txt, line 3: fit is -2"),
        ("train_attr.txt", "5 0 2 0 2", r"train_attr\.txt, line 3: has 5 values"),
        ("train_attr.txt", "5 0 2 0 2 x", r"train_attr\.txt, line 3: is not 6 whole numbers"),
        ("train_attr.txt", "", r"train_attr\.txt, line 3: has 0 values"),
        ("train_bbox.txt", "10 10 9 20", r"train_bbox\.txt, line 3: box 10 10 9 20 has no area"),
        ("train_bbox.txt", "0 1 9 20", r"train_bbox\.txt, line 3: box 0 1 9 20 starts outside"),
        ("train_bbox.txt", "1 1 41 60", r"train_bbox\.txt, line 3: box 1 1 41 60 lies outside"),
        ("train.txt", "img/none.jpg", r"train\.txt, line 3: .*none\.jpg is missing"),
    ],
)
def test_a_fault_is_told_with_file_and_line(challenge, name, line, message):
    replace_line(challenge / "split" / name, 3, line)
    with pytest.raises(InputError, match=message):
        read_split(challenge, "train")


def test_lines_are_counted_with_the_header(challenge):
    path = challenge / "split" / "train_attr.txt"
    replace_line(path, 3, "9 0 2 0 2 2")
    edit(path, lambda text: "category1\n" + text)
    with pytest.raises(InputError, match="line 4: texture is 9"):
        read_split(challenge, "train")


def test_rows_that_do_not_match(challenge):
    edit(challenge / "split" / "train_attr.txt", lambda text: text + "5 0 2 0 2 2\n")
    with pytest.raises(InputError, match=r"train_attr\.txt has 7 rows, train\.txt has 6"):
        read_split(challenge, "train")


def test_several_attributes_in_a_category(challenge):
    rows = binary_rows(read_split(challenge, "train").labels)
    rows[1] = "1 1" + rows[1][3:]
    write_lines(challenge / "split" / "train_attr.txt", rows)
    with pytest.raises(InputError, match="line 2: has several attributes in texture: floral"):
        read_split(challenge, "train")


def test_a_number_of_columns_that_no_layout_has(challenge):
    write_lines(challenge / "split" / "train_attr.txt", ["1 2 3"] * 6)
    with pytest.raises(InputError, match="3 columns"):
        read_split(challenge, "train")


def test_faults_of_all_files_are_told_together(challenge):
    write_lines(challenge / "split" / "train_attr.txt", ["9 0 2 0 2 2"] + ["5 0 2 0 2 2"] * 5)
    write_lines(challenge / "split" / "train_bbox.txt", ["1 2 40 60"] * 5 + ["9 9 3 60"])
    (challenge / "img" / "00002.jpg").unlink()
    with pytest.raises(InputError, match="3 faults") as raised:
        read_split(challenge, "train")
    for words in ("texture is 9", "box 9 9 3 60 has no area", "00002.jpg is missing"):
        assert words in str(raised.value)


def test_many_faults_are_told_together_ten_and_a_count(challenge):
    for name in ("train_attr.txt", "train_bbox.txt"):
        write_lines(
            challenge / "split" / name, ["9 9 9 9 9 9" if "attr" in name else "5 5 1 1"] * 6
        )
    with pytest.raises(InputError) as raised:
        read_split(challenge, "train")
    text = str(raised.value)
    assert "42 faults" in text
    assert text.count("line ") == 10
    assert "and 32 more" in text


def test_a_file_that_is_no_image(challenge):
    (challenge / "img" / "00002.jpg").write_text("no image")
    with pytest.raises(InputError, match=r"train\.txt, line 3: .*00002\.jpg is not a readable"):
        read_split(challenge, "train")


def test_wrong_folders(tmp_path, challenge):
    with pytest.raises(InputError, match="There is no folder"):
        read_split(tmp_path / "nowhere", "train")
    with pytest.raises(InputError, match="No data set was found"):
        read_split(challenge / "img", "train")
    with pytest.raises(InputError, match="there is no split 'dev'"):
        read_split(challenge, "dev")


def test_another_list_of_attributes_is_refused(challenge):
    lines = ["26", "attribute_name attribute_type", *(f"{name} 1" for name in ATTRIBUTES)]
    path = challenge / "split" / "list_attr_cloth.txt"
    write_lines(path, lines)
    assert len(read_split(challenge, "train")) == 6
    lines[2], lines[3] = lines[3], lines[2]
    write_lines(path, lines)
    with pytest.raises(InputError, match="graphic where floral is expected"):
        read_split(challenge, "train")


def test_reads_the_real_photographs(real_photos):
    splits = {name: read_split(real_photos, name) for name in ("train", "val", "test")}
    assert [len(split) for split in splits.values()] == [658, 114, 87]
    # The counts in the README beside the photographs.
    sleeves = np.bincount(splits["test"].labels[:, 1])
    assert sleeves.tolist() == [20, 60, 7]
    assert (splits["train"].labels[:, 5] == -1).all()


@pytest.mark.parametrize("columns", [6, 26])
def test_reads_twenty_thousand_rows(challenge, columns):
    count = 20_000
    labels = np.array([[5, 0, 2, 0, 2, 2], [0, 1, 1, 3, 5, 0]] * (count // 2))
    rows = binary_rows(labels) if columns == 26 else [" ".join(map(str, row)) for row in labels]
    write_lines(challenge / "split" / "train.txt", [f"img/{i:05d}.jpg" for i in range(count)])
    write_lines(challenge / "split" / "train_attr.txt", rows)
    write_lines(challenge / "split" / "train_bbox.txt", ["1 1 40 60"] * count)
    split = read_split(challenge, "train", check_images=False)
    np.testing.assert_array_equal(split.labels, labels)


def test_paths_that_lead_nowhere(challenge, tmp_path):
    (challenge / "loop").symlink_to(challenge / "loop")
    with pytest.raises(InputError, match="There is no folder"):
        read_split(challenge / "loop", "train")
    with pytest.raises(InputError, match="no such user"):
        read_split("~nobody-of-this-name", "train")


@pytest.mark.parametrize("name", ["a\0b.jpg", "x" * 300 + ".jpg"])
@pytest.mark.parametrize("line", [1, 3])
def test_names_that_are_none(challenge, name, line):
    replace_line(challenge / "split" / "train.txt", line, name)
    with pytest.raises(InputError, match=rf"train\.txt, line {line}: "):
        read_split(challenge, "train")
