"""A few image files to one array, in this process or as the work of another."""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from lookbook.core.bounded_io import NamedBytes
from lookbook.errors import InputError
from lookbook.images.decoding import TooLargeError
from lookbook.images.photographs import Prepared, prepare, read_for
from lookbook.images.preprocessing import fit_image, read_image
from lookbook.images.specification import KEPT, SIDES

if TYPE_CHECKING:
    from typing import BinaryIO

    from jaxtyping import Bool, UInt8
    from PIL import Image

    from lookbook.images.photographs import Cutout
    from lookbook.images.specification import Preprocessing

#: height and width to which images of several sizes are brought where the user names none
USUAL_SIZE = (64, 64)
#: what a share of the memory is too little for, and all of it may do
_TOO_MUCH = (TooLargeError, MemoryError)


class Request(NamedTuple):
    """Image files that are to be read, by their names or as bytes."""

    paths: Sequence[str | NamedBytes]
    #: height and width; None: their own where all share one that a model takes, else the usual one
    size: tuple[int, int] | None
    colour: bool
    #: bytes that decoding an image may take; None: as many as ever
    max_memory: int | None = None
    #: what is done to them before a model takes them, beyond size and colour
    steps: Preprocessing | None = None


class Batch(NamedTuple):
    """What came of them: images of one size, in the order of the files."""

    #: how many files there were
    n: int
    #: None where none of them can be read
    images: UInt8[np.ndarray, "M H W *C"] | None
    #: which of the files they are
    kept: list[int]
    #: notes on those of them that came out too dark
    dim: dict[int, str]
    #: why others cannot be read; those that would take more than `max_memory` are left out
    errors: dict[int, str]
    #: which of the images were inverted
    inverted: Bool[np.ndarray, "M"]
    #: of those that are photographs, where steps say so, what was cut out
    cutouts: dict[int, Cutout]

    @classmethod
    def none_of(cls, n: int) -> Self:
        """Return what comes of so many files where nothing does."""
        return cls(n, None, [], {}, {}, np.zeros(0, bool), {})


def read_batch(request: Request) -> Batch:
    """Read image files; of those that cannot be read it says why.

    >>> read_batch(Request(["no.png"], None, colour=True)).errors
    {0: 'no image file no.png; check the name'}
    """
    size, kept, dim, errors, cutouts = request.size, [], {}, {}, {}
    images: list[UInt8[np.ndarray, "H W *C"]] = []
    inverted: list[bool] = []
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        for place, path in enumerate(request.paths):
            try:
                image = _read(path, request, size or USUAL_SIZE)
            except InputError as error:
                if request.max_memory is None or not isinstance(error.__cause__, _TOO_MUCH):
                    errors[place] = str(error)
                continue
            own = image.height, image.width
            if size is None and not (keeps_size(own) and all(i.shape[:2] == own for i in images)):
                size = USUAL_SIZE
                images = to_usual_size(images)
            prepared = _prepare(image, request, size or own)
            images.append(prepared.image)
            inverted.append(prepared.inverted)
            kept.append(place)
            if prepared.cutout:
                cutouts[place] = prepared.cutout
            if notes:
                dim[place] = str(notes.pop().message)
    if not images:
        return Batch.none_of(len(request.paths))._replace(errors=errors)
    together = np.stack(images), kept, dim, errors, np.array(inverted), cutouts
    return Batch(len(request.paths), *together)


def _read(given: str | NamedBytes, request: Request, size: tuple[int, int]) -> Image.Image:
    path = given if isinstance(given, NamedBytes) else Path(given)
    if request.steps is not None:
        return read_for(path, request.steps, request.max_memory)
    return read_image(path, size, colour=request.colour, max_memory=request.max_memory)


def _prepare(image: Image.Image, request: Request, size: tuple[int, int]) -> Prepared:
    if request.steps is not None:
        return prepare(image, request.steps)
    return Prepared(fit_image(image, size, colour=request.colour), inverted=False)


def to_usual_size(
    images: Iterable[UInt8[np.ndarray, "H W *C"]],
) -> list[UInt8[np.ndarray, "H W *C"]]:
    """Bring images that a model takes to the size that they would have been read in.

    >>> [image.shape for image in to_usual_size(np.zeros((2, 30, 20), np.uint8))]
    [(64, 64), (64, 64)]
    """
    from PIL import Image  # noqa: PLC0415  # only for files

    return [
        fit_image(Image.fromarray(image), USUAL_SIZE, colour=image.ndim == 3) for image in images
    ]


def keeps_size(size: tuple[int, int]) -> bool:
    """Say whether files that all have that size keep it where none is asked for.

    >>> keeps_size((224, 8)), keeps_size((225, 225))
    (True, False)
    """
    return SIDES[0] <= min(size) and max(size) <= KEPT


def serve(number: int) -> None:
    """Answer requests on standard input, until it ends, on the file of that number."""
    with os.fdopen(number, "wb") as answers:
        answer_all(sys.stdin.buffer, answers)


def answer_all(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    while True:
        try:
            request: Request = pickle.load(requests)  # noqa: S301  # of who started this process
        except EOFError:
            return
        pickle.dump(read_batch(request), answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()
