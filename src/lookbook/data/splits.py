"""Split training / validation / test: stratified for arrays, by hashes of names for files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.arrays import chunks
from lookbook.core.names import few, names_within, plain
from lookbook.data.dataset import Dataset, few_tested, warn
from lookbook.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int64

    from lookbook.data.formats.image_files import Files
    from lookbook.data.formats.image_folder import Layout, Part
    from lookbook.data.formats.source import DataSource
    from lookbook.data.groups import Groups

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
    groups = dataset.groups
    chosen = choose_validation(dataset.labels, seed=seed, groups=groups)
    refuse_large_groups(dataset.labels, chosen, dataset.classes, groups, "validation")
    if len(chosen) == 0:
        raise InputError(
            f"{len(dataset)} images are too few for a validation part; at least two of a class "
            "are needed"
        )
    kept = np.setdiff1d(np.arange(len(dataset)), chosen)
    return dataset.take(kept), dataset.take(chosen)


def choose_validation(
    labels: Int64[np.ndarray, "N"], *, seed: int, groups: Groups | None = None
) -> Int64[np.ndarray, "M"]:
    """Choose the validation part: 15 % of the images, stratified, by the seed alone.

    More than 5,000 would tell little more, and could be learnt from. Images of one group are all
    chosen, or none is.
    """
    n = min(5000, round(0.15 * len(labels)))
    return stratified_choice(labels, n, seed=seed, groups=groups)


def stratified_choice(
    labels: Int64[np.ndarray, "N"],
    n: int,
    *,
    seed: int,
    groups: Groups | None = None,
) -> Int64[np.ndarray, "M"]:
    """Choose about `n` indices, from each class in proportion, never the last of a class.

    >>> labels = np.array([0] * 6 + [1] * 4)
    >>> labels[stratified_choice(labels, 5, seed=0)].tolist()
    [0, 0, 0, 1, 1]
    >>> from lookbook.data.groups import Groups
    >>> chosen = stratified_choice(labels, 5, seed=0, groups=Groups(np.arange(10) // 2))
    >>> chosen.tolist(), labels[chosen].tolist()
    ([4, 5, 6, 7], [0, 0, 1, 1])
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    if groups is not None and not groups.are_all_alone:
        counts = np.bincount(labels)
        wanted = np.clip(np.round(n / len(labels) * counts).astype(int), 1, counts - 1)
        return np.flatnonzero(_draw_groups(np.argsort(shuffled), labels, groups, wanted))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    share = n / len(labels)
    taken = [
        group[: min(max(1, round(share * len(group))), len(group) - 1)]
        for group in np.split(by_class, np.cumsum(np.bincount(labels))[:-1])
        if len(group)
    ]
    return np.sort(np.concatenate(taken))


def split_arrays(dataset: Dataset, part: Part) -> Dataset:
    """Choose one image in five for the test part: always the same, whatever a run's seed is."""
    n, groups = len(dataset), dataset.groups
    share = round(TEST_SHARE * n)
    test = stratified_choice(dataset.labels, share, seed=0, groups=groups)
    refuse_large_groups(dataset.labels, test, dataset.classes, groups, "test")
    if len(test) == 0:
        raise _too_few_to_split(n)
    if part == "test":
        return dataset.take(test)
    warn_few_tested(dataset.classes, dataset.labels[test])
    return _keep(dataset, np.setdiff1d(np.arange(n), test))


def choose_files(
    at: Float64[np.ndarray, "N"],
    files: Files,
    layout: Layout,
    part: Part,
    groups: Groups | None = None,
) -> Int64[np.ndarray, "M"]:
    """Choose the image files of a part, in the order of their places: see `place_files`.

    In that order the classes are mixed, so that the first images show several.
    """
    labels = np.array(files.labels)
    order = at.argsort(kind="stable")
    if layout.has_parts:
        return order
    if part == "validation":
        raise no_validation(layout.folder)
    drawn = draw_test(at, labels, groups)
    classes = tuple(layout.classes.values())
    refuse_large_groups(labels, np.flatnonzero(drawn), classes, groups, "test")
    if not drawn.any():
        raise _too_few_to_split(len(labels))
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
    groups = dataset.groups.take(indices) if dataset.groups else None
    labels = dataset.labels[indices]
    return Dataset(images[: len(indices)], labels, dataset.classes, groups=groups)


def place_files(files: Sequence[Path], folder: Path) -> Float64[np.ndarray, "N"]:
    """Give each file a place in 0..1 by the hash of its name: no other file has a say in that."""
    names = map(plain, names_within(folder, files))
    digests = [hashlib.sha256(name.encode()).digest() for name in names]
    return np.array([int.from_bytes(digest[:6], "big") / 2**48 for digest in digests])


def draw_test(
    at: Float64[np.ndarray, "N"],
    labels: Int64[np.ndarray, "N"],
    groups: Groups | None = None,
) -> Bool[np.ndarray, "N"]:
    """Say of each image whether it is for the test part: of each class the lowest fifth is.

    At least one is, and never the last. A file that is added or removed moves at most one other.
    A group is drawn as a whole, at the place of its first image.

    >>> draw_test(np.array([0.4, 0.1, 0.9, 0.2, 0.3, 0.5]), np.array([0, 0, 0, 0, 0, 1])).tolist()
    [False, True, False, False, False, False]
    """
    if groups is not None and not groups.are_all_alone:
        counts = np.bincount(labels)
        wanted = np.clip(np.round(TEST_SHARE * counts).astype(int), 1, counts - 1)
        return _draw_groups(at, labels, groups, wanted)
    drawn = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        group = np.flatnonzero(labels == label)
        n = min(max(1, round(TEST_SHARE * len(group))), len(group) - 1)
        drawn[group[at[group].argsort(kind="stable")[:n]]] = True
    return drawn


def _draw_groups(
    at: Float64[np.ndarray, "N"] | Int64[np.ndarray, "N"],
    labels: Int64[np.ndarray, "N"],
    groups: Groups,
    wanted: Int64[np.ndarray, "K"],
) -> Bool[np.ndarray, "N"]:
    """Draw whole groups in the order of their places, so that about as many of each class come.

    A group is taken where it brings the classes nearer to what is `wanted` of them; a class of
    which nothing was taken gets the group that brings it nearest. Never is all of a class taken:
    where all of it are copies of each other, these are drawn one by one.
    """
    drawing = _Drawing(labels, groups.numbers, wanted)
    order = np.argsort(at[drawing.firsts], kind="stable").tolist()
    for group in order:
        if drawing.gain(group) > 0:
            drawing.take(group)
    for label in range(len(wanted)):
        if drawing.left[label] == wanted[label] > 0:
            able = [group for group in order if drawing.has(group, label) and drawing.fits(group)]
            if able:
                drawing.take(max(able, key=drawing.gain))
    lacking = [label for label, left in enumerate(drawing.left) if left == wanted[label] > 0]
    if lacking and groups.grouping.by is None:
        return _draw_groups(at, labels, groups.dissolve(np.isin(labels, lacking)), wanted)
    return np.asarray(drawing.taken[drawing.numbers])


class _Drawing:
    """Groups that are drawn, and how many images of each class are yet to come."""

    def __init__(
        self,
        labels: Int64[np.ndarray, "N"],
        groups: Int64[np.ndarray, "N"],
        wanted: Int64[np.ndarray, "K"],
    ) -> None:
        _, self.firsts, self.numbers = np.unique(groups, return_index=True, return_inverse=True)
        self.taken = np.zeros(len(self.firsts), bool)
        #: images of each class that are wanted yet, and that may be taken at most
        self.left: list[int] = wanted.tolist()
        self._room = (np.bincount(labels, minlength=len(wanted)) - 1).tolist()
        self._sizes: list[dict[int, int]] = [{} for _ in self.firsts]
        for number, label in zip(self.numbers.tolist(), labels.tolist(), strict=True):
            self._sizes[number][label] = self._sizes[number].get(label, 0) + 1

    def has(self, group: int, label: int) -> bool:
        """Say whether a group has images of a class."""
        return label in self._sizes[group]

    def fits(self, group: int) -> bool:
        """Say whether a group leaves an image of each of its classes."""
        return all(n <= self._room[label] for label, n in self._sizes[group].items())

    def gain(self, group: int) -> int:
        """Return how much nearer a group brings its classes to what is wanted: in squares.

        So no class pays for the gain of another.
        """
        if not self.fits(group):
            return 0
        sizes = self._sizes[group].items()
        return sum(self.left[label] ** 2 - (self.left[label] - n) ** 2 for label, n in sizes)

    def take(self, group: int) -> None:
        """Draw a group."""
        self.taken[group] = True
        for label, n in self._sizes[group].items():
            self.left[label] -= n
            self._room[label] -= n


def refuse_large_groups(
    labels: Int64[np.ndarray, "N"],
    chosen: Int64[np.ndarray, "M"],
    classes: tuple[str, ...],
    groups: Groups | None,
    part: str,
) -> None:
    """Refuse groups by which one of two parts lacks a class, where the user asked for them.

    Raises
    ------
    InputError
        All images of a class are in one group, or in groups that cannot be divided.
    """
    if groups is None or groups.grouping.by is None:
        return
    counts = np.bincount(labels, minlength=len(classes))
    lacking = (counts > 1) & (np.bincount(labels[chosen], minlength=len(classes)) == 0)
    if lacking.any():
        names = few([classes[k] for k in np.flatnonzero(lacking)])
        raise InputError(
            f"`groups` leaves no image of {names} for the {part} part: its groups are too large; "
            "take smaller ones, or add images"
        )


def warn_few_tested(classes: tuple[str, ...], labels: Int64[np.ndarray, "M"]) -> None:
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
