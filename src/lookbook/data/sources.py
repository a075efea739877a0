"""Data sources: names, folders and files as datasets."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from lookbook.core import names
from lookbook.data import image_folder
from lookbook.data.catalog import BUILTIN, BuiltinDataset, Garments
from lookbook.data.dataset import Dataset, warn, warn_odd
from lookbook.data.download import fetch, find_builtin, is_fetched, load_kept
from lookbook.data.idx import idx_files, is_training, load_idx
from lookbook.data.image_folder import PARTS, Files, Layout, Part, left_out
from lookbook.data.npz import SPLIT, find_arrays, load_npz, open_npz
from lookbook.data.splits import (
    choose_files,
    measured_on_validation,
    no_validation,
    split_arrays,
    without_size,
)
from lookbook.errors import InputError, check_types, closest
from lookbook.images.reading import read_images
from lookbook.images.specification import SIDES

if TYPE_CHECKING:
    from jaxtyping import Int64


_DATA = (
    f"DATA is one of {', '.join(BUILTIN)}, a folder of class folders, an .npz file, or a folder of "
    "IDX files"
)
#: where a test part comes from
Measured = Literal["test", "validation", "split"]
#: what of labelled data is measured on: a part of its own, or all of it
Labelled = Literal["test", "validation", "all"]
Size = tuple[int, int]


def resolve(data: str | Path) -> DataSource:
    """Return the source that DATA names; nothing of it is read or fetched yet.

    A built-in name goes before a folder of that name, but not before a `Path`. What is not there
    is a source, too: loading it says what is wrong.

    >>> resolve("mnist"), resolve("/data/./clothes").identity
    (BuiltinSource('mnist'), '/data/clothes')
    """
    if not isinstance(data, str | Path):
        raise InputError(f"expected the name or the path of data, got {type(data).__name__}")
    if isinstance(data, str) and data in BUILTIN:
        return BuiltinSource(data)
    path = Path(data)
    try:
        if data != "" and path.is_dir():
            return IdxSource(data) if idx_files(path) else FolderSource(data)
        if path.suffix.lower() == ".npz" and path.is_file():
            return NpzSource(data)
    except OSError as error:  # a report of a run does without its data
        return AbsentSource(data, error)
    return AbsentSource(data)


def load(
    data: str | Path,
    part: Part = "train",
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
) -> Dataset:
    """Return one part of DATA; the others are not read.

    Parameters
    ----------
    data
        A built-in name; a folder of class folders, with folders for the parts around them or not;
        an `.npz` file; a folder of IDX files. A built-in name goes before a folder of that name:
        write `./mnist`, or give a `Path`, for the folder.
    part
        "train", "test", or "validation" of a folder that has one, such as `train/` and `valid/`;
        where such a folder has no test part, its validation part is returned for it, with a
        warning. Data without parts is split, class by class and always in the same way: one
        image in five is for testing; of image files the fifth whose names' hashes are lowest,
        so that a file that is added or removed moves at most one other.
    size
        Side, or height and width, to which image files are brought. Without it they keep their
        size where all have the same, and become 64×64 where not.
    channels
        1 or 3; without it image files are colour where any of them is.

    Raises
    ------
    InputError
        There is no such data or part, or it is not as described.
    DownloadError
        A built-in dataset could not be fetched.
    """
    return resolve(data).load(part, size=size, channels=channels)


def _as_size(size: int | Size | None) -> Size | None:
    """Return height and width of a side, or of both; refuse what no image can have.

    >>> _as_size(28), _as_size((16, 9)), _as_size(None)
    ((28, 28), (16, 9), None)
    """
    check_types(size=(size, int | tuple | list | None))
    if size is None:
        return None
    sides = [size, size] if isinstance(size, int) else list(size)
    for side in sides:
        if not isinstance(side, Integral) or not SIDES[0] <= side <= SIDES[1]:
            raise InputError(f"`size` must be {SIDES[0]} to {SIDES[1]} pixels, got {side!a}")
    if len(sides) != 2:
        raise InputError(f"`size` must be a side, or height and width, got {size!a}")
    return sides[0], sides[1]


def load_data(data: str | Path = "fashion-mnist") -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return `(x_train, y_train), (x_test, y_test)`, as Keras's datasets do.

    Images are uint8, labels are uint8 as in the files of the MNIST family.

    >>> (x_train, y_train), (x_test, y_test) = load_data("fashion-mnist")
    >>> x_train.shape, y_train.shape, x_test.shape, y_test.shape
    ((60000, 28, 28), (60000,), (10000, 28, 28), (10000,))
    """
    parts = load(data, "train"), load(data, "test")
    train, test = ((part.images, part.labels.astype(np.uint8)) for part in parts)
    return train, test


