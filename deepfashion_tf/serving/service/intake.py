"""Reads the images of a request: a body that is one, a form, or JSON with base64."""

import base64
import binascii
from collections.abc import AsyncGenerator
from dataclasses import replace

from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from deepfashion_tf.data.split import WHOLE_IMAGE
from deepfashion_tf.errors import InputError, printable
from deepfashion_tf.inference.inputs import box_of
from deepfashion_tf.inference.items import Box, Item
from deepfashion_tf.serving.predict import parse_box
from deepfashion_tf.serving.service.messages import Image, Parameters, Question
from deepfashion_tf.serving.web.uploads import Refusal

_RAW = ("image/", "application/octet-stream")
FORM, JSON = "multipart/form-data", "application/json"


class ImageRefusal(Refusal):
    """Returns which image of a request is why it is refused.

    Attributes:
        index: of the image.
        image: its name.
    """

    def __init__(self, index: int, name: str, sentence: str) -> None:
        super().__init__(f"Image {index} ({printable(name)}): {sentence}")
        self.index, self.image = index, name


class _Parser(MultiPartParser):
    # The body is in memory already: nothing of it goes to the disk.
    spool_max_size = 2**40


async def read_images(
    body: bytes, headers: Headers, parameters: Parameters, most: int
) -> tuple[list[Item], int]:
    """Reads the images of a request.

    Args:
        body: of the request.
        headers: of it; the content type decides how the body is read.
        parameters: of its query.
        most: images.

    Returns:
        The images, and how many attributes of each category are asked for.

    Raises:
        Refusal: the body is not what it should be; nothing of it is answered.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    top = parameters.top
    if kind.startswith(_RAW):
        items = [Item(parameters.name or "image", encoded=body)]
    elif kind == FORM:
        items = await _from_form(body, headers)
    elif kind == JSON:
        items, top = _from_json(body, parameters)
    else:
        raise Refusal(
            f"The content type {printable(kind) or '(none)'} is not read: send an image as "
            f"image/jpeg (or image/png, …), a form as {FORM}, or {JSON}.",
            415,
        )
    if len(items) > most:
        raise Refusal(
            f"The request has {len(items)} images, but may have {most}: send several.", 413
        )
    if parameters.box is not None:
        box = _read_box(parameters.box)
        items = [item if item.box != WHOLE_IMAGE else replace(item, box=box) for item in items]
    return items, top


async def _from_form(body: bytes, headers: Headers) -> list[Item]:
    async def parts() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await _Parser(headers, parts()).parse()
    except MultiPartException as error:
        raise Refusal(f"The form cannot be read: {printable(error.message)}", 400) from error
    # The parser forgets a part that does not end.
    _, options = parse_options_header(headers.get("content-type"))
    if body and b"--%s--" % options.get(b"boundary", b"") not in body:
        raise Refusal("The form breaks off before its last boundary: send all of it.", 400)
    unknown = sorted({name for name, _ in form.multi_items()} - {"image", "box"})
    if unknown:
        raise Refusal(f"The form has a field {printable(unknown[0])!r}: image and box are read.")
    files = form.getlist("image")
    items = []
    for index, file in enumerate(files):
        if not isinstance(file, UploadFile):
            raise ImageRefusal(index, "image", "is no file; with curl: -F image=@photo.jpg.")
        items.append(Item(_name(file.filename, index), encoded=await file.read()))
    if not items:
        raise Refusal("The form has no field image with a file; with curl: -F image=@photo.jpg.")
    boxes = form.getlist("box")
    if boxes and len(boxes) != len(items):
        raise Refusal(
            f"The form has {len(items)} images and {len(boxes)} boxes: send one box for each image "
            f"(empty: the whole image), or none."
        )
    return [
        replace(item, box=_read_box(str(text), index, item.image)) if text else item
        for index, (item, text) in enumerate(zip(items, boxes or [""] * len(items), strict=True))
    ]


def _from_json(body: bytes, parameters: Parameters) -> tuple[list[Item], int]:
    try:
        question = Question.model_validate_json(body)
    except ValidationError as error:
        raise _json_refusal(error) from error
    items = [_item_of(image, index) for index, image in enumerate(question.images)]
    return items, question.top or parameters.top


def _json_refusal(error: ValidationError) -> Refusal:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where, reason = first["loc"], printable(first["msg"])
    if first["type"] == "json_invalid":
        return Refusal(f"The body is no JSON: {reason}.", 400)
    if len(where) > 1 and where[0] == "images":
        field = ".".join(map(str, where[2:]))
        return ImageRefusal(where[1], f"image {where[1]}", f"{printable(field)}: {reason}.")
    return Refusal(
        f"The JSON is not as documented: {printable('.'.join(map(str, where)))}: {reason}."
    )


def _item_of(image: Image, index: int) -> Item:
    name = _name(image.name, index)
    text = image.data.partition(",")[2] if image.data.startswith("data:") else image.data
    try:
        encoded = base64.b64decode(text, validate=True)
        box = box_of(image.box) if image.box else WHOLE_IMAGE
    except (binascii.Error, ValueError) as error:
        raise ImageRefusal(index, name, f"data is no base64: {error}.") from error
    except InputError as error:
        raise ImageRefusal(index, name, str(error)) from error
    return Item(name, box, encoded=encoded)


def _name(name: str | None, index: int) -> str:
    return name or f"image {index}"


def _read_box(text: str, index: int | None = None, name: str = "") -> Box:
    try:
        return parse_box(text, "The box")
    except InputError as error:
        raise (
            Refusal(str(error)) if index is None else ImageRefusal(index, name, str(error))
        ) from error
