"""CVAT's XML ("CVAT for images 1.1"): one row a box, or an image where only tags are given."""

from pathlib import Path
from xml.etree import ElementTree

from deepfashion_tf.data.foreign.record import Record, Records, checked_box
from deepfashion_tf.data.split import split_id


def read_cvat(path: Path) -> Records:
    """Reads boxes and tags, their labels and their attributes.

    Raises:
        ElementTree.ParseError, KeyError, ValueError: it is another kind of file.
    """
    found = Records()
    for _, image in ElementTree.iterparse(path):
        if image.tag != "image":
            continue
        place = image.get("name") or f"image {image.get('id')}"
        with found.reading(place):
            _read(found, image, image.attrib["name"])
        image.clear()  # so that a file of gigabytes fits
    return found


def _read(found: Records, image: ElementTree.Element, name: str) -> None:
    tags: dict[str, list[str]] = {}
    for tag in image.iter("tag"):
        _add(tags, tag)
    boxes = list(image.iter("box"))
    split = image.get("subset")
    split = split if split_id(split) is not None else None
    for number, box in enumerate(boxes, 1):
        with found.reading(f"{name}, box {number}"):
            values = {column: list(words) for column, words in tags.items()}
            _add(values, box)
            corners = tuple(float(box.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
            corners = checked_box(corners, float(box.get("rotation", 0)))
            found.records.append(Record(name, values, corners, split, name))
    if not boxes and tags:
        found.records.append(Record(name, tags, None, split, name))
    if not boxes and not tags:
        found.left_out.append((name, "has no box and no tag"))
    for shape in image:
        if shape.tag not in ("box", "tag"):
            found.left_out.append((name, f"has a {shape.tag}: only boxes and tags are read"))


def _add(values: dict[str, list[str]], element: ElementTree.Element) -> None:
    values.setdefault("label", []).append(element.attrib["label"])
    for attribute in element.iter("attribute"):
        if attribute.text and attribute.text.strip():
            values.setdefault(attribute.attrib["name"], []).append(attribute.text.strip())
