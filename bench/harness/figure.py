"""Draw the figures of benchmarks alike: colours, grid, title, and where it was measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.harness.conditions import machine_line
from lookbook.reports.figures import INK, STYLE

if TYPE_CHECKING:
    from bench.harness.record import Results

__all__ = ["GRID", "INK", "OURS", "PEER", "QUIET", "drawing"]

# blue and vermilion stay apart for all common kinds of colour blindness (Okabe and Ito, 2008)
OURS, PEER = "#0072B2", "#D55E00"
GRID, QUIET = "#E4E7EA", "#5B626B"


@contextmanager
def drawing(
    results: Results,
    title: str,
    size: tuple[float, float],
    shape: tuple[int, int],
    *,
    trial: str = "a trial",
    note: str = "",
    title_size: float = 10,
) -> Iterator[tuple[Figure, Any]]:
    """Give a figure and its panels (rows, columns), with a note and the machine below."""
    # matplotlib's types ask for a literal of each key
    style: dict[Any, Any] = {**STYLE, "font.family": "DejaVu Sans"}
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(*shape, squeeze=False)
        for axes in panels.flat:
            axes.grid(color=GRID, lw=0.8)
            axes.set_axisbelow(True)
        said = f"{title} ({trial})" if results["trial"] else title
        figure.suptitle(said, x=0.01, ha="left", fontsize=title_size)
        below = f"{note}{machine_line(results)}"
        place: dict[str, Any] = {"x": 0.01, "ha": "left"} if note else {}
        figure.supxlabel(below, **place, fontsize=7.5, color=QUIET)
        yield figure, panels
