"""Label Studio's JSON: choices are columns, rectangles are boxes; one row a rectangle."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse

from deepfashion_tf.data.folder import IMAGE_SUFFIXES
from deepfashion_tf.data.foreign.record import Record, Records, checked_box, text_of, words_of

_READ = ("rectanglelabels", "labels", "choices")


def read_label_studio(content: list) -> Records:
    """Reads tasks with the last of their annotations that is not cancelled.

    Args:
        content: of the file, a list of tasks.

    Raises:
        KeyError, TypeError, ValueError: it is another kind of file.
    """
    found = Records()
    for number, task in enumerate(content):
        known = isinstance(task, dict) and task.get("id")
        place = f"task {number if known in (None, False) else known}"
        with found.reading(place):
            image = _image(task["data"].values())
            done = [one for one in task.get("annotations") or () if not one.get("was_cancelled")]
            if image is None:
                found.left_out.append((place, "names no image"))
            elif not done:
                found.left_out.append((place, "has no annotation"))
            else:
                _read(found, place, _path(image), done[-1].get("result") or ())
    return found


def _read(found: Records, place: str, image: str, results: list) -> None:
    whole: dict[str, list[str]] = {}
    regions: dict[str, Record] = {}
    for result in results:
        if not (value := result.get("value")):
            continue
        if "width" in value and "x" in value:
            record = regions.setdefault(str(result.get("id")), Record(image, group=image))
            record.box = _box(value, result["original_width"], result["original_height"])
            target = record.values
        elif value.get("choices") and str(result.get("id")) in regions:
            target = regions[str(result["id"])].values
        else:
            target = whole
        found_words = [word for key in _READ for word in words_of(value.get(key))]
        target.setdefault(text_of(result["from_name"]), []).extend(found_words)
        if not found_words and target is whole:
            kind = result.get("type") or " ".join(value)
            found.left_out.append((place, f"has {kind}: only choices and rectangles are read"))
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
    right, bottom = left + value["width"] * width / 100, top + value["height"] * height / 100
    return checked_box((left, top, right, bottom), value.get("rotation") or 0.0, (left, top))


def _image(values: Iterable) -> str | None:
    """Finds the image of a task: of its texts the first one that ends as images do."""
    texts = [text for text in values if _is_image(text)]
    named = [text for text in texts if Path(urlparse(text).path).suffix.lower() in IMAGE_SUFFIXES]
    return next(iter(named or texts), None)


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
