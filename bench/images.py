"""Train on a user's own photographs for some minutes, with lookbook and with Keras's example.

::

    python -m bench images --photos FOLDER               bench/results/…/images.*
    python -m bench images --photos FOLDER --minutes 3   other times, written under another name
    python -m bench images --photos FOLDER --trial       a quick trial, under another name, too
    python -m bench images --redraw                      table and figure again, from the .json

FOLDER has train/ and validation/, both with one folder of image files for each class. Run it with
the Python of the project's environment. Both sides get the same size of images and the same
minutes for training, and are scored once, after the last step, on validation/. Nothing of FOLDER
but its number of images, its classes and its hash goes into the results.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import math
import shutil
import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import PercentFormatter

from bench.harness import files
from bench.harness.arithmetic import mean_deviation, spread_of, three
from bench.harness.conditions import condition_lines, conditions, list_seeds, version_line
from bench.harness.figure import INK, OURS, PEER, QUIET, drawing
from bench.harness.page import markdown, table
from bench.harness.peer_process import SCRIPTS, say
from bench.harness.record import Record
from lookbook.images.preprocessing import SUFFIXES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.harness.record import Results

NAME = "images"
SEEDS, MINUTES, SIZE = 3, (3.0, 10.0), 64
#: a trial: minutes of Keras, passes of lookbook
TRIAL_MINUTES, TRIAL_PASSES = 0.1, 1.0
REQUIRED = {"fit_seconds", "accuracy", "passes", "parameters", "versions", "threads", "device"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One side of the comparison."""

    name: str
    about: str
    #: file in `bench/peers/`
    script: str
    ours: bool = False


ENTRIES = (
    Entry(
        "lookbook",
        "`lookbook train` and `lookbook evaluate`, as a user types them; it sets 15 % of the "
        "training pictures aside for validation",
        script="lookbook_images.py",
        ours=True,
    ),
    Entry(
        "keras-example",
        'the network of Keras\'s example "Image classification from scratch": a small Xception, '
        "mirrored and turned pictures, Adam 3e-4; all training pictures, "
        "decoded and resized before the clock starts",
        script="keras_images.py",
    ),
)


# ---- the photographs ----


def describe_photos(folder: Path) -> dict[str, Any]:
    """Return what a reader has to know about the photographs; their place is not part of it.

    Raises
    ------
    SystemExit
        The two parts do not have the same class folders.
    """
    counts = {part: _counts(folder / part) for part in ("train", "validation")}
    if counts["train"].keys() != counts["validation"].keys() or not counts["train"]:
        raise SystemExit(f"{folder} needs train/ and validation/ with the same class folders")
    digest = hashlib.sha256()
    for path in _pictures(folder):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return {**counts, "sha256": digest.hexdigest()}


def _counts(part: Path) -> dict[str, int]:
    folders = sorted(path for path in part.iterdir() if path.is_dir()) if part.is_dir() else []
    return {path.name: len(_pictures(path)) for path in folders}


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def copy_for_lookbook(photos: Path, folder: Path) -> Path:
    """Copy the photographs to where lookbook expects them, which follows no links."""
    shutil.copytree(photos / "train", folder / "train")
    shutil.copytree(photos / "validation", folder / "test")
    return folder


