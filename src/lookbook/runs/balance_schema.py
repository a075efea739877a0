"""Schema of what a run says of uneven classes: whether training balanced them, and why."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, Self

from msgspec import Struct

from lookbook import class_counts, recipes
from lookbook.core.document import Document
from lookbook.runs.ranges import Number, Some

#: why classes were balanced in training, or not: `even`; `uneven`, so that it pays; `little`, too
#: little for that; `enough` images of each class; or `asked` for
Why = Literal["even", "uneven", "little", "enough", "asked"]


class ClassBalance(Document, Struct, frozen=True, kw_only=True):
    """Whether classes were balanced in training, and why, or why not."""

    taken: Literal["none", "balanced"]
    #: how many times the images of the smallest class the largest one has
    ratio: Number
    #: images of the smallest class
    smallest: Some
    why: Why

    @classmethod
    def of(cls, recipe: recipes.Recipe, counts: Collection[int]) -> Self:
        """Return what a recipe that was settled did to classes of so many images.

        >>> [ClassBalance.of(recipes.STANDARD, [n, 100]).why for n in (120, 200, 700)]
        ['even', 'little', 'enough']
        """
        times, few = class_counts.ratio(counts), class_counts.smallest(counts)
        taken = recipe.class_weights
        why: Why = "asked"
        if taken == "balanced":
            why = "uneven"
        elif times <= class_counts.MUCH:
            why = "little" if class_counts.are_uneven(counts) else "even"
        elif few > class_counts.FEW_OF_ONE:
            why = "enough"
        return cls(taken=taken, ratio=times, smallest=few, why=why)
