"""Choice of the recipe where none is named: from pretrained weights or from scratch, and why."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Self

from msgspec import Struct

from lookbook import recipes
from lookbook.class_counts import balance_pays
from lookbook.core.document import Document
from lookbook.runs.ranges import Some

if TYPE_CHECKING:
    from lookbook.data.formats.source import Outline

#: why pretrained weights were the start, or not: as `recipes.transfer_pays` says; or it would pay,
#: and they are `missing`, or were not `asked` for
Why = Literal["pays", "small", "many", "short", "missing", "asked"]


class RecipeChoice(Document, Struct, frozen=True, kw_only=True):
    """Whether a training of colour images starts from pretrained weights, and why, or why not."""

    start: Literal["pretrained", "scratch"]
    why: Why
    #: for training, with the validation part that is split off
    images: Some
    #: longer side in which pretrained weights see them, or would
    side: Some

    @classmethod
    def of(
        cls,
        data: Outline,
        size: int | None,
        *,
        seconds: float | None,
        fits: int = 1,
        from_scratch: bool = False,
        class_weights: recipes.ClassWeights = "none",
    ) -> Self:
        """Return what is chosen for colour images of that size, for that time.

        Without a size, files are brought to one that suits them, and arrays keep theirs.

        >>> from lookbook.data.formats.source import Outline
        >>> data = Outline(images=100, side=400, colour=True, resizable=True)
        >>> RecipeChoice.of(data, None, seconds=2.0).why
        'short'
        """
        side = size or data.side
        if size is None and data.resizable:
            side = recipes.transfer_size(data.images, data.side, seconds, fits)
        balanced = class_weights == "auto" and balance_pays(data.counts)
        counts = data.counts if balanced else ()
        why: Why = recipes.transfer_pays(data.images, data.side, side, seconds, fits, counts)
        if why == "pays" and from_scratch:
            why = "asked"
        if why == "pays" and find_spec(recipes.PRETRAINED) is None:
            why = "missing"
        pretrained = why == "pays"
        start: Literal["pretrained", "scratch"] = "pretrained" if pretrained else "scratch"
        return cls(start=start, why=why, images=data.images, side=side)