# ---- measuring ----


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is asked of both sides."""

    photos: Path
    size: int
    minutes: tuple[float, ...]
    seeds: range
    batch_size: int
    passes: float | None


def measure(plan: Plan) -> Record:
    """Train both sides in turn: with one time and seed, then with the next."""
    record = Record()
    keras = record.keras_python()
    with tempfile.TemporaryDirectory() as scratch:
        data = copy_for_lookbook(plan.photos, Path(scratch) / "photos")
        sides = [entry for entry in ENTRIES if entry.ours or keras is not None]
        for minutes, seed, entry in record.turns(product(plan.minutes, plan.seeds, sides), _side):
            which = {"name": entry.name, "minutes": minutes, "seed": seed}
            python, photos = (sys.executable, data) if entry.ours else (keras, plan.photos)
            arguments = ["--photos", str(photos), "--minutes", str(minutes), "--seed", str(seed)]
            command = [str(python), str(SCRIPTS / entry.script), *arguments]
            if found := record.ask(which, [*command, *_options(entry, plan)], REQUIRED):
                say(
                    f"{minutes:g} minutes  seed {seed}  {entry.name:<14} "
                    f"accuracy {100 * found['accuracy']:.2f} %   fit {found['fit_seconds']:.1f} s, "
                    f"{found['passes']:.1f} passes   process {found['process_seconds']:.1f} s"
                )
    record.hide(plan.photos)
    return record


def _side(turn: tuple[float, int, Entry]) -> str:
    minutes, _, entry = turn
    return f"{entry.name}, {_minutes(minutes)}"


def _options(entry: Entry, plan: Plan) -> list[str]:
    """Return what a script is told besides photographs, minutes and seed."""
    size = ["--size", str(plan.size)]
    if not entry.ours:
        return [*size, "--batch-size", str(plan.batch_size)]
    return size if plan.passes is None else [*size, "--passes", str(plan.passes)]


# ---- what they say ----


def runs(results: Results, name: str, minutes: float) -> list[dict[str, Any]]:
    """Return the measurements of one side with one time, one for each seed."""
    return [
        one for one in results["measurements"] if (one["name"], one["minutes"]) == (name, minutes)
    ]


def points_apart(results: Results, minutes: float) -> list[float]:
    """Return by how many points we are ahead, seed by seed."""
    ours, theirs = (
        {one["seed"]: 100 * one["accuracy"] for one in runs(results, entry.name, minutes)}
        for entry in ENTRIES
    )
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def commonest_share(results: Results) -> float:
    """Return the accuracy of who always names the class that has most training images."""
    photos = results["conditions"]["data"]
    commonest = max(photos["train"], key=photos["train"].__getitem__)
    return float(photos["validation"][commonest] / sum(photos["validation"].values()))


# ---- the table ----

_HEADS = (
    "",
    "minutes",
    "accuracy: mean ± standard deviation",
    "min to max",
    "fit, seconds: min / median / max",
    "passes: min / median / max",
    "whole process, seconds: min / median / max",
    "parameters",
)


def to_markdown(results: Results, figure: str) -> str:
    """Write the table, then what it means, then the conditions."""
    minutes = results["conditions"]["minutes"]
    rows = [
        _row(entry["name"], time, found)
        for time, entry in product(minutes, results["entries"])
        if (found := runs(results, entry["name"], time))
    ]
    body = [
        *table(_HEADS, rows),
        "",
        *(_difference(results, time) for time in minutes),
        "",
        f"![Accuracy after so many minutes of training, one dot a seed]({figure})",
        "",
        _meaning(results),
    ]
    return markdown(results, "A user's own photographs", body, _conditions(results))


def _row(name: str, minutes: float, found: list[dict[str, Any]]) -> list[str]:
    accuracies = [100 * one["accuracy"] for one in found]
    return [
        name,
        f"{minutes:g}",
        mean_deviation(accuracies, 2, " %"),
        f"{min(accuracies):.2f} to {max(accuracies):.2f} %",
        three(spread_of(found, "fit_seconds"), 1),
        three(spread_of(found, "passes"), 1),
        three(spread_of(found, "process_seconds"), 1),
        f"{found[0]['parameters']:,}",
    ]


def _difference(results: Results, minutes: float) -> str:
    apart = points_apart(results, minutes)
    if not apart:
        return f"- {_minutes(minutes)}: no seed was measured with both."
    return (
        f"- {_minutes(minutes)}: lookbook's accuracy less that of Keras's example, seed by seed: "
        f"{mean_deviation(apart, 1, sign='+')} points ({min(apart):+.1f} to {max(apart):+.1f}; "
        f"{_seeds(len(apart))})."
    )


def _seeds(n: int) -> str:
    return "1 seed" if n == 1 else f"{n} seeds"


def _meaning(results: Results) -> str:
    photos = results["conditions"]["data"]
    n = sum(photos["validation"].values())
    return (
        "The minutes are for fit alone, which stops at the first step after them; the whole "
        "process reads the pictures and scores, too. Accuracy is that after the last step, never "
        f"the best one; on {n:,} pictures its standard error is {50 / math.sqrt(n):.1f} points at "
        "the most. Who always says the commonest class is right for "
        f"{100 * commonest_share(results):.1f} %."
    )


_SHAPES = "lookbook pads to a square, Keras's example stretches"
_TURNS = (
    "each is a process of its own; both sides take their turn with one seed, then with the next"
)


def _conditions(results: Results) -> list[str]:
    found = results["conditions"]
    photos, measured = found["data"], results["measurements"]
    n, m = (sum(photos[part].values()) for part in ("train", "validation"))
    return [
        *condition_lines(results),
        f"Photographs: {n:,} to train on, {m:,} to score with; {_classes(photos['train'])}",
        f"Hash of the files and their names (SHA-256): {photos['sha256']}",
        f"Size: {found['size']}×{found['size']} pixels in colour; {_SHAPES}",
        f"Runs: seeds {list_seeds(measured)}; {_TURNS}",
        *(
            _entry_line(entry, of_entry[0])
            for entry in results["entries"]
            if (of_entry := [one for one in measured if one["name"] == entry["name"]])
        ),
    ]


def _classes(counts: dict[str, int]) -> str:
    return f"{len(counts)} classes ({', '.join(counts)})"


def _entry_line(entry: dict[str, Any], one: dict[str, Any]) -> str:
    versions = version_line(one["versions"])
    told = f" (told `{one['command']}`)" if entry["ours"] else f", batches of {one['batch_size']}"
    return (
        f"{entry['name']}: {entry['about']}{told}; {one['device']}, {one['threads']} threads; "
        f"{versions}"
    )


# ---- the figure ----


def plot(results: Results) -> Figure:
    """Draw accuracy against minutes: every run a dot, a line through the means."""
    photos = results["conditions"]["data"]
    n = sum(photos["train"].values())
    title = f"{n:,} photographs, {len(photos['train'])} classes: {_caption(results)}"
    with drawing(results, title, (7.2, 4.4), (1, 1)) as (figure, panels):
        axes = panels[0, 0]
        for entry, mark in zip(results["entries"], "os", strict=True):
            _draw_side(axes, results, entry, mark)
        first, second = (entry["name"] for entry in results["entries"])
        _name_side(axes, results, first, second)
        _name_side(axes, results, second, first)
        _draw_commonest(axes, commonest_share(results))
        minutes = results["conditions"]["minutes"]
        axes.set_xticks(range(len(minutes)), [_minutes(time) for time in minutes])
        axes.set_xlim(-0.6, len(minutes) - 0.4)  # room for the names
        axes.grid(visible=False, axis="x")
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylabel("accuracy")
        axes.set_xlabel("time for training")
    return figure


def _caption(results: Results) -> str:
    seeds = len({one["seed"] for one in results["measurements"]})
    m = sum(results["conditions"]["data"]["validation"].values())
    return f"accuracy on {m:,} others, {_seeds(seeds)}"


def _minutes(minutes: float) -> str:
    return f"{minutes:g} minutes" if minutes != 1 else "1 minute"


def _draw_side(axes: Axes, results: Results, entry: dict[str, Any], mark: str) -> None:
    colour = OURS if entry["ours"] else PEER
    found = _by_place(results, entry["name"])
    for place, accuracies in found.items():
        x = [place] * len(accuracies)
        axes.scatter(
            x, accuracies, s=34, c=colour, marker=mark, alpha=0.8, edgecolors=INK, zorder=3
        )
    means = [fmean(accuracies) for accuracies in found.values()]
    axes.plot(list(found), means, color=colour, lw=1.4)


def _name_side(axes: Axes, results: Results, name: str, other: str) -> None:
    """Write name and mean beside the dots, away from the line and from the other's name."""
    found, others = _by_place(results, name), _by_place(results, other)
    for place, accuracies in found.items():
        mean = fmean(accuracies)
        higher = place not in others or mean >= fmean(others[place])
        x, side = (-10, "right") if place == 0 else (10, "left")
        axes.annotate(
            f"{name} {100 * mean:.1f} %",
            (place, mean),
            (x, 1 if higher else -5),  # below the line of the commonest class
            textcoords="offset points",
            ha=side,
            va="bottom" if higher else "top",
        )


