"""Ranges of what documents hold: numbers, counts, shares, names."""

from __future__ import annotations

import sys
from typing import Annotated, NamedTuple

from msgspec import Meta

Number = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
Positive = Annotated[float, Meta(gt=0, le=sys.float_info.max)]
Seconds = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Some = Annotated[int, Meta(ge=1, le=2**53)]
Side = Annotated[int, Meta(ge=8, le=288)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
#: a path, or the name of built-in data
Place = Annotated[str, Meta(min_length=1, max_length=4096, pattern="^[^\x00]+$")]
Classes = Annotated[list[str], Meta(min_length=2, max_length=200)]


class Shares(NamedTuple):
    """Shares that may be asked for."""

    lowest: float
    highest: float


#: of the images that are to get an answer
COVERAGE = Shares(0.01, 1)
#: how often the set of likely classes is to hold the right one
SETS = Shares(0.01, 0.999)
