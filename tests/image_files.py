"""Image files of every flavour that the tests of decoding share, small and made on the spot."""

import io
import zlib

import cv2
import numpy as np
from PIL import Image, ImageOps

WIDTH, HEIGHT = 45, 30
# Smooth, as photographs are: JPEG's transforms differ by less there. No symmetry, no square.
PIXELS = cv2.resize(
    np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8),
    (WIDTH, HEIGHT),
    interpolation=cv2.INTER_LINEAR,
)
ALPHA = np.linspace(0, 255, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint8)
RGB = Image.fromarray(PIXELS)
RGBA = Image.fromarray(np.dstack([PIXELS, ALPHA]))


def save(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int, order: str = "little") -> bytes:
    """Makes EXIF data with one entry, from the byte order on."""
    head = {"little": b"II*\0", "big": b"MM\0*"}[order]
    sizes = ((8, 4), (1, 2), (0x0112, 2), (3, 2), (1, 4), (orientation, 2), (0, 2), (0, 4))
    return head + b"".join(value.to_bytes(size, order) for value, size in sizes)


def jpeg(orientation: int | None = None, order: str = "little", **options) -> bytes:
    tiff = b"" if orientation is None else b"Exif\0\0" + exif(orientation, order)
    return save(RGB, "JPEG", quality=95, exif=tiff, **options)


