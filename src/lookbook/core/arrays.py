"""Rows of arrays, on the disk or to show, chunks that fit into memory, principal axes, softmax."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Int64, Shaped, UInt8

#: bytes of pixels that are computed with at once, where there may be any number
CHUNK = 2**27


def sample(raw: Shaped[np.ndarray, "N *shape"], most: int) -> Shaped[np.ndarray, "M *shape"]:
    """Take evenly spaced inputs: image folders are in the order of their classes.

    >>> sample(np.arange(10), 5).tolist()
    [0, 2, 4, 6, 8]
    """
    n = len(raw)
    if n <= most:
        return raw[:] if isinstance(raw, Rows) else raw
    return raw[np.arange(most) * n // most]


def telling_row(image: UInt8[np.ndarray, "H W *C"]) -> int:
    """Return which row of an image to show as numbers: 10, or where that is plain, the least plain.

    Of colour images the first channel is asked: the one that is shown.

    >>> image = np.zeros((12, 3), np.uint8)
    >>> image[4] = 0, 255, 0
    >>> telling_row(image)
    4
    """
    levels = image if image.ndim == 2 else image[..., 0]
    row = min(10, len(levels) - 1)
    return row if np.ptp(levels[row]) else int(levels.std(axis=1).argmax())


def chunks(n: int, size: int) -> list[slice]:
    """Cut `n` things of `size` bytes into pieces that fit into memory, of one thing at least.

    >>> chunks(5, CHUNK // 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None)]
    """
    step = max(1, CHUNK // size)
    return [slice(start, start + step) for start in range(0, n, step)]


class Rows:
    """Rows of memory-mapped images, in any order, which stay on the disk until they are asked for.

    They stand for an array where it is asked for its shape, for single rows, or for some of them,
    which are copied; as a whole NumPy copies them into memory, too.

    >>> images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    >>> rows = Rows((images,), np.array([2, 0]), np.array([False, True]))
    >>> rows.shape, rows[0].tolist(), rows[1:].tolist()
    ((2, 2, 2), [[8, 9], [10, 11]], [[[255, 254], [253, 252]]])

    Parameters
    ----------
    arrays
        Images of one shape; their rows are numbered from the first array to the last.
    rows
        The numbers of those that these are.
    inverted
        Which of them are shown light for dark; None where none is.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        arrays: Sequence[UInt8[np.ndarray, "N *shape"]],
        rows: Int64[np.ndarray, "M"],
        inverted: Bool[np.ndarray, "M"] | None = None,
    ) -> None:
        self.arrays, self.rows, self.inverted = tuple(arrays), rows, inverted
        self.shape: tuple[int, ...] = (len(rows), *arrays[0].shape[1:])
        self.ndim, self.size = len(self.shape), math.prod(self.shape)
        self.nbytes = self.size

    def __len__(self) -> int:
        return len(self.rows)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Shaped[np.ndarray, "M *shape"]:
        return self[:].astype(dtype or self.dtype, copy=False)

    def __getitem__(self, places: Any) -> UInt8[np.ndarray, "*shape"]:
        rows = self.rows[places]
        single = rows.ndim == 0
        rows = rows.reshape(-1)
        images = np.empty((len(rows), *self.shape[1:]), self.dtype)
        self.ask_for(places)
        for array, here, of_array in self._by_array(rows):
            images[here] = array[of_array]
        if self.inverted is not None:
            inverted = self.inverted[places].reshape(-1)
            images[inverted] = 255 - images[inverted]
        return images[0] if single else images

    def ask_for(self, places: Any) -> None:
        """Have the system bring rows of files into memory, if it likes, without waiting for it."""
        for array, _, of_array in self._by_array(self.rows[places].reshape(-1)):
            _ask_for(array, of_array)

    def _by_array(
        self, rows: Int64[np.ndarray, "M"]
    ) -> Iterator[
        tuple[UInt8[np.ndarray, "N *shape"], Int64[np.ndarray, "L"], Int64[np.ndarray, "L"]]
    ]:
        """Give each array, which of the rows lie there, and where.

        Forwards through the file, from which a disk reads several times as fast.
        """
        order = rows.argsort(kind="stable")
        first = 0
        for array in self.arrays:
            here = order[slice(*np.searchsorted(rows, (first, first + len(array)), sorter=order))]
            yield array, here, rows[here] - first
            first += len(array)


