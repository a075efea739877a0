"""Masks drawn by hand: as many as they say, inside their photographs."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain, pairwise
from pathlib import Path

MASKS = json.loads(Path("bench/photographs/masks.json").read_text())
KINDS = {path.split("/")[1] for path in MASKS}


def area(polygon):
    """Return the area of a polygon, by the shoelace formula."""
    edges = pairwise([*polygon, polygon[0]])
    return abs(sum(x * v - y * u for (x, y), (u, v) in edges)) / 2


def test_five_of_each_kind_are_drawn_in_both_parts():
    parts = Counter(name.rpartition("/")[0] for name in MASKS)
    assert len(KINDS) == 10
    assert parts == {f"{part}/{kind}": 5 for part in ("train", "validation") for kind in KINDS}


def test_polygons_lie_in_their_photograph_and_leave_some_of_it():
    for name, mask in MASKS.items():
        height, width = mask["size"]
        points = list(chain(*mask["polygons"], *mask["holes"]))
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points), name
        covered = sum(map(area, mask["polygons"])) - sum(map(area, mask["holes"]))
        assert 0.02 < covered / (height * width) < 0.95, name
