"""Annotations of other programs: the table that is made of them trains."""

import json
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
    assert code == 0
    assert "14 annotations: 12 rows, 2 left out" in out
    assert "several words in sleeve, of which none is taken: 1 row" in out
    assert (challenge / "table.csv").is_file() and (challenge / "schema.yaml").is_file()
