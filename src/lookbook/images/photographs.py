"""Photographs: what lies in the middle of one, cut out and lit as images of a catalogue are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookbook.images.preprocessing import fit_image, match_polarity, read_image, shrink
from lookbook.images.segmentation import LONGEST, segment
from lookbook.images.specification import FIRST_STEP

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Bool, Float64, UInt8
    from PIL import Image

    from lookbook.core.bounded_io import NamedBytes
    from lookbook.images.specification import Preprocessing

#: the copy that is kept is so many times larger on a side than the one that is segmented
FINER = 2
#: size for which photographs are read: see `read_image`
READ_FOR = (2 * FINER * LONGEST // FIRST_STEP,) * 2
#: bytes of what is kept of a photograph, at most: colours, and the mask
CUTOUT_BYTES = 4 * (FINER * LONGEST) ** 2
#: share of the pixels that are darker, and lighter, than the levels that become these two
TAIL, LEVELS = 0.05, (70.0, 225.0)
#: levels between them, at the least: folds of a plain garment stay faint
LEAST_CONTRAST = 40.0
#: pixels of the model, across which levels are blurred on either side
BLUR = 1.5
#: darkest level of what was cut out, so that its outline stays
DARKEST = 20.0


class Cutout(NamedTuple):
    """A photograph, and what was cut out of it."""

    #: its longest side is 192 pixels
    photograph: UInt8[np.ndarray, "H W 3"]
    #: all of it where nothing stands out from the ground
    mask: Bool[np.ndarray, "H W"]

    @property
    def is_whole(self) -> bool:
        """Whether nothing stood out from the ground."""
        return bool(self.mask.all())


class Prepared(NamedTuple):
    """An image as a model takes it, and what was done to it."""

    image: UInt8[np.ndarray, "H W *C"]
    inverted: bool
    #: of a photograph
    cutout: Cutout | None = None


def read_for(
    path: Path | NamedBytes, steps: Preprocessing, max_memory: int | None = None
) -> Image.Image:
    """Open an image file as `prepare` takes it, far larger ones smaller: see `read_image`.

    Raises
    ------
    InputError
        As `read_image`.
    """
    size, colour = (READ_FOR, True) if steps.cuts_out else (steps.size, steps.colour)
    return read_image(path, size, colour=colour, max_memory=max_memory)


def prepare(image: Image.Image, steps: Preprocessing) -> Prepared:
    """Return what a model takes of an image, upright and in 8 bits, by the steps of its file.

    >>> from PIL import Image
    >>> from lookbook.images.specification import Preprocessing
    >>> steps = Preprocessing.of((28, 28), "light on dark", photographs=True)
    >>> photograph = Image.new("RGB", (300, 400), "white")
    >>> photograph.paste("navy", (100, 100, 200, 300))
    >>> prepare(photograph, steps).image.shape
    (28, 28)
    """
    if not steps.cuts_out or image.size == steps.size[::-1]:
        fitted = fit_image(image, steps.size, colour=steps.colour)
        return Prepared(*match_polarity(fitted, steps.polarity))
    cutout = cut_out(image)
    return Prepared(as_catalogue(cutout, steps.size), inverted=True, cutout=cutout)


def cut_out(image: Image.Image) -> Cutout:
    """Return a copy of a photograph, and which of its pixels show what lies in its middle."""
    from PIL import Image  # noqa: PLC0415

    longest = FINER * LONGEST
    # what was read from a file is as small already: the same comes of an image of PIL
    copy = shrink(image.convert("RGB"), READ_FOR)
    scale = longest / max(copy.size)
    size = max(1, round(copy.width * scale)), max(1, round(copy.height * scale))
    copy = copy.resize(size, Image.Resampling.BILINEAR)
    mask = segment(np.asarray(copy.reduce(FINER)))
    finer = mask.repeat(FINER, axis=0).repeat(FINER, axis=1)
    return Cutout(np.asarray(copy), finer[: copy.height, : copy.width])


def as_catalogue(cutout: Cutout, size: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
    """Return what was cut out in grey, light on black, as large as fits into height × width.

    Light and dark are swapped, as in Fashion-MNIST, and brought to one range. Levels are blurred
    more than the outline: folds, which a catalogue does not have, cost two points of accuracy.
    """
    rows, columns = (np.flatnonzero(cutout.mask.any(axis)) for axis in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    mask = cutout.mask[part].astype(np.float64)
    grey = 255 - _luma(cutout.photograph[part])
    scale = min(size[0] / mask.shape[0], size[1] / mask.shape[1])
    down, across = (max(1, round(side * scale)) for side in mask.shape)
    cover = _averages(mask.shape[0], down) @ mask @ _averages(mask.shape[1], across).T
    blur = _triangles(mask.shape[0], down), _triangles(mask.shape[1], across).T
    levels = (blur[0] @ (grey * mask) @ blur[1]) / np.maximum(blur[0] @ mask @ blur[1], 1e-3)
    image = np.zeros(size, np.uint8)
    top, left = (size[0] - down) // 2, (size[1] - across) // 2
    image[top : top + down, left : left + across] = np.floor(_relit(levels, cover) * cover + 0.5)
    return image


def _relit(
    levels: Float64[np.ndarray, "H W"], cover: Float64[np.ndarray, "H W"]
) -> Float64[np.ndarray, "H W"]:
    """Bring levels to the range that those of covered pixels are to have."""
    inside = np.sort(levels[cover >= min(0.5, cover.max())])
    low, high = (inside[int(share * (len(inside) - 1))] for share in (TAIL, 1 - TAIL))
    stretch = (LEVELS[1] - LEVELS[0]) / max(high - low, LEAST_CONTRAST)
    return np.asarray(np.clip(LEVELS[0] + (levels - low) * stretch, DARKEST, 255))


def _luma(image: UInt8[np.ndarray, "H W 3"]) -> Float64[np.ndarray, "H W"]:
    """Return grey of 0 to 255, ITU-R 601-2 with whole numbers, as Pillow does."""
    return np.asarray((image @ np.array([19595, 38470, 7471]) + 2**15) >> 16, np.float64)


def _averages(before: int, after: int) -> Float64[np.ndarray, "A B"]:
    """Return which pixels make each new one, and by which shares: the part of each that it covers.

    >>> _averages(4, 2).tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    edges = np.arange(after + 1)[:, None] * before / after
    pixels = np.arange(before)
    covered = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return np.asarray(np.maximum(covered, 0) * after / before)


def _triangles(before: int, after: int) -> Float64[np.ndarray, "A B"]:
    """Return shares that fall from the middle of each new pixel to `BLUR` new pixels beside it.

    >>> (5 * _triangles(4, 4)[1]).round(6).tolist()
    [1.0, 3.0, 1.0, 0.0]
    """
    step = before / after
    middles = (np.arange(after)[:, None] + 0.5) * step
    away = np.abs(np.arange(before) + 0.5 - middles) / (BLUR * max(step, 1))
    shares = np.maximum(1 - away, 0)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
