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
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter

from lookbook.plots import INK, STYLE, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: the entry whose median fit is T, the measure of all times
REFERENCE = "keras-tensorflow"
#: what a file of results holds, as `run.py` writes it
Results = dict[str, Any]

# blue and vermilion stay apart for all common kinds of colour blindness (Okabe and Ito, 2008);
# the shape of the dots says the same once more
OURS, PEER = "#0072B2", "#D55E00"
OUR_MARKERS, PEER_MARKERS = "oDpH", "sv^<>dX"


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
    runs: int
    fit: Spread
    #: median fit in units of T; None where T was not measured
    ratio: float | None
    #: each run's fit in units of the reference's fit with the same seed
    pairwise: Spread | None
    accuracy: float
    #: sample standard deviation of the accuracy; None for a single run
    deviation: float | None
    accuracies: Spread
    first_loss: float
    last_loss: float
    process: Spread
    #: median seconds of our calibration twin; None for peers
    calibration: float | None


def spread(values: Iterable[float]) -> Spread:
    """Return minimum, median and maximum."""
    values = list(values)
    return Spread(min(values), median(values), max(values))


def summarise(results: Results) -> list[Summary]:
    """Return one summary for each entry that was measured, in the order of the entries."""
    runs = {entry["name"]: _runs(results, entry["name"]) for entry in results["entries"]}
    reference = runs.get(REFERENCE, [])
    return [_summary(name, found, reference) for name, found in runs.items() if found]


def _runs(results: Results, name: str) -> list[dict[str, Any]]:
    return [one for one in results["measurements"] if one["name"] == name]


def _summary(name: str, runs: list[dict[str, Any]], reference: list[dict[str, Any]]) -> Summary:
    fit = spread(one["fit_seconds"] for one in runs)
    by_seed = {one["seed"]: one["fit_seconds"] for one in reference}
    pairs = [one["fit_seconds"] / by_seed[one["seed"]] for one in runs if one["seed"] in by_seed]
    accuracies = [one["accuracy"] for one in runs]
    twins = [one["calibration_seconds"] for one in runs if "calibration_seconds" in one]
    return Summary(
        name=name,
        runs=len(runs),
        fit=fit,
        ratio=fit.middle / median(by_seed.values()) if by_seed else None,
        pairwise=spread(pairs) if pairs else None,
        accuracy=fmean(accuracies),
        deviation=stdev(accuracies) if len(accuracies) > 1 else None,
        accuracies=spread(accuracies),
        first_loss=fmean(one["first_loss"] for one in runs),
        last_loss=fmean(one["last_loss"] for one in runs),
        process=spread(one["process_seconds"] for one in runs),
        calibration=median(twins) if twins else None,
    )


def redraw(path: Path) -> list[Path]:
    """Write table and figure beside a file of results, from that file alone."""
    results = json.loads(path.read_text(encoding="utf-8"))
    table = path.with_suffix(".md")
    table.write_text(to_markdown(results, figure=path.with_suffix(".png").name), encoding="utf-8")
    return [table, save(plot(results), path.with_suffix(".png"))]


# ---- the table ----

_HEADS = (
    "",
    "fit, seconds: min / median / max",
    "of T: medians",
    "of T, seed by seed: min / median / max",
    "test accuracy: mean ± standard deviation",
    "min to max",
    "training loss, first → last pass",
    "whole process, seconds: min / median / max",
)


