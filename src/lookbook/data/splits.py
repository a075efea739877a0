"""Split training / validation / test: stratified for arrays, by hashes of names for files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.arrays import chunks
from lookbook.core.names import plain
from lookbook.data.dataset import Dataset, few_tested, warn
from lookbook.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int64

    from lookbook.data.formats.image_files import Files
    from lookbook.data.formats.image_folder import Layout, Part
    from lookbook.data.formats.source import DataSource

#: share of the images that becomes the test part where the data has none
TEST_SHARE = 0.2
#: number of the way in which a folder without parts is split; 1 took no heed of the classes
SPLIT = 2


def split_validation(dataset: Dataset, *, seed: int) -> tuple[Dataset, Dataset]:
    """Carve a validation part from a training part: see `choose_validation`.

    >>> from lookbook import load
    >>> dataset = load("fashion-mnist")
    >>> training, validation = split_validation(dataset, seed=0)
    >>> len(training), len(validation), validation.counts.tolist()
    (55000, 5000, [500, 500, 500, 500, 500, 500, 500, 500, 500, 500])

    Raises
    ------
    InputError
        There are too few images to take any away.
    """
    chosen = choose_validation(dataset.labels, seed=seed)
    if len(chosen) == 0:
        raise InputError(
            f"{len(dataset)} images are too few for a validation part; at least two of a class "
            "are needed"
        )
    kept = np.setdiff1d(np.arange(len(dataset)), chosen)
    return dataset.take(kept), dataset.take(chosen)


def choose_validation(labels: Int64[np.ndarray, "N"], *, seed: int) -> Int64[np.ndarray, "M"]:
    """Choose the validation part: 15 % of the images, stratified, by the seed alone.

    More than 5,000 would tell little more, and could be learnt from.
    """
    return stratified_choice(labels, min(5000, round(0.15 * len(labels))), seed=seed)


def stratified_choice(
    labels: Int64[np.ndarray, "N"], n: int, *, seed: int
) -> Int64[np.ndarray, "M"]:
    """Choose about `n` indices, from each class in proportion, never the last of a class.

    >>> labels = np.array([0] * 6 + [1] * 4)
    >>> labels[stratified_choice(labels, 5, seed=0)].tolist()
    [0, 0, 0, 1, 1]
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    groups = np.split(by_class, np.cumsum(np.bincount(labels))[:-1])
    share = n / len(labels)
    taken = [
        group[: min(max(1, round(share * len(group))), len(group) - 1)]
        for group in groups
        if len(group)
    ]
    return np.sort(np.concatenate(taken))


def split_arrays(dataset: Dataset, part: Part) -> Dataset:
    """Choose one image in five for the test part: always the same, whatever a run's seed is."""
    n = len(dataset)
    test = stratified_choice(dataset.labels, round(TEST_SHARE * n), seed=0)
    if len(test) == 0:
        raise _too_few_to_split(n)
    if part == "test":
        return dataset.take(test)
    _warn_few_tested(dataset.classes, dataset.labels[test])
    return _keep(dataset, np.setdiff1d(np.arange(n), test))


def choose_files(files: Files, layout: Layout, part: Part) -> Int64[np.ndarray, "M"]:
    """Choose the image files of a part, in the order of the hashes of their names.

    In that order the classes are mixed, so that the first images show several.
    """
    at, labels = _places(files.paths, layout.folder), np.array(files.labels)
    order = at.argsort(kind="stable")
    if layout.has_parts:
        return order
    if part == "validation":
        raise no_validation(layout.folder)
    drawn = draw_test(at, labels)
    if not drawn.any():
        raise _too_few_to_split(len(labels))
    if part == "train":
        _warn_few_tested(tuple(layout.classes.values()), labels[drawn])
    chosen: Int64[np.ndarray, "M"] = order[drawn[order] == (part == "test")]
    return chosen


def _keep(dataset: Dataset, indices: Int64[np.ndarray, "M"]) -> Dataset:
    """Return the dataset of the images at ascending indices, in the place of all of them.

    For arrays that were just read, and that nobody else has: most of them again would be much.
    """
    images = dataset.images
    for rows in chunks(len(indices), images[0].nbytes):
        moved = indices[rows]
        images[rows.start : rows.start + len(moved)] = images[moved]
    return Dataset(images[: len(indices)], dataset.labels[indices], dataset.classes)


def _places(files: Sequence[Path], folder: Path) -> Float64[np.ndarray, "N"]:
    """Give each file a place in 0..1 by the hash of its name: no other file has a say in that."""
    names = [plain(path.relative_to(folder).as_posix()) for path in files]
    digests = [hashlib.sha256(name.encode()).digest() for name in names]
    return np.array([int.from_bytes(digest[:6], "big") / 2**48 for digest in digests])


def draw_test(
    at: Float64[np.ndarray, "N"], labels: Int64[np.ndarray, "N"]
) -> Bool[np.ndarray, "N"]:
    """Say of each image whether it is for the test part: of each class the lowest fifth is.

    At least one is, and never the last. A file that is added or removed moves at most one other.

    >>> draw_test(np.array([0.4, 0.1, 0.9, 0.2, 0.3, 0.5]), np.array([0, 0, 0, 0, 0, 1])).tolist()
    [False, True, False, False, False, False]
    """
    drawn = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        group = np.flatnonzero(labels == label)
        n = min(max(1, round(TEST_SHARE * len(group))), len(group) - 1)
        drawn[group[at[group].argsort(kind="stable")[:n]]] = True
    return drawn


def _warn_few_tested(classes: tuple[str, ...], labels: Int64[np.ndarray, "M"]) -> None:
    """Warn of classes that few images of a test part show: what is measured there is chance."""
    if note := few_tested(classes, np.bincount(labels, minlength=len(classes))):
        warn(note)


def _too_few_to_split(n: int) -> InputError:
    """Return the error for data that no test part can be split off from."""
    return InputError(
        f"{n} images are too few to split a test part off; at least two of a class are needed"
    )


def no_validation(source: DataSource | Path) -> InputError:
    """Return the error for data without a validation part of its own, where one is asked for."""
    return InputError(
        f"{source} has no validation part of its own: training takes one from its training part, "
        "as lookbook.data.splits.split_validation does"
    )


def measured_on_validation(source: DataSource) -> str:
    """Return the note on data whose validation part stands for the test part that it lacks."""
    return (
        f"{source} has no test part: its validation part is measured on, by which percentages and "
        "thresholds are set; new images may be answered a little worse"
    )


def without_size(dataset: Dataset, size: tuple[int, int] | None, source: DataSource) -> Dataset:
    """Refuse a size for images that have one; the run's own size is taken as it is."""
    if size not in (None, dataset.size):
        raise InputError(
            f"`size` is for folders of image files; the images of {source} are "
            f"{dataset.size[0]}×{dataset.size[1]}"
        )
    return dataset
