"""Turn a picture file into the picture that a model expects."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lookbook.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from PIL import Image

#: formats that are opened, whatever a file is called; parsers of others never run
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = frozenset(
    (
        *(".apng", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".pbm"),
        *(".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    )
)

#: what Pillow's readers answer damage with, seen with 100,000 files that were changed at random
_DAMAGE = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)

Polarity = Literal["light on dark", "dark on light", "mixed"]


def read_picture(path: Path) -> Image.Image:
    """Open a picture file as 8-bit grey ("L") or colour ("RGB"), the right way up.

    The same policy for every way in: the EXIF rotation is applied; 16-bit grey keeps its upper
    8 bits; transparency is laid on white; palette and CMYK become RGB; of an animation the first
    frame counts.

    Raises
    ------
    InputError
        There is no such file, it is no picture, it is cut short, its pixels have no fixed range,
        or it would unpack to more than 89 million pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError  # noqa: PLC0415  # only for files

    if not path.is_file():
        raise InputError(f"no picture file {path}; check the name")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                picture.load()
                return _to_8_bit(ImageOps.exif_transpose(picture))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(
            f"{path} would unpack to more than {Image.MAX_IMAGE_PIXELS:,} pixels; shrink it first"
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is not a picture that can be read; expected one of {', '.join(FORMATS)}"
        ) from error
    except _DAMAGE as error:
        raise InputError(
            f"{path} cannot be read ({error}); save it again, as a PNG or JPEG of 8 bits a channel"
        ) from error


def read_size(path: Path) -> tuple[int, int] | None:
    """Return height and width of a picture file, the right way up, or None where it is none.

    Reads the header alone.
    """
    from PIL import ExifTags, Image  # noqa: PLC0415  # only for files

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                turned = picture.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
                width, height = picture.size
    except (*_DAMAGE, Image.DecompressionBombError):
        return None
    return (width, height) if turned else (height, width)


def to_8_bit(picture: Image.Image, name: str) -> Image.Image:
    """Return an image of PIL as a file of it would be read: see `read_picture`.

    Raises
    ------
    InputError
        Its file is damaged, or its pixels have no fixed range.
    """
    from PIL import ImageOps  # noqa: PLC0415  # only for pictures

    try:
        return _to_8_bit(ImageOps.exif_transpose(picture))
    except _DAMAGE as error:
        raise InputError(
            f"{name} cannot be read ({error}); convert it to 8 bits a channel"
        ) from error


def _to_8_bit(picture: Image.Image) -> Image.Image:
    from PIL import Image  # noqa: PLC0415

    if picture.mode.startswith("I"):  # 16-bit grey; "I" holds the same values in 32 bits
        levels = np.asarray(picture).astype(np.int64)
        if levels.min() < 0 or levels.max() >= 2**16:
            raise ValueError("32-bit pixels have no fixed range")
        if "transparency" in picture.info:  # one level that a PNG calls transparent
            levels[levels == picture.info["transparency"]] = 2**16 - 1
        return Image.fromarray((levels >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert(
            "RGB"
        )
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no fixed range")
    if picture.mode == "1":
        return picture.convert("L")
    return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")


def fit_picture(
    picture: Image.Image, size: tuple[int, int], *, colour: bool
) -> UInt8[np.ndarray, "H W *C"]:
    """Bring a picture to height × width, grey or colour.

    A picture of that size stays as it is. Another one is first padded to the same proportions with
    the median colour of its border, so nothing is cut off and nothing is squashed.

    >>> from PIL import Image
    >>> fit_picture(Image.new("RGB", (40, 20), "white"), (8, 8), colour=False).shape
    (8, 8)
    """
    from PIL import Image  # noqa: PLC0415

    picture = picture.convert("RGB" if colour else "L")
    height, width = size
    if picture.size != (width, height):
        # far larger ones are shrunk first: padded to a square, 1 × 60,000 pixels would take 10 GB
        excess = max(picture.width / width, picture.height / height)
        picture = picture.reduce(max(1, int(excess // 16)))
        fill = tuple(int(level) for level in np.atleast_1d(border_median(np.asarray(picture))))
        scale = max(picture.width / width, picture.height / height)
        padded_size = (
            max(picture.width, round(width * scale)),
            max(picture.height, round(height * scale)),
        )
        padded = Image.new(picture.mode, padded_size, fill if colour else fill[0])
        padded.paste(
            picture,
            ((padded_size[0] - picture.width) // 2, (padded_size[1] - picture.height) // 2),
        )
        # Pillow widens the filter where it shrinks: every source pixel counts
        picture = padded.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def border_median(image: UInt8[np.ndarray, "H W *C"]) -> UInt8[np.ndarray, "*C"]:
    """Return the median of a picture's outermost pixels, for each channel.

    >>> int(border_median(np.zeros((8, 8), np.uint8)))
    0
    """
    border = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    return np.asarray(np.median(border, axis=0), dtype=np.uint8)


def find_polarity(images: UInt8[np.ndarray, "N H W *C"]) -> Polarity:
    """Say whether pictures show light things on dark ground, the reverse, or both.

    At least nine in ten must have a border whose median lies in the darkest (or lightest) quarter.

    >>> find_polarity(np.zeros((3, 8, 8), np.uint8))
    'light on dark'
    """
    sides = (images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1])
    border = np.concatenate(sides, axis=1).reshape(len(images), -1)
    medians = np.median(border, axis=1)
    if np.mean(medians < 64) >= 0.9:
        return "light on dark"
    return "dark on light" if np.mean(medians > 191) >= 0.9 else "mixed"


def match_polarity(
    image: UInt8[np.ndarray, "H W"], polarity: Polarity
) -> tuple[UInt8[np.ndarray, "H W"], bool]:
    """Invert a grey picture whose ground is dark where the model learnt light, or the reverse.

    Returns the picture and whether it was inverted.

    >>> image, inverted = match_polarity(np.full((8, 8), 255, np.uint8), "light on dark")
    >>> int(image.max()), inverted
    (0, True)
    """
    own = find_polarity(image[None])
    inverted = "mixed" not in (own, polarity) and own != polarity
    return (255 - image if inverted else image), inverted