def to_markdown(results: Results, figure: str) -> str:
    """Write the table, then the conditions in words."""
    found = summarise(results)
    return "\n".join(
        [
            f"# {_title(results)}",
            "",
            *_warnings(results),
            f"| {' | '.join(_HEADS)} |",
            "|---|" + "---:|" * (len(_HEADS) - 1),
            *(f"| {' | '.join(_row(one))} |" for one in found),
            "",
            f"![Test accuracy against fit time, one dot a seed]({figure})",
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
    return f"{results['conditions']['data']['title']}: {results['name']}"


def _warnings(results: Results) -> list[str]:
    """Say first what keeps the table from being the whole result."""
    lines = [f"**{describe(failure)}**" for failure in results["failures"]]
    if results["trial"]:
        n = results["conditions"]["data"]["train_pictures"]
        lines.insert(0, f"**A trial with the first {n:,} training pictures only, not a result.**")
    return [part for line in lines for part in (line, "")]


def describe(failure: dict[str, Any]) -> str:
    """Say in one line what went wrong with an entry."""
    when = "could not be set up" if failure["seed"] is None else f"failed, seed {failure['seed']}"
    # the last line of an error says what it was; all of it is in the .json
    return f"{failure['name']} {when}: {failure['message'].splitlines()[-1]}"


def _row(one: Summary) -> list[str]:
    plus_minus = "" if one.deviation is None else f" ± {100 * one.deviation:.2f}"
    return [
        one.name,
        _three(one.fit, 2 if one.fit.middle < 10 else 1),
        "–" if one.ratio is None else f"{one.ratio:.3f}",
        "–" if one.pairwise is None else _three(one.pairwise, 3),
        f"{100 * one.accuracy:.2f}{plus_minus} %",
        f"{100 * one.accuracies.least:.2f} to {100 * one.accuracies.most:.2f} %",
        f"{one.first_loss:.4f} → {one.last_loss:.4f}",
        _three(one.process, 1),
    ]


def _three(values: Spread, digits: int) -> str:
    return " / ".join(f"{v:.{digits}f}" for v in (values.least, values.middle, values.most))


#: what is true of every table
_MEANINGS = """\
Fit is training alone, in a process that has imported everything and has the pictures in memory; \
the whole process is from its start to its end: imports, reading, training, scoring. Accuracy is \
that after the last pass, never the best one; losses are means over the seeds."""


def _meanings(found: list[Summary]) -> str:
    """Say what the columns hold, with the figures that belong to it."""
    reference = [one.fit.middle for one in found if one.name == REFERENCE]
    measure = [f"T is {REFERENCE}'s median fit, {seconds:.2f} s." for seconds in reference]
    twins = [
        f"{one.name} trains a twin for the temperature after its fit, {one.calibration:.2f} s "
        "(median): that is in its whole process, not in its fit."
        for one in found
        if one.calibration is not None
    ]
    return " ".join([*measure, _MEANINGS, *twins])


def _conditions(results: Results) -> list[str]:
    conditions = results["conditions"]
    loads = ", ".join(f"{load:.2f}" for load in conditions["load_average"])
    machine = conditions["machine"]
    return [
        f"Started: {conditions['started']}",
        f"Data: {_data(results)}",
        f"Runs: {_order(results)}",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}",
        f"Load average at the start: {loads} (1, 5 and 15 minutes)",
        f"Code: {_commit(conditions)}",
        *(
            _entry_conditions(entry, _runs(results, entry["name"])[0])
            for entry in results["entries"]
            if _runs(results, entry["name"])
        ),
    ]


def _data(results: Results) -> str:
    data = results["conditions"]["data"]
    first = "the first " if results["trial"] else ""
    return (
        f"{data['title']}, {first}{data['train_pictures']:,} training pictures, "
        f"{data['test_pictures']:,} test pictures"
    )


def _order(results: Results) -> str:
    seeds = sorted({one["seed"] for one in results["measurements"]})
    return (
        f"seeds {', '.join(map(str, seeds))}; each run is a process of its own; all entries take "
        "their turn with one seed, then with the next, so that what else the machine does hits all "
        "alike"
    )


def _commit(conditions: dict[str, Any]) -> str:
    if conditions["commit"] is None:
        return "no commit known"
    state = "clean tree" if conditions["clean"] else "with changes that are not committed"
    return f"commit {conditions['commit']}, {state}"


def _entry_conditions(entry: dict[str, Any], run: dict[str, Any]) -> str:
    versions = ", ".join(
        f"{name} {version}"
        for name, version in run["versions"].items()
        if not name.endswith("sha256")
    )
    return (
        f"{entry['name']}: {entry['about']}; {run['device']}, {run['threads']} threads; {versions}"
    )


# ---- the figure ----


def plot(results: Results) -> Figure:
    """Draw accuracy against fit time, every run a dot, the entry's name beside its dots."""
    # matplotlib's types ask for a literal of each key
    style: dict[Any, Any] = {**STYLE, "font.family": "DejaVu Sans"}
    with mpl.rc_context(style):
        figure = Figure(figsize=(7.2, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for entry, colour, marker in _styles(results["entries"]):
            if runs := _runs(results, entry["name"]):
                _draw_group(axes, entry["name"], runs, colour, marker)
        _draw_axes(axes, [one["fit_seconds"] for one in results["measurements"]])
        axes.set_title(_caption(results), loc="left")
        figure.supxlabel(_machine_line(results), fontsize=7.5, color="#5B626B")
    return figure


def _styles(entries: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str, str]]:
    """Give each entry the colour of its side and a marker that no other of its side has."""
    styles = []
    for ours, colour, markers in ((True, OURS, OUR_MARKERS), (False, PEER, PEER_MARKERS)):
        side = [entry for entry in entries if entry["ours"] is ours]
        styles += [(e, colour, markers[i % len(markers)]) for i, e in enumerate(side)]
    return styles


def _draw_group(axes: Axes, name: str, runs: list[dict[str, Any]], colour: str, mark: str) -> None:
    dots = [(one["fit_seconds"], one["accuracy"]) for one in runs]
    seconds, accuracies = zip(*dots, strict=True)
    axes.scatter(seconds, accuracies, s=38, c=colour, marker=mark, alpha=0.8, edgecolors=INK)
    top = max(dots, key=lambda dot: dot[1])
    axes.annotate(name, top, xytext=(0, 7), textcoords="offset points", ha="center", color=INK)


def _draw_axes(axes: Axes, seconds: list[float]) -> None:
    axes.set_xscale("log")
    # room on both sides, for the names
    axes.set_xlim(_round_out(min(seconds) / 1.25, max(seconds) * 1.25))
    # a log axis over less than a decade would otherwise have one number or none
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.margins(y=0.15)
    axes.grid(color="#E4E7EA", lw=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("fit time in seconds (log scale)")
    axes.set_ylabel("test accuracy")


def _round_out(least: float, most: float) -> tuple[float, float]:
    """Return the numbers of 1, 2, 5, 10, 20, 50, … around both, so that the axis ends on ticks."""
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    ticks = [step * 10.0**decade for decade in range(first, last + 1) for step in (1, 2, 5)]
    return max(t for t in ticks if t <= least), min(t for t in ticks if t >= most)


def _caption(results: Results) -> str:
    seeds = len({one["seed"] for one in results["measurements"]})
    n = results["conditions"]["data"]["train_pictures"]
    trial = f", a trial with {n:,} pictures" if results["trial"] else ""
    return f"{_title(results)}, {seeds} seeds, one dot each{trial}"


def _machine_line(results: Results) -> str:
    conditions = results["conditions"]
    machine = conditions["machine"]
    commit = (conditions["commit"] or "not known")[:10]
    return (
        f"{machine['processor']}, {machine['cores']} cores, load "
        f"{conditions['load_average'][0]:.1f} at the start; {conditions['started'][:10]}; commit "
        f"{commit}{'' if conditions['clean'] else ' with changes'}"
    )
