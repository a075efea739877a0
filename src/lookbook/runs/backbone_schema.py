"""A user's backbone, as requests and model files name it: its file, and how it takes pixels."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta, Struct

from lookbook.core.document import Document
from lookbook.runs.ranges import Digest, Number, Place

#: of each channel, or of all of them, on a scale where white is 1
Levels = Annotated[tuple[Number, ...], Meta(min_length=1, max_length=3)]


class FrozenBackbone(Document, Struct, frozen=True, kw_only=True):
    """An ONNX file whose features a head is fitted to; its own weights stay as they are."""

    #: where it lies; in a model file its name alone
    file: Place
    sha256: Digest
    #: what is subtracted from pixels in 0..1, and what they are then divided by
    mean: Levels
    std: Levels
    #: height and width that it takes; None: any
    size: tuple[int, int] | None

    def __post_init__(self) -> None:
        if min(self.std) <= 0 or not all(map(math.isfinite, (*self.mean, *self.std))):
            raise ValueError("what it says of its pixels does not hold")
