"""Data sources: what every format says of data, and how it is asked for a part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from lookbook.core import names
from lookbook.data.dataset import Dataset, warn_odd
from lookbook.data.formats.image_files import Files
from lookbook.data.formats.image_folder import PARTS, Part
from lookbook.data.groups import Grouping, group_images
from lookbook.data.splits import no_validation, split_arrays, without_size
from lookbook.errors import InputError, check_types, closest
from lookbook.images.specification import SIDES

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Shaped

    from lookbook.data.catalog import BuiltinDataset, Garments

#: where a test part comes from
Measured = Literal["test", "validation", "split"]
#: what of labelled data is measured on: a part of its own, or all of it
Labelled = Literal["test", "validation", "all"]
Size = tuple[int, int]


@dataclass(frozen=True)
class Outline:
    """What a training part is like, before it is read."""

    images: int
    #: the longer side of its images, of most of them at most that
    side: int
    colour: bool
    #: image files, which can be brought to any size
    resizable: bool
    #: image files that are brought to one size: they have several, or one that is too large
    resized: bool = False
    #: how many of the images each class has
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, repr=False)
class DataSource(ABC):
    """Images and labels, as the user named them.

    >>> from lookbook.data.sources import resolve
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
    def is_verified(self) -> bool:
        """Whether published hashes say that its images are those that they always were."""
        return self.published is not None

    @property
    def mirrors_well(self) -> bool:
        """Whether an image and its mirror image show the same, as far as is known.

        >>> from lookbook.data.sources import resolve
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

        >>> from lookbook.data.sources import resolve
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

    def outline(self) -> Outline | None:
        """Return what its training part is like, by a few images; None where that is not known."""
        return None

    @abstractmethod
    def measured_part(self) -> Measured:
        """Say what it gives for its test part.

        A test part of its own, else a validation part of its own, else what is split off.
        """

    def load(
        self,
        part: Part = "train",
        *,
        size: int | Size | None = None,
        channels: int | None = None,
        grouping: Grouping | None = None,
    ) -> Dataset:
        """Return one part: see the function `load`.

        Data without parts is split by `grouping`, without one by what its images show. A training
        part beside others has groups where there is a `grouping`.
        """
        if part not in PARTS:
            known = ", ".join(map(repr, PARTS))
            raise InputError(
                f"part is one of {known}, got {part!r}{closest(str(part), list(PARTS))}"
            )
        check_types(channels=(channels, Integral | None))
        return self._load_part(part, _as_size(size), channels, grouping)

    @abstractmethod
    def _load_part(
        self, part: Part, size: Size | None, channels: int | None, grouping: Grouping | None
    ) -> Dataset: ...

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


class ArraySource(DataSource):
    """Arrays in files, in two parts or in one that is split here."""

    def _column(self, name: str, n: int) -> Shaped[np.ndarray, "N"]:
        """Return what the data says of each of its `n` images under a name."""
        raise InputError(
            f"`groups` is for folders of image files and .npz files; {self} says nothing of its "
            "images but their classes"
        )

    @abstractmethod
    def _load_arrays(self, part: Part) -> tuple[Dataset, bool]:
        """Return a part, or all of data without parts, and whether it has some."""

    def _load_part(
        self, part: Part, size: Size | None, channels: int | None, grouping: Grouping | None
    ) -> Dataset:
        if part == "validation":
            raise no_validation(self)
        dataset, is_split = self._load_arrays(part)
        if not is_split:
            grouping = grouping or Grouping()
        if grouping is not None and not (is_split and part == "test"):
            own = None if grouping.by is None else self._column(grouping.by, len(dataset))
            dataset = replace(dataset, groups=group_images(dataset.images, grouping, own))
        if not is_split:
            dataset = split_arrays(dataset, part)
        if part == "train":
            warn_odd(dataset)
        return without_size(dataset, size, self)

    def _load_whole(self) -> tuple[Dataset, Labelled]:
        dataset, is_split = self._load_arrays("test")
        return dataset, "test" if is_split else "all"


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
