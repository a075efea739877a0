"""Parts of the work: what is predicted, in its order, cut into pieces of some thousand images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from lookbook.bulk.arrays import ImageArray, find_array
from lookbook.core.names import text
from lookbook.errors import InputError
from lookbook.inference.inputs import is_test, list_inputs

if TYPE_CHECKING:
    from lookbook.inference.predictor import Predictor

#: images of an array that one part has, about: half a second of work, so that a stop loses little
ARRAY_IMAGES = 4096
#: the same of files, which take a hundred times as long
FILES = 512


@dataclass(frozen=True)
class FilePart:
    """Image files that follow each other."""

    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, place: int) -> str:
        """Return what a table calls the image at a place."""
        return text(self.paths[place])


@dataclass(frozen=True)
class ArrayPart:
    """Images of an array that follow each other."""

    array: ImageArray
    places: range

    def __len__(self) -> int:
        return len(self.places)

    def name(self, place: int) -> str:
        """Return what a table calls the image at a place."""
        return f"{text(self.array.path)}:{self.places[place]}"


#: what a process answers at once: it holds no image, is small, and can be pickled
Part: TypeAlias = "FilePart | ArrayPart"


@dataclass(frozen=True)
class Source:
    """All that is predicted, in its order."""

    pieces: tuple[tuple[str, ...] | ImageArray, ...]

    @classmethod
    def of(cls, inputs: Sequence[str | Path], predictor: Predictor) -> Source:
        """Return what is meant by names of image files, of folders of them, and of files of arrays.

        Raises
        ------
        InputError
            Something is none of these, or the model does not take an array, or no images at all.
        DamagedFileError
            A file of arrays is damaged.
        """
        predictor.request([])  # refuses a model of features
        pieces: list[tuple[str, ...] | ImageArray] = []
        names: list[str] = []
        for given in inputs:
            if (array := _find_array(given, predictor)) is None:
                names += map(str, list_inputs(given))
                continue
            pieces += [*_several(names), array]
            names = []
        pieces += _several(names)
        return cls(tuple(pieces))

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def arrays(self) -> list[ImageArray]:
        """Return the arrays among it."""
        return [piece for piece in self.pieces if isinstance(piece, ImageArray)]

    def parts(self, batch_size: int) -> list[Part]:
        """Cut all of it into parts; each but the last of its kind is of whole batches.

        So every batch holds the same images as without parts.
        """
        return [part for piece in self.pieces for part in _cut(piece, batch_size)]

    def identity(self) -> str:
        """Return a hash of names, sizes and times of all files, in their order."""
        digest = hashlib.sha256()
        for piece in self.pieces:
            digest.update(repr(piece).encode() if isinstance(piece, ImageArray) else b"files")
            for path in [piece.path] if isinstance(piece, ImageArray) else piece:
                digest.update(b"%s\0%s\n" % (os.fsencode(path), _state_of(path)))
        return digest.hexdigest()


def _find_array(given: str | Path, predictor: Predictor) -> ImageArray | None:
    if is_test(str(given)):
        raise InputError(
            f"{given} is a test image, which several processes do not predict; name image files, "
            "folders of them, or files of arrays"
        )
    return None if Path(given).is_dir() else find_array(Path(given), predictor.model)


def _several(names: list[str]) -> list[tuple[str, ...]]:
    """Return image files as one piece, if there are any."""
    return [tuple(names)] if names else []


def _cut(piece: tuple[str, ...] | ImageArray, batch_size: int) -> Iterator[Part]:
    most = ARRAY_IMAGES if isinstance(piece, ImageArray) else FILES
    size = most // batch_size * batch_size
    for start in range(0, len(piece), size):
        stop = min(start + size, len(piece))
        if isinstance(piece, ImageArray):
            yield ArrayPart(piece, range(start, stop))
        else:
            yield FilePart(piece[start:stop])


def _state_of(path: str) -> bytes:
    """Return size and time of a file; nothing of one that is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116  # a Path for each of a million files takes as long
    except OSError:
        return b""
    return b"%d %d" % (found.st_size, found.st_mtime_ns)
