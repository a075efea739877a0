"""Arrays of numbers and text from .npz and .npy files; never objects."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from lookbook.core.bounded_io import BoundedFile, fill
from lookbook.data.array_checks import CLASSES, as_images, as_labels, numbered
from lookbook.data.dataset import Dataset
from lookbook.data.formats.source import ArraySource, Measured, Outline
from lookbook.errors import DamagedFileError, InputError

if TYPE_CHECKING:
    from jaxtyping import Int64, Shaped, UInt8

    from lookbook.data.formats.image_folder import Part

#: what readers of zip files and of array headers answer damage with, seen with 100,000 files that
#: were changed at random
DAMAGE = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
#: kinds of numbers and text: truth values, integers, floats, complex numbers, bytes, text
KINDS = "biufcSU"
#: content above 64 MiB must come from at least one byte in so many: photographs hold 1 in 2
MOST_EXPANSION = 100
#: bytes that an array's header may take
MAX_HEADER = 2**16
#: what stands before each file in a zip file; its last numbers are bytes of its name, and of more
_LOCAL = struct.Struct("<26xHH")
#: calls and bytes that the list of the arrays may be read in
MAX_LIST = 1000, 2**21


class ObjectsError(ValueError):
    """An array is of objects, which would run code of whoever wrote the file."""


@dataclass(frozen=True)
class Header:
    """What an array is, before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    columns_first: bool

    @property
    def size(self) -> int:
        """Bytes of its numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


class ArrayFile:
    """The arrays of an .npz file, or the one of an .npy file, read one by one.

    >>> path = getfixture("tmp_path") / "data.npz"
    >>> np.savez(path, images=np.zeros((2, 8, 8)), labels=np.arange(2))
    >>> with open_arrays(path) as arrays:
    ...     sorted(arrays.names), arrays.header("images").shape, arrays.read("labels").tolist()
    (['images', 'labels'], (2, 8, 8), [0, 1])
    """

    def __init__(self, path: Path, members: zipfile.ZipFile | None, alone: str) -> None:
        self._path, self._members = path, members
        inside = [alone] if members is None else members.namelist()
        self.names = {name.removesuffix(".npy"): name for name in inside}
        self._files = path.stat().st_size

    def header(self, name: str) -> Header:
        """Return what an array is.

        Raises
        ------
        Exception
            One of `DAMAGE`: it is none of numbers or text, or its file cannot hold it.
        """
        with self._open(name) as (file, size, packed):
            return _read_header(file, size, packed)

    def read(self, name: str, most: int | None = None) -> np.ndarray[Any, Any]:
        """Return an array; of one of more bytes than `most` its first rows.

        All of it is compared with the checksum that .npz files have; memory is for what is
        returned alone.

        Raises
        ------
        Exception
            As `header`; or the file is cut short, or its checksum is wrong.
        """
        with self._open(name) as (file, size, packed):
            header = _read_header(file, size, packed)  # the numbers come next
            shape = header.shape
            if most is not None and header.size > most and not header.columns_first:
                shape = (max(1, most * shape[0] // header.size), *shape[1:])
            content = np.empty(math.prod(shape) * header.dtype.itemsize, np.uint8)
            if fill(content, file) < len(content):
                raise EOFError("it is cut short")
            if shape == header.shape and file.read(1):  # or its end, where the checksum is compared
                raise ValueError("an array is longer than its header says")
        array = content.view(header.dtype)
        return array.reshape(shape[::-1]).T if header.columns_first else array.reshape(shape)

    def offset(self, name: str) -> int | None:
        """Return at which byte of the file an array's numbers begin; None: they are compressed.

        Raises
        ------
        Exception
            As `header`.
        """
        with self._open(name) as (file, size, packed):
            _read_header(file, size, packed)
            length = file.tell()
        if self._members is None:
            return length
        member = self._members.getinfo(self.names[name])
        if member.compress_type != zipfile.ZIP_STORED:
            return None
        with self._path.open("rb") as whole:
            whole.seek(member.header_offset)
            start = whole.read(_LOCAL.size)
        name_length, extra_length = _LOCAL.unpack(start)
        return member.header_offset + _LOCAL.size + int(name_length) + int(extra_length) + length

    @contextmanager
    def open_numbers(self, name: str) -> Iterator[io.BufferedIOBase]:
        """Open what an array's numbers are read from, from the first one on.

        At its end they are compared with their checksum.

        Raises
        ------
        Exception
            As `header`.
        """
        with self._open(name) as (file, size, packed):
            _read_header(file, size, packed)
            yield file

    @contextmanager
    def _open(self, name: str) -> Iterator[tuple[io.BufferedIOBase, int, int]]:
        """Open an array's file; with its bytes, and those that they are packed into."""
        if self._members is None:
            with self._path.open("rb") as file:
                yield file, self._files, self._files
            return
        member = self._members.getinfo(self.names[name])
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is compressed in a way that numpy does not write")
        with self._members.open(member) as packed:
            sizes = member.file_size, min(member.compress_size, self._files)
            yield cast("io.BufferedIOBase", packed), *sizes


