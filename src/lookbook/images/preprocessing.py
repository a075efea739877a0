"""Preprocessing: an image file as the pixels that a model takes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.arrays import chunks, invert_rows
from lookbook.errors import InputError, LookbookWarning
from lookbook.images import decoding
from lookbook.images.decoding import DAMAGE, FORMATS
from lookbook.images.specification import DARK, FIRST_STEP, LIGHT, Polarity

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, UInt8
    from PIL import Image

    from lookbook.core.bounded_io import NamedBytes

SUFFIXES = frozenset(
    (
        *(".apng", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".pbm"),
        *(".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    )
)
#: pixels that are converted at once
STRIP = 2**20
#: orientation by EXIF → how Pillow's `Transpose` turns it upright
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
#: of these, the ones that lay it on its side, and those that swap left and right, above and below
_LYING, _LEFT_RIGHT, _UP_DOWN = (5, 4, 6, 2), (0, 3, 4, 6), (1, 3, 2, 6)

#: left, upper, right and lower end of a part of an image
Box = tuple[int, int, int, int]


def load_image(path: Path, size: tuple[int, int], *, colour: bool) -> UInt8[np.ndarray, "H W *C"]:
    """Return what a model of that size, grey or colour, sees of an image file.

    Raises
    ------
    InputError
        As `read_image`.
    """
    return fit_image(read_image(path, size, colour=colour), size, colour=colour)


def read_image(
    path: Path | NamedBytes,
    size: tuple[int, int] | None = None,
    *,
    colour: bool | None = None,
    max_memory: int | None = None,
) -> Image.Image:
    """Open an image file as 8-bit grey ("L") or colour ("RGB"), the right way up.

    The same policy for every way in: the EXIF rotation is applied; 16-bit grey keeps its upper
    8 bits; transparency is laid on white, or on black where what can be seen is nearly white;
    palette and CMYK become RGB; of an animation the first frame counts.

    Parameters
    ----------
    path
        The file, or its bytes.
    size
        Height and width that it is for: far larger images come smaller, as `fit_image` would
        make them first. Without it they come as they are.
    colour
        Whether it is to be "RGB" or "L"; without it, as the file has it.
    max_memory
        Bytes that decoding may take; without it 480 MB.

    Raises
    ------
    InputError
        There is no such file, it is no image, it is cut short or a checksum of it is wrong, its
        pixels have no fixed range, or reading it would take too much: more than 89 million pixels,
        more than `max_memory`, or some seconds.
    """
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415  # only for files

    try:
        _check_there(path)
        with warnings.catch_warnings():
            # what Pillow says of odd tags names no file
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            least = size and (FIRST_STEP * max(size), FIRST_STEP * max(size))
            decoded = decoding.decode(path, least, max_memory)
            dim = _dimness(decoded)
            image = _to_8_bit(decoded, size, colour=colour)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(
            f"{path} would unpack to more than {Image.MAX_IMAGE_PIXELS:,} pixels; shrink it first"
        ) from error
    except UnidentifiedImageError as error:
        if decoding.is_heic(path):
            raise InputError(
                f"{path} is a HEIC photograph, which is not read; convert it to JPEG first (an "
                "iPhone takes JPEG with Settings > Camera > Formats > Most Compatible)"
            ) from error
        raise InputError(
            f"{path} is not an image that can be read; expected one of {', '.join(FORMATS)}"
        ) from error
    except decoding.TooLargeError as error:
        raise InputError(f"{path} {error}; shrink it first") from error
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}; check its permissions"
        ) from error
    except DAMAGE as error:
        raise InputError(
            f"{path} cannot be read ({error}); save it again, as a PNG or JPEG of 8 bits a channel"
        ) from error
    _warn_dim(path, dim)
    return image


def _check_there(path: Path | NamedBytes) -> None:
    """Refuse what is no file, before it is opened: a pipe would be waited for."""
    if not path.is_file():
        raise InputError(f"no image file {path}; check the name")


def read_size(path: Path) -> tuple[int, int] | None:
    """Return height and width of an image file, the right way up, or None where it is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return decoding.measure(path)


def to_8_bit(image: Image.Image, name: str) -> Image.Image:
    """Return an image of PIL as a file of it would be read: see `read_image`.

    Raises
    ------
    InputError
        Its file is damaged, or its pixels have no fixed range.
    """
    try:
        image.load()
        dim = _dimness(image)
        eight = _to_8_bit(image, None, colour=None)
    except DAMAGE as error:
        raise InputError(
            f"{name} cannot be read ({error}); convert it to 8 bits a channel"
        ) from error
    _warn_dim(name, dim)
    return eight


