"""COCO's JSON: one row an annotation; of Fashionpedia and CVAT also attributes."""

from collections import defaultdict

from deepfashion_tf.data.foreign.record import Record, Records, checked_box, text_of, words_of


def read_coco(content: dict) -> Records:
    """Reads annotations with their boxes.

    Args:
        content: of the file: ``images``, ``annotations``, ``categories``; and ``attributes``,
            whose numbers annotations list in ``attribute_ids``.

    Raises:
        KeyError, TypeError, ValueError: it is another kind of file.
    """
    found = Records()
    images: dict = {}
    for number, image in enumerate(content["images"]):
        with found.reading(f"image {number}"):
            name = text_of(image["file_name"])
            if images.setdefault(image["id"], name) != name:
                found.left_out.append((name, f"has the id {image['id']} of {images[image['id']]}"))
    names = {one["id"]: text_of(one["name"]) for one in content.get("categories") or ()}
    attributes = {
        one["id"]: (str(one.get("supercategory") or "attribute"), str(one["name"]))
        for one in content.get("attributes", ())
    }
    seen = set()
    for number, annotation in enumerate(content["annotations"]):
        known = isinstance(annotation, dict) and annotation.get("id")
        place = f"annotation {number if known in (None, False) else known}"
        with found.reading(place):
            if (image := images.get(key := annotation["image_id"])) is None:
                found.left_out.append((place, f"is of image {key}, which is missing"))
                continue
            seen.add(key)
            if (key := annotation.get("category_id")) not in (None, *names):
                found.left_out.append((place, f"is of category {key}, which is missing"))
                continue
            found.records.append(_record(image, annotation, names, attributes))
    found.left_out += [
        (name, "has no annotation") for key, name in images.items() if key not in seen
    ]
    return found


def _record(image: str, annotation: dict, names: dict, attributes: dict) -> Record:
    values: dict[str, list[str]] = defaultdict(list)
    if (name := names.get(annotation.get("category_id"))) is not None:
        values["category"].append(name)
    for attribute in annotation.get("attribute_ids") or ():
        column, word = attributes.get(attribute, ("attribute", str(attribute)))
        values[column].append(word)
    for column, word in (annotation.get("attributes") or {}).items():
        values[column].extend(words_of(word))
    record = Record(image, dict(values), group=image)
    if annotation.get("bbox"):
        x, y, width, height = map(float, annotation["bbox"])
        record.box = checked_box((x, y, x + width, y + height))
    return record
