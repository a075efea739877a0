"""Sprites: many small images in one, of which a page shows parts."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from jaxtyping import UInt8

#: larger images are shown smaller
MOST_SIDE = 64
#: pixels up to which grey images keep their 256 levels; more have 16
MOST_EXACT = 700_000
GREYS = 16
JPEG_QUALITY = 85


@dataclass(frozen=True)
class Sprite:
    """One image that holds images of one size, row by row."""

    content: bytes
    media_type: str
    #: height and width of one image as it is shown
    side: tuple[int, int]
    #: and of the place that it has: of colour images a multiple of 8, the blocks of JPEG
    cell: tuple[int, int]
    columns: int
    rows: int
    #: levels of grey, or 256 where nothing was left out
    levels: int

    @property
    def address(self) -> str:
        """The image as an address that needs no file and no network."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode()}"


def pack(images: UInt8[np.ndarray, "N H W *C"]) -> Sprite:
    """Pack images: grey ones without loss or in 16 levels, colour ones as JPEG.

    >>> sprite = pack(np.zeros((5, 8, 10), np.uint8))
    >>> (sprite.columns, sprite.rows), sprite.side, sprite.media_type
    ((3, 2), (8, 10), 'image/png')
    """
    images = shrink(images)
    side = images.shape[1], images.shape[2]
    if images.ndim == 4:
        room = ((0, 0), (0, -side[0] % 8), (0, -side[1] % 8), (0, 0))
        images = np.pad(images, room, mode="edge")
    n, height, width = images.shape[:3]
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    whole = np.zeros((rows * columns, *images.shape[1:]), np.uint8)
    whole[:n] = images
    grid = whole.reshape(rows, columns, *images.shape[1:]).swapaxes(1, 2)
    sheet = grid.reshape(rows * height, columns * width, *images.shape[3:])
    if images.ndim == 4:
        content, levels = _jpeg(sheet), 256
    else:
        levels = 256 if images.size <= MOST_EXACT else GREYS
        content = png(sheet, levels)
    media_type = "image/jpeg" if images.ndim == 4 else "image/png"
    return Sprite(content, media_type, side, (height, width), columns, rows, levels)


def address(image: UInt8[np.ndarray, "H W *C"]) -> str:
    """Return one image, grey, in colour or with transparency, as an address.

    >>> address(np.zeros((4, 4), np.uint8))[:22]
    'data:image/png;base64,'
    """
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def shrink(
    images: UInt8[np.ndarray, "N H W *C"], most: int = MOST_SIDE
) -> UInt8[np.ndarray, "N H2 W2 *C"]:
    """Make images smaller whose longer side is beyond `most`; of others nothing changes."""
    height, width = images.shape[1:3]
    if max(height, width) <= most:
        return images
    scale = most / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    box = Image.Resampling.BOX
    return np.stack([np.asarray(Image.fromarray(image).resize(size, box)) for image in images])


def png(sheet: UInt8[np.ndarray, "H W"], levels: int = 256) -> bytes:
    """Write a grey image as PNG, in 256 or in 16 levels."""
    buffer = io.BytesIO()
    if levels == 256:
        Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()
    # rounded to the nearest of 0, 17, … 255; four bits a pixel
    image = Image.fromarray(((sheet.astype(np.uint16) + 8) // 17).astype(np.uint8), "L")
    indexed = Image.frombytes("P", image.size, image.tobytes())
    indexed.putpalette([level * 17 for level in range(levels) for _ in range(3)])
    indexed.save(buffer, "PNG", bits=4, optimize=False, compress_level=9)
    return buffer.getvalue()


def _jpeg(sheet: UInt8[np.ndarray, "H W 3"]) -> bytes:
    buffer = io.BytesIO()
    # without thinned-out colours, which would run from image to image
    Image.fromarray(sheet).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
