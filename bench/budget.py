"""Measure what `lookbook train --budget` makes of its time, and whether it keeps to it.

::

    python -m bench budget            everything, an hour: bench/results/…/budget.*
    python -m bench budget --trial    a quick trial, written under another name
    python -m bench budget --redraw   table and figure again, from the .json alone

Run it with the Python of the project's environment. Each run is two processes of its own: the
command that a user types, from whose start to whose end the clock runs, then `lookbook evaluate`.
The exit code is 1 where a budget was not kept, or where more time gave less accuracy, by more than
chance explains.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from itertools import combinations, product
from pathlib import Path
from statistics import fmean, mode
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import NullFormatter, PercentFormatter

from bench.harness import files
from bench.harness.arithmetic import mean_deviation, spread_of, standard_error, three
from bench.harness.conditions import condition_lines, conditions, list_seeds, version_line
from bench.harness.figure import INK, OURS, drawing
from bench.harness.page import markdown, table
from bench.harness.peer_process import SCRIPTS, say
from bench.harness.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.harness.record import Results

NAME = "budget"
SCRIPT = SCRIPTS / "lookbook_budget.py"
DATASET = "fashion-mnist"
SEEDS = 3
#: what is typed, and how many seconds that is
BUDGETS = {"5s": 5, "10s": 10, "30s": 30, "1m": 60, "2m": 120, "5m": 300, "10m": 600}
TRIAL_BUDGETS = ("5s", "10s")
REQUIRED = {"train_seconds", "accuracy", "recipe", "passes", "fit_seconds", "versions"}


def bar_seconds(budget: float) -> tuple[float, float]:
    """Return when a run may end: a tenth, or a second, before or after its time.

    >>> bar_seconds(5), bar_seconds(60)
    ((4.0, 6.0), (54.0, 66.0))
    """
    room = max(0.1 * budget, 1.0)
    return budget - room, budget + room


# ---- measuring ----


def measure(budgets: Iterable[str], seeds: int) -> Record:
    """Train with each budget, seed by seed, and score each run once."""
    record = Record()
    for seed, budget in record.turns(product(range(seeds), budgets), lambda turn: turn[1]):
        command = [sys.executable, str(SCRIPT), "--data", DATASET, "--budget", budget]
        which = {"budget": budget, "seed": seed}
        if found := record.ask(which, [*command, "--seed", str(seed)], REQUIRED):
            say(
                f"seed {seed}  budget {budget:>3}  {found['recipe']:<9} "
                f"accuracy {100 * found['accuracy']:.2f} %   took {found['train_seconds']:.1f} s"
            )
    return record


# ---- what they say ----


def runs(results: Results, budget: str) -> list[dict[str, Any]]:
    """Return the measurements of one budget, one for each seed."""
    return [one for one in results["measurements"] if one["budget"] == budget]


def measured(results: Results) -> list[str]:
    """List the budgets that were measured, the shortest first."""
    return [budget for budget in BUDGETS if runs(results, budget)]


def accuracies(results: Results, budget: str) -> list[float]:
    """Return the accuracy of each seed, in percent."""
    return [100 * one["accuracy"] for one in runs(results, budget)]


def not_kept(results: Results) -> list[str]:
    """List the runs that ended too early or too late."""
    missed = []
    for one in results["measurements"]:
        low, high = bar_seconds(BUDGETS[one["budget"]])
        if not low <= one["train_seconds"] <= high:
            which = f"budget {one['budget']}, seed {one['seed']}"
            missed.append(f"{which}: {one['train_seconds']:.1f} s, allowed {low:g} to {high:g} s")
    return missed


def falls(results: Results) -> list[str]:
    """List where more time gave less accuracy by more than a standard error of the difference."""
    found = []
    for less, more in combinations(measured(results), 2):
        before, after = accuracies(results, less), accuracies(results, more)
        fall = fmean(before) - fmean(after)
        if fall > standard_error(before, after):
            found.append(f"{more} gives {fall:.2f} points less than {less}")
    return found


# ---- the table ----

_HEADS = (
    "budget",
    "test accuracy: mean ± standard deviation",
    "min to max",
    "recipe: passes",
    "whole process, seconds: min / median / max",
    "allowed",
    "fit, seconds: min / median / max",
)


def to_markdown(results: Results, figure: str) -> str:
    """Write the table, then what it means, then the conditions."""
    body = [
        *table(_HEADS, [_row(results, budget) for budget in measured(results)]),
        "",
        f"![Test accuracy against the budget]({figure})",
        "",
        _MEANING,
        "",
        _verdict(results),
    ]
    return markdown(results, "Accuracy for a budget of time", body, _conditions(results))


#: what is true of every table
_MEANING = """\
A run is `lookbook train fashion-mnist --budget …` as a user types it: 5,000 of the 60,000 \
training pictures are set aside, the program measures the machine and chooses the recipe, and the \
clock runs from the start of the process to its end. `lookbook evaluate` then reads the test part \
once. A run may end a tenth of its time, or a second, early or late."""


def _row(results: Results, budget: str) -> list[str]:
    found, percent = runs(results, budget), accuracies(results, budget)
    low, high = bar_seconds(BUDGETS[budget])
    return [
        budget,
        mean_deviation(percent, 2, " %"),
        f"{min(percent):.2f} to {max(percent):.2f} %",
        ", ".join(f"{one['recipe']}: {one['passes']:.1f}" for one in found),
        three(spread_of(found, "train_seconds"), 1),
        f"{low:g} to {high:g}",
        three(spread_of(found, "fit_seconds"), 1),
    ]


def _verdict(results: Results) -> str:
    missed = [*not_kept(results), *falls(results)]
    if missed:
        return f"**Missed: {'; '.join(missed)}.**"
    return (
        "Every run kept to its time, and no more time gave less accuracy by more than a standard "
        "error of the difference."
    )


def _conditions(results: Results) -> list[str]:
    found, first = results["conditions"], results["measurements"][0]
    seeds, versions = list_seeds(results["measurements"]), version_line(first["versions"])
    return [
        *condition_lines(results),
        f"Data: {found['data']}",
        f"Runs: seeds {seeds}; all budgets take their turn with each seed",
        f"lookbook: {first['device']}, {first['threads']} threads; {versions}",
    ]


# ---- the figure ----


def plot(results: Results) -> Figure:
    """Draw the accuracy of each run, and the line through their means."""
    title = "Fashion-MNIST: test accuracy for so much time, from start to written run"
    with drawing(results, title, (7.2, 4.2), (1, 1)) as (figure, panels):
        axes = panels[0, 0]
        budgets = measured(results)
        seconds = [BUDGETS[budget] for budget in budgets]
        means = [fmean(accuracies(results, budget)) for budget in budgets]
        axes.plot(seconds, means, color=OURS, lw=1.8, zorder=2)
        for at, budget, mean in zip(seconds, budgets, means, strict=True):
            values = accuracies(results, budget)
            axes.plot([at] * len(values), values, "o", color=OURS, ms=5, mec="white", mew=0.8)
            axes.annotate(
                f"{mean:.1f} %\n{mode(one['recipe'] for one in runs(results, budget))}",
                (at, min(values)),
                # to the right: the line comes from the left, and rises
                xytext=(-2, -8),
                textcoords="offset points",
                ha="left",
                va="top",
                fontsize=8,
                color=INK,
            )
        axes.set_xscale("log")
        axes.set_xticks(seconds, budgets)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.minorticks_off()
        axes.margins(x=0.11)
        low, high = axes.get_ylim()
        axes.set_ylim(low - 0.25 * (high - low), high)  # room for the names below the dots
        axes.yaxis.set_major_formatter(PercentFormatter(decimals=1))
        axes.set_xlabel("budget (log scale)")
        axes.set_ylabel("test accuracy")
    return figure


# ---- the command ----


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and draw, or only draw; return the exit code."""
    args = _parser().parse_args(arguments)
    if args.redraw is not None:
        return files.redraw_only(args.redraw, NAME, redraw)
    budgets, seeds = (TRIAL_BUDGETS, 1) if args.trial else (tuple(BUDGETS), args.seeds)
    now = conditions("Fashion-MNIST, 55,000 training and 10,000 test pictures")
    record = measure(budgets, seeds)
    results = record.results(NAME, now, trial=args.trial)
    written = files.finish(results, args.out, redraw, whole=seeds >= SEEDS)
    missed = [*not_kept(results), *falls(results)]
    for line in missed:
        print(f"missed: {line}")
    return 1 if record.failures or missed or written is None else 0


def redraw(path: Path) -> list[Path]:
    """Write table and figure beside a file of results, from that file alone."""
    return files.redraw(path, to_markdown, plot)


def _parser() -> argparse.ArgumentParser:
    parser = files.options(__doc__, NAME)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each budget: seeds 0…")
    return parser
