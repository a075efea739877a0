"""Measure how the time and the memory of a fit grow with images, their size, and classes.

::

    python -m bench scaling            everything: bench/results/…/scaling.*
    python -m bench scaling --trial    a quick trial, written under another name
    python -m bench scaling --redraw   table and figure again, from the .json alone

Run it with the Python of the project's environment, on Linux or macOS, with 4 GB of free memory.
Each fit is a process of its own, so that its peak memory is its own. What is measured is kept at
once, in `scaling-part.json`; after Ctrl-C the next call goes on there. The exit code is 1 where
more images take more memory than `bar_bytes` allows.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from bench.harness import files
from bench.harness.arithmetic import Spread, spread_of, three
from bench.harness.conditions import condition_lines, conditions, list_seeds, version_line
from bench.harness.figure import INK, OURS, PEER, drawing
from bench.harness.page import markdown, table
from bench.harness.peer_process import SCRATCH, SCRIPTS, say
from bench.harness.record import Record
from lookbook.data.sources import load

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.harness.record import Results

NAME = "scaling"
SCRIPT = SCRIPTS / "lookbook_fit.py"
DATASET = "fashion-mnist"
ROUNDS = 3
RECIPES = ("quick", "standard")
REQUIRED = {"fit_seconds", "seen", "data_bytes", "before_bytes", "peak_bytes", "versions"}
MEGA = 10**6


@dataclasses.dataclass(frozen=True)
class Case:
    """What is fitted: so many grey images of so many pixels a side, of so many classes."""

    n: int
    side: int
    classes: int = 10


@dataclasses.dataclass(frozen=True)
class Curve:
    """Cases in which one thing grows, and all else stays."""

    #: field of `Case` that grows, and what its axis is called
    grows: str
    axis: str
    title: str
    cases: tuple[Case, ...]


#: a trial has so many times fewer images
TRIAL = 100


def curves(*, trial: bool) -> tuple[Curve, ...]:
    """Return what is measured."""
    few, usual, many = (n // (TRIAL if trial else 1) for n in (6_000, 60_000, 600_000))
    numbers = tuple(Case(n, 28) for n in (few, usual, many))
    sides = tuple(Case(few, side) for side in (28, 64, 128, 224))
    classes = tuple(Case(usual, 28, k) for k in (2, 10, 50, 200))
    return (
        Curve("n", "images", "more images, all 28×28", numbers),
        Curve("side", "pixels on a side", f"larger images, {few:,} of them", sides),
        Curve("classes", "classes", f"more classes, {usual:,} images of 28×28", classes),
    )


def bar_bytes(data: float) -> float:
    """Return the most memory that a fit on so many bytes of images of 28×28 may take.

    A second copy of the images does not fit in below it, PyTorch and a batch do.
    """
    return 1.3 * data + 600 * MEGA


# ---- what is measured ----

#: a round, a recipe and a case
Turn = tuple[int, str, Case]


def export(side: int, most: int, scratch: Path) -> tuple[Path, Path]:
    """Write the first training images at this size, and their labels; return the two files."""
    scratch.mkdir(exist_ok=True)
    dataset = load(DATASET, "train")
    n = min(most, len(dataset))
    images, labels = (scratch / f"{DATASET}-{side}-{n}.{end}" for end in ("raw", "npy"))
    np.save(labels, dataset.labels[:n])
    if not images.exists() or images.stat().st_size != n * side * side:
        resize(dataset.images[:n], side).tofile(images)
    return images, labels


def resize(images: UInt8[np.ndarray, "N H W"], side: int) -> UInt8[np.ndarray, "N S S"]:
    """Bring grey images to another size."""
    from PIL import Image

    if images.shape[1:] == (side, side):
        return images
    return np.stack([np.asarray(Image.fromarray(image).resize((side, side))) for image in images])


def measure(turns: Sequence[Turn], record: Record, target: Path, head: dict[str, Any]) -> None:
    """Fit what was not fitted yet, one epoch each; keep each result as it comes."""
    done = {_key(one) for one in record.measurements}
    left = [turn for turn in turns if turn not in done]
    most = {case.side: max(c.n for _, _, c in turns if c.side == case.side) for _, _, case in left}
    data = {side: export(side, n, SCRATCH) for side, n in most.items()}
    for round_, recipe, case in record.turns(left, lambda turn: _name(*turn[1:])):
        images, labels = data[case.side]
        command = [sys.executable, str(SCRIPT), "--images", str(images), "--labels", str(labels)]
        command += ["--shape", str(case.n), str(case.side), str(case.side)]
        command += ["--classes", str(case.classes), "--recipe", recipe, "--seed", str(round_)]
        which = {"recipe": recipe, **dataclasses.asdict(case), "round": round_}
        found = record.ask(which, command, REQUIRED)
        if found:
            peak = found["peak_bytes"] / MEGA
            say(f"  fit {found['fit_seconds']:7.2f} s   peak {peak:6,.0f} MB")
        files.keep(record.results(NAME, head, trial=False), target)


def _key(one: dict[str, Any]) -> Turn:
    return one["round"], one["recipe"], _case(one)


def _case(one: dict[str, Any]) -> Case:
    return Case(one["n"], one["side"], one["classes"])


def _name(recipe: str, case: Case) -> str:
    return f"{recipe}, {case.n:,} images of {case.side}×{case.side}, {case.classes} classes"


# ---- what they say ----


def of(results: Results, recipe: str, case: Case) -> list[dict[str, Any]]:
    """Return the measurements of one case, one for each round."""
    return [one for one in results["measurements"] if (one["recipe"], _case(one)) == (recipe, case)]


def measured(
    results: Results, recipe: str, which: Curve
) -> list[tuple[Case, list[dict[str, Any]]]]:
    """Return the cases of a curve that were measured, with their measurements."""
    found = [(case, of(results, recipe, case)) for case in which.cases]
    return [(case, ones) for case, ones in found if ones]


def over_the_bar(results: Results) -> list[str]:
    """List the cases of more and more images that took more memory than they may."""
    missed = []
    for recipe in RECIPES:
        for case, found in measured(results, recipe, curves(trial=results["trial"])[0]):
            excess = spread_of(found, "peak_bytes").most - bar_bytes(found[0]["data_bytes"])
            if excess > 0:
                missed.append(f"{_name(recipe, case)}: {excess / MEGA:,.0f} MB too much")
    return missed


# ---- the table ----

_HEADS = (
    "",
    "images",
    "size",
    "classes",
    "an epoch, seconds: min / median / max",
    "microseconds an image",
    "peak memory, MB: min / median / max",
    "of it images",
    "before the fit",
    "bar",
)


def to_markdown(results: Results, figure: str) -> str:
    """Write a table for each curve, then what they mean, then the conditions."""
    body = []
    for each in curves(trial=results["trial"]):
        rows = [
            _row(recipe, case, found, bar=each.grows == "n")
            for recipe in RECIPES
            for case, found in measured(results, recipe, each)
        ]
        if rows:
            body += [f"## {each.title[0].upper()}{each.title[1:]}", "", *table(_HEADS, rows), ""]
    body += [f"![Time and memory of an epoch as images, size and classes grow]({figure})", ""]
    body += [_MEANING, "", _verdict(results)]
    return markdown(results, "Growth with images, size and classes", body, _conditions(results))


#: what is true of every table
_MEANING = """\
An epoch is one of `training.loop.fit`, without a validation part, in a process that has imported \
everything and has the images in memory, once, as uint8. Its peak memory is the most that the \
process held at once, from its start to its end; before the fit it held Python, PyTorch and the \
images. The process is set up as that of `lookbook train`. The bar is 1.3 times the images and \
600 MB. 1 MB is a million bytes. Where there are more or fewer than ten classes, labels are drawn \
from the ten by the image's place: they cost what classes cost, and say nothing of accuracy."""


