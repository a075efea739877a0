"""Groups: images that a split keeps together, as copies of each other or as the user says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.names import few, plain
from lookbook.data.cache.facts import recall
from lookbook.data.copies import group_copies, join_groups
from lookbook.data.dataset import warn
from lookbook.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Bool, Int64, Shaped, UInt8


@dataclass(frozen=True)
class Grouping:
    """What images are grouped by."""

    #: a pattern of files' names, or the name of an array; None: what they show alone
    by: str | None = None
    #: groups of copies, by the numbers of their images; None: they are to be found
    copies: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True)
class Groups:
    """Which images are kept together: those of one number."""

    numbers: Int64[np.ndarray, "N"]
    #: of all that was grouped, of which this may be a part
    grouping: Grouping = Grouping()

    #: groups of more than one image, and images in them, of all that was grouped
    kept: tuple[int, int] = (0, 0)

    @property
    def are_all_alone(self) -> bool:
        """Whether no two images are kept together."""
        return len(np.unique(self.numbers)) == len(self.numbers)

    def take(self, indices: Int64[np.ndarray, "M"]) -> Groups:
        """Return the groups of the images at these indices."""
        return replace(self, numbers=self.numbers[indices])

    def dissolve(self, images: Bool[np.ndarray, "N"]) -> Groups:
        """Return groups without those in which any of these images is: each is alone.

        >>> Groups(np.array([0, 0, 2, 2])).dissolve(np.array([True, False, False, False])).numbers
        array([3, 4, 2, 2])
        """
        alone = np.isin(self.numbers, self.numbers[images])
        fresh = self.numbers.max() + 1 + np.arange(len(alone))
        return replace(self, numbers=np.where(alone, fresh, self.numbers))


def group_images(
    images: UInt8[np.ndarray, "N H W *C"],
    grouping: Grouping,
    own: Shaped[np.ndarray, "N"] | None = None,
) -> Groups:
    """Return the groups of images: exact and near copies, and those that have the same `own`."""
    if grouping.copies is None:
        copies = recall(images, "copies", lambda: list_groups(group_copies(images)))
        grouping = replace(grouping, copies=tuple(map(tuple, copies)))
    return join(len(images), grouping, own)


def join(n: int, grouping: Grouping, own: Shaped[np.ndarray, "N"] | None = None) -> Groups:
    """Return the groups of `n` images whose copies are known.

    >>> join(4, Grouping(copies=((1, 3),)), np.array(["a", "b", "b", "c"])).numbers.tolist()
    [0, 1, 1, 1]
    """
    numbers = np.arange(n)
    if own is not None:
        numbers = np.unique(own, return_inverse=True)[1].reshape(-1)
    pairs = [(group[0], other) for group in grouping.copies or () for other in group[1:]]
    numbers = join_groups(numbers, np.array(pairs, np.int64).reshape(-1, 2))
    sizes = np.bincount(numbers)
    return Groups(numbers, grouping, (int((sizes > 1).sum()), int(sizes[sizes > 1].sum())))


def list_groups(numbers: Int64[np.ndarray, "N"]) -> tuple[tuple[int, ...], ...]:
    """Return the groups of more than one image, by the images' places.

    >>> list_groups(np.array([0, 1, 0, 3]))
    ((0, 2),)
    """
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    groups = np.split(order, starts[1:])
    return tuple(tuple(group.tolist()) for group in groups if len(group) > 1)


def group_names(pattern: str, names: Sequence[str]) -> Shaped[np.ndarray, "N"]:
    r"""Return what a pattern finds in each file's name.

    Files in whose names it finds nothing stand for themselves, and a warning says so.

    >>> group_names(r"person-(\d+)", ["a/person-1 x.png", "b/person-1 y.png"])
    array(['=1', '=1'], dtype='<U2')

    Raises
    ------
    InputError
        It is no regular expression with one group, or it finds nothing.
    """
    try:
        found = re.compile(plain(pattern))
    except re.error as error:
        raise InputError(
            f"`groups` is no regular expression: '{pattern}' ({error}); write one with one group, "
            r"such as 'person-(\d+)'"
        ) from error
    if found.groups != 1:
        raise InputError(
            f"`groups` needs one group in brackets, got {found.groups} in '{pattern}'; write it as "
            r"'person-(\d+)'"
        )
    matches = [found.search(plain(name)) for name in names]
    missing = [name for name, match in zip(names, matches, strict=True) if match is None]
    if len(missing) == len(names):
        raise InputError(
            f"`groups` matches no file: '{pattern}' is looked for in names such as {names[0]}"
        )
    if missing:
        warn(
            f"`groups` matches {len(names) - len(missing):,} of {len(names):,} files; each of the "
            f"others stands for itself: {few(missing)}"
        )
    # a number has no sign before it: it cannot be what the pattern found
    keys = [f"={match[1]}" if match else str(i) for i, match in enumerate(matches)]
    return np.array(keys)
