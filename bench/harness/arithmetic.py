"""Summarise measurements: spread, standard error, and how long what is left takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any


@dataclass(frozen=True)
class Spread:
    """The least, the middle and the largest of some values."""

    least: float
    middle: float
    most: float


def spread(values: Iterable[float]) -> Spread:
    """Return minimum, median and maximum.

    >>> spread([3.0, 1.0, 2.0, 10.0])
    Spread(least=1.0, middle=2.5, most=10.0)
    """
    values = list(values)
    return Spread(min(values), median(values), max(values))


def spread_of(measurements: Iterable[Mapping[str, Any]], name: str) -> Spread:
    """Return minimum, median and maximum of one thing that was measured several times."""
    return spread(one[name] for one in measurements)


def three(values: Spread, digits: int) -> str:
    """Write least, middle and largest.

    >>> three(Spread(1.0, 2.0, 30.0), 1)
    '1.0 / 2.0 / 30.0'
    """
    return " / ".join(f"{v:,.{digits}f}" for v in (values.least, values.middle, values.most))


def mean_deviation(values: list[float], digits: int, unit: str = "", sign: str = "") -> str:
    """Write the mean and the sample standard deviation, which a single value lacks.

    >>> mean_deviation([90.0, 92.0], 2, " %"), mean_deviation([90.0], 1)
    ('91.00 ± 1.41 %', '90.0')
    """
    deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):{sign}.{digits}f}{deviation}{unit}"


def standard_error(one: list[float], other: list[float]) -> float:
    """Return the standard error of a difference of means; 0 of single values.

    >>> round(standard_error([1.0, 2.0, 3.0], [5.0, 5.0, 5.0]), 3)
    0.577
    """
    return math.sqrt(sum(stdev(each) ** 2 / len(each) for each in (one, other) if len(each) > 1))


def remaining_seconds(took: Mapping[str, float], left: Iterable[str]) -> float | None:
    """Return how long turns of these kinds take, or None before each kind has had one.

    >>> remaining_seconds({"a": 2.0, "b": 0.5}, ["b", "a", "b"])
    3.0
    >>> remaining_seconds({"a": 2.0}, ["b", "a"])
    """
    kinds = list(left)
    return sum(took[kind] for kind in kinds) if all(kind in took for kind in kinds) else None
