"""COCO's JSON: one row an annotation; of Fashionpedia and CVAT also attributes."""

from collections import defaultdict

from deepfashion_tf.data.foreign.record import Record, Records


def read_coco(content: dict) -> Records:
    """Reads annotations with their boxes.

    Args:
        content: of the file: ``images``, ``annotations``, ``categories``; and ``attributes``,
            whose numbers annotations list in ``attribute_ids``.

    Raises:
        KeyError, TypeError, ValueError: it is another kind of file.
    """
    found = Records()
    images = {image["id"]: str(image["file_name"]) for image in content["images"]}
    names = {one["id"]: str(one["name"]) for one in content.get("categories", ())}
    attributes = {
        one["id"]: (str(one.get("supercategory") or "attribute"), str(one["name"]))
        for one in content.get("attributes", ())
    }
    seen = set()
    for number, annotation in enumerate(content["annotations"]):
        place = f"annotation {annotation.get('id', number)}"
        image = images.get(annotation["image_id"])
        if image is None:
            found.left_out.append(
                (place, f"is of image {annotation['image_id']}, which is missing")
            )
            continue
        seen.add(annotation["image_id"])
        values: dict[str, list[str]] = defaultdict(list)
        if (name := names.get(annotation.get("category_id"))) is not None:
            values["category"].append(name)
        for attribute in annotation.get("attribute_ids", ()):
            column, word = attributes.get(attribute, ("attribute", str(attribute)))
            values[column].append(word)
        for column, word in (annotation.get("attributes") or {}).items():
            values[str(column)].extend([] if word in ("", None) else [str(word)])
        record = Record(image, dict(values), group=image)
        if annotation.get("bbox"):
            x, y, width, height = map(float, annotation["bbox"])
            record.box = x, y, x + width, y + height
        found.records.append(record)
    found.left_out += [
        (name, "has no annotation") for key, name in images.items() if key not in seen
    ]
    return found
