"""Arrays of images in .npz, .npy and IDX files, of which any part is read, and never the whole."""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.bounded_io import BLOCK, fill
from lookbook.data.array_checks import as_images
from lookbook.data.formats import idx, npz
from lookbook.errors import DamagedFileError, InputError

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from lookbook.data.formats.npz import ArrayFile, Header
    from lookbook.inference.model import Model

#: names of arrays that are predicted, the first that a file has; of two parts, that for tests
NAMES = ("images", "x", "test_images", "x_test")
#: bytes of an array that is refused that are looked at, to say what to do
_GLANCE = 2**24


@dataclass(frozen=True)
class ImageArray:
    """An array of images in a file. It holds none of them, and can be sent to another process."""

    path: str
    #: its name in an .npz file; None in an IDX file
    name: str | None
    #: (N, H, W), or (N, H, W, C)
    shape: tuple[int, ...]
    #: byte of the file at which the first image begins; None: they are compressed
    offset: int | None

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, places: range) -> UInt8[np.ndarray, "N H W *C"]:
        """Return the images at these places, one after the other.

        Of compressed ones each process unpacks all up to there, once if it asks for them in order.

        Raises
        ------
        DamagedFileError
            The file is damaged, or was cut short since.
        """
        images = np.empty((len(places), *self.shape[1:]), np.uint8)
        size = math.prod(self.shape[1:])
        with _as_damage(self):
            if self.offset is None:
                n = _unpack(self, places.start * size, images)
            else:
                # not mapped: where the file is cut short meanwhile, that would end the process
                with Path(self.path).open("rb") as file:
                    file.seek(self.offset + places.start * size)
                    n = fill(images.reshape(-1), file)
            if n < images.size:
                raise EOFError("it is cut short")
        return images

    def verify(self) -> None:
        """Read all of it, and compare it with the checksum that .npz and .gz files have.

        Raises
        ------
        DamagedFileError
            It is damaged.
        """
        block = np.empty(BLOCK, np.uint8)
        with _as_damage(self), self.open() as numbers:
            left = math.prod(self.shape)
            while n := fill(block, numbers):
                left -= n
            if left:
                raise EOFError("it is cut short")

    @contextmanager
    def open(self) -> Iterator[io.BufferedIOBase]:
        """Open what the images are read from, unpacked, from the first one on."""
        if self.name is None:
            with idx.open_idx(Path(self.path)) as (numbers, _):
                yield numbers
        else:
            with npz.open_arrays(Path(self.path)) as arrays, arrays.open_numbers(self.name) as file:
                yield file


def find_array(path: Path, model: Model) -> ImageArray | None:
    """Return the array of images that a file holds; None where it is of another kind.

    Raises
    ------
    InputError
        It holds no array of images, several of which none is known by its name, or none that the
        model takes.
    DamagedFileError
        It is damaged.
    """
    kind = _kind_of(path)
    if kind is None:
        return None
    found = _find_idx(path) if kind == "idx" else _find_npz(path, model)
    if not len(found):
        raise InputError(f"{path} holds an array of shape {found.shape}: no images")
    if found.shape[1:] not in (model.input_shape, (*model.input_shape, 1)):
        wanted = ", ".join(str(side) for side in model.input_shape)
        raise InputError(
            f"the model takes images of shape (N, {wanted}) with N of 1 or more, {path} holds an "
            f"array of shape {found.shape}; bring its images to that shape first, or save them as "
            "files, which are taken in any size"
        )
    return found


