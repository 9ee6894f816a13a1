"""Annotations of other programs: the table that is made of them trains."""

import json
import os
import re
from pathlib import Path

import pytest

from deepfashion_tf.data.foreign.convert import read_annotations, write_records
from deepfashion_tf.data.schema_proposal import propose_schema
from deepfashion_tf.data.table import read_table
from deepfashion_tf.errors import InputError

BOX = [4, 6, 20, 30]  # x, y, width, height in images of 40 x 60 pixels


def coco(count: int = 12) -> dict:
    return {
        "images": [{"id": n, "file_name": f"0000{n % 6}.jpg"} for n in range(count + 1)],
        "categories": [{"id": 1, "name": "dress"}, {"id": 2, "name": "coat"}],
        "attributes": [
            {"id": 7, "name": "long", "supercategory": "sleeve"},
            {"id": 8, "name": "short", "supercategory": "sleeve"},
            {"id": 9, "name": "red", "supercategory": "colour"},
        ],
        "annotations": [
            {
                "id": n,
                "image_id": n,
                "category_id": 1 + n % 2,
                "bbox": BOX,
                "attribute_ids": [7 + n % 2, 9] if n else [7, 8],
                "attributes": {"season": "warm" if n % 3 else ""},
            }
            for n in range(count)
        ]
        + [{"id": 99, "image_id": 1234, "category_id": 1, "bbox": BOX}],
    }


def cvat(count: int = 12) -> str:
    images = [
        f'<image id="{n}" name="0000{n % 6}.jpg" width="40" height="60" subset="Train">'
        f'<box label="{"dress" if n % 2 else "coat"}" xtl="4.0" ytl="6.0" xbr="24.0" ybr="36.0">'
        f'<attribute name="sleeve">{"long" if n % 3 else "short"}</attribute></box></image>'
        for n in range(count)
    ]
    empty = '<image id="99" name="00000.jpg" width="40" height="60"></image>'
    return f"<annotations><version>1.1</version>{''.join(images)}{empty}</annotations>"


def label_studio(count: int = 12) -> list:
    def task(n: int) -> dict:
        size = {"original_width": 40, "original_height": 60}
        rectangle = {"x": 10, "y": 10, "width": 50, "height": 50}
        return {
            "id": n,
            "data": {"image": f"/data/upload/3/0000{n % 6}.jpg"},
            "annotations": [
                {
                    "result": [
                        {
                            "id": "r",
                            "from_name": "label",
                            "type": "rectanglelabels",
                            "value": {
                                **rectangle,
                                "rectanglelabels": ["dress", "coat"][n % 2 :][:1],
                            },
                            **size,
                        },
                        {
                            "id": "r",
                            "from_name": "sleeve",
                            "type": "choices",
                            "value": {**rectangle, "choices": [["long"], ["short"]][n % 3 > 0]},
                            **size,
                        },
                        {"id": "c", "from_name": "season", "value": {"choices": ["warm"]}},
                    ]
                }
            ],
        }

    return [*map(task, range(count)), {"id": 99, "data": {"image": "a.jpg"}, "annotations": []}]


@pytest.mark.parametrize(
    ("name", "content", "columns", "left_out"),
    [
        ("coco.json", coco(), ["category", "sleeve"], 2),
        ("cvat.xml", cvat(), ["label", "sleeve"], 1),
        ("label_studio.json", label_studio(), ["label", "sleeve"], 1),
    ],
)
def test_a_file_becomes_a_table_that_is_read(challenge, name, content, columns, left_out):
    path = challenge / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    found = read_annotations(path)
    assert (len(found.records), len(found.left_out)) == (12, left_out)
    several = write_records(challenge / "table.csv", found, challenge / "img")
    assert dict(several) == ({"sleeve": 1} if name == "coco.json" else {})
    schema = propose_schema(challenge / "table.csv").schema
    assert set(columns) <= set(schema)
    splits = read_table(challenge / "table.csv", ["train"], schema)
    assert splits[0].boxes[0].tolist() == [4, 6, 24, 36]
    assert Path(splits[0].keys[0]).parent == challenge / "img"


