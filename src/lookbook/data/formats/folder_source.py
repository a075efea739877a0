"""Image folders as a data source: their files, read and brought to one size."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core import names
from lookbook.data.dataset import Dataset, warn
from lookbook.data.formats import image_folder
from lookbook.data.formats.image_files import KINDS, Files, left_out
from lookbook.data.formats.image_folder import Layout, Part
from lookbook.data.formats.source import DataSource, Labelled, Measured, Size
from lookbook.data.splits import choose_files, measured_on_validation, no_validation
from lookbook.errors import InputError
from lookbook.images.reading import read_images

if TYPE_CHECKING:
    from jaxtyping import Int64


class FolderSource(DataSource):
    """A folder of class folders, with folders for the parts around them or not."""

    resizable = True

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

    def _load_part(self, part: Part, size: Size | None, channels: int | None) -> Dataset:
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
        chosen = choose_files(files, layout, part)
        paths = [files.paths[i] for i in chosen]
        labels = np.array(files.labels, dtype=np.int64)[chosen]
        classes = tuple(layout.classes.values())
        dataset = _read_files(paths, labels, classes, size, channels, self.path)
        if part == "train" and not dataset.counts.all():
            empty = layout.parts["train"] / dataset.classes[dataset.counts.argmin()]
            raise InputError(
                f"{empty} holds no image that can be read; expected {KINDS}; add "
                "some, or remove that folder"
            )
        return dataset


def _read_files(
    paths: list[Path],
    labels: Int64[np.ndarray, "N"],
    classes: tuple[str, ...],
    size: Size | None,
    channels: int | None,
    folder: Path,
) -> Dataset:
    """Read image files and bring them to one size; unreadable ones are left out and listed."""
    found = read_images(paths, size, channels)
    if found.damaged:
        warn(left_out(found.damaged, "no images, or damaged"))
    if found.dim:
        warn(
            f"{len(found.dim)} of {len(paths)} images come out too dark; the first: {found.dim[0]}"
        )
    files = tuple(names.text(paths[number].relative_to(folder).as_posix()) for number in found.kept)
    return Dataset(found.images, labels[found.kept], classes, files)
