"""Charts as inline SVG, in the colours of the page that they stand in.

Drawn and labelled by hand: a chart takes 0.35 ms and 3.3 kB, of matplotlib's SVG 320 ms and 15 kB
after an import of 0.9 s (measured on two busy cores), in colours that no dark mode changes. Names
on a line of shares go to the lowest free row, the only label placement that a report needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

#: what a line or a dot is, from which the page's style gives it a colour
Kind = Literal["right", "wrong", "ink", "quiet"]


@dataclass(frozen=True)
class Line:
    """Points that are joined, with a name for the legend."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    kind: Kind = "ink"
    #: radius of each dot, in pixels; none where it is empty
    dots: Sequence[float] = ()
    joined: bool = True


@dataclass(frozen=True)
class Axis:
    """What an axis shows, from where to where."""

    name: str
    least: float
    most: float
    write: Callable[[float], str] = "{:g}".format
    #: where numbers stand; None: at four or five round ones
    ticks: Sequence[float] | None = None

    def at(self, value: float) -> float:
        """Return the place of a value, 0 to 1."""
        return (value - self.least) / ((self.most - self.least) or 1)

    def places(self) -> Sequence[float]:
        """Return where numbers stand."""
        return round_ticks(self.least, self.most) if self.ticks is None else self.ticks


def round_ticks(least: float, most: float, about: int = 4) -> list[float]:
    """Return round numbers from `least` to `most`, about that many.

    >>> round_ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> round_ticks(0, 37)
    [0.0, 10.0, 20.0, 30.0]
    """
    if not most > least:
        return [least]
    rough = (most - least) / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough * 0.7)
    first = math.ceil(least / step - 1e-9)
    last = math.floor(most / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(k * step, digits) if digits else k * step for k in range(first, last + 1)]


def chart(
    title: str, x: Axis, y: Axis, lines: Sequence[Line], *, size: tuple[int, int] = (360, 230)
) -> str:
    """Draw lines over a plane, with a legend where there are several.

    >>> drawn = chart("a <b>", Axis("x", 0, 1), Axis("y", 0, 1), [Line("", [0, 1], [0, 1])])
    >>> drawn.startswith("<svg"), "a &lt;b&gt;" in drawn
    (True, True)
    """
    width, height = size
    named = [line for line in lines if line.name]
    left, right, top, bottom = 44.0, width - 10.0, 26.0 + 16 * (len(named) > 1), height - 40.0

    def place(px: float, py: float) -> tuple[float, float]:
        return left + x.at(px) * (right - left), bottom - y.at(py) * (bottom - top)

    parts = [f'<text x="0" y="13" class="strong">{escape(title)}</text>']
    for value in y.places():
        _, at = place(x.least, value)
        parts.append(f'<path class="grid" d="M{left:.1f} {at:.1f}H{right:.1f}"/>')
        parts.append(_text(left - 6, at + 4, y.write(value), "end"))
    for value in x.places():
        at, _ = place(value, y.least)
        parts.append(_text(at, bottom + 16, x.write(value), "middle"))
    parts.append(f'<path class="axis" d="M{left:.1f} {bottom:.1f}H{right:.1f}"/>')
    parts.append(_text((left + right) / 2, height - 4, x.name, "middle"))
    for line in lines:
        parts += _draw(line, place)
    if len(named) > 1:
        parts += _legend(named, left)
    about = escape(f"{title}: {_spoken(x, y, lines)}", quote=True)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{about}">'
        f"{''.join(parts)}</svg>"
    )


def dots(xs: Sequence[float]) -> list[float]:
    """Return the radius of each dot of a line: none where more than twenty would crowd it.

    >>> dots([0, 1]), dots(range(21))
    ([2.5, 2.5], [])
    """
    return [2.5] * len(xs) if len(xs) <= 20 else []