@pytest.mark.parametrize(
    ("place", "levels", "columns"),
    [
        ("train/dress", (), ["class"]),
        ("dress/red", (), ["class_1", "class_2"]),
        ("train/dress/red", ("split", "kind", "colour"), ["kind", "colour"]),
        ("a/dress", ("-", "kind"), ["kind"]),
    ],
)
def test_a_folder_per_class(tmp_path, challenge, place, levels, columns):
    root = tmp_path / "photos"
    for number, kind in enumerate(["dress", "coat"] * 6):
        parts = [part if part != "dress" else kind for part in place.split("/")]
        folder = root.joinpath(*(("blue" if p == "red" and number % 3 else p) for p in parts))
        folder.mkdir(parents=True, exist_ok=True)
        picture = (challenge / "img" / "00000.jpg").read_bytes()
        (folder / f"{number}.jpg").write_bytes(picture)
    (root / "stray.jpg").write_bytes(b"\xff\xd8\xff")
    found = read_annotations(root, levels)
    assert (len(found.records), len(found.left_out)) == (12, 1)
    write_records(tmp_path / "table.csv", found)
    schema = propose_schema(tmp_path / "table.csv").schema
    assert list(schema) == columns
    assert set(schema[columns[0]]) == {"dress", "coat"}
    assert len(read_table(tmp_path / "table.csv", ["train"], schema)[0]) > 5


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "{"),
        ("a.json", "[1, 2]"),
        ("a.json", '{"images": []}'),
        ("a.json", "[]"),
        ("a.json", "[" * 100_000),
        ("a.xml", "<annotations><image></image></annotations>"),
        ("a.xml", "no xml"),
        ("none.json", None),
    ],
)
def test_other_files_are_told(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="COCO"):
        read_annotations(tmp_path / name)


def test_a_folder_without_classes_is_told(tmp_path):
    with pytest.raises(InputError, match="no image"):
        read_annotations(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InputError, match="no folder per class"):
        read_annotations(tmp_path)


def test_the_command_of_the_page(run_here, tmp_path, challenge):
    """That of docs/inputs.md, as it stands there."""
    text = (Path(__file__).parents[1] / "docs" / "inputs.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"```bash\npython scripts/(.*)\n```", text)
    for number in range(12):
        kind, colour = (("dress", "coat")[number % 2], ("red", "blue")[number % 3 > 0])
        path = tmp_path / "photos" / "train" / kind / colour / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((challenge / "img" / "00000.jpg").read_bytes())
    script, *options = command.split()
    code, out, _ = run_here(script.removesuffix(".py"), *options, cwd=tmp_path)
    assert code == 0 and "12 annotations: 12 rows, 0 left out" in out


def test_the_command(run_here, challenge):
    (challenge / "coco.json").write_text(json.dumps(coco()))
    code, out, _ = run_here("make_table", "coco.json", "--images", "img", cwd=challenge)
    assert code == 1  # something was left out
    assert "14 annotations: 12 rows, 2 left out" in out
    assert "several words in sleeve, of which none is taken: 1 row" in out
    assert (challenge / "table.csv").is_file() and (challenge / "schema.yaml").is_file()


def test_names_that_are_no_utf8_are_left_out(run_here, tmp_path, challenge):
    image = (challenge / "img" / "00000.jpg").read_bytes()
    good = [f"{kind}/{number}.jpg" for kind in ("coat", "dress") for number in range(3)]
    for name in (*map(os.fsencode, good), b"dress/b\xff.jpg", b"co\xfet/a.jpg"):
        path = tmp_path / "photos" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    code, out, _ = run_here("make_table", "photos", "--output", "t.csv", cwd=tmp_path)
    assert code == 1 and "8 annotations: 6 rows, 2 left out" in out
    assert r"photos/dress/b\udcff.jpg has a name that is no UTF-8: rename it" in out
    text = (tmp_path / "t.csv").read_text(encoding="utf-8")
    assert [line.split(",")[0] for line in text.splitlines()[1:]] == [f"photos/{n}" for n in good]
    # JSON can spell half of a pair, which is no text either.
    content = coco()
    content["images"][0]["file_name"] = "a\udcff.jpg"
    (tmp_path / "coco.json").write_text(json.dumps(content))
    found = read_annotations(tmp_path / "coco.json")
    assert any("no UTF-8" in why for _, why in found.left_out)


def converted(
    folder: Path, content, name: str = "a.json", levels=()
) -> tuple[list[str], list[str]]:
    """Lines of the table that is made of a file's content, and what is left out."""
    path = folder / name
    if not isinstance(content, Path):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    found = read_annotations(content if isinstance(content, Path) else path, levels)
    write_records(folder / "out.csv", found)
    left_out = [f"{place} {why}" for place, why in found.left_out]
    return (folder / "out.csv").read_text().splitlines(), left_out


def damaged_coco(**changes) -> dict:
    content = coco(2)
    content["annotations"] = [{**content["annotations"][0], **changes}, content["annotations"][1]]
    return content


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"bbox": [1, 2, float("nan"), 4]}, "a box of 1 2 nan 6"),
        ({"bbox": [1, 2, float("inf"), 4]}, "a box of 1 2 inf 6"),
        ({"bbox": [1, 2, 3]}, "not enough values"),
        ({"bbox": {"x": 1, "y": 2, "w": 3, "h": 4}}, "could not convert"),
        ({"attributes": ["x"]}, "no attribute 'items'"),
        ({"category_id": 77}, "is of category 77, which is missing"),
    ],
)
def test_a_broken_annotation_is_left_out_alone(tmp_path, changes, fault):
    lines, left_out = converted(tmp_path, damaged_coco(id=5, **changes))
    assert len(lines) == 2
    assert left_out[0].startswith("annotation 5 ") and fault in left_out[0]


