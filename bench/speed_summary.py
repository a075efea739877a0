"""Summarise measurements of speed, and write them as a table; nothing is measured here."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING, Any

from bench.harness.arithmetic import Spread, spread, spread_of, three
from bench.harness.conditions import condition_lines, list_seeds, version_line
from bench.harness.page import markdown, table
from bench.harness.peer_process import KERAS

if TYPE_CHECKING:
    from bench.harness.record import Results

#: the entry whose median fit is T, the measure of all times
REFERENCE = KERAS.name


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
        fit=spread_of(runs, "fit_seconds"),
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
    body = [
        *table(_HEADS, [_row(one) for one in found], left=2),
        "",
        f"![Test accuracy against fit time, lookbook and others]({figure})",
        "",
        _meanings(found),
    ]
    n = results["conditions"]["data"]["train_pictures"]
    trial = f"A trial with the first {n:,} training pictures only, not a result."
    return markdown(results, title(results), body, _conditions(results), trial)


def title(results: Results) -> str:
    """Return what page and figure are called."""
    return f"{results['conditions']['data']['title']}: test accuracy and training time"


def _row(one: Summary) -> list[str]:
    plus_minus = "" if one.deviation is None else f" ± {100 * one.deviation:.2f}"
    range_ = f"{100 * one.accuracies.least:.2f} to {100 * one.accuracies.most:.2f} %"
    return [
        one.name,
        one.about,
        str(one.seeds),
        f"{100 * one.accuracy:.2f}{plus_minus} % ({range_})",
        three(one.fit, 2 if one.fit.middle < 10 else 1),
        _of_reference(one),
        f"{one.process:.1f}",
        "–" if one.calibration is None else f"{one.calibration:.2f}",
    ]


def _of_reference(one: Summary) -> str:
    if one.ratio is None:
        return "–"
    return "1" if one.name == REFERENCE else three(one.ratio, 3 if one.ratio.middle < 1 else 2)


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
    started, machine, _, code = condition_lines(results)
    return [
        started,
        f"Data: {_data(results)}",
        f"Runs: {_order(results)}",
        machine,
        f"Load average: {_loads(results)}",
        code,
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
    most = list_seeds(results["measurements"])
    runs = {entry["name"]: _runs(results, entry["name"]) for entry in results["entries"]}
    fewer = "; ".join(
        f"{name}: {list_seeds(found)}"
        for name, found in runs.items()
        if found and list_seeds(found) != most
    )
    return (
        f"seeds {most}{f' ({fewer})' if fewer else ''}; each run is a process of its own; all "
        "entries take their turn with one seed, then with the next, so that what else the machine "
        "does hits all alike"
    )


def _loads(results: Results) -> str:
    start = ", ".join(f"{load:.2f}" for load in results["conditions"]["load_average"])
    before = spread(one["load_average_before"][0] for one in results["measurements"])
    return (
        f"{start} at the start (1, 5 and 15 minutes); {before.least:.2f} to {before.most:.2f}, "
        f"median {before.middle:.2f}, before each run (1 minute; the runs' own load is part of it)"
    )


def _environments(results: Results) -> list[str]:
    """Say what each entry ran on, in one line for those that ran on the same."""
    names: dict[str, list[str]] = {}
    for entry in results["entries"]:
        if runs := _runs(results, entry["name"]):
            names.setdefault(_environment(runs[0]), []).append(entry["name"])
    return [f"{', '.join(those)}: {where}" for where, those in names.items()]


def _environment(run: dict[str, Any]) -> str:
    versions = version_line(run["versions"])
    return f"{run['device']}, {run['threads']} threads; {versions}"
