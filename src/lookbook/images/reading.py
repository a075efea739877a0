"""Image files to one array, all of one size; damaged ones are named."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookbook.core.names import few, text
from lookbook.errors import InputError
from lookbook.images.preprocessing import load_image, read_size

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
    paths: Sequence[Path], size: tuple[int, int], channels: int | None = None
) -> ReadImages:
    """Return image files as uint8 images of one size, H×W.

    Parameters
    ----------
    paths
        The files.
    size
        Height and width to which each is brought.
    channels
        1 or 3; without it they are colour where any of them is, else grey.

    Raises
    ------
    InputError
        None of them can be read.
    """
    images, kept, damaged = [], [], []
    with warnings.catch_warnings(record=True) as dim:
        warnings.simplefilter("always")
        for number, path in enumerate(paths):
            try:
                images.append(load_image(path, size, colour=channels != 1))
                kept.append(number)
            except InputError:
                damaged.append(path)
    if not images:
        raise InputError(
            f"none of the {len(paths)} image files can be read "
            f"({few([text(str(path)) for path in sorted(damaged)])}); save them again, as PNG or "
            "JPEG"
        )
    if channels is None and all((image == image[..., :1]).all() for image in images):
        # grey, whatever the files call it: the channels are equal, one of them says it all
        images = [image[..., 0] for image in images]
    return ReadImages(np.stack(images), kept, damaged, [str(note.message) for note in dim])


def common_size(paths: Sequence[Path]) -> tuple[int, int] | None:
    """Return the height and width that all readable images have, or None where they differ."""
    sizes = {read_size(path) for path in paths} - {None}
    return sizes.pop() if len(sizes) == 1 else None