def test_images_of_one_id_are_told(tmp_path):
    content = coco(2)
    content["images"][1]["id"] = 0
    content["annotations"] = content["annotations"][:1]
    lines, left_out = converted(tmp_path, content)
    assert lines[1].startswith("00000.jpg") and "00001.jpg has the id 0 of 00000.jpg" in left_out


def test_words_are_those_of_the_file(tmp_path):
    words = {"image": "front", "x1": 9, "on": True, "several": ["a", "b"], "none": None}
    lines, _ = converted(tmp_path, damaged_coco(attributes=words))
    header = lines[0].split(",")
    cells = dict(zip(header, lines[1].split(","), strict=True))
    assert len(set(header)) == len(header)
    assert cells["image_label"] == "front" and cells["x1_label"] == "9" and cells["on"] == "true"
    assert cells["several"] == "a;b" and cells["none"] == "" and cells["image"] == "00000.jpg"


def test_shapes_that_are_not_read_are_listed_and_rotated_boxes_enclosed(tmp_path):
    text = cvat(1).replace("</box>", '</box><polygon label="dress" points="1,2;3,4"/>')
    lines, left_out = converted(tmp_path, text.replace("<box", '<box rotation="90"'), "a.xml")
    # 20 x 30 around (14, 21) becomes 30 x 20.
    assert lines[1].split(",")[1:5] == ["0", "11", "29", "31"]
    assert any("has a polygon: only boxes and tags are read" in one for one in left_out)
    tasks = label_studio(2)
    tasks[0]["annotations"][0]["result"] += [
        {"from_name": "cut", "type": "taxonomy", "value": {"taxonomy": [["a"]]}}
    ]
    tasks[0]["annotations"][0]["result"][2]["value"]["choices"] = "warm"
    lines, left_out = converted(tmp_path, tasks)
    assert "task 0 has taxonomy: only choices and rectangles are read" in left_out
    assert "warm" in lines[1]


def test_the_image_of_a_task_is_the_text_that_names_one(tmp_path):
    tasks = label_studio(1)
    tasks[0]["data"] = {"title": "Dress no. 5 / red.", **tasks[0]["data"]}
    assert converted(tmp_path, tasks)[0][1].startswith("00000.jpg")


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (["kind", "kind"], "--levels has 'kind' in several places"),
        ([""], "--levels has ''"),
        (["kind", "cut"], "No image of .* lies 2 folders deep"),
    ],
)
def test_levels_that_fit_no_folder_are_told(tmp_path, levels, message):
    for name in ("dress/1.jpg", "3.jpg"):
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InputError, match=message):
        converted(tmp_path, tmp_path / "d", levels=levels)
    lines, left_out = converted(tmp_path, tmp_path / "d")
    assert len(lines) == 2 and "3.jpg lies 0 folders deep" in left_out[0]


def test_a_pipe_is_no_file_of_annotations(tmp_path):
    os.mkfifo(tmp_path / "p.json")
    with pytest.raises(InputError, match="is neither a file nor a folder"):
        read_annotations(tmp_path / "p.json")