def _row(recipe: str, case: Case, found: list[dict[str, Any]], *, bar: bool) -> list[str]:
    fit, peak = spread_of(found, "fit_seconds"), spread_of(found, "peak_bytes")
    data = found[0]["data_bytes"]
    most = f"{bar_bytes(data) / MEGA:,.0f}" if bar else ""
    return [
        recipe,
        f"{case.n:,}",
        f"{case.side}×{case.side}",
        str(case.classes),
        three(fit, 2),
        f"{fit.middle / found[0]['seen'] * 1e6:,.1f}",
        three(_in_mega(peak), 0),
        f"{data / MEGA:,.0f}",
        f"{max(one['before_bytes'] for one in found) / MEGA:,.0f}",
        f"**{most}, missed**" if bar and peak.most > bar_bytes(data) else most,
    ]


def _verdict(results: Results) -> str:
    missed = over_the_bar(results)
    if not missed:
        return "Every fit stayed within the bar of memory."
    return f"**The bar of memory was missed: {'; '.join(missed)}.**"


_TURNS = "each fit is a process of its own; all cases take their turn in each round"


def _conditions(results: Results) -> list[str]:
    found, ones = results["conditions"], results["measurements"]
    first = ones[0]
    versions = version_line(first["versions"])
    return [
        *condition_lines(results),
        f"Data: {found['data']}",
        f"Rounds: seeds {list_seeds(ones, 'round')}; {_TURNS}",
        f"lookbook: {first['device']}, {first['threads']} threads; {versions}",
    ]


# ---- the figure ----

STYLES = dict(zip(RECIPES, ((OURS, "o"), (PEER, "s")), strict=True))


