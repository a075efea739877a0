"""Measure how the time and the memory of a fit grow with the number of images.

::

    python -m bench scaling            everything: bench/results/…/scaling.*
    python -m bench scaling --trial    a quick trial, written under another name
    python -m bench scaling --redraw   table and figure again, from the .json alone

Run it with the Python of the project's environment, on Linux or macOS, with 5 GB of free memory.
Each fit is a process of its own, so that its peak memory is its own. The exit code is 1 where one
takes more memory than `bar_bytes` allows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
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
SIZES = (6_000, 60_000, 600_000)
SIDES = (28, 64)
#: passes of each recipe, the same for every number of images; with half a pass of `standard`
#: three rounds take a quarter of an hour on two cores, with a whole one twice that
PASSES = {"quick": 1.0, "standard": 0.5}
TRIAL_SIZES, TRIAL_SIDES = (60, 600, 6_000), (28, 32)
REQUIRED = {"fit_seconds", "seen", "data_bytes", "before_bytes", "peak_bytes", "versions"}
MEGA = 10**6


def bar_bytes(data: float) -> float:
    """Return the most memory that a fit on so many bytes of images may take.

    A second copy of the images does not fit in below it, PyTorch and a batch do.
    """
    return 1.3 * data + 600 * MEGA


# ---- what is measured ----


def export(side: int, scratch: Path) -> tuple[Path, Path]:
    """Write the training images at this size, and their labels; return the two files."""
    scratch.mkdir(exist_ok=True)
    dataset = load(DATASET, "train")
    pictures, labels = scratch / f"{DATASET}-{side}.raw", scratch / f"{DATASET}-labels.npy"
    np.save(labels, dataset.labels)
    if not pictures.exists() or pictures.stat().st_size != len(dataset) * side * side:
        resize(dataset.images, side).tofile(pictures)
    return pictures, labels


def resize(images: UInt8[np.ndarray, "N H W"], side: int) -> UInt8[np.ndarray, "N S S"]:
    """Bring grey images to another size."""
    from PIL import Image

    if images.shape[1:] == (side, side):
        return images
    return np.stack([np.asarray(Image.fromarray(image).resize((side, side))) for image in images])


def measure(
    sizes: Iterable[int], sides: Iterable[int], rounds: int, scratch: Path = SCRATCH
) -> Record:
    """Fit each recipe on each number of images of each size, in turn, round by round."""
    record = Record()
    data = {side: export(side, scratch) for side in sides}
    cases = product(range(rounds), data, sizes, PASSES.items())
    for turn, side, n, (recipe, passes) in record.turns(cases, _case):
        pictures, labels = data[side]
        command = [sys.executable, str(SCRIPT), "--pictures", str(pictures), "--labels"]
        command += [str(labels), "--side", str(side), "--n", str(n), "--recipe", recipe]
        command += ["--epochs", str(passes), "--seed", str(turn)]
        which = {"recipe": recipe, "side": side, "n": n, "round": turn}
        found = record.ask(which, command, REQUIRED)
        if found:
            say(
                f"round {turn}  {recipe:<9} {n:7,} pictures of {side}×{side}   "
                f"fit {found['fit_seconds']:7.2f} s   peak {found['peak_bytes'] / MEGA:6,.0f} MB"
            )
    return record


def _case(turn: tuple[int, int, int, tuple[str, float]]) -> str:
    _, side, n, (recipe, _) = turn
    return f"{recipe}, {n:,} pictures of {side}×{side}"


# ---- what they say ----


def runs(results: Results, recipe: str, side: int, n: int) -> list[dict[str, Any]]:
    """Return the measurements of one case, one for each round."""
    return [
        one
        for one in results["measurements"]
        if (one["recipe"], one["side"], one["n"]) == (recipe, side, n)
    ]


def series(results: Results) -> list[tuple[str, int, list[int]]]:
    """List recipe, side and the numbers of images that were measured with them."""
    cases = sorted({(one["recipe"], one["side"], one["n"]) for one in results["measurements"]})
    return [
        (recipe, side, [n for r, s, n in cases if (r, s) == (recipe, side)])
        for recipe, side in dict.fromkeys((recipe, side) for recipe, side, _ in cases)
    ]


def over_the_bar(results: Results) -> list[str]:
    """List the cases that took more memory than they may."""
    worst: dict[str, float] = {}
    for one in results["measurements"]:
        excess = one["peak_bytes"] - bar_bytes(one["data_bytes"])
        case = f"{one['recipe']}, {one['n']:,} pictures of {one['side']}×{one['side']}"
        worst[case] = max(excess, worst.get(case, excess))
    return [
        f"{case}: {excess / MEGA:,.0f} MB too much" for case, excess in worst.items() if excess > 0
    ]


# ---- the table ----

_HEADS = (
    "",
    "pictures",
    "passes",
    "fit, seconds: min / median / max",
    "microseconds a picture seen",
    "peak memory, MB: min / median / max",
    "of it pictures",
    "before the fit",
    "bar",
    "",
)


def to_markdown(results: Results, figure: str) -> str:
    """Write the table, then what it means, then the conditions."""
    rows = [
        _row(results, recipe, side, n) for recipe, side, numbers in series(results) for n in numbers
    ]
    body = [
        *table(_HEADS, rows),
        "",
        f"![Time and memory of a fit against the number of pictures]({figure})",
        "",
        _MEANING,
        "",
        _verdict(results),
    ]
    return markdown(results, "Growth with the number of pictures", body, _conditions(results))


#: what is true of every table
_MEANING = """\
Fit is `fitting.fit` alone, without a validation part, in a process that has imported everything \
and has the pictures in memory, once, as uint8. Its peak memory is the most that the process held \
at once, from its start to its end; before the fit it held Python, PyTorch and the pictures. The \
process is set up as that of `lookbook train`. The bar is 1.3 times the pictures and 600 MB. 1 MB \
is a million bytes. A recipe makes the same number of passes over any number of pictures; what a \
fit does once, whatever it is given, shows in the smallest."""


def _row(results: Results, recipe: str, side: int, n: int) -> list[str]:
    found = runs(results, recipe, side, n)
    fit, peak = spread_of(found, "fit_seconds"), spread_of(found, "peak_bytes")
    data = found[0]["data_bytes"]
    kept = peak.most <= bar_bytes(data)
    return [
        f"{recipe}, {side}×{side}",
        f"{n:,}",
        f"{results['conditions']['passes'][recipe]:g}",
        three(fit, 2),
        f"{fit.middle / found[0]['seen'] * 1e6:,.1f}",
        three(_in_mega(peak), 0),
        f"{data / MEGA:,.0f}",
        f"{max(one['before_bytes'] for one in found) / MEGA:,.0f}",
        f"{bar_bytes(data) / MEGA:,.0f}",
        "kept" if kept else "**missed**",
    ]


def _verdict(results: Results) -> str:
    missed = over_the_bar(results)
    if not missed:
        return "Every fit stayed within the bar of memory."
    return f"**The bar of memory was missed: {'; '.join(missed)}.**"


_TURNS = "each fit is a process of its own; all cases take their turn in each round"


def _conditions(results: Results) -> list[str]:
    found, measured = results["conditions"], results["measurements"]
    first = measured[0]
    versions = version_line(first["versions"])
    return [
        *condition_lines(results),
        f"Data: {found['data']}",
        f"Rounds: seeds {list_seeds(measured, 'round')}; {_TURNS}",
        f"lookbook: {first['device']}, {first['threads']} threads; {versions}",
    ]


# ---- the figure ----

#: colour of a recipe, marker and line of a size, in their order
COLOURS, MARKERS, LINES = (OURS, PEER), ("o", "s"), ("-", (0, (4, 2)))


def plot(results: Results) -> Figure:
    """Draw time and memory against the number of images, all axes logarithmic."""
    passes = ", ".join(f"{r} {_passes(p)}" for r, p in results["conditions"]["passes"].items())
    title = f"A fit on more pictures: {passes}; medians, least and most"
    with drawing(results, title, (9.6, 3.9), (1, 2)) as (figure, panels):
        time, memory = panels[0]
        styles = _styles(results)
        for recipe, side, numbers in series(results):
            found = [runs(results, recipe, side, n) for n in numbers]
            style, label = styles[recipe, side], f"{recipe}, {side}×{side}"
            _draw_line(
                time, numbers, [spread_of(one, "fit_seconds") for one in found], label, style
            )
            _draw_line(
                memory,
                numbers,
                [_in_mega(spread_of(one, "peak_bytes")) for one in found],
                "",
                style,
            )
        for recipe, side, numbers in series(results):
            middles = [
                spread_of(runs(results, recipe, side, n), "fit_seconds").middle for n in numbers
            ]
            _draw_linear(time, numbers, middles)
        _draw_bars(memory, results, {side: style["ls"] for (_, side), style in styles.items()})
        _finish(time, results, "fit time in seconds", "{x:,g}")
        _finish(memory, results, "peak memory in MB", "{x:,.0f}")
        handles = {
            label: handle
            for axes in (time, memory)
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            handles.values(), handles.keys(), loc="outside right upper", frameon=False, fontsize=8
        )
    return figure


def _styles(results: Results) -> dict[tuple[str, int], dict[str, Any]]:
    """Give each recipe a colour and each size a marker and a line."""
    found = results["measurements"]
    recipes, sides = (
        list(dict.fromkeys(one[name] for one in found)) for name in ("recipe", "side")
    )
    return {
        (recipe, side): {"color": colour, "marker": marker, "ls": line}
        for recipe, colour in zip(recipes, COLOURS, strict=False)
        for side, marker, line in zip(sides, MARKERS, LINES, strict=False)
    }


def _passes(passes: float) -> str:
    return (
        "1 pass" if passes == 1 else f"{passes:g} of a pass" if passes < 1 else f"{passes:g} passes"
    )


def _in_mega(values: Spread) -> Spread:
    return Spread(values.least / MEGA, values.middle / MEGA, values.most / MEGA)


def _draw_line(
    axes: Axes, numbers: list[int], values: list[Spread], label: str, style: dict[str, Any]
) -> None:
    middles = [v.middle for v in values]
    # straight on plain axes, as what has a fixed and a growing part is; hence bent on these
    fine = np.geomspace(numbers[0], numbers[-1], 100)
    axes.plot(fine, np.interp(fine, numbers, middles), color=style["color"], ls=style["ls"], lw=1.6)
    look = {"color": style["color"], "marker": style["marker"], "ms": 6, "mec": INK}
    axes.plot(numbers, middles, ls="", **look)
    axes.plot([], [], **look, ls=style["ls"], lw=1.6, label=label)  # both, for the legend
    axes.vlines(numbers, [v.least for v in values], [v.most for v in values], color=style["color"])


def _draw_linear(axes: Axes, numbers: list[int], seconds: list[float]) -> None:
    # through the middle: what is done once lifts the left end, growth beyond linear the right one
    n, through = numbers[len(numbers) // 2], seconds[len(numbers) // 2]
    ends = (numbers[0], numbers[-1])
    line = [through * end / n for end in ends]
    axes.plot(ends, line, ":", color=INK, lw=1, label="in proportion", zorder=1)


def _draw_bars(axes: Axes, results: Results, lines: dict[int, Any]) -> None:
    numbers = [one["n"] for one in results["measurements"]]
    fine = np.geomspace(min(numbers), max(numbers), 50)
    for side, line in lines.items():
        bar = [bar_bytes(n * side * side) / MEGA for n in fine]
        label = f"most allowed, {side}×{side}"
        axes.plot(fine, bar, color=INK, lw=1, ls=line, label=label, zorder=1)


def _finish(axes: Axes, results: Results, what: str, form: str) -> None:
    numbers = sorted({one["n"] for one in results["measurements"]})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(numbers, [f"{n:,}" for n in numbers])
    axes.set_xlabel("pictures (log scale)")
    axes.set_ylabel(f"{what} (log scale)")
    # a log axis over less than a decade would otherwise have one number or none
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
    axes.yaxis.set_major_formatter(form)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.minorticks_off()


# ---- the command ----


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and draw, or only draw; return the exit code."""
    args = _parser().parse_args(arguments)
    if args.redraw is not None:
        return files.redraw_only(args.redraw, NAME, redraw)
    sizes, sides = (TRIAL_SIZES, TRIAL_SIDES) if args.trial else (SIZES, SIDES)
    rounds = 1 if args.trial else args.rounds
    now = conditions("Fashion-MNIST's 60,000 training pictures: fewer are the first ones")
    record = measure(sizes, sides, rounds)
    results = record.results(NAME, {**now, "passes": PASSES}, trial=args.trial)
    written = files.finish(results, args.out, redraw, whole=rounds >= ROUNDS)
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
