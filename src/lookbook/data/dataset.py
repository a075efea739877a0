"""A Dataset: uint8 images, their labels, the names of the classes and of the files; its hash."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from lookbook.core.arrays import Rows, chunks, join_rows, take_rows
from lookbook.core.names import few, plain
from lookbook.data.array_checks import CLASSES, as_images, dim_levels, unknown_classes
from lookbook.data.cache.facts import recall
from lookbook.errors import InputError, LookbookWarning, check_types
from lookbook.images.preprocessing import find_polarity, match_all
from lookbook.images.specification import SIDES, Polarity

if TYPE_CHECKING:
    from jaxtyping import Int64, Shaped, UInt8

    from lookbook.data.formats.source import DataSource
    from lookbook.data.groups import Groups

#: test images of a class below which what is said of it may be chance
FEW = 5


@dataclass(frozen=True)
class Dataset:
    """Images, their labels, the names of the classes and of the files; nothing else travels.

    >>> images = np.zeros((4, 8, 8), np.uint8)
    >>> dataset = Dataset(images, np.array([0, 1, 0, 1]), ("cat", "dog"))
    >>> len(dataset), dataset.channels, dataset.counts.tolist()
    (4, 1, [2, 2])

    Raises
    ------
    InputError
        Types, shapes, sizes or labels are not those of a set of small images.
    """

    images: UInt8[np.ndarray, "N H W *C"]
    labels: Int64[np.ndarray, "N"]
    classes: tuple[str, ...]
    #: names of the image files, from their folder on; empty where the data is arrays
    files: tuple[str, ...] = ()
    #: which images a split keeps together; None: nobody has looked
    groups: Groups | None = None

    def __post_init__(self) -> None:
        _check(self)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"Dataset({self.images.shape} {self.images.dtype}, {len(self.classes)} classes)"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.images.shape[1], self.images.shape[2]

    @property
    def channels(self) -> Literal[1, 3]:
        """1 for grey, 3 for colour."""
        return 3 if self.images.shape[3:] == (3,) else 1

    @property
    def counts(self) -> Int64[np.ndarray, "K"]:
        """How many images each class has."""
        return np.bincount(self.labels, minlength=len(self.classes))

    @property
    def polarity(self) -> Polarity:
        """Whether the images show light things on dark ground, the reverse, or both."""
        return recall(self.images, "polarity", lambda: find_polarity(self.images))

    def match(self, polarity: Polarity) -> Dataset:
        """Return the dataset with odd images inverted: see `photos.match_all`."""
        return replace(self, images=match_all(self.images, polarity)[0])

    def take(self, indices: Int64[np.ndarray, "M"]) -> Dataset:
        """Return the dataset of the images at these indices."""
        files = tuple(self.files[i] for i in indices) if self.files else ()
        groups = self.groups.take(indices) if self.groups else None
        images = take_rows(self.images, indices)
        return Dataset(images, self.labels[indices], self.classes, files, groups)

    def check_kind(self, size: tuple[int, int], channels: int, source: object) -> None:
        """Refuse images of another size or kind than a model takes."""
        if (self.size, self.channels) != (size, channels):
            raise InputError(
                f"the images of {source} are {_kind(self.size, self.channels)}, the model takes "
                f"{_kind(size, channels)}: save them so, or as files in class folders, which are "
                "brought to its size"
            )

    def with_classes(self, classes: tuple[str, ...], source: DataSource) -> Dataset:
        """Return the dataset with labels that are numbers of other classes, known by their names.

        Raises
        ------
        InputError
            It shows other classes.
        """
        known = {plain(name): number for number, name in enumerate(classes)}
        numbers = [known.get(plain(name), -1) for name in self.classes]
        unnamed = self.classes == tuple(map(str, range(len(self.classes))))
        if unnamed and len(numbers) <= len(classes) and set(numbers) == {-1}:
            warn(f"{source} names no classes: its labels are taken for the numbers of the model's")
            numbers = list(range(len(numbers)))
        labels = np.array(numbers)[self.labels]
        if (labels < 0).any():
            strangers = [self.classes[k] for k in np.unique(self.labels[labels < 0])]
            raise unknown_classes(str(source), strangers, classes)
        return Dataset(self.images, labels, classes, self.files)

    def sha256(self) -> str:
        """Return the hash of images, labels and class names: equal only for equal data."""
        return hash_arrays(self.images, self.labels, self.classes)


def hash_arrays(
    raw: Shaped[np.ndarray, "N *shape"], labels: Int64[np.ndarray, "N"], classes: tuple[str, ...]
) -> str:
    """Return the SHA-256 of inputs, labels and class names."""
    named = tuple(map(plain, classes))  # a Mac's folders are not other data
    of_labels = hashlib.sha256(np.ascontiguousarray(labels).data).hexdigest()
    return recall(raw, f"hash {named} {of_labels}", lambda: _hash_all(raw, labels, named))


def _hash_all(
    raw: Shaped[np.ndarray, "N *shape"], labels: Int64[np.ndarray, "N"], named: tuple[str, ...]
) -> str:
    digest = hashlib.sha256(repr((raw.shape, named)).encode())
    # by chunks: rows on the disk are read when they are asked for
    for part in chunks(len(raw), raw[:1].nbytes) if isinstance(raw, Rows) else [slice(None)]:
        digest.update(np.ascontiguousarray(raw[part]).data)
    digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()


def _check(dataset: Dataset) -> None:
    images, labels, classes = dataset.images, dataset.labels, dataset.classes
    # of rows on the disk the first one says what they are
    as_images(images[:1] if isinstance(images, Rows) else images, images.shape)
    if len(images) == 0 or labels.shape != (len(images),):
        raise InputError(
            f"each image needs one label: got {len(images):,} images and labels of shape "
            f"{labels.shape}; save as many of one as of the other"
        )
    if not all(SIDES[0] <= side <= SIDES[1] for side in images.shape[1:3]):
        raise InputError(
            f"images must be {SIDES[0]} to {SIDES[1]} pixels on a side, got "
            f"{images.shape[1]}×{images.shape[2]}; resize them before you save them"
        )
    if not CLASSES[0] <= len(classes) <= CLASSES[1]:
        raise InputError(
            f"expected {CLASSES[0]} to {CLASSES[1]} classes, got {len(classes)}; add or join some"
        )
    for name in classes:
        check_types(classes=(name, str))
    names = list(map(plain, classes))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two classes are called {twice!r}; give each a name of its own")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(wrong):
        raise InputError(
            f"labels must be in 0..{len(classes) - 1}, got {labels[wrong[0]]} at index {wrong[0]}; "
            "name all classes in the array 'classes', or mend the labels"
        )


def join(first: Dataset, second: Dataset) -> Dataset:
    """Return the images of both, which have the same classes, size and channels.

    >>> part = Dataset(np.zeros((2, 8, 8), np.uint8), np.array([0, 1]), ("cat", "dog"))
    >>> len(join(part, part))
    4
    """
    images = join_rows(first.images, second.images)
    labels = np.concatenate([first.labels, second.labels])
    return Dataset(images, labels, first.classes, first.files + second.files)


def few_tested(classes: tuple[str, ...], counts: Int64[np.ndarray, "K"]) -> str:
    """Return the note on classes that few test images show; nothing where there are none.

    >>> few_tested(("cat", "dog"), np.array([2, 9]))
    'fewer than 5 test images show cat (2): what is measured there may be chance; add images'
    """
    named = [f"{classes[k]} ({counts[k]:,})" for k in np.flatnonzero(counts < FEW)]
    if not named:
        return ""
    return (
        f"fewer than {FEW} test images show {few(named)}: what is measured there may be chance; "
        "add images"
    )


def warn(message: str) -> None:
    """Warn where this package was called from, however deep in it."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals["__name__"].startswith(f"{__package__}."):
        frame, level = frame.f_back, level + 1
    warnings.warn(LookbookWarning(message), stacklevel=level)


def _kind(size: tuple[int, int], channels: int) -> str:
    return f"{size[0]}×{size[1]} in {'colour' if channels == 3 else 'grey'}"


def warn_odd(dataset: Dataset) -> None:
    """Warn of training images that no model can learn from."""
    # numbers that were skipped, mostly
    empty = [name for name, n in zip(dataset.classes, dataset.counts, strict=True) if n == 0]
    if empty:
        warn(f"no training image shows {few(empty)}; no model can learn that")
    if note := dim_levels(dataset.images):
        warn(note)