def png_chunk(name: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(name + data).to_bytes(4, "big")
    return len(data).to_bytes(4, "big") + name + data + crc


def png_chunks(encoded: bytes) -> list[tuple[bytes, bytes]]:
    chunks, position = [], 8
    while position + 8 <= len(encoded):
        length = int.from_bytes(encoded[position : position + 4], "big")
        name = encoded[position + 4 : position + 8]
        chunks.append((name, encoded[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in chunks)


def png(
    values: np.ndarray, bits: int, colours: int, *before: tuple[bytes, bytes], after=()
) -> bytes:
    """Writes a PNG of integers ``[height, width, channels]``, to have what Pillow cannot write."""
    height, width, channels = values.shape
    header = b"".join(size.to_bytes(4, "big") for size in (width, height))
    header += bytes([bits, colours, 0, 0, 0])
    if bits == 16:
        rows = values.astype(">u2").reshape(height, -1).view(np.uint8)
    elif bits == 8:
        rows = values.astype(np.uint8).reshape(height, -1)
    else:
        digits = np.unpackbits(values.astype(np.uint8)[..., None], axis=-1)[..., -bits:]
        rows = np.packbits(digits.reshape(height, width * channels * bits), axis=1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return png_of([(b"IHDR", header), *before, (b"IDAT", data), *after, (b"IEND", b"")])


def with_chunk(encoded: bytes, name: bytes, data: bytes, before: bytes) -> bytes:
    """Puts one more chunk into a PNG."""
    chunks = png_chunks(encoded)
    place = [name for name, _ in chunks].index(before)
    return png_of([*chunks[:place], (name, data), *chunks[place:]])


def bmp(bits: int = 24, top_down: bool = False, rest: bytes = b"") -> bytes:
    channels = PIXELS[..., ::-1]
    if bits == 32:
        channels = np.dstack([channels, ALPHA])
    rows = [row.tobytes() for row in channels]
    rows = [row + bytes(-len(row) % 4) for row in (rows if top_down else rows[::-1])]
    data = b"".join(rows)
    height = -HEIGHT if top_down else HEIGHT
    header = (40).to_bytes(4, "little") + WIDTH.to_bytes(4, "little")
    header += height.to_bytes(4, "little", signed=True) + b"\1\0" + bytes([bits, 0])
    header = header.ljust(40, b"\0")
    file_size = (54 + len(data)).to_bytes(4, "little")
    return b"BM" + file_size + bytes(4) + (54).to_bytes(4, "little") + header + data + rest


def supported() -> dict[str, bytes]:
    """Files that decode, by name."""
    palette = RGB.quantize(200)
    small_palette = RGB.quantize(13)
    clear = palette.copy()
    clear.info["transparency"] = 7
    grey = RGB.convert("L")
    animation = {"save_all": True, "append_images": [ImageOps.invert(RGB).quantize(50)]}
    turned_png = save(RGB, "PNG", exif=b"Exif\0\0" + exif(6, "big"))
    wide = np.random.default_rng(1).integers(0, 2**16, (HEIGHT, WIDTH, 4))
    return {
        "jpeg": jpeg(),
        "jpeg progressive": jpeg(progressive=True),
        "jpeg grey": save(grey, "JPEG", quality=95),
        "jpeg cmyk": save(RGB.convert("CMYK"), "JPEG", quality=95),
        "jpeg turned": jpeg(6, "big"),
        "png rgb": save(RGB, "PNG"),
        "png rgba": save(RGBA, "PNG"),
        "png grey": save(grey, "PNG"),
        "png grey alpha": save(RGBA.convert("LA"), "PNG"),
        "png 1 bit": save(grey.convert("1"), "PNG"),
        "png palette": save(palette, "PNG"),
        "png palette 4 bits": save(small_palette, "PNG", bits=4),
        "png palette alpha": save(palette, "PNG", transparency=bytes(range(200))),
        "png palette 4 bits alpha": save(small_palette, "PNG", bits=4, transparency=3),
        "png rgb 16": png(wide[..., :3], 16, 2),
        "png rgba 16": png(wide, 16, 6),
        "png grey alpha 16": png(wide[..., :2], 16, 4),
        "png turned": turned_png,
        "gif": save(palette, "GIF"),
        "gif clear": save(clear, "GIF"),
        "gif interlaced": save(palette, "GIF", interlace=True),
        "gif animated": save(palette, "GIF", **animation),
        "bmp": bmp(),
        "bmp 32": bmp(32),
        "bmp top down": bmp(top_down=True),
        "webp": save(RGB, "WEBP", quality=80),
        "webp lossless": save(RGB, "WEBP", lossless=True),
        "webp alpha": save(RGBA, "WEBP", quality=80),
        "webp lossless alpha": save(RGBA, "WEBP", lossless=True),
        "webp turned": save(RGB, "WEBP", exif=b"Exif\0\0" + exif(8)),
    }


def refused() -> dict[str, tuple[bytes, str]]:
    """Files that are refused, by name, each with words of the reason."""
    animation = {"save_all": True, "append_images": [ImageOps.invert(RGB)]}
    gif = save(RGB.quantize(50), "GIF")
    packed = bytearray(bmp())
    packed[30] = 1
    cmyk = save(RGB.convert("CMYK"), "JPEG")
    return {
        "jpeg cmyk without marker": (cmyk.replace(b"Adobe", b"adobe"), "CMYK"),
        "gif of a small frame": (gif[:6] + b"\xff\0\xff\0" + gif[10:], "first frame"),
        "bmp palette": (save(RGB.quantize(50), "BMP"), "BMP"),
        "bmp 1 bit": (save(RGB.convert("1"), "BMP"), "BMP"),
        "bmp compressed": (bytes(packed), "BMP"),
        "webp animated": (save(RGB, "WEBP", **animation), "animated WebP"),
        "ppm": (save(RGB, "PPM"), "PNM"),
        "sgi": (save(RGB, "SGI"), "SGI"),
        "icon": (save(RGB, "ICO"), "icon"),
        "sgi of rubbish": (b"\x01\xda\x01\x01" + bytes(range(200)), "SGI"),
        "ppm of rubbish": (b"P6 99999999999999999999 5", "PNM"),
    }


def as_pillow_shows_it(encoded: bytes) -> np.ndarray:
    """Decodes by Pillow: upright, the first frame, over white, RGB."""
    with Image.open(io.BytesIO(encoded)) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode == "CMYK":
            image = image.convert("RGB")
        image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("RGB"))