@contextmanager
def open_arrays(path: Path, alone: str = "array") -> Iterator[ArrayFile]:
    """Open an .npz or .npy file; the array of an .npy file is called `alone`.

    Raises
    ------
    Exception
        One of `DAMAGE`.
    """
    if not zipfile.is_zipfile(path):
        yield ArrayFile(path, None, alone)
        return
    with BoundedFile(path, *MAX_LIST) as file, zipfile.ZipFile(file) as members:
        file.calls = file.room = 2**63  # from here on the headers of the arrays say how much
        yield ArrayFile(path, members, alone)


class _Start:
    """The start of a file, or nothing: a header that says that it has gigabytes is not read."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        if size > MAX_HEADER:
            raise ValueError(f"its header would have {size:,} bytes")
        block = self._file.read(size)
        if len(block) < size:
            raise EOFError("it is cut short")
        return block


def _read_header(file: io.BufferedIOBase, size: int, packed: int) -> Header:
    """Read a header; compare it with how many bytes there are, and what they are packed into."""
    start = cast("IO[bytes]", _Start(file))
    try:
        version = np.lib.format.read_magic(start)
    except ValueError as error:
        raise ValueError("it is cut short, or no array") from error
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version[0]}.{version[1]} of arrays is for fields with names")
    read = np.lib.format.read_array_header_1_0
    if version == (2, 0):
        read = np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read(start)
    if dtype.hasobject:
        raise ObjectsError("it holds objects, which are refused")
    if dtype.kind not in KINDS or dtype.subdtype is not None:
        raise ValueError(f"arrays of {dtype} hold neither numbers nor text")
    header, left = Header(shape, dtype, columns_first), size - file.tell()
    if header.size != left:
        raise ValueError(f"its header announces {header.size:,} bytes, it has {left:,}")
    if header.size > max(2**26, MOST_EXPANSION * packed):
        raise ValueError(f"{packed:,} bytes that unpack to {header.size:,} are refused")
    return header


# ---- datasets ----

#: names under which .npz files keep their arrays: ours and MedMNIST's, Keras's
SPLIT = (
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
)
_WHOLE = (("images", "labels"), ("x", "y"))
#: bytes of an array that is refused that are looked at, to say what to do
_GLANCE = 2**24


def load_npz(path: Path, part: Part) -> tuple[Dataset, bool]:
    """Return a part, or all of a file without parts, and whether it has some."""
    with open_npz(path) as arrays:
        names = find_arrays(arrays, path)
        images_name, labels_name = names[-2:] if part == "test" else names[:2]
        labels = _read_labels(arrays, labels_name, path)
        classes = _read_classes(arrays, path)
        if classes is None:
            known = labels if names[1] == labels_name else _read_labels(arrays, names[1], path)
            classes = numbered(known)
        images = _read_images_of(arrays, images_name)
    dataset = Dataset(images, labels, classes)
    return dataset, names in SPLIT


def _read_images_of(arrays: ArrayFile, name: str) -> UInt8[np.ndarray, "N H W *C"]:
    header = arrays.header(name)
    fits = header.dtype == np.uint8 and len(header.shape) in (3, 4)
    return as_images(arrays.read(name, None if fits else _GLANCE), header.shape)


def _read_labels(arrays: ArrayFile, name: str, path: Path) -> Int64[np.ndarray, "N"]:
    """Read labels: of shape (N,), or of (N, 1) as MedMNIST has them."""
    header = arrays.header(name)
    labels = arrays.read(name, None if header.dtype.kind in "iu" else _GLANCE)
    return as_labels(labels, f"labels in {path}", header.shape)


def _read_classes(arrays: ArrayFile, path: Path) -> tuple[str, ...] | None:
    """Read the names of the classes; None where there are none."""
    if "classes" not in arrays.names:
        return None
    header = arrays.header("classes")
    n = math.prod(header.shape)
    if header.dtype.kind not in "SUiu" or not CLASSES[0] <= n <= CLASSES[1]:
        raise InputError(
            f"classes in {path} must be {CLASSES[0]} to {CLASSES[1]} names, got {header.dtype} of "
            f"shape {header.shape}; save them as numpy.array(['cat', 'dog'])"
        )
    names = arrays.read("classes").ravel().tolist()
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def _read_column(arrays: ArrayFile, name: str, n: int, path: Path) -> Shaped[np.ndarray, "N"]:
    """Read an array that says something of each of `n` images."""
    if name not in arrays.names:
        raise InputError(
            f"{path} has no array {name!r} for `groups`; it holds {', '.join(sorted(arrays.names))}"
        )
    header = arrays.header(name)
    if header.shape not in ((n,), (n, 1)) or header.dtype.kind not in "biuSU":
        raise InputError(
            f"the array {name!r} in {path} must have a whole number or a name for each of the "
            f"{n:,} images, got {header.dtype} of shape {header.shape}"
        )
    return arrays.read(name).reshape(n)


def find_arrays(arrays: ArrayFile, path: Path) -> tuple[str, ...]:
    """Return the names of the arrays: four of two parts, or two of images yet to be split."""
    names = next((some for some in (*SPLIT, *_WHOLE) if set(some) <= set(arrays.names)), None)
    if names is None:
        raise InputError(
            f"{path} holds the arrays {', '.join(sorted(arrays.names)) or 'nothing'}; "
            "expected images and labels, or train_images, train_labels, test_images and test_labels"
        )
    return names


@contextmanager
def open_npz(path: Path) -> Iterator[ArrayFile]:
    """Open an .npz file; whatever its damage does to its reader becomes one error."""
    if not zipfile.is_zipfile(path):  # an .npy file holds one array
        raise DamagedFileError(
            f"{path} is no .npz file, or is cut short; save it again with numpy.savez"
        )
    try:
        with open_arrays(path) as arrays:
            yield arrays
    except InputError:
        raise
    except DAMAGE as error:
        raise DamagedFileError(
            f"{path} cannot be read ({error}); expected arrays of numbers, as numpy.savez writes "
            "them"
        ) from error


class NpzSource(ArraySource):
    """An .npz file, in whatever case its ending is."""

    def measured_part(self) -> Measured:
        with open_npz(self.path) as arrays:
            return "test" if find_arrays(arrays, self.path) in SPLIT else "split"

    def outline(self) -> Outline | None:
        with open_npz(self.path) as arrays:
            images, labels = find_arrays(arrays, self.path)[:2]
            shape = arrays.header(images).shape
            if shape[3:] != (3,):
                return None
            _, counts = np.unique(arrays.read(labels), return_counts=True)
        side = max(shape[1:3])
        return Outline(shape[0], side, colour=True, resizable=False, counts=tuple(counts.tolist()))

    def _load_arrays(self, part: Part) -> tuple[Dataset, bool]:
        return load_npz(self.path, part)

    def _column(self, name: str, n: int) -> Shaped[np.ndarray, "N"]:
        with open_npz(self.path) as arrays:
            return _read_column(arrays, name, n, self.path)
