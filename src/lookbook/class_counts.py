"""How many images classes have: when they are uneven, when it pays to balance them."""

from __future__ import annotations

from collections.abc import Collection

#: times as many images as the smallest class that make the largest one of uneven data
UNEVEN = 1.5
#: beyond how many times as many, and up to how many training images of the smallest class, it pays
#: to balance them; else balanced accuracy gains what accuracy loses, or less (docs/log.md, uneven
#: classes)
MUCH, FEW_OF_ONE = 6.0, 50


def are_uneven(counts: Collection[int]) -> bool:
    """Say whether the largest class has more than 1.5 times the images of the smallest.

    >>> are_uneven([300, 200, 0]), are_uneven([301, 200])
    (False, True)
    """
    return ratio(counts) > UNEVEN


def ratio(counts: Collection[int]) -> float:
    """Return how many times the images of the smallest class the largest one has.

    Classes without any image are not counted.
    """
    return int(max(counts)) / smallest(counts)


def smallest(counts: Collection[int]) -> int:
    """Return how many images the smallest class has, of those that have any."""
    return min(int(count) for count in counts if count > 0)


def balance_pays(counts: Collection[int]) -> bool:
    """Say whether classes of so many training images gain by being balanced.

    They do where the largest has more than 6 times the images of the smallest, and this at most 50.

    >>> [balance_pays(counts) for counts in ([200, 15, 8], [24, 15, 8], [800, 90], [])]
    [True, False, False, False]
    """
    return any(counts) and ratio(counts) > MUCH and smallest(counts) <= FEW_OF_ONE


def even_images(counts: Collection[int]) -> int:
    """Return of how many images even classes would teach as much as these, balanced, do.

    What is uncertain about a class falls as its images grow in number, so it is as many times the
    harmonic mean of theirs as there are classes.

    >>> even_images([200, 15, 8]), even_images([100, 100])
    (46, 200)
    """
    return round(len(counts) ** 2 / sum(1 / count for count in counts))
