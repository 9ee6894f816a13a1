"""Images that TensorFlow cannot decode, or not in their colours, as PNG; by Pillow.

These are TIFF, AVIF, HEIC and JPEG 2000 files, and files with a colour profile other than sRGB.
JPEGs beyond the pixel limit belong here, too: they are decoded at an eighth of their size.
"""

import io
from functools import lru_cache

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from deepfashion_tf.data.boxes import Box
from deepfashion_tf.data.damage import jpeg_damage
from deepfashion_tf.data.headers import (
    CONVERTED,
    MAX_PIXELS,
    UNREADABLE,
    exif_orientation,
    image_size,
    kind_of,
    register_heic,
)
from deepfashion_tf.data.split import WHOLE_IMAGE

ENOUGH = 4  # times the crop's side that a smaller JPEG still has
RATIOS = (8, 4, 2)  # what a JPEG can be made smaller by
_PATCHES = np.array([0, 64, 128, 192, 255], np.uint8)
_SAME = 3  # grey levels that nobody sees
_PROFILES = (b"ICC_PROFILE\0", b"iCCP", b"ICCP")


def needs_conversion(encoded: bytes, sides: tuple[int, int] | None = None) -> bool:
    """Whether TensorFlow cannot decode a sound image, or not in its colours.

    Args:
        encoded: a file's contents.
        sides: its `image_size`; None = it is read once more.
    """
    if kind_of(encoded[:64]) in CONVERTED or is_huge(encoded, sides):
        return True
    return any(mark in encoded for mark in _PROFILES) and _foreign_profile(encoded) is not None


def is_huge(encoded: bytes, sides: tuple[int, int] | None = None) -> bool:
    """Whether an image is a JPEG with more pixels than other images may have."""
    if not encoded.startswith(b"\xff\xd8\xff"):
        return False
    size = sides or image_size(encoded)
    return isinstance(size, tuple) and size[0] * size[1] > MAX_PIXELS


def convert(encoded: bytes, box: Box = WHOLE_IMAGE, side: int | None = None) -> bytes:
    """Does what `converted` does, and packs it as a PNG."""
    pixels = converted(encoded, box, side)
    _, png = cv2.imencode(".png", pixels[..., ::-1], (cv2.IMWRITE_PNG_COMPRESSION, 1))
    return png.tobytes()


def converted(encoded: bytes, box: Box = WHOLE_IMAGE, side: int | None = None) -> np.ndarray:
    """Decodes an image, or what of it is inside a box: upright, RGB, over white.

    Args:
        encoded: a file of any kind that `image_size` accepts.
        box: x1 y1 x2 y2 in half-open pixels of the upright image, inside it.
        side: of the crop that is made of it, in pixels; a JPEG may then come out smaller, but
            no smaller than four times the crop. None = as large as it is, or as it can be.

    Returns:
        uint8 ``[height, width, 3]``.

    Raises:
        ValueError: the image is broken or of a kind that is not converted.
    """
    size = image_size(encoded)
    if isinstance(size, str):
        raise ValueError(size)
    box = (0, 0, *size) if tuple(box) == WHOLE_IMAGE else tuple(map(int, box))
    try:
        if is_huge(encoded):
            if damage := jpeg_damage(encoded):
                raise ValueError(damage)
            return _cut(_eighth(encoded), box, size)
        return _by_pillow(encoded, box, size, side)
    except (OSError, SyntaxError, EOFError, ImageCms.PyCMSError, UnidentifiedImageError) as error:
        raise ValueError(f"the image {UNREADABLE} ({error})") from error


def _eighth(encoded: bytes) -> np.ndarray:
    pixels = simplejpeg.decode_jpeg(encoded, "RGB", min_height=1, min_width=1, strict=False)
    turned = ImageOps.exif_transpose(_with_orientation(pixels, exif_orientation(encoded)))
    return np.asarray(turned)


def _with_orientation(pixels: np.ndarray, orientation: int) -> Image.Image:
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    return image


def _by_pillow(encoded: bytes, box: Box, size: tuple[int, int], side: int | None) -> np.ndarray:
    register_heic()
    profile = _foreign_profile(encoded)
    with Image.open(io.BytesIO(encoded)) as image:
        if side and image.format == "JPEG":
            least = min(box[2] - box[0], box[3] - box[1])
            ratio = next((r for r in RATIOS if least >= r * ENOUGH * side), 1)
            image.draft(image.mode, (-(-image.width // ratio), -(-image.height // ratio)))
        image.load()
        upright = ImageOps.exif_transpose(image)
        return _rgb(_crop(upright, box, size), profile)


def _crop(image: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    """Cuts a box of an image of another size, rounded outwards."""
    across, down = image.width / size[0], image.height / size[1]
    x1, y1, x2, y2 = box
    return image.crop(
        (
            int(x1 * across),
            int(y1 * down),
            min(image.width, -int(-x2 * across // 1)),
            min(image.height, -int(-y2 * down // 1)),
        )
    )


def _cut(pixels: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(_crop(Image.fromarray(pixels), box, size))


def _rgb(image: Image.Image, profile: bytes | None) -> np.ndarray:
    """Returns uint8 ``[height, width, 3]``, sRGB over white."""
    if image.mode.startswith("I") or image.mode == "F":
        if image.mode == "F":
            raise ValueError("the image has floating-point pixels: save it as JPEG or PNG")
        # 16 bits; of a file with 32 no one knows the range.
        grey = np.asarray(image).astype(np.int64)
        return np.repeat((np.clip(grey, 0, 65535) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    alpha = None
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    if profile and (transform := _to_srgb(profile)) and transform.inputMode in ("RGB", "CMYK"):
        image = image if image.mode == transform.inputMode else image.convert("RGB")
        if image.mode == transform.inputMode:
            image = ImageCms.applyTransform(image, transform)
    image = image.convert("RGB")
    if alpha is not None:
        white = Image.new("RGB", image.size, "white")
        image = Image.composite(image, white, alpha)
    return np.asarray(image)


def _foreign_profile(encoded: bytes) -> bytes | None:
    """Returns the colour profile of an image, if its colours are not those of sRGB."""
    try:
        register_heic()
        with Image.open(io.BytesIO(encoded)) as image:
            profile = image.info.get("icc_profile")
    except Exception:  # Pillow's plugins raise what they like on broken files
        return None
    return profile if profile and _to_srgb(bytes(profile)) else None


@lru_cache(maxsize=32)
def _to_srgb(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """Builds the transform of a profile to sRGB; None where it changes nothing, or is broken."""
    try:
        opened = ImageCms.getOpenProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space.strip()
        if space not in ("RGB", "CMYK"):
            return None
        transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), space, "RGB")
        if space == "CMYK":
            return transform
        grid = np.stack(np.meshgrid(_PATCHES, _PATCHES, _PATCHES), axis=-1).reshape(1, -1, 3)
        found = np.asarray(ImageCms.applyTransform(Image.fromarray(grid), transform))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None
    moved = np.abs(found.astype(int) - grid.astype(int)).max()
    return transform if moved > _SAME else None
