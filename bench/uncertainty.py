"""Measure how far answers can be trusted: calibration, "not sure", sets, "not one of these".

::

    python -m bench uncertainty --digits FILE           bench/results/…/uncertainty.*
    python -m bench uncertainty --digits FILE --trial   a quick trial, written under another name
    python -m bench uncertainty --redraw                table and figure again, from the .json alone

FILE holds MNIST's test images (t10k-images-idx3-ubyte, packed or not): images that are no
clothes. Nothing is fitted to them. Run it with the Python of the project's environment.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.harness import files
from bench.harness.arithmetic import mean_deviation
from bench.harness.conditions import condition_lines, conditions, list_seeds, version_line
from bench.harness.figure import INK, OURS, PEER, QUIET, drawing
from bench.harness.page import markdown, table
from bench.harness.peer_process import SCRIPTS, say
from bench.harness.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.harness.record import Results

NAME = "uncertainty"
SCRIPT = SCRIPTS / "lookbook_uncertainty.py"
RECIPES, SEEDS = ("tutorial", "standard"), 5
TRIAL_EPOCHS = 0.2
#: of the recipes in the figure, in their order
COLOURS = (PEER, OURS)
REQUIRED = {"accuracy", "ece", "ece_by_chance", "thresholds", "foreign", "versions", "threads"}


def measure(recipes: tuple[str, ...], seeds: int, digits: Path, epochs: float | None) -> Any:
    """Train each recipe with each seed, in turn."""
    record = Record()
    for seed, recipe in record.turns(product(range(seeds), recipes), lambda turn: turn[1]):
        command = [sys.executable, str(SCRIPT), "--recipe", recipe, "--seed", str(seed)]
        command += ["--digits", str(digits)]
        command += [] if epochs is None else ["--epochs", str(epochs)]
        if found := record.ask({"name": recipe, "seed": seed}, command, REQUIRED):
            say(
                f"seed {seed}  {recipe:<9} accuracy {100 * found['accuracy']:.2f} %   "
                f"ECE {found['ece']:.4f} (by chance {found['ece_by_chance']:.4f})   "
                + "  ".join(f"{one['auroc']:.4f}" for one in found["foreign"].values())
            )
    return record


# ---- the table ----


def of(results: Results, recipe: str) -> list[dict[str, Any]]:
    """Return the measurements of a recipe, one for each seed."""
    return [one for one in results["measurements"] if one["name"] == recipe]


def to_markdown(results: Results, figure: str) -> str:
    """Write the tables, then what they mean, then the conditions."""
    body = [
        *tables(results),
        "",
        f"![Calibration error and AUROC, one dot a seed]({figure})",
        "",
        _MEANING,
    ]
    return markdown(results, "How far answers can be trusted", body, _conditions(results))


def tables(results: Results) -> list[str]:
    """Write how good the answers are, and how well strangers are told."""
    recipes = [name for name in results["conditions"]["recipes"] if of(results, name)]
    return [
        *table(("", *recipes), _answer_rows(results, recipes)),
        "",
        "Pictures that are none of the classes, told from the test pictures by `novelty`:",
        "",
        *table(("", *_heads(recipes)), _foreign_rows(results, recipes)),
    ]


def _heads(recipes: list[str]) -> list[str]:
    return [f"{name}: {what}" for what in ("AUROC, least", "refused") for name in recipes]


_MEANING = """\
Thresholds and temperature come from the 5,000 validation pictures of each run; the test part was \
read once, after the training. ECE: expected calibration error, 15 bins, top class; "by chance" is \
that of probabilities that are exactly true. "Not sure" for one in ten: what is right among the \
others. Sets of likely classes are to hold the right one 9 times in 10. AUROC: how often a foreign \
picture is stranger than a test picture. Refused: above the default threshold, which 3 in 100 \
validation pictures exceed. Nothing was fitted to foreign pictures."""


def _answer_rows(results: Results, recipes: list[str]) -> list[list[str]]:
    def row(title: str, digits: int, unit: str, *keys: str) -> list[str]:
        scale = 100 if unit else 1
        cells = []
        for name in recipes:
            values = [scale * _get(one, *keys) for one in of(results, name)]
            cells.append(mean_deviation(values, digits, unit))
        return [title, *cells]

    return [
        row("test accuracy", 2, " %", "accuracy"),
        row("ECE", 4, "", "ece"),
        row("ECE by chance", 4, "", "ece_by_chance"),
        row(
            'answered, where it may be "not sure" for one in ten', 2, " %", "thresholds", "answered"
        ),
        row("right among the answered", 2, " %", "thresholds", "right"),
        row("sets that hold the right class, asked 90 %", 2, " %", "thresholds", "held"),
        row("classes in a set, on average", 2, "", "thresholds", "set_size"),
        row("test pictures refused as none of the classes", 2, " %", "thresholds", "refused"),
    ]


def _get(one: dict[str, Any], *keys: str) -> float:
    value: Any = one
    for key in keys:
        value = value[key]
    return float(value)


def _foreign_rows(results: Results, recipes: list[str]) -> list[list[str]]:
    rows = []
    for name in _sets(results):
        aurocs = {r: [one["foreign"][name]["auroc"] for one in of(results, r)] for r in recipes}
        refused = {
            r: [100 * _get(one, "foreign", name, "refused") for one in of(results, r)]
            for r in recipes
        }
        rows.append(
            [
                f"{name} ({results['measurements'][0]['foreign'][name]['n']:,})",
                *(f"{mean_deviation(aurocs[r], 4)}, {min(aurocs[r]):.4f}" for r in recipes),
                *(mean_deviation(refused[r], 1, " %") for r in recipes),
            ]
        )
    return rows


def _sets(results: Results) -> list[str]:
    return list(results["measurements"][0]["foreign"])


def _conditions(results: Results) -> list[str]:
    found, first = results["conditions"], results["measurements"][0]
    return [
        *condition_lines(results),
        f"MNIST's test pictures, SHA-256 of the file: {found['data']}",
        f"Runs: seeds {list_seeds(results['measurements'])}, 55,000 training pictures each",
        f"Threads: {first['threads']}",
        f"Versions: {version_line(first['versions'])}",
    ]


# ---- the figure ----


def plot(results: Results) -> Figure:
    """Draw calibration errors beside what chance gives, and AUROCs; every run a dot."""
    title = "How far answers can be trusted: Fashion-MNIST, one dot a seed"
    recipes = [name for name in results["conditions"]["recipes"] if of(results, name)]
    with drawing(results, title, (9.6, 3.6), (1, 2)) as (figure, panels):
        _draw_errors(panels[0, 0], results, recipes)
        _draw_aurocs(panels[0, 1], results, recipes)
    return figure


def _draw_errors(axes: Axes, results: Results, recipes: list[str]) -> None:
    for place, name in enumerate(recipes):
        errors = [one["ece"] for one in of(results, name)]
        chance = fmean(one["ece_by_chance"] for one in of(results, name))
        axes.scatter(
            [place] * len(errors), errors, s=30, c=COLOURS[place], edgecolors=INK, zorder=3
        )
        axes.plot([place - 0.25, place + 0.25], [chance, chance], color=INK, lw=1, ls=":")
    beside = (len(recipes) - 0.72, chance)
    axes.annotate("by chance\nalone", beside, va="center", fontsize=8, color=QUIET)
    axes.set_xticks(range(len(recipes)), recipes)
    axes.set_xlim(-0.6, len(recipes) - 0.25)
    axes.set_ylim(0, None)
    axes.set_ylabel("expected calibration error")


def _draw_aurocs(axes: Axes, results: Results, recipes: list[str]) -> None:
    names = _sets(results)
    for shift, name, mark, colour in zip((0.12, -0.12), recipes, "so", COLOURS, strict=False):
        for place, kind in enumerate(names):
            aurocs = [one["foreign"][kind]["auroc"] for one in of(results, name)]
            places = np.full(len(aurocs), place + shift)
            label = name if place == 0 else None
            axes.scatter(
                aurocs, places, s=30, c=colour, marker=mark, edgecolors=INK, zorder=3, label=label
            )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("AUROC against the test pictures")
    axes.legend(frameon=False, fontsize=8)


# ---- the command ----


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and draw, or only draw; return the exit code."""
    parser = files.options(__doc__, NAME)
    parser.add_argument("--digits", type=Path, metavar="FILE", help="MNIST's test pictures, IDX")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each: seeds 0 to N-1")
    parser.add_argument("--recipes", nargs="+", default=RECIPES, help="recipes to measure")
    args = parser.parse_args(arguments)
    if args.redraw is not None:
        return files.redraw_only(args.redraw, NAME, redraw)
    if args.digits is None:
        parser.error("--digits FILE is needed: MNIST's test pictures as IDX")
    return _measure_all(args)


def _measure_all(args: argparse.Namespace) -> int:
    digest = hashlib.sha256(args.digits.read_bytes()).hexdigest()
    now = conditions(digest)
    seeds = 1 if args.trial else args.seeds
    epochs = TRIAL_EPOCHS if args.trial else None
    record = measure(tuple(args.recipes), seeds, args.digits, epochs)
    known = {**now, "recipes": list(args.recipes)}
    results = record.results(NAME, known, trial=args.trial)
    whole = set(RECIPES) <= set(args.recipes) and seeds >= SEEDS
    written = files.finish(results, args.out, redraw, whole=whole)
    return 1 if record.failures or written is None else 0


def redraw(path: Path) -> list[Path]:
    """Write table and figure beside a file of results, from that file alone."""
    return files.redraw(path, to_markdown, plot)
