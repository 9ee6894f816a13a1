"""What Python code hands over as images, as items that a predictor reads. No TensorFlow."""

import glob
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from PIL import Image, ImageOps

from deepfashion_tf.data.addresses import is_address
from deepfashion_tf.data.split import WHOLE_IMAGE
from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.files import is_file, is_folder
from deepfashion_tf.inference.items import Box, Item, find_items, has_boxes

OneImage: TypeAlias = str | os.PathLike[str] | bytes | np.ndarray | Image.Image
Images: TypeAlias = OneImage | Iterable[OneImage]
_ENCODED = (bytes, bytearray, memoryview, Image.Image)
Boxes: TypeAlias = Sequence[int] | Sequence[Sequence[int] | None] | Mapping[str, Sequence[int]]


def is_single(images: Images) -> bool:
    """Whether images are one: a file, an address, bytes, a PIL image or an array of three axes."""
    if isinstance(images, np.ndarray):
        return images.ndim < 4
    if (text := _path(images)) is not None:
        return not (is_folder(text) or has_boxes([text]) or _is_pattern(text))
    return isinstance(images, _ENCODED)


def items_from(images: Images, boxes: Boxes | None = None) -> Iterator[Item]:
    """Makes items of images, one after the other.

    Args:
        images: a path, an address, encoded bytes, a PIL image, uint8 RGB pixels ``[height, width,
            3]``, a folder, a pattern, a table of images, or several of these.
        boxes: x1, y1, x2, y2 in half-open pixels, of every image; or one an image, None = the
            whole image; or path of an image -> box. Boxes of a table win.

    Raises:
        InputError: a box without area, or not as many boxes as images; later, on the way, an
            array that is no picture.
        TypeError: something that is no image.
    """
    found = _flatten(images)
    if boxes is None:
        return found
    if isinstance(boxes, Mapping):
        return _boxed_by_name(found, {os.fspath(name): box_of(b) for name, b in boxes.items()})
    several: list[Any] = list(boxes)
    if len(several) == 4 and all(isinstance(value, int | np.integer) for value in several):
        box = box_of(several)
        return (item if item.box != WHOLE_IMAGE else replace(item, box=box) for item in found)
    return _boxed_in_order(found, [WHOLE_IMAGE if b is None else box_of(b) for b in several])


def _flatten(images: Images) -> Iterator[Item]:
    if (text := _path(images)) is not None:
        if not is_single(text):
            return iter(find_items([text]))
        return iter([Item(text, address=text) if is_address(text) else Item(text, path=text)])
    if isinstance(images, _ENCODED) or (isinstance(images, np.ndarray) and images.ndim < 4):
        return iter([_item(images, "image")])
    if not isinstance(images, Iterable):
        raise TypeError(
            f"An image of type {type(images).__name__}: give a path, bytes, a PIL image, a NumPy "
            f"array, or several of them."
        )
    return _several(images)


def _path(image: object) -> str | None:
    """Returns a path or an address as text; None where an image is neither."""
    if isinstance(image, str):
        return image
    return str(os.fspath(image)) if isinstance(image, os.PathLike) else None


def _several(images: Iterable[object]) -> Iterator[Item]:
    for number, image in enumerate(images):
        if (text := _path(image)) is not None:
            yield from _flatten(text)
        elif isinstance(image, _ENCODED) or (isinstance(image, np.ndarray) and image.ndim < 4):
            yield _item(image, f"image {number}")
        else:
            raise TypeError(
                f"Image {number} is of type {type(image).__name__}: give a path, bytes, a PIL "
                f"image or a NumPy array of three axes."
            )


def _item(image: Any, name: str) -> Item:
    if isinstance(image, bytes | bytearray | memoryview):
        return Item(name, encoded=bytes(image))
    if isinstance(image, Image.Image):
        name = getattr(image, "filename", "") or name
        upright = ImageOps.exif_transpose(image)
        kind = "RGBA" if upright.has_transparency_data else "RGB"
        return Item(name, encoded=_png(np.asarray(upright.convert(kind)), name))
    return Item(name, encoded=_png(image, name))


def _png(pixels: np.ndarray, name: str) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not pixels.size:
        raise InputError(
            f"{name} is an array of {pixels.dtype} {list(pixels.shape)}: give uint8 pixels, 0 to "
            f"255, as [height, width, 3] in RGB."
        )
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if pixels.shape[2] not in (3, 4):
        raise InputError(
            f"{name} has {pixels.shape[2]} channels: give [height, width, 3] in RGB, or 4 with "
            f"opacity."
        )
    order = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    swapped = cv2.cvtColor(np.ascontiguousarray(pixels), order)
    return cv2.imencode(".png", swapped, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _is_pattern(text: str) -> bool:
    return glob.has_magic(text) and not is_file(text) and not is_address(text)


def box_of(values: Sequence[int], shown: str | None = None) -> Box:
    """Checks a box: x1, y1, x2, y2 in half-open pixels.

    Args:
        values: the four numbers.
        shown: how messages name the box; None = by its numbers.

    Raises:
        InputError: not four whole numbers, or no area.
    """
    shown = shown or f"The box {list(values)}"
    numbers = [int(value) for value in values]
    if len(numbers) != 4 or any(a != b for a, b in zip(numbers, values, strict=True)):
        raise InputError(f"{shown} is not x1,y1,x2,y2: give four whole numbers.")
    x1, y1, x2, y2 = numbers
    if min(x1, y1) < 0 or x1 >= x2 or y1 >= y2:
        raise InputError(f"{shown} has no area inside an image: 0 <= x1 < x2, 0 <= y1 < y2.")
    return x1, y1, x2, y2


def _boxed_in_order(items: Iterator[Item], boxes: list[Box]) -> Iterator[Item]:
    count = 0
    for item in items:
        if count == len(boxes):
            raise InputError(f"There are {count} boxes and more images: give one box an image.")
        yield replace(item, box=boxes[count]) if item.box == WHOLE_IMAGE else item
        count += 1
    if count < len(boxes):
        raise InputError(f"There are {len(boxes)} boxes and {count} images: give one box an image.")


def _boxed_by_name(items: Iterator[Item], boxes: dict[str, Box]) -> Iterator[Item]:
    unused = dict.fromkeys(boxes)
    for item in items:
        name = item.image if item.image in boxes else Path(item.image).name
        unused.pop(name, None)
        own = name not in boxes or item.box != WHOLE_IMAGE
        yield item if own else replace(item, box=boxes[name])
    if unused:
        warnings.warn(
            f"No image has the name of {len(unused)} of the {len(boxes)} boxes: "
            f"{list_some(list(unused))}.",
            stacklevel=2,
        )