@dataclass(frozen=True, repr=False)
class DataSource(ABC):
    """Images and labels, as the user named them.

    >>> str(resolve("./mine")), resolve("/home/me/X.NPZ").stem
    ('./mine', 'X')
    """

    #: as it was written: messages call it so
    written: str | Path
    #: image files, which can be brought to any size
    resizable: ClassVar[bool] = False

    def __str__(self) -> str:
        return str(self.written)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @property
    def path(self) -> Path:
        """The folder or file."""
        return Path(self.written)

    @property
    def identity(self) -> str:
        """The name under which it is found from any folder."""
        return str(self.path.resolve())

    @property
    def stem(self) -> str:
        """The name of the folder or file, without the ending of an array file."""
        return names.stem(Path(self.identity))

    @property
    def title(self) -> str:
        """What it is called: see `names.title`."""
        return names.title(self.path)

    @property
    def published(self) -> BuiltinDataset | None:
        """What is known of a built-in dataset: its licence, its homepage, others' figures."""
        return None

    @property
    def mirrors_well(self) -> bool:
        """Whether an image and its mirror image show the same, as far as is known.

        >>> [resolve(data).mirrors_well for data in ("fashion-mnist", "mnist", "/home/me/images")]
        [True, False, True]
        """
        return True

    @property
    def garments(self) -> Garments | None:
        """What its classes are, where photographs of them can be simulated."""
        return self.published.garments if self.published else None

    @property
    def cuts_out_photographs(self) -> bool:
        """Whether its images show things cut out, so that photographs are to be cut out for them.

        >>> [resolve(data).cuts_out_photographs for data in ("fashion-mnist", "mnist", "./mine")]
        [True, False, False]
        """
        return bool(self.published and self.published.photograph_kinds)

    @property
    def examples(self) -> tuple[int, ...]:
        """Test images that its figures show; none where nobody chose some."""
        return ()

    @property
    def split_by_name(self) -> bool:
        """Whether its test part is drawn here by the hashes of the files' names."""
        return False

    @property
    def has_validation_part(self) -> bool:
        """Whether it has a validation part of its own."""
        return False

    def is_here(self) -> bool:
        """Say whether it can be read without being fetched."""
        return self.path.exists()

    def check(self) -> None:  # noqa: B027  # what is there needs no more
        """Refuse, with an `InputError`, what is not there, before anything is loaded."""

    @abstractmethod
    def measured_part(self) -> Measured:
        """Say what it gives for its test part.

        A test part of its own, else a validation part of its own, else what is split off.
        """

    def load(
        self, part: Part = "train", *, size: int | Size | None = None, channels: int | None = None
    ) -> Dataset:
        """Return one part; the others are not read: see the function `load`."""
        if part not in PARTS:
            known = ", ".join(map(repr, PARTS))
            raise InputError(
                f"part is one of {known}, got {part!r}{closest(str(part), list(PARTS))}"
            )
        check_types(channels=(channels, Integral | None))
        return self._load_part(part, _as_size(size), channels)

    @abstractmethod
    def _load_part(self, part: Part, size: Size | None, channels: int | None) -> Dataset: ...

    def list_labelled(self, classes: tuple[str, ...]) -> Files | None:
        """List the image files that `load_labelled` reads; None where it is made of arrays."""
        return None

    def load_labelled(
        self, classes: tuple[str, ...], *, size: Size, channels: int
    ) -> tuple[Dataset, Labelled]:
        """Return the test part, or all where there are no parts, and which of them it is.

        Its labels are numbers of these `classes`; not all of them need to be there.

        Raises
        ------
        InputError
            There is no such data, its images are of another size or kind, or of other classes.
        """
        found, part = self._load_whole()
        found.check_kind(size, channels, self)
        return found.with_classes(classes, self), part

    def _load_whole(self) -> tuple[Dataset, Labelled]:
        """Return the test part of arrays, or all of those without parts, and which it is."""
        return self.load("test"), "test"


