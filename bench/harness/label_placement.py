"""Write names beside the dots of a figure, where they cover nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.text import Text

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

    #: left, bottom, right, top, in pixels
    Boxes = Float[np.ndarray, "N 4"]

#: points from a dot to its name: as near as it goes, farther away with a thin line to the dot
_DISTANCES = (7, 14, 22, 30)
#: right and left first, as one reads
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
#: points that a name keeps from its own dot's middle and bars, and from those of others: beside
#: another dot it would be read as the other's name
_OWN, _OTHERS = (4, 1.5), (11, 5)


@dataclass(frozen=True)
class Mark:
    """A dot with its bars, in units of the axes, and its name."""

    name: str
    colour: str
    x: float
    y: float
    #: ends of the horizontal and of the vertical bar
    across: tuple[float, float]
    upright: tuple[float, float]


@dataclass(frozen=True)
class _Places:
    """Where one name could stand."""

    #: from the dot to the middle of the name, in pixels
    ways: Float[np.ndarray, "N 2"]
    #: what the name would cover
    boxes: Boxes
    #: what its line would cover, a row of beads for each place; the near ones have no line
    lines: Float[np.ndarray, "N B 4"]
    #: what is bad about it, other names aside, in square pixels
    costs: Float[np.ndarray, "N"]


def write_names(
    figure: Figure, axes: Axes, marks: list[Mark], walls: list[float]
) -> list[Annotation]:
    """Write each name near its dot, where it covers no dot, no bar, no wall and no other name.

    `walls` are the places of vertical lines. What else takes room must be in the figure before.
    """
    names = [_write(axes, mark) for mark in marks]
    figure.draw_without_rendering()  # now it is known where everything stands
    places = [_places(axes, names[i], marks, i, walls) for i in range(len(marks))]
    for name, those, k in zip(names, places, _settle(places), strict=True):
        x, y = those.ways[k] / _point(axes)
        name.set_position((float(x), float(y)))
        if name.arrow_patch is not None:
            name.arrow_patch.set_visible(k >= len(_DIRECTIONS))
    return names


def _write(axes: Axes, mark: Mark) -> Annotation:
    """Write a name in the middle of its dot."""
    line = {"arrowstyle": "-", "color": mark.colour, "lw": 0.7, "shrinkA": 0, "shrinkB": 4}
    return axes.annotate(
        mark.name,
        (mark.x, mark.y),
        xytext=(0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        color=mark.colour,
        arrowprops=line,
    )


def _point(axes: Axes) -> float:
    return axes.figure.dpi / 72


def _places(axes: Axes, name: Annotation, marks: list[Mark], i: int, walls: list[float]) -> _Places:
    extent = Text.get_window_extent(name)  # an annotation's own includes its line
    size = np.array([extent.width, extent.height])
    ways = np.array(
        [
            np.array(direction) * (size / 2 + distance * _point(axes) / math.hypot(*direction))
            for distance, direction in product(_DISTANCES, _DIRECTIONS)
        ]
    )
    dot = axes.transData.transform((marks[i].x, marks[i].y))
    boxes = np.hstack([dot + ways - size / 2, dot + ways + size / 2])
    lines = _lines(dot, ways)
    others = marks[:i] + marks[i + 1 :]
    walled = _upright(axes, walls)
    taken = np.vstack([_taken(axes, [marks[i]], *_OWN), _taken(axes, others, *_OTHERS), walled])
    outside = size.prod() - _covered(boxes, np.array([axes.bbox.extents]))
    crossed = _crossed(lines, np.vstack([_taken(axes, others, *_OWN), walled]))
    # of places that are equally good the first is taken
    costs = _covered(boxes, taken) + outside + crossed + np.arange(len(boxes))
    return _Places(ways, boxes, lines, costs)


def _lines(
    dot: Float[np.ndarray, "2"], ways: Float[np.ndarray, "N 2"]
) -> Float[np.ndarray, "N B 4"]:
    """Return the lines from a dot to its name as rows of small boxes."""
    steps = dot + ways[:, None] * np.linspace(0, 1, 30)[:, None]
    half = np.where(np.arange(len(ways)) < len(_DIRECTIONS), 0, 2)[:, None, None]
    return np.concatenate([steps - half, steps + half], axis=2)


def _taken(axes: Axes, marks: list[Mark], dot: float, bar: float) -> Boxes:
    """Return the boxes of dots and bars, with that much room (points) around their middles."""
    lines = [
        line
        for mark in marks
        for line in (
            ((mark.x, mark.y), (mark.x, mark.y)),
            ((mark.across[0], mark.y), (mark.across[1], mark.y)),
            ((mark.x, mark.upright[0]), (mark.x, mark.upright[1])),
        )
    ]
    ends = axes.transData.transform(np.reshape(lines, (-1, 2))).reshape(-1, 4)
    room = np.tile([dot, bar, bar], len(marks))[:, None] * _point(axes)
    return ends + np.hstack([-room, -room, room, room])


def _upright(axes: Axes, walls: list[float]) -> Boxes:
    """Return the boxes of vertical lines through the whole height."""
    height = (axes.bbox.y0, axes.bbox.y1)
    middles = [float(axes.transData.transform((wall, axes.get_ylim()[0]))[0]) for wall in walls]
    room = 6 * _point(axes)
    return np.reshape([(x - room, height[0], x + room, height[1]) for x in middles], (-1, 4))


def _covered(boxes: Boxes, others: Float[np.ndarray, "M 4"]) -> Float[np.ndarray, "N"]:
    """Return how many square pixels each box shares with the others."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    return np.asarray((high - low).clip(0).prod(axis=2).sum(axis=1))


def _crossed(lines: Float[np.ndarray, "N B 4"], others: Boxes) -> Float[np.ndarray, "N"]:
    """Return how many square pixels each line shares with the others."""
    beads = _covered(lines.reshape(-1, 4), others)
    return np.asarray(beads.reshape(lines.shape[:2]).sum(axis=1))


def _settle(places: list[_Places]) -> list[int]:
    """Choose a place for each name, so that all of them together cover least."""
    chosen = [int(those.costs.argmin()) for those in places]
    for _ in range(5):  # where one gives way, another may come back
        for i, those in enumerate(places):
            rest = [(p, k) for j, (p, k) in enumerate(zip(places, chosen, strict=True)) if j != i]
            names = np.reshape([p.boxes[k] for p, k in rest], (-1, 4))
            lines = np.reshape([p.lines[k] for p, k in rest], (-1, 4))
            shared = _covered(those.boxes, np.vstack([names, lines]))
            # names count more than what else is covered: they could not be read
            chosen[i] = int((those.costs + 5 * (shared + _crossed(those.lines, names))).argmin())
    return chosen
