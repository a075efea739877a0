"""Turn measurements into a table and a figure; nothing is measured here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from bench.names import Mark, write_names
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, StrMethodFormatter

from lookbook.reports.figures import STYLE, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: the entry whose median fit is T, the measure of all times
REFERENCE = "keras-tensorflow"
#: what a file of results holds, as `run.py` writes it
Results = dict[str, Any]

# blue and vermilion stay apart for all common kinds of colour blindness (Okabe and Ito, 2008);
# the shape of the dots says the same once more
OURS, PEER = "#0072B2", "#D55E00"
OUR_MARKER, PEER_MARKER = "o", "s"
# the same, darker: letters are thinner than dots
OUR_TEXT, PEER_TEXT = "#00578A", "#A84A00"
QUIET, GRID = "#5B626B", "#E4E7EA"


@dataclass(frozen=True)
class Spread:
    """The least, the middle and the largest of some values."""

    least: float
    middle: float
    most: float


@dataclass(frozen=True)
class Summary:
    """What all runs of one entry say together."""

    name: str
    about: str
    ours: bool
    #: how many seeds were measured
    seeds: int
    fit: Spread
    #: each run's fit in units of the reference's fit with the same seed, or of T where there is
    #: none; None where the reference was not measured at all
    ratio: Spread | None
    accuracy: float
    #: sample standard deviation of the accuracy; None for a single run
    deviation: float | None
    accuracies: Spread
    #: median seconds from the start of the process to its end, without our calibration twin
    process: float
    #: median seconds of our calibration twin; None for peers
    calibration: float | None


def spread(values: Iterable[float]) -> Spread:
    """Return minimum, median and maximum."""
    values = list(values)
    return Spread(min(values), median(values), max(values))


def summarise(results: Results) -> list[Summary]:
    """Return one summary for each entry that was measured, in the order of the entries."""
    reference = {one["seed"]: one["fit_seconds"] for one in _runs(results, REFERENCE)}
    runs = [(entry, _runs(results, entry["name"])) for entry in results["entries"]]
    return [_summary(entry, found, reference) for entry, found in runs if found]


def _runs(results: Results, name: str) -> list[dict[str, Any]]:
    return [one for one in results["measurements"] if one["name"] == name]


def _summary(
    entry: dict[str, Any], runs: list[dict[str, Any]], reference: dict[int, float]
) -> Summary:
    accuracies = [one["accuracy"] for one in runs]
    twins = [one["calibration_seconds"] for one in runs if "calibration_seconds" in one]
    return Summary(
        name=entry["name"],
        about=entry["about"],
        ours=entry["ours"],
        seeds=len(runs),
        fit=spread(one["fit_seconds"] for one in runs),
        ratio=_ratio(runs, reference),
        accuracy=fmean(accuracies),
        deviation=stdev(accuracies) if len(accuracies) > 1 else None,
        accuracies=spread(accuracies),
        process=median(one["process_seconds"] - one.get("calibration_seconds", 0) for one in runs),
        calibration=median(twins) if twins else None,
    )


def _ratio(runs: list[dict[str, Any]], reference: dict[int, float]) -> Spread | None:
    if not reference:
        return None
    middle = median(reference.values())
    return spread(one["fit_seconds"] / reference.get(one["seed"], middle) for one in runs)


def redraw(path: Path) -> list[Path]:
    """Write table and figure beside a file of results, from that file alone."""
    results = json.loads(path.read_text(encoding="utf-8"))
    table = path.with_suffix(".md")
    table.write_text(to_markdown(results, figure=path.with_suffix(".png").name), encoding="utf-8")
    return [table, save(plot(results), path.with_suffix(".png"))]


# ---- the table ----

_HEADS = (
    "",
    "what",
    "seeds",
    "test accuracy: mean ± standard deviation (min to max)",
    "fit, seconds: min / median / max",
    "of T: min / median / max",
    "whole process, seconds",
    "twin, seconds",
)


def to_markdown(results: Results, figure: str) -> str:
    """Write the table, then the conditions in words."""
    # the peers, then ours, the fastest first
    found = sorted(summarise(results), key=lambda one: (one.ours, one.fit.middle))
    return "\n".join(
        [
            f"# {_title(results)}",
            "",
            *_warnings(results),
            f"| {' | '.join(_HEADS)} |",
            "|---|---|" + "---:|" * (len(_HEADS) - 2),
            *(f"| {' | '.join(_row(one))} |" for one in found),
            "",
            f"![Test accuracy against fit time, lookbook and others]({figure})",
            "",
            _meanings(found),
            "",
            "## Conditions",
            "",
            *(f"- {line}" for line in _conditions(results)),
            "",
        ]
    )


def _title(results: Results) -> str:
    return f"{results['conditions']['data']['title']}: test accuracy and training time"


def _warnings(results: Results) -> list[str]:
    """Say first what keeps the table from being the whole result."""
    lines = [f"**{describe(failure)}**" for failure in results["failures"]]
    if results["trial"]:
        n = results["conditions"]["data"]["train_pictures"]
        lines.insert(0, f"**A trial with the first {n:,} training pictures only, not a result.**")
    return [part for line in lines for part in (line, "")]


def describe(failure: dict[str, Any]) -> str:
    """Say in one line what went wrong with an entry, or with all that was left."""
    if "seed" not in failure:
        return f"{failure['name']}: {failure['message']}"
    when = "could not be set up" if failure["seed"] is None else f"failed, seed {failure['seed']}"
    # the last line of an error says what it was; all of it is in the .json
    return f"{failure['name']} {when}: {failure['message'].splitlines()[-1]}"


def _row(one: Summary) -> list[str]:
    plus_minus = "" if one.deviation is None else f" ± {100 * one.deviation:.2f}"
    range_ = f"{100 * one.accuracies.least:.2f} to {100 * one.accuracies.most:.2f} %"
    return [
        one.name,
        one.about,
        str(one.seeds),
        f"{100 * one.accuracy:.2f}{plus_minus} % ({range_})",
        _three(one.fit, 2 if one.fit.middle < 10 else 1),
        _of_reference(one),
        f"{one.process:.1f}",
        "–" if one.calibration is None else f"{one.calibration:.2f}",
    ]


def _of_reference(one: Summary) -> str:
    if one.ratio is None:
        return "–"
    return "1" if one.name == REFERENCE else _three(one.ratio, 3 if one.ratio.middle < 1 else 2)


def _three(values: Spread, digits: int) -> str:
    return " / ".join(f"{v:.{digits}f}" for v in (values.least, values.middle, values.most))


#: what is true of every table
_MEANINGS = """\
Fit is training alone, in a process that has imported everything and has the pictures in memory \
(peers get them scaled, lookbook scales them within its fit). The whole process is from its start \
to its end: imports, reading, training, scoring; median. Accuracy is that after the last pass, \
never the best one."""

_TWINS = """\
After its fit, lookbook trains a twin that gives the temperature of its probabilities. No peer has \
the like, so the twin's seconds (median) stand in a column of their own and are counted neither in \
the fit nor in the whole process."""


