"""Draw accuracy against training time: every entry a dot with its name, T a line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, StrMethodFormatter

from bench.harness.figure import OURS, PEER, drawing
from bench.harness.label_placement import Mark, write_names
from bench.speed_summary import REFERENCE, Summary, summarise, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.harness.record import Results

# the shape of the dots says the same once more
OUR_MARKER, PEER_MARKER = "o", "s"
# the same colours, darker: letters are thinner than dots
OUR_TEXT, PEER_TEXT = "#00578A", "#A84A00"


def plot(results: Results) -> Figure:
    """Draw accuracy against fit time: a dot for each entry, bars over its seeds, its name."""
    found = summarise(results)
    trial = f"a trial with {results['conditions']['data']['train_pictures']:,} pictures"
    opened = drawing(
        results,
        title(results),
        (7.6, 5.0),
        (1, 1),
        trial=trial,
        note=_note(found),
        title_size=11,
    )
    with opened as (figure, panels):
        axes = panels[0, 0]
        for one in found:
            _draw_entry(axes, one)
        _draw_axes(axes, found)
        _draw_legend(axes, found)
        _mark_reference(axes, found)
        walls = [one.fit.middle for one in found if one.name == REFERENCE]
        write_names(figure, axes, [_mark(one) for one in found], walls)
    return figure


def _draw_entry(axes: Axes, one: Summary) -> None:
    """Draw median time and mean accuracy, and from the least to the most of both."""
    colour, marker, _ = _look(one)
    low = [[one.fit.middle - one.fit.least], [one.accuracy - one.accuracies.least]]
    high = [[one.fit.most - one.fit.middle], [one.accuracies.most - one.accuracy]]
    axes.errorbar(
        one.fit.middle,
        one.accuracy,
        xerr=[low[0], high[0]],
        yerr=[low[1], high[1]],
        fmt=marker,
        ms=6,
        color=colour,
        elinewidth=1.4,
    )


def _mark(one: Summary) -> Mark:
    return Mark(
        name=one.name.removeprefix("lookbook-"),
        colour=_look(one)[2],
        x=one.fit.middle,
        y=one.accuracy,
        across=(one.fit.least, one.fit.most),
        upright=(one.accuracies.least, one.accuracies.most),
    )


def _look(one: Summary) -> tuple[str, str, str]:
    """Return colour, marker and the colour of the name."""
    return (OURS, OUR_MARKER, OUR_TEXT) if one.ours else (PEER, PEER_MARKER, PEER_TEXT)


def _draw_axes(axes: Axes, found: list[Summary]) -> None:
    axes.set_xscale("log")
    least, most = min(one.fit.least for one in found), max(one.fit.most for one in found)
    # room on both sides, for the names
    axes.set_xlim(_round_out(least / 1.25, most * 1.25))
    # a log axis over less than a decade would otherwise have one number or none
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.margins(y=0.1)
    axes.set_xlabel("training time in seconds (log scale)")
    axes.set_ylabel("test accuracy")


def _round_out(least: float, most: float) -> tuple[float, float]:
    """Return the numbers of 1, 2, 5, 10, 20, 50, … around both, so that the axis ends on ticks."""
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    ticks = [step * 10.0**decade for decade in range(first, last + 1) for step in (1, 2, 5)]
    return max(t for t in ticks if t <= least), min(t for t in ticks if t >= most)


def _draw_legend(axes: Axes, found: list[Summary]) -> None:
    """Tell the two sides apart, above the axes: there it covers nothing."""
    sides = {"lookbook": True, "others": False}
    shown = {side: next((o for o in found if o.ours is ours), None) for side, ours in sides.items()}
    for side, one in shown.items():
        if one is not None:
            colour, marker, _ = _look(one)
            axes.plot([], [], marker, ms=6, color=colour, label=side)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, 0.995),
        ncols=2,
        frameon=False,
        handletextpad=0.1,
        columnspacing=1.2,
    )


def _mark_reference(axes: Axes, found: list[Summary]) -> None:
    """Draw T, the time that all others are measured by."""
    for one in found:
        if one.name == REFERENCE:
            axes.axvline(one.fit.middle, color=PEER, lw=1, ls=(0, (4, 3)), alpha=0.7, zorder=1)
            axes.annotate(
                f"T = {one.fit.middle:.1f} s",
                (one.fit.middle, 1),
                xycoords=axes.get_xaxis_transform(),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                color=PEER_TEXT,
            )


def _note(found: list[Summary]) -> str:
    """Say below the figure what is drawn."""
    seeds = sorted({one.seeds for one in found})
    several = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    return (
        "dots: mean accuracy and median time; bars: from the smallest to the largest of "
        f"{several} {'seed' if several == '1' else 'seeds'}\n"
    )