def _to_8_bit(
    image: Image.Image, size: tuple[int, int] | None, *, colour: bool | None
) -> Image.Image:
    """Return an image as it is to be seen; strip by strip, as several layers take much memory."""
    from PIL import Image  # noqa: PLC0415

    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range")
    if image.mode in ("P", "PA") and image.palette is None:
        raise ValueError("it lacks its palette")
    ground = _ground(image) if image.has_transparency_data else None
    if colour is None:
        colour = ground is not None or not image.mode.startswith(("1", "L", "I"))
    mode = "RGB" if colour else "L"
    turn = _TURNS.get(decoding.orientation(image))
    width, height = image.size[:: -1 if turn in _LYING else 1]
    by = _first_step(width, height, size) if size else 1
    if (ground, turn, by) == (None, None, 1) and width * height <= STRIP:
        return image if image.mode == mode else _unpack(image).convert(mode)
    whole = Image.new(mode, (math.ceil(width / by), math.ceil(height / by)))
    for box in _boxes(width, height, by):
        strip = _unpack(image.crop(_source_of(box, (width, height), turn)))
        if ground:
            strip = strip.convert("RGBA")
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, ground), strip)
        if turn is not None:
            strip = strip.transpose(Image.Transpose(turn))
        whole.paste(_averaged(strip.convert(mode), by), (box[0] // by, box[1] // by))
    return whole


def _unpack(strip: Image.Image) -> Image.Image:
    """Return 8-bit grey, colour, or either with its transparency."""
    from PIL import Image  # noqa: PLC0415

    if strip.mode.startswith("I"):  # 16-bit grey; "I" holds the same values in 32 bits
        levels = np.asarray(strip)
        grey = Image.fromarray((levels >> 8).astype(np.uint8))
        if "transparency" in strip.info:  # one level that a PNG calls transparent
            seen = levels != strip.info["transparency"]
            grey.putalpha(Image.fromarray(np.where(seen, 255, 0).astype(np.uint8)))
        return grey
    if strip.has_transparency_data:
        return strip.convert("RGBA")
    if strip.mode == "1":
        return strip.convert("L")
    return strip if strip.mode in ("L", "RGB") else strip.convert("RGB")


def _ground(image: Image.Image) -> str:
    """Return the colour on which a transparent image can be seen.

    White, or black where what is not transparent is in the lightest quarter, on average.
    """
    light = opacity = 0
    for strip in map(_unpack, _strips(image)):
        alpha = np.asarray(strip.getchannel("A")).astype(np.int64)
        light += int((alpha * np.asarray(strip.convert("L"))).sum())
        opacity += int(alpha.sum())
    return "black" if light > LIGHT * opacity else "white"


def _dimness(image: Image.Image) -> str | None:
    """Say of 16-bit grey that it leaves its upper levels unused, and what to do then."""
    if not image.mode.startswith("I"):
        return None
    ends = [(levels.min(), levels.max()) for levels in map(np.asarray, _strips(image))]
    low, high = int(np.min(ends)), int(np.max(ends))
    if low < 0 or high >= 2**16:
        raise ValueError("32-bit pixels have no fixed range")
    if not 0 < high < 2**12:
        return None
    instead = "save them with 8 bits" if high < 2**8 else f"multiply them by {2**16 // (high + 1)}"
    return f"its 16-bit levels end at {high:,} of 65,535; {instead}"


def _warn_dim(name: str | Path | NamedBytes, dim: str | None) -> None:
    if dim:
        warnings.warn(LookbookWarning(f"{name} is nearly black: {dim}"), stacklevel=3)


def _strips(image: Image.Image) -> Iterator[Image.Image]:
    yield from map(image.crop, _boxes(*image.size, by=1))


def _boxes(width: int, height: int, by: int) -> Iterator[Box]:
    """Cut an image into parts of whole squares of `by` pixels: strips, or parts of wide ones."""
    down = by * max(1, STRIP // (width * by))
    across = by * max(1, STRIP // (by * min(down, height)))
    for top in range(0, height, down):
        for left in range(0, width, across):
            yield left, top, min(width, left + across), min(height, top + down)


def _source_of(box: Box, size: tuple[int, int], turn: int | None) -> Box:
    """Return which part of an image as it lies becomes this one when it is upright."""
    (left, top, right, bottom), (width, height) = box, size
    if turn in _LEFT_RIGHT:
        left, right = width - right, width - left
    if turn in _UP_DOWN:
        top, bottom = height - bottom, height - top
    return (top, left, bottom, right) if turn in _LYING else (left, top, right, bottom)


def _first_step(width: int, height: int, size: tuple[int, int]) -> int:
    """Return over how many pixels a far larger image is averaged first.

    Padded to a square, 1 × 60,000 pixels would take 10 GB.
    """
    return max(1, int(max(width / size[1], height / size[0]) // FIRST_STEP))


def _averaged(image: Image.Image, by: int) -> Image.Image:
    """Shrink an image by averages over squares of so many pixels."""
    return image.reduce(by) if by > 1 else image  # without a copy


def fit_image(
    image: Image.Image, size: tuple[int, int], *, colour: bool
) -> UInt8[np.ndarray, "H W *C"]:
    """Bring an image to height × width, grey or colour.

    An image of that size stays as it is. Another one is first padded to the same proportions with
    the median colour of its border, so nothing is cut off and nothing is squashed.

    >>> from PIL import Image
    >>> fit_image(Image.new("RGB", (40, 20), "white"), (8, 8), colour=False).shape
    (8, 8)
    """
    from PIL import Image  # noqa: PLC0415

    mode = "RGB" if colour else "L"
    image = image if image.mode == mode else image.convert(mode)
    height, width = size
    if image.size != (width, height):
        image = shrink(image, size)
        fill = tuple(int(level) for level in np.atleast_1d(border_median(np.asarray(image))))
        scale = max(image.width / width, image.height / height)
        padded_size = (
            max(image.width, round(width * scale)),
            max(image.height, round(height * scale)),
        )
        if image.size != padded_size:
            padded = Image.new(mode, padded_size, fill if colour else fill[0])
            padded.paste(
                image,
                ((padded_size[0] - image.width) // 2, (padded_size[1] - image.height) // 2),
            )
            image = padded
        # Pillow widens the filter where it shrinks: every source pixel counts
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def shrink(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Shrink a far larger image by averages over squares, to 16 times height and width at least.

    >>> from PIL import Image
    >>> shrink(Image.new("L", (1000, 500)), (10, 10)).size
    (167, 84)
    """
    return _averaged(image, _first_step(*image.size, size))


def border_median(image: UInt8[np.ndarray, "H W *C"]) -> UInt8[np.ndarray, "*C"]:
    """Return the median of an image's outermost pixels, for each channel.

    >>> int(border_median(np.zeros((8, 8), np.uint8)))
    0
    """
    border = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    return np.asarray(_median(border), dtype=np.uint8)


def _median(levels: UInt8[np.ndarray, "N *C"]) -> Float64[np.ndarray, "*C"]:
    """Return the median: that of NumPy takes 20 µs more, a twentieth of decoding a photograph."""
    levels = np.sort(levels, axis=0).astype(np.float64)
    median: Float64[np.ndarray, "*C"] = levels[(len(levels) - 1) // 2] + levels[len(levels) // 2]
    return median / 2


def find_polarity(images: UInt8[np.ndarray, "N H W *C"]) -> Polarity:
    """Say whether images show light things on dark ground, the reverse, or both.

    At least nine in ten must have a border whose median lies in the darkest (or lightest) quarter.

    >>> find_polarity(np.zeros((3, 8, 8), np.uint8))
    'light on dark'
    """
    medians = _border_medians(images)
    if np.mean(medians < DARK) >= 0.9:
        return "light on dark"
    return "dark on light" if np.mean(medians > LIGHT) >= 0.9 else "mixed"


def _border_medians(images: UInt8[np.ndarray, "N H W *C"]) -> Float64[np.ndarray, "N"]:
    parts = [images[part] for part in chunks(len(images), images[:1].nbytes)]
    return np.concatenate([_median(_borders(part)) for part in parts] or [np.zeros(0)])


def _borders(images: UInt8[np.ndarray, "N H W *C"]) -> UInt8[np.ndarray, "B N"]:
    sides = (images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1])
    return np.concatenate(sides, axis=1).reshape(len(images), -1).T


def match_all(
    images: UInt8[np.ndarray, "N H W *C"], polarity: Polarity
) -> tuple[UInt8[np.ndarray, "N H W *C"], Bool[np.ndarray, "N"]]:
    """Invert grey images whose ground is dark where the others have light, or the reverse.

    Returns the images, and which of them were inverted: of mixed ones, and in colour, none.

    >>> images, inverted = match_all(np.full((1, 8, 8), 255, np.uint8), "light on dark")
    >>> int(images.max()), inverted.tolist()
    (0, [True])
    """
    if polarity == "mixed" or images.ndim != 3:
        return images, np.zeros(len(images), bool)
    medians = _border_medians(images)
    inverted = medians > LIGHT if polarity == "light on dark" else medians < DARK
    if inverted.any():
        images = invert_rows(images, inverted)
    return images, inverted


def match_polarity(
    image: UInt8[np.ndarray, "H W *C"], polarity: Polarity
) -> tuple[UInt8[np.ndarray, "H W *C"], bool]:
    """Return one image as `match_all` does, and whether it was inverted."""
    images, inverted = match_all(image[None], polarity)
    return images[0], bool(inverted[0])