def _meanings(found: list[Summary]) -> str:
    """Say what the columns hold."""
    measure = [
        f"T is {REFERENCE}'s median fit, {one.fit.middle:.2f} s; of T is each fit in units of "
        f"{REFERENCE}'s fit with the same seed (of T, where there is none)."
        for one in found
        if one.name == REFERENCE
    ]
    twins = [_TWINS] if any(one.calibration is not None for one in found) else []
    return " ".join([*measure, _MEANINGS, *twins])


def _conditions(results: Results) -> list[str]:
    conditions = results["conditions"]
    machine = conditions["machine"]
    return [
        f"Started: {conditions['started']}",
        f"Data: {_data(results)}",
        f"Runs: {_order(results)}",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}",
        f"Load average: {_loads(results)}",
        f"Code: {_commit(conditions)}",
        *_environments(results),
    ]


def _data(results: Results) -> str:
    data = results["conditions"]["data"]
    first = "the first " if results["trial"] else ""
    return (
        f"{data['title']}, {first}{data['train_pictures']:,} training pictures, "
        f"{data['test_pictures']:,} test pictures"
    )


def _order(results: Results) -> str:
    most = _list_seeds(results["measurements"])
    runs = {entry["name"]: _runs(results, entry["name"]) for entry in results["entries"]}
    fewer = "; ".join(
        f"{name}: {_list_seeds(found)}"
        for name, found in runs.items()
        if found and _list_seeds(found) != most
    )
    return (
        f"seeds {most}{f' ({fewer})' if fewer else ''}; each run is a process of its own; all "
        "entries take their turn with one seed, then with the next, so that what else the machine "
        "does hits all alike"
    )