def _ask_for(array: UInt8[np.ndarray, "N *shape"], rows: Int64[np.ndarray, "M"]) -> None:
    """Ask the system for rows of a memory map, all at once, before the first is waited for.

    One after the other, as they are copied, 12 kB come from a disk in 0.2 ms; so in 0.02.
    """
    source = getattr(array, "_mmap", None)
    if not isinstance(source, mmap.mmap) or not hasattr(source, "madvise") or len(rows) == 0:
        return
    each = array[0].nbytes
    if each * len(rows) > CHUNK or not array.flags.c_contiguous:
        return
    start = array.ctypes.data - np.frombuffer(source, np.uint8).ctypes.data
    for place in (start + rows * each).tolist():
        page = place - place % mmap.PAGESIZE
        source.madvise(mmap.MADV_WILLNEED, page, place + each - page)


def is_mapped(
    images: Shaped[np.ndarray, "N *shape"] | Rows,
) -> TypeGuard[np.memmap[Any, Any] | Rows]:
    """Say whether images are on the disk: a memory map, or rows of one."""
    return isinstance(images, np.memmap | Rows)


def take_rows(
    images: Shaped[np.ndarray, "N *shape"], indices: Int64[np.ndarray, "M"]
) -> Shaped[np.ndarray, "M *shape"]:
    """Return the images at these indices; those on the disk stay there, unless they are few."""
    if not is_mapped(images) or len(indices) * images[:1].nbytes <= CHUNK:
        taken: Shaped[np.ndarray, "M *shape"] = images[indices]
        return taken
    if isinstance(images, Rows):
        inverted = None if images.inverted is None else images.inverted[indices]
        return _as_array(Rows(images.arrays, images.rows[indices], inverted))
    return _as_array(Rows((images,), indices))


def invert_rows(
    images: Shaped[np.ndarray, "N *shape"], inverted: Bool[np.ndarray, "N"]
) -> Shaped[np.ndarray, "N *shape"]:
    """Return images with these inverted; those on the disk stay there as they are."""
    if not is_mapped(images):
        fresh = np.array(images)
        fresh[inverted] = 255 - fresh[inverted]
        return fresh
    rows = images if isinstance(images, Rows) else Rows((images,), np.arange(len(images)))
    before = False if rows.inverted is None else rows.inverted
    return _as_array(Rows(rows.arrays, rows.rows, inverted ^ before))


def join_rows(
    first: Shaped[np.ndarray, "N *shape"], second: Shaped[np.ndarray, "M *shape"]
) -> Shaped[np.ndarray, "L *shape"]:
    """Return the images of both, one after the other; those on the disk stay there."""
    if not (is_mapped(first) or is_mapped(second)):
        return np.concatenate([first, second])
    both = [
        each if isinstance(each, Rows) else Rows((each,), np.arange(len(each)))
        for each in (first, second)
    ]
    before = sum(map(len, both[0].arrays))
    rows = np.concatenate([both[0].rows, both[1].rows + before])
    inverted = None
    if any(each.inverted is not None for each in both):
        marks = [
            np.zeros(len(each), bool) if each.inverted is None else each.inverted for each in both
        ]
        inverted = np.concatenate(marks)
    return _as_array(Rows(both[0].arrays + both[1].arrays, rows, inverted))


def _as_array(rows: Rows) -> Shaped[np.ndarray, "N *shape"]:
    """Return rows under the type that they stand for."""
    return cast("np.ndarray[Any, Any]", rows)


def principal_axes(centred: Float32[np.ndarray, "N D"], most: int) -> Float32[np.ndarray, "D A"]:
    """Return unit vectors along the greatest variances of rows of mean 0, the greatest last.

    They are eigenvectors of the smaller product: columns by columns, or rows by rows. Where there
    are fewer rows than columns, those along next to no variance are orthogonal to others only
    roughly.

    >>> abs(principal_axes(np.float32([[-3, 0], [3, 0], [0, 1], [0, -1]]), 1)).tolist()
    [[1.0], [0.0]]
    """
    if centred.shape[1] <= len(centred):
        return np.asarray(np.linalg.eigh(centred.T @ centred)[1][:, -most:])
    axes = centred.T @ np.linalg.eigh(centred @ centred.T)[1][:, -most:]
    return np.asarray(axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-9))


def softmax(logits: Float[np.ndarray, "N K"]) -> Float[np.ndarray, "N K"]:
    """Turn logits into probabilities; each row sums to 1.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