def _spoken(x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """Say the values of the lines, at most twelve of each, for those who cannot see them."""
    said = []
    for line in lines:
        points = list(zip(line.xs, line.ys, strict=True))
        step = max(1, -(-len(points) // 12))
        values = ", ".join(f"{x.write(px)}: {y.write(py)}" for px, py in points[::step])
        said.append(f"{line.name} {values}".strip())
    return f"{y.name}, {x.name}. {'. '.join(said)}"


def _draw(line: Line, place: Callable[[float, float], tuple[float, float]]) -> list[str]:
    points = [
        place(px, py)
        for px, py in zip(line.xs, line.ys, strict=True)
        if math.isfinite(px) and math.isfinite(py)
    ]
    drawn = []
    if line.joined and len(points) > 1:
        way = "L".join(f"{px:.1f} {py:.1f}" for px, py in points)
        drawn.append(f'<path class="line of-{line.kind}" d="M{way}"/>')
    for (px, py), radius in zip(points, line.dots, strict=False):
        drawn.append(
            f'<circle class="dot fill-{line.kind}" cx="{px:.1f}" cy="{py:.1f}" r="{radius:.1f}"/>'
        )
    return drawn


def _legend(lines: Sequence[Line], left: float) -> list[str]:
    drawn, at = [], left
    for line in lines:
        drawn.append(f'<path class="line of-{line.kind}" d="M{at:.1f} 29h16"/>')
        drawn.append(_text(at + 21, 33, line.name, "start"))
        at += 40 + 7.5 * _width(line.name)
    return drawn


def number_line(
    points: Sequence[tuple[str, str, float, Kind]],
    interval: tuple[float, float],
    *,
    narrow: bool = False,
) -> str:
    """Draw shares of 0 to 1 on a line: (name, what it says, share, kind); the last is the result.

    The line begins at a round number below the least of them. Names that would cover each other
    stand on lines of their own. A narrow one is for a phone, on which a wide one would be shrunk
    until its names cannot be read; the page's style shows the one that fits.
    """
    width = 330 if narrow else 720
    base, left, right = 96.0, 16.0, width - 16.0
    lowest = min(interval[0], *(share for *_, share, _ in points))
    least = max(0.0, math.floor(10 * lowest - 0.2) / 10)

    def at(share: float) -> float:
        return left + (share - least) / (1 - least) * (right - left)

    parts = [f'<path class="axis" d="M{left:.1f} {base}H{right:.1f}"/>']
    for tick in round_ticks(100 * least, 100):
        place = at(tick / 100)
        parts.append(f'<path class="axis" d="M{place:.1f} {base}v5"/>')
        parts.append(_text(place, base + 19, f"{tick:g}", "middle"))
    low, high = (at(share) for share in interval)
    parts.append(
        f'<rect class="area fill-right" x="{low:.1f}" y="{base - 7}" '
        f'width="{max(1.0, high - low):.1f}" height="14"/>'
    )
    ends: list[float] = []
    names = []
    for name, said, share, kind in sorted(points, key=lambda point: point[2]):
        place, label = at(share), f"{name} {said}"
        half = 3.6 * _width(label)
        middle = min(max(place, left + half), right - half)
        # the lowest line whose last name ends before this one begins
        line = next((k for k, end in enumerate(ends) if end < middle - half - 10), len(ends))
        ends[line:] = [middle + half, *ends[line + 1 :]]
        top = base - 26 - 20 * line
        strong = kind == "right"
        parts.append(f'<path class="grid" d="M{place:.1f} {base - 7:.1f}V{top + 5:.1f}"/>')
        parts.append(
            f'<circle class="dot fill-{kind}" cx="{place:.1f}" cy="{base}" '
            f'r="{6 if strong else 4}"/>'
        )
        names.append(_text(middle, top, label, "middle", strong=strong))
    room = max(0, len(ends) - 4) * 20
    about = escape(", ".join(f"{name} {said}" for name, said, *_ in points), quote=True)
    # names come last: lines to others may pass behind them
    return (
        f'<svg class="{"narrow" if narrow else "wide"}" viewBox="0 {-room} {width} {122 + room}" '
        f'role="img" aria-label="{about}">{"".join(parts)}{"".join(names)}</svg>'
    )


def layer_drawing(shapes: Sequence[tuple[int, ...]], about: str) -> str:
    """Draw what layers hand on: maps as stacks of squares, vectors as columns.

    Shapes are (channels, height, width) or (numbers,). Squares are as large as the maps beside each
    other, stacks higher where there are more maps; below stands the shape.

    >>> layer_drawing([(1, 28, 28), (10,)], "two layers").count("<g")
    2
    """
    room, gap, base = 76.0, 26.0, 118.0
    largest = max((max(shape[1:]) for shape in shapes if len(shape) == 3), default=1)
    drawn, at = [], 4.0
    for number, shape in enumerate(shapes):
        parts = []
        if len(shape) == 3:
            height, width = (10 + room * side / largest for side in shape[1:])
            copies = 1 + round(math.log2(shape[0])) if shape[0] > 3 else 1
            for copy in reversed(range(copies)):
                x, y = at + 3 * copy, base - height - 3 * copy
                parts.append(
                    f'<rect class="map" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
                    f'height="{height:.1f}"/>'
                )
            across = width + 3 * (copies - 1)
        else:
            across, height = 9.0, 12 + 11 * math.log2(shape[0])
            parts.append(
                f'<rect class="map" x="{at:.1f}" y="{base - height:.1f}" width="{across}" '
                f'height="{height:.1f}"/>'
            )
        label = "×".join(map(str, shape)) if len(shape) == 3 else str(shape[0])
        # neighbours in turn on two lines, so that narrow ones do not cover each other
        parts.append(_text(at + across / 2, base + 18 + 15 * (number % 2), label, "middle"))
        drawn.append(f"<g>{''.join(parts)}</g>")
        at += across + gap
    width = at - gap + 24
    return (
        f'<svg viewBox="-16 0 {width:.0f} 158" role="img" aria-label="{escape(about, quote=True)}" '
        f'style="min-width:{0.9 * width:.0f}px;max-width:{1.1 * width:.0f}px">'
        f"{''.join(drawn)}</svg>"
    )


def _width(text: str) -> float:
    """Return about how many narrow letters wide a text is."""
    return sum(1.75 if letter > "ᄀ" else 1 for letter in text)


def _text(x: float, y: float, text: str, anchor: str, *, strong: bool = False) -> str:
    kind = ' class="strong"' if strong else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'