class BuiltinSource(DataSource):
    """A published dataset, by its name."""

    @property
    def published(self) -> BuiltinDataset:
        return find_builtin(str(self.written))

    @property
    def identity(self) -> str:
        return str(self.written)

    @property
    def title(self) -> str:
        return self.published.title

    @property
    def mirrors_well(self) -> bool:
        return self.published.mirrors_well

    @property
    def examples(self) -> tuple[int, ...]:
        return self.published.examples

    def is_here(self) -> bool:
        return is_fetched(self.published)

    def measured_part(self) -> Measured:
        return "test"

    def _load_part(self, part: Part, size: Size | None, channels: int | None) -> Dataset:
        if part == "validation":
            raise no_validation(self)
        if part == "train" and self.path.exists():
            warn(
                f"./{self} is there, too; the built-in dataset is taken; write ./{self} for the "
                "folder"
            )
        images, labels = load_kept(fetch(self.published), part)
        return without_size(Dataset(images, labels, self.published.classes), size, self)


@dataclass(frozen=True, repr=False)
class AbsentSource(DataSource):
    """What is not there, or is nothing that is read."""

    #: why it could not be looked at
    error: OSError | None = None

    def check(self) -> None:
        raise self._refusal()

    def measured_part(self) -> Measured:
        raise self._refusal()

    def _load_part(self, part: Part, size: Size | None, channels: int | None) -> Dataset:
        raise self._refusal()

    def _refusal(self) -> InputError | OSError:
        """Return the error that says what is wrong."""
        if self.error is not None:
            return self.error
        name = str(self)
        if self.written == "":
            return InputError(f"DATA is empty; {_DATA}")
        if re.match(r"[a-z][a-z0-9+]+://", name, re.IGNORECASE):
            return InputError(
                f"{name} is an address, and nothing is fetched from there; download it, unpack it, "
                f"and name the file or folder; {_DATA}"
            )
        if not self.path.exists():
            if isinstance(self.written, str) and not any(mark in name for mark in "/\\.~"):
                find_builtin(name)  # a mistyped name, mostly: says which there are
            return InputError(f"{name} does not exist; {_DATA}")
        what = "is neither a folder nor an .npz file"
        if re.search(r"\.(zip|rar|7z|tgz|tar(\.\w+)?)$", name, re.IGNORECASE):
            what = "is an archive; unpack it, and name what was in it"
        return InputError(f"{name} {what}; {_DATA}")


class ArraySource(DataSource):
    """Arrays in files, in two parts or in one that is split here."""

    @abstractmethod
    def _load_arrays(self, part: Part) -> tuple[Dataset, bool]:
        """Return a part, or all of data without parts, and whether it has some."""

    def _load_part(self, part: Part, size: Size | None, channels: int | None) -> Dataset:
        if part == "validation":
            raise no_validation(self)
        dataset, is_split = self._load_arrays(part)
        if not is_split:
            dataset = split_arrays(dataset, part)
        if part == "train":
            warn_odd(dataset)
        return without_size(dataset, size, self)

    def _load_whole(self) -> tuple[Dataset, Labelled]:
        dataset, is_split = self._load_arrays("test")
        return dataset, "test" if is_split else "all"


class NpzSource(ArraySource):
    """An .npz file, in whatever case its ending is."""

    def measured_part(self) -> Measured:
        with open_npz(self.path) as arrays:
            return "test" if find_arrays(arrays, self.path) in SPLIT else "split"

    def _load_arrays(self, part: Part) -> tuple[Dataset, bool]:
        return load_npz(self.path, part)


class IdxSource(ArraySource):
    """A folder of IDX files."""

    def measured_part(self) -> Measured:
        return "test" if len(set(map(is_training, idx_files(self.path)))) == 2 else "split"

    def _load_arrays(self, part: Part) -> tuple[Dataset, bool]:
        return load_idx(self.path, part)


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
                f"{empty} holds no image that can be read; expected {image_folder.KINDS}; add "
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