def _by_place(results: Results, name: str) -> dict[int, list[float]]:
    """Return the accuracies of one side by the place of their minutes on the axis."""
    found = {
        place: [one["accuracy"] for one in runs(results, name, minutes)]
        for place, minutes in enumerate(results["conditions"]["minutes"])
    }
    return {place: accuracies for place, accuracies in found.items() if accuracies}


def _draw_commonest(axes: Axes, share: float) -> None:
    axes.axhline(share, color=INK, lw=1, ls=":")
    axes.annotate(
        "always the commonest class",
        (1, share),
        (-4, -4),
        xycoords=axes.get_yaxis_transform(),  # x as a share of the width
        textcoords="offset points",
        ha="right",
        va="top",
        color=QUIET,
        fontsize=8,
    )


# ---- the command ----


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and draw, or only draw; return the exit code."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.redraw is not None:
        return files.redraw_only(args.redraw, NAME, redraw)
    if args.photos is None:
        parser.error("--photos FOLDER is needed: a folder with train/ and validation/")
    plan = Plan(
        photos=args.photos,
        size=args.size,
        minutes=(TRIAL_MINUTES,) if args.trial else tuple(args.minutes),
        seeds=range(1 if args.trial else args.seeds),
        batch_size=args.batch_size,
        passes=TRIAL_PASSES if args.trial else None,
    )
    now = conditions(describe_photos(plan.photos))
    record = measure(plan)
    results = record.results(
        NAME,
        {**now, "size": plan.size, "minutes": plan.minutes},
        trial=args.trial,
        entries=[dataclasses.asdict(entry) for entry in ENTRIES],
    )
    whole = set(MINUTES) <= set(plan.minutes) and len(plan.seeds) >= SEEDS and plan.size == SIZE
    written = files.finish(results, args.out, redraw, whole=whole)
    return 1 if record.failures or written is None else 0


def redraw(path: Path) -> list[Path]:
    """Write table and figure beside a file of results, from that file alone."""
    return files.redraw(path, to_markdown, plot)


def _parser() -> argparse.ArgumentParser:
    parser = files.options(__doc__, NAME)
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="train/ and validation/")
    parser.add_argument("--minutes", type=float, nargs="+", default=MINUTES, help="for training")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each: seeds 0 to N-1")
    parser.add_argument("--size", type=int, default=SIZE, help="pixels on a side")
    parser.add_argument(
        "--batch-size", type=int, default=128, help="of Keras, where 128 take too much memory"
    )
    return parser
