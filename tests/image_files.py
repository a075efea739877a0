"""Image files of every kind, each with the pixels that it must give."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 20, 16
rng = np.random.default_rng(0)
GREY = rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
COLOUR = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
ALPHA = rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
#: so light that white would hide it
LIGHT = 200 + COLOUR // 5
#: sixteen colours, and a number of one for each pixel
PALETTE = rng.integers(0, 256, (16, 3), dtype=np.uint8)
NUMBERS = rng.integers(0, 16, (HEIGHT, WIDTH), dtype=np.uint8)


def on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lay pixels on white, by the formula."""
    opacity = alpha[..., None] / 255
    return pixels * opacity + 255 * (1 - opacity)


def smooth(height: int, width: int, *, channels: int = 3) -> np.ndarray:
    """An image that JPEG keeps nearly as it is: each corner has a shade of its own."""
    rows, columns = np.mgrid[0:height, 0:width]
    shades = 40 + 120 * rows / height + 80 * columns / width
    return np.repeat(shades[..., None], channels, axis=2).astype(np.uint8)


def save_palette(path: Path, **options) -> None:
    image = Image.frombytes("P", (WIDTH, HEIGHT), NUMBERS.tobytes())
    image.putpalette(PALETTE.tobytes())
    image.save(path, **options)


def save_rotated(path: Path) -> None:
    """Save an image that lies on its side, as telephones do, with the note how to turn it."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° to the right to show it
    lying = Image.fromarray(np.rot90(smooth(HEIGHT, WIDTH)))
    lying.save(path, exif=exif, quality=95)


def save_animation(path: Path) -> None:
    first = Image.frombytes("P", (WIDTH, HEIGHT), NUMBERS.tobytes())
    first.putpalette(PALETTE.tobytes())
    first.save(path, save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT), "red")])


def save_grey_with_alpha(path: Path) -> None:
    Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]).save(path)


def save_cmyk(path: Path) -> None:
    """Black ink only: the shade is what the ink leaves of white."""
    ink = Image.fromarray(255 - smooth(HEIGHT, WIDTH)[..., 0])
    none = Image.new("L", ink.size)
    Image.merge("CMYK", [none, none, none, ink]).save(path, quality=95)


#: a grey level and a colour that a PNG may call transparent
LEVEL, SHADE = int(GREY[3, 4]), COLOUR[3, 4].tolist()

#: kind → (file name, how it is saved, the pixels that it must give, how far off they may be)
GOLDEN: dict[str, tuple[str, Callable[[Path], None], np.ndarray, int]] = {
    "grey": ("x.png", lambda p: Image.fromarray(GREY).save(p), GREY, 0),
    "colour": ("x.png", lambda p: Image.fromarray(COLOUR).save(p), COLOUR, 0),
    "colour and alpha": (
        "x.png",
        lambda p: Image.fromarray(np.dstack([COLOUR, ALPHA])).save(p),
        on_white(COLOUR, ALPHA),
        1,
    ),
    "grey and alpha": ("x.png", save_grey_with_alpha, on_white(GREY[..., None], ALPHA), 1),
    "palette": ("x.png", save_palette, PALETTE[NUMBERS], 0),
    "palette with a transparent colour": (
        "x.png",
        lambda p: save_palette(p, transparency=3),
        np.where(NUMBERS[..., None] == 3, 255, PALETTE[NUMBERS]),
        0,
    ),
    "palette with shades of transparency": (
        "x.png",
        lambda p: save_palette(p, transparency=bytes(range(0, 256, 16))),
        on_white(PALETTE[NUMBERS], 16 * NUMBERS),
        1,
    ),
    "black and white": (
        "x.png",
        lambda p: Image.fromarray(GREY > 127).save(p),
        np.where(GREY > 127, 255, 0),
        0,
    ),
    "16-bit grey": (
        "x.png",
        lambda p: Image.fromarray(GREY.astype(np.uint16) * 256 + 200).save(p),
        GREY,
        0,
    ),
    "16-bit grey in 32": (
        "x.tiff",
        lambda p: Image.fromarray(GREY.astype(np.int32) * 256 + 200).save(p),
        GREY,
        0,
    ),
    "black and white with a transparent colour": (
        "x.png",
        lambda p: Image.fromarray(GREY > 127).save(p, transparency=0),
        np.where(GREY > 127, 255, 0),  # white that can be seen, so on black
        0,
    ),
    "white and alpha": (
        "x.png",
        lambda p: Image.fromarray(np.dstack([LIGHT, ALPHA])).save(p),
        LIGHT * (ALPHA[..., None] / 255),  # on black
        1,
    ),
    "grey with a transparent level": (
        "x.png",
        lambda p: Image.fromarray(GREY).save(p, transparency=LEVEL),
        np.where(GREY == LEVEL, 255, GREY),
        0,
    ),
    "colour with a transparent colour": (
        "x.png",
        lambda p: Image.fromarray(COLOUR).save(p, transparency=tuple(SHADE)),
        np.where((COLOUR == SHADE).all(axis=2, keepdims=True), 255, COLOUR),
        0,
    ),
    "16-bit grey with a transparent level": (
        "x.png",
        lambda p: Image.fromarray(GREY.astype(np.uint16) * 256 + 200).save(
            p, transparency=LEVEL * 256 + 200
        ),
        np.where(GREY == LEVEL, 255, GREY),
        0,
    ),
    "CMYK": ("x.jpg", save_cmyk, smooth(HEIGHT, WIDTH), 3),
    "rotated by EXIF": ("x.jpg", save_rotated, smooth(HEIGHT, WIDTH), 3),
    "animation": ("x.gif", save_animation, PALETTE[NUMBERS], 0),
    "bitmap": ("x.bmp", lambda p: Image.fromarray(COLOUR).save(p), COLOUR, 0),
    "webp": ("x.webp", lambda p: Image.fromarray(COLOUR).save(p, lossless=True), COLOUR, 0),
    "pgm": ("x.pgm", lambda p: Image.fromarray(GREY).save(p), GREY, 0),
}


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk as the specification of PNG has it."""
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum
