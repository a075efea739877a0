"""Image files to one array, all of one size; damaged ones are named."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookbook.core.listeners import tell_images
from lookbook.core.names import few, text
from lookbook.errors import InputError
from lookbook.images.batch import USUAL_SIZE, Batch, Request, to_usual_size
from lookbook.images.pool import Pool

if TYPE_CHECKING:
    from jaxtyping import UInt8


class ReadImages(NamedTuple):
    """What came of image files: the images of those that can be read, in their order."""

    images: UInt8[np.ndarray, "M H W *C"]
    #: which of the files they are
    kept: list[int]
    damaged: list[Path]
    #: one note for each image that came out too dark
    dim: list[str]


def read_images(
    paths: Sequence[Path], size: tuple[int, int] | None = None, channels: int | None = None
) -> ReadImages:
    """Return image files as uint8 images of one size, H×W; each file is opened once, by a `Pool`.

    Parameters
    ----------
    paths
        The files.
    size
        Height and width to which each is brought; without it their own where all share one of 8 to
        224 pixels a side, else 64×64.
    channels
        1 or 3; without it they are colour where any of them is, else grey.

    Raises
    ------
    InputError
        None of them can be read.
    """
    reading = _Reading(paths, size, colour=channels != 1)
    reading.read()
    images, kept = reading.images, np.flatnonzero(reading.is_read).tolist()
    damaged = [path for path, is_read in zip(paths, reading.is_read, strict=True) if not is_read]
    if images is None:
        raise none_readable(damaged)
    if damaged:
        images = images[kept]
    if channels is None and all((image == image[..., :1]).all() for image in images):
        # grey, whatever the files call it: the channels are equal, one of them says it all
        images = np.ascontiguousarray(images[..., 0])
    return ReadImages(images, kept, damaged, [reading.dim[place] for place in sorted(reading.dim)])


def none_readable(damaged: Sequence[Path]) -> InputError:
    """Return the error for image files all of which are damaged."""
    return InputError(
        f"none of the {len(damaged)} image files can be read "
        f"({few([text(str(path)) for path in sorted(damaged)])}); save them again, as PNG or JPEG"
    )


class _Reading:
    """Files that are being read, and the images that came of them so far."""

    def __init__(
        self, paths: Sequence[Path], size: tuple[int, int] | None, *, colour: bool
    ) -> None:
        self.images: UInt8[np.ndarray, "N H W *C"] | None = None
        self.is_read = np.zeros(len(paths), dtype=bool)
        #: notes on images that came out too dark
        self.dim: dict[int, str] = {}
        self._paths, self._size, self._colour = [str(path) for path in paths], size, colour

    def read(self) -> None:
        """Read them all."""
        n = len(self._paths)
        tell_images(0, n)
        with closing(Pool(n, self._request, ahead=n).batches()) as batches:
            for first, batch in batches:
                self._keep(first, batch)
                tell_images(first + batch.n, n)

    def _request(self, places: range) -> Request:
        return Request(self._paths[places.start : places.stop], self._size, self._colour)

    def _keep(self, first: int, batch: Batch) -> None:
        """Put a batch to its place."""
        images = batch.images
        if images is None:
            return
        if self.images is None:
            self.images = np.empty((len(self._paths), *images.shape[1:]), np.uint8)
        if images.shape[1:] != self.images.shape[1:]:
            images = np.stack(to_usual_size(images))
            self._size = USUAL_SIZE
            if self.images.shape[1:3] != USUAL_SIZE:
                self.images = self._resized(self.images)
        places = [first + place for place in batch.kept]
        self.images[places], self.is_read[places] = images, True
        self.dim |= {first + place: note for place, note in batch.dim.items()}

    def _resized(self, own: UInt8[np.ndarray, "N H W *C"]) -> UInt8[np.ndarray, "N 64 64 *C"]:
        """Return what was read in another size than its own."""
        images = np.empty((len(own), *USUAL_SIZE, *own.shape[3:]), np.uint8)
        for place in np.flatnonzero(self.is_read):
            images[place] = to_usual_size(own[place : place + 1])[0]
        return images