def _list_seeds(runs: list[dict[str, Any]]) -> str:
    return ", ".join(map(str, sorted({one["seed"] for one in runs})))


def _loads(results: Results) -> str:
    start = ", ".join(f"{load:.2f}" for load in results["conditions"]["load_average"])
    before = spread(one["load_average_before"][0] for one in results["measurements"])
    return (
        f"{start} at the start (1, 5 and 15 minutes); {before.least:.2f} to {before.most:.2f}, "
        f"median {before.middle:.2f}, before each run (1 minute; the runs' own load is part of it)"
    )


def _commit(conditions: dict[str, Any]) -> str:
    if conditions["commit"] is None:
        return "no commit known"
    state = "clean tree" if conditions["clean"] else "with changes that are not committed"
    return f"commit {conditions['commit']}, {state}"


def _environments(results: Results) -> list[str]:
    """Say what each entry ran on, in one line for those that ran on the same."""
    names: dict[str, list[str]] = {}
    for entry in results["entries"]:
        if runs := _runs(results, entry["name"]):
            names.setdefault(_environment(runs[0]), []).append(entry["name"])
    return [f"{', '.join(those)}: {where}" for where, those in names.items()]


def _environment(run: dict[str, Any]) -> str:
    versions = ", ".join(
        f"{name} {version}"
        for name, version in run["versions"].items()
        if not name.endswith("sha256")
    )
    return f"{run['device']}, {run['threads']} threads; {versions}"


# ---- the figure ----


def plot(results: Results) -> Figure:
    """Draw accuracy against fit time: a dot for each entry, bars over its seeds, its name."""
    found = summarise(results)
    # matplotlib's types ask for a literal of each key
    style: dict[Any, Any] = {**STYLE, "font.family": "DejaVu Sans"}
    with mpl.rc_context(style):
        figure = Figure(figsize=(7.6, 5.0), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for one in found:
            _draw_entry(axes, one)
        _draw_axes(axes, found)
        _draw_legend(axes, found)
        _mark_reference(axes, found)
        figure.suptitle(_caption(results), x=0.01, ha="left", fontsize=11)
        figure.supxlabel(_note(results), x=0.01, ha="left", fontsize=7.5, color=QUIET)
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
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
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


def _caption(results: Results) -> str:
    n = results["conditions"]["data"]["train_pictures"]
    return _title(results) + (f" (a trial with {n:,} pictures)" if results["trial"] else "")


def _note(results: Results) -> str:
    """Say below the figure what is drawn, and where and when it was measured."""
    conditions = results["conditions"]
    machine = conditions["machine"]
    seeds = sorted({one.seeds for one in summarise(results)})
    several = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    commit = (conditions["commit"] or "not known")[:10]
    return (
        "dots: mean accuracy and median time; bars: from the smallest to the largest of "
        f"{several} {'seed' if several == '1' else 'seeds'}\n"
        f"{machine['processor']}, {machine['cores']} cores, load "
        f"{conditions['load_average'][0]:.1f} at the start; {conditions['started'][:10]}; commit "
        f"{commit}{'' if conditions['clean'] else ' with changes'}"
    )