def plot(results: Results) -> Figure:
    """Draw time above and memory below, a column for what grows; all axes are logarithmic."""
    title = "Time and memory of an epoch; medians, least and most"
    shown = curves(trial=results["trial"])
    with drawing(results, title, (9.6, 5.6), (2, len(shown))) as (figure, panels):
        for which, (time, memory) in zip(shown, panels.T, strict=True):
            time.set_title(which.title, fontsize=9)
            for recipe in RECIPES:
                found = measured(results, recipe, which)
                at = [getattr(case, which.grows) for case, _ in found]
                seconds = [spread_of(ones, "fit_seconds") for _, ones in found]
                bytes_ = [_in_mega(spread_of(ones, "peak_bytes")) for _, ones in found]
                _draw_line(time, at, seconds, recipe)
                _draw_line(memory, at, bytes_, recipe)
        _draw_guides(results, shown, panels)
        _finish(shown, panels)
        handles = {
            label: handle
            for axes in panels.flat
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="outside upper right",
            ncols=4,
            frameon=False,
            fontsize=8,
        )
    return figure


def _in_mega(values: Spread) -> Spread:
    return Spread(values.least / MEGA, values.middle / MEGA, values.most / MEGA)


def _draw_line(axes: Axes, at: list[int], values: list[Spread], recipe: str) -> None:
    colour, marker = STYLES[recipe]
    axes.vlines(at, [v.least for v in values], [v.most for v in values], color=colour)
    look: dict[str, Any] = {"color": colour, "marker": marker, "ms": 5.5, "mec": INK, "lw": 1.6}
    axes.plot(at, [v.middle for v in values], label=recipe, **look)


def _draw_guides(results: Results, shown: Sequence[Curve], panels: Any) -> None:
    """Draw what is in proportion to images and pixels, and the most memory that is allowed."""
    for which, power, axes in zip(shown[:2], (1, 2), panels[0], strict=False):
        found = measured(results, "standard", which)
        if not found:
            continue
        # through the middle: what is done once lifts the left end, growth beyond it the right one
        at = np.array([getattr(case, which.grows) for case, _ in found])
        middle = len(at) // 2
        through = spread_of(found[middle][1], "fit_seconds").middle
        line = through * (at / at[middle]) ** power
        axes.plot(at, line, ":", color=INK, lw=1, label="in proportion", zorder=1)
    numbers = [case.n for case in shown[0].cases]
    fine = np.geomspace(min(numbers), max(numbers), 50)
    bar = [bar_bytes(n * shown[0].cases[0].side ** 2) / MEGA for n in fine]
    panels[1, 0].plot(fine, bar, color=INK, lw=1, label="most memory allowed", zorder=1)


def _finish(shown: Sequence[Curve], panels: Any) -> None:
    """Give the axes of a row one scale, and those of a column the same ticks."""
    for row, what, form in zip(
        panels, ("seconds", "peak memory, MB"), ("{x:,g}", "{x:,.0f}"), strict=True
    ):
        lows, highs = zip(*(axes.get_ylim() for axes in row), strict=True)
        for axes, which in zip(row, shown, strict=True):
            ticks = [getattr(case, which.grows) for case in which.cases]
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_ylim(max(min(lows), 0.02), max(highs))
            axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
            axes.xaxis.minorticks_off()
            axes.yaxis.set_major_locator(LogLocator(subs=(1,) if what == "seconds" else (1, 2, 5)))
            axes.yaxis.set_major_formatter(form)
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.tick_params(axis="y", which="both", labelleft=axes is row[0])
            axes.yaxis.minorticks_off()
        row[0].set_ylabel(what)
    for axes, which in zip(panels[1], shown, strict=True):
        axes.set_xlabel(which.axis)


# ---- the command ----


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and draw, or only draw; return the exit code."""
    args = _parser().parse_args(arguments)
    if args.redraw is not None:
        return files.redraw_only(args.redraw, NAME, redraw)
    rounds = 1 if args.trial else args.rounds
    cases = dict.fromkeys(case for each in curves(trial=args.trial) for case in each.cases)
    head = conditions("Fashion-MNIST's 60,000 training images: fewer are the first ones")
    target = files.part_of(NAME, args.out, trial=args.trial)
    record = Record([] if args.trial else files.earlier(target, head))
    turns = list(product(range(rounds), RECIPES, cases))
    measure(turns, record, target, head)
    results = record.results(NAME, head, trial=args.trial)
    whole = rounds >= ROUNDS
    written = files.finish(results, args.out, redraw, whole=whole, kept=target)
    missed = over_the_bar(results)
    for line in missed:
        print(f"over the bar of memory: {line}")
    return 1 if record.failures or missed or written is None else 0


def redraw(path: Path) -> list[Path]:
    """Write table and figure beside a file of results, from that file alone."""
    return files.redraw(path, to_markdown, plot)


def _parser() -> argparse.ArgumentParser:
    parser = files.options(__doc__, NAME)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="fits of each case: seeds 0…")
    return parser
