"""Image folders as a data source: their files, read and brought to one size."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookbook.core import names
from lookbook.core.arrays import is_mapped, join_rows, sample, take_rows
from lookbook.data.cache import folders
from lookbook.data.cache.facts import identify, recall
from lookbook.data.copies import group_copies
from lookbook.data.dataset import Dataset, warn
from lookbook.data.formats import image_folder
from lookbook.data.formats.image_files import KINDS, Files, left_out
from lookbook.data.formats.image_folder import Layout, Part
from lookbook.data.formats.source import DataSource, Labelled, Measured, Outline, Size
from lookbook.data.groups import Grouping, Groups, group_images, group_names, join, list_groups
from lookbook.data.splits import (
    TEST_SHARE,
    choose_files,
    measured_on_validation,
    no_validation,
    place_files,
    warn_few_tested,
)
from lookbook.errors import InputError
from lookbook.images.batch import USUAL_SIZE, Request, keeps_size, read_batch
from lookbook.images.preprocessing import read_size
from lookbook.images.reading import ReadImages

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64


#: files that tell what those of a folder are like: 0.3 s of photographs from a telephone
TRIED = 16


class FolderSource(DataSource):
    """A folder of class folders, with folders for the parts around them or not."""

    resizable = True
    #: the copies that were found last
    _known: _Known | None = None

    @cached_property
    def layout(self) -> Layout:
        """Its parts and classes, as they were when this was first asked."""
        return image_folder.find_layout(self.path)

    @property
    def split_by_name(self) -> bool:
        return self.measured_part() == "split"

    @property
    def has_validation_part(self) -> bool:
        return "validation" in self.layout.parts

    def measured_part(self) -> Measured:
        parts = self.layout.parts
        return "test" if "test" in parts else "validation" if "validation" in parts else "split"

    def outline(self) -> Outline | None:
        files = image_folder.list_files(self.layout, "train")
        paths = files.paths
        tried = [paths[i] for i in sample(np.arange(len(paths)), TRIED)]
        sizes = [size for path in tried if (size := read_size(path)) is not None]
        images = read_batch(Request(list(map(str, tried)), USUAL_SIZE, colour=True)).images
        if images is None or not sizes:
            return None
        share = 1 if self.layout.has_parts else 1 - TEST_SHARE
        n = round(share * len(paths))
        counts = tuple(int(count) for count in np.ceil(share * np.bincount(files.labels)))
        colour = bool((images != images[..., :1]).any())
        side = int(np.median([max(size) for size in sizes]))
        resized = len(set(sizes)) > 1 or not keeps_size(sizes[0])
        return Outline(n, side, colour, resizable=True, resized=resized, counts=counts)

    def list_labelled(self, classes: tuple[str, ...]) -> Files:
        files = image_folder.list_labelled(self.path, classes)
        for note in files.notes:
            warn(note)
        return files

    def load_labelled(
        self, classes: tuple[str, ...], *, size: Size, channels: int
    ) -> tuple[Dataset, Labelled]:
        files = self.list_labelled(classes)
        labels = np.array(files.labels, dtype=np.int64)
        found = _read_files(files.paths, labels, classes, size, channels, self.path)
        return found, files.part or "all"

    def _load_part(
        self, part: Part, size: Size | None, channels: int | None, grouping: Grouping | None
    ) -> Dataset:
        layout = self.layout
        if part == "train":
            for note in layout.notes:
                warn(note)
        source: Part = part
        if layout.has_parts and part not in layout.parts:
            if part == "validation":
                raise no_validation(self)
            source = "validation"
            warn(measured_on_validation(self))
        files = image_folder.list_files(layout, source)
        if part == "train" or layout.has_parts:  # without parts, both list the same files
            for note in files.notes:
                warn(note)
        if layout.has_parts:
            at = place_files(files.paths, layout.folder)
            dataset = self._read(files, choose_files(at, files, layout, part), size, channels)
            if grouping is not None and part == "train":
                own = None if grouping.by is None else group_names(grouping.by, dataset.files)
                dataset = replace(dataset, groups=group_images(dataset.images, grouping, own))
        else:
            dataset = self._split(files, part, size, channels, grouping or Grouping())
        if part == "train" and not dataset.counts.all():
            empty = layout.parts["train"] / dataset.classes[dataset.counts.argmin()]
            raise InputError(
                f"{empty} holds no image that can be read; expected {KINDS}; add "
                "some, or remove that folder"
            )
        return dataset

    def _split(
        self,
        files: Files,
        part: Part,
        size: Size | None,
        channels: int | None,
        grouping: Grouping,
    ) -> Dataset:
        """Return a part of a folder without parts, in which copies stay together."""
        at = place_files(files.paths, self.path)
        if grouping.copies is None and part != "validation":
            known = self._known
            if known is None or not known.is_for(files, size, channels, grouping):
                known = self._known = self._find_copies(at, files, size, channels, grouping)
            grouping = known.found
        own = None
        if grouping.by is not None:
            own = group_names(grouping.by, names.names_within(self.path, files.paths))
        groups = join(len(files.paths), grouping, own)
        chosen = choose_files(at, files, self.layout, part, groups)
        if part == "train":
            labels = np.array(files.labels)
            tested = np.setdiff1d(np.arange(len(labels)), chosen)
            warn_few_tested(tuple(self.layout.classes.values()), labels[tested])
        found = self._known and self._known.take(part, chosen, files, size, channels)
        if found is None:
            found = folders.read([files.paths[i] for i in chosen], size, channels, self.path)
        return self._dataset(files, chosen, found, groups)

    def _find_copies(
        self,
        at: Float64[np.ndarray, "N"],
        files: Files,
        size: Size | None,
        channels: int | None,
        grouping: Grouping,
    ) -> _Known:
        """Find copies among all files, in the size of those that are for training by their names.

        What was read for that is returned, too: where there are no copies these are the parts.
        """
        first = choose_files(at, files, self.layout, "train")
        found = folders.read([files.paths[i] for i in first], size, channels, self.path)
        others = choose_files(at, files, self.layout, "test")
        shape = _shape_of(found)
        try:
            paths = [files.paths[i] for i in others]
            # with the others, so that the next start reads no file
            rest = folders.read(paths, *shape, self.path, keep=is_mapped(found.images))
        except InputError:  # none of them can be read, as is said where they are asked for
            rest = ReadImages(found.images[:0], [], paths, [])
        numbers = np.concatenate([first[found.kept], others[rest.kept]]).astype(np.int64)
        copies = _recall_copies(found, rest, numbers)
        known = replace(grouping, copies=tuple(map(tuple, copies)))
        return _Known(
            files.paths,
            wanted=(size, channels),
            shape=shape,
            asked=grouping,
            found=known,
            read={"train": (first, found), "test": (others, rest)},
        )

    def _read(
        self,
        files: Files,
        chosen: Int64[np.ndarray, "M"],
        size: Size | None,
        channels: int | None,
    ) -> Dataset:
        """Return the images of chosen files."""
        found = folders.read([files.paths[i] for i in chosen], size, channels, self.path)
        return self._dataset(files, chosen, found)

    def _dataset(
        self,
        files: Files,
        chosen: Int64[np.ndarray, "M"],
        found: ReadImages,
        groups: Groups | None = None,
    ) -> Dataset:
        paths = [files.paths[i] for i in chosen]
        labels = np.array(files.labels, dtype=np.int64)[chosen]
        dataset = _as_dataset(paths, labels, tuple(self.layout.classes.values()), found, self.path)
        if groups is None:
            return dataset
        return replace(dataset, groups=groups.take(chosen[found.kept]))


class _Known(NamedTuple):
    """Copies that were found, and among what."""

    paths: list[Path]
    #: size and channels that were asked for, and those in which the images were compared
    wanted: tuple[tuple[int, int] | None, int | None]
    shape: tuple[tuple[int, int], int]
    asked: Grouping
    found: Grouping
    #: the files of each part by their names alone, and what came of them, until it is taken
    read: dict[Part, tuple[Int64[np.ndarray, "M"], ReadImages]]

    def is_for(
        self, files: Files, size: Size | None, channels: int | None, asked: Grouping
    ) -> bool:
        """Say whether they are those of these files, in that size."""
        shape = size or self.shape[0], channels or self.shape[1]
        return (self.paths, self.shape, self.asked) == (files.paths, shape, asked)

    def take(
        self,
        part: Part,
        chosen: Int64[np.ndarray, "M"],
        files: Files,
        size: Size | None,
        channels: int | None,
    ) -> ReadImages | None:
        """Return what was read of a part, once, where that are these files in that size."""
        wanted = self.wanted if part == "train" else self.shape
        if part not in self.read or (self.paths, wanted) != (files.paths, (size, channels)):
            return None
        numbers, found = self.read.pop(part)
        return found if found.kept and np.array_equal(numbers, chosen) else None


def _recall_copies(
    found: ReadImages, rest: ReadImages, numbers: Int64[np.ndarray, "N"]
) -> list[list[int]]:
    """Return what `_list_copies` does; of two entries of the cache, it is found once."""
    beside = identify(rest.images)
    if beside is None and len(rest.images):
        return _list_copies(found, rest, numbers)
    digest = hashlib.sha256(numbers.tobytes()).hexdigest()
    question = f"copies {digest} beside {beside}"
    return recall(found.images, question, lambda: _list_copies(found, rest, numbers))


def _list_copies(
    found: ReadImages, rest: ReadImages, numbers: Int64[np.ndarray, "N"]
) -> list[list[int]]:
    """Return groups of copies among images of both, by the numbers of their files."""
    # in the order of the files, in which a group's first image is told
    order = np.argsort(numbers)
    images = take_rows(join_rows(found.images, rest.images), order)
    named = numbers[order]
    return [named[list(group)].tolist() for group in list_groups(group_copies(images))]


def _shape_of(found: ReadImages) -> tuple[tuple[int, int], int]:
    """Return size and channels of images."""
    _, height, width, *channels = found.images.shape
    return (height, width), *(channels or [1])


def _read_files(
    paths: list[Path],
    labels: Int64[np.ndarray, "N"],
    classes: tuple[str, ...],
    size: Size | None,
    channels: int | None,
    folder: Path,
) -> Dataset:
    """Read image files and bring them to one size; unreadable ones are left out and listed."""
    return _as_dataset(paths, labels, classes, folders.read(paths, size, channels, folder), folder)


def _as_dataset(
    paths: list[Path],
    labels: Int64[np.ndarray, "N"],
    classes: tuple[str, ...],
    found: ReadImages,
    folder: Path,
) -> Dataset:
    """Return what was read of files, with their labels; unreadable ones are listed."""
    if found.damaged:
        warn(left_out(found.damaged, "no images, or damaged"))
    if found.dim:
        warn(
            f"{len(found.dim)} of {len(paths)} images come out too dark; the first: {found.dim[0]}"
        )
    kept = names.names_within(folder, [paths[number] for number in found.kept])
    files = tuple(map(names.text, kept))
    return Dataset(found.images, labels[found.kept], classes, files)