def _kind_of(path: Path) -> str | None:
    """Say by its first bytes what a file of arrays is."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError:
        return None
    named = path.suffix.lower() in {".npz", ".npy"}
    if named or start[:4] == b"PK\x03\x04" or start[:6] == b"\x93NUMPY":
        return "npz"
    return "idx" if start[:3] == b"\0\0\x08" or start[:2] == b"\x1f\x8b" else None


def _find_idx(path: Path) -> ImageArray:
    with idx.open_idx(path) as (numbers, head):
        shape = tuple(idx.shape_of(head))
        plain = not isinstance(numbers, gzip.GzipFile)
    size = len(head) + math.prod(shape)
    if plain and path.stat().st_size != size:
        raise DamagedFileError(
            f"{path} is damaged: its header announces {size:,} bytes, it holds "
            f"{path.stat().st_size:,}; fetch it again"
        )
    return ImageArray(str(path), None, shape, len(head) if plain else None)


def _find_npz(path: Path, model: Model) -> ImageArray:
    try:
        with npz.open_arrays(path) as arrays:
            name = _choose(arrays, path, model)
            header = arrays.header(name)
            _check_header(header, arrays, name, path)
            return ImageArray(str(path), name, header.shape, arrays.offset(name))
    except InputError:
        raise
    except npz.ObjectsError as error:
        raise InputError(
            f"{path} holds objects, which are refused; expected numbers from 0 to 255: save its "
            "images again, as images.astype('uint8')"
        ) from error
    except npz.DAMAGE as error:
        raise _damaged(path, error) from error


def _check_header(header: Header, arrays: ArrayFile, name: str, path: Path) -> None:
    """Refuse numbers that are no levels of images, or do not lie image by image."""
    if header.dtype != np.uint8:
        as_images(arrays.read(name, _GLANCE), header.shape)  # says what to do
    if header.columns_first:
        raise InputError(
            f"{name} in {path} has its columns first, so that no image lies in one piece; save it "
            "as numpy.ascontiguousarray(images)"
        )


def _choose(arrays: ArrayFile, path: Path, model: Model) -> str:
    """Return the name of the array that is predicted."""
    if known := [name for name in NAMES if name in arrays.names]:
        return known[0]
    shapes = {name: arrays.header(name).shape for name in arrays.names}
    fitting = [name for name, shape in shapes.items() if shape[1:] == model.input_shape]
    if len(fitting) == 1:
        return fitting[0]
    if len(shapes) == 1:
        return next(iter(shapes))
    if not shapes:
        raise InputError(f"{path} holds no arrays; expected one of images, called images")
    listed = ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items()))
    raise InputError(f"{path} holds the arrays {listed}; expected one of images, called images")


# ---- compressed arrays, which are unpacked in order ----


class _Unpacking:
    """An array that is being unpacked, and how far that is."""

    def __init__(self, array: ImageArray) -> None:
        self.array, self.place = array, 0
        self._stack = ExitStack()
        self._numbers = self._stack.enter_context(array.open())

    def skip_to(self, place: int) -> None:
        block = np.empty(BLOCK, np.uint8)
        while self.place < place:
            n = fill(block[: place - self.place], self._numbers)
            if n == 0:
                raise EOFError("it is cut short")
            self.place += n

    def read(self, images: UInt8[np.ndarray, "N *shape"]) -> int:
        n = fill(images.reshape(-1), self._numbers)
        self.place += n
        return n

    def close(self) -> None:
        self._stack.close()


#: what this process unpacks: parts are asked for in order
_unpacking: _Unpacking | None = None


def _unpack(array: ImageArray, place: int, images: UInt8[np.ndarray, "N *shape"]) -> int:
    """Fill images from a place of a compressed array on; return how many bytes there were."""
    global _unpacking  # noqa: PLW0603  # one process, one place
    if _unpacking is None or _unpacking.array != array or _unpacking.place > place:
        if _unpacking is not None:
            _unpacking.close()
        _unpacking = _Unpacking(array)
    _unpacking.skip_to(place)
    return _unpacking.read(images)


@contextmanager
def _as_damage(array: ImageArray) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except npz.DAMAGE as error:
        raise _damaged(Path(array.path), error) from error


def _damaged(path: Path, error: Exception) -> DamagedFileError:
    return DamagedFileError(
        f"{path} cannot be read ({error}); save or fetch it again, as numpy.savez or MNIST's IDX "
        "files have it"
    )
