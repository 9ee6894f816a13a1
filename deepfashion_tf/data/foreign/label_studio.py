"""Label Studio's JSON: choices are columns, rectangles are boxes; one row a rectangle."""

from urllib.parse import parse_qs, unquote, urlparse

from deepfashion_tf.data.foreign.record import Record, Records


def read_label_studio(content: list) -> Records:
    """Reads tasks with the last of their annotations that is not cancelled.

    Args:
        content: of the file, a list of tasks.

    Raises:
        KeyError, TypeError, ValueError: it is another kind of file.
    """
    found = Records()
    for number, task in enumerate(content):
        place = f"task {task.get('id', number)}"
        image = next((text for text in task["data"].values() if _is_image(text)), None)
        if image is None:
            found.left_out.append((place, "names no image"))
            continue
        done = [one for one in task.get("annotations", ()) if not one.get("was_cancelled")]
        if not done:
            found.left_out.append((place, "has no annotation"))
            continue
        _read(found, place, _path(image), done[-1].get("result", ()))
    return found


def _read(found: Records, place: str, image: str, results: list) -> None:
    whole: dict[str, list[str]] = {}
    regions: dict[str, Record] = {}
    for result in results:
        value = result.get("value", {})
        if "width" in value and "x" in value:
            record = regions.setdefault(str(result.get("id")), Record(image, group=image))
            record.box = _box(value, result["original_width"], result["original_height"])
            target = record.values
        elif value.get("choices") and str(result.get("id")) in regions:
            target = regions[str(result["id"])].values
        else:
            target = whole
        for key in ("rectanglelabels", "labels", "choices"):
            target.setdefault(result["from_name"], []).extend(map(str, value.get(key, ())))
    rows = list(regions.values()) or [Record(image, group=image)]
    for record in rows:
        record.values = {name: words for name, words in (whole | record.values).items() if words}
    kept = [record for record in rows if record.values or record.box]
    found.records += kept
    if not kept:
        found.left_out.append((place, "has neither a choice nor a rectangle"))


def _box(value: dict, width: int, height: int) -> tuple[float, float, float, float]:
    """Turns a rectangle in percent of the sides into pixels."""
    left, top = value["x"] * width / 100, value["y"] * height / 100
    return left, top, left + value["width"] * width / 100, top + value["height"] * height / 100


def _is_image(text: object) -> bool:
    return isinstance(text, str) and ("/" in text or "." in text) and "\n" not in text


def _path(text: str) -> str:
    """Returns the file that Label Studio serves under an address of its own."""
    parsed = urlparse(text)
    if parsed.path.startswith("/data/local-files"):
        return unquote(parse_qs(parsed.query).get("d", [text])[0])
    if parsed.path.startswith("/data/upload/"):
        return unquote(parsed.path.rsplit("/", 1)[-1])
    return text
