"""Train on uneven classes, balanced and not, from scratch and from pretrained weights.

::

    python -m bench uneven --photos FOLDER             bench/results/…/uneven.*
    python -m bench uneven --photos FOLDER --trial     a quick trial, under another name
    python -m bench uneven --redraw                    table and figure again, from the .json

FOLDER has train/ and validation/, both with a folder of image files for dress, hat and shoes, as
the data `clothing` have. For each seed 200, 15 and 8 images are drawn anew of train/; all sides
learn from the same ones, and are scored once, on all of validation/ of these three. Run it with the
Python of the project's environment, in which the extra `pretrained` is installed.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
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
from bench.harness.conditions import condition_lines, conditions, entry_lines, list_seeds
from bench.harness.figure import INK, OURS, PEER, drawing
from bench.harness.page import markdown, table
from bench.harness.peer_process import SCRIPTS, say
from bench.harness.record import Record
from bench.images import describe_photos
from bench.transfer import Entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.harness.record import Results

NAME = "uneven"
SEEDS = 3
#: images that are drawn of each class
COUNTS = {"dress": 200, "hat": 15, "shoes": 8}
REQUIRED = {"balanced_accuracy", "macro_f1", "accuracy", "seconds", "versions", "threads", "device"}


def _ours(start: str, weights: str, *options: str) -> Entry:
    words = " ".join(("lookbook train", *options))
    return Entry(
        f"lookbook {start}, {weights}",
        f"`{words}` and `lookbook evaluate`",
        script=("lookbook_train.py", "--", *options),
        ours=True,
    )


def _usual(way: str, about: str) -> Entry:
    return Entry(f"scikit-learn, {way}", about, script=("pretrained_usual.py", way))


_LEARNER = "`StandardScaler` and `LogisticRegression`"
_SEEN = "on features of the middle of each image, 224×224, of the same pretrained network"
ENTRIES = (
    _ours("from scratch", "none", "--from-scratch", "--class-weights", "none"),
    _ours("from scratch", "auto", "--from-scratch", "--class-weights", "auto"),
    _ours("pretrained", "none", "--class-weights", "none"),
    _ours("pretrained", "auto", "--class-weights", "auto"),
    _usual("features", f"{_LEARNER} {_SEEN}"),
    _usual("balanced", f'{_LEARNER} with `class_weight="balanced"` {_SEEN}'),
)


# ---- the photographs ----


def draw(photos: Path, seed: int, folder: Path) -> Path:
    """Copy a draw of train/, and as test/ all of validation/, of the three classes.

    The same seed draws the same images on any machine.

    Raises
    ------
    SystemExit
        A class has too few images.
    """
    for name, n in COUNTS.items():
        found = sorted(path for path in (photos / "train" / name).iterdir() if path.is_file())
        if len(found) < n:
            raise SystemExit(f"expected {n} images or more in train/{name}, got {len(found)}")
        random.Random(f"{seed} {name}").shuffle(found)  # noqa: S311  # no secret
        (folder / "train" / name).mkdir(parents=True)
        for path in found[:n]:
            shutil.copy(path, folder / "train" / name)
        shutil.copytree(photos / "validation" / name, folder / "test" / name)
    return folder


# ---- measuring ----


def measure(photos: Path, seeds: int, record: Record, *, trial: bool) -> None:
    """Measure all ways on one draw, then on the next."""
    for seed, entry in record.turns(product(range(seeds), ENTRIES), lambda turn: turn[1].name):
        with tempfile.TemporaryDirectory() as scratch:
            data = draw(photos, seed, Path(scratch) / "photos")
            command = _command(entry, data, seed, trial=trial)
            found = record.ask({"name": entry.name, "seed": seed}, command, REQUIRED)
        if found:
            say(
                f"seed {seed}  {entry.name:<28} balanced accuracy "
                f"{100 * found['balanced_accuracy']:.1f} %  accuracy "
                f"{100 * found['accuracy']:.1f} %  {found['seconds']:.1f} s"
            )
    record.hide(photos)


def _command(entry: Entry, data: Path, seed: int, *, trial: bool) -> list[str]:
    script, *options = entry.script
    command = [sys.executable, str(SCRIPTS / script), "--photos", str(data), "--seed", str(seed)]
    return [*command, *options, *(["--epochs", "1"] if trial and entry.ours else [])]


# ---- what they say ----


def of(results: Results, name: str) -> list[dict[str, Any]]:
    """Return the measurements of one way, one for each seed."""
    return [one for one in results["measurements"] if one["name"] == name]


_HEADS = (
    "",
    "balanced accuracy, seed by seed",
    "mean ± standard deviation",
    "macro F1",
    "accuracy",
    "seconds: min / median / max",
)


def to_markdown(results: Results, figure: str) -> str:
    """Write the table, then what it means, then the conditions."""
    rows = [_table_row(each.name, found) for each in ENTRIES if (found := of(results, each.name))]
    body = [
        *table(_HEADS, rows, left=1),
        "",
        f"![Balanced accuracy of each way, one dot a draw]({figure})",
        "",
        _MEANING,
    ]
    return markdown(results, "Uneven classes", body, _conditions(results))


_MEANING = """\
Balanced accuracy is the mean share of each kind that is told rightly, so that each counts as \
much; always answering the commonest has 33.3 %. All is scored once, after the last step, on \
photographs that nobody learnt from. Seconds: of lookbook the whole command, of scikit-learn the \
whole script up to its last step."""


def _table_row(name: str, found: list[dict[str, Any]]) -> list[str]:
    balanced = [100 * one["balanced_accuracy"] for one in found]
    return [
        name,
        ", ".join(f"{one:.1f}" for one in balanced),
        mean_deviation(balanced, 1, " %"),
        f"{fmean(one['macro_f1'] for one in found):.3f}",
        f"{100 * fmean(one['accuracy'] for one in found):.1f} %",
        three(spread_of(found, "seconds"), 1),
    ]


_DRAWS = "each with a draw of its own; each is a process of its own, all ways in turn"


def _conditions(results: Results) -> list[str]:
    found, measured = results["conditions"], results["measurements"]
    drawn, held = (
        ", ".join(f"{counts[name]} {name}" for name in COUNTS)
        for counts in (COUNTS, found["data"]["validation"])
    )
    return [
        *condition_lines(results),
        f"Learnt from: {drawn}; scored on: {held}",
        f"Hash of the files of all classes and their names (SHA-256): {found['data']['sha256']}",
        f"Runs: seeds {list_seeds(measured)}, {_DRAWS}",
        *entry_lines(results),
    ]


def plot(results: Results) -> Figure:
    """Draw balanced accuracy way by way: every draw a dot, a line for the mean."""
    entries = [entry for entry in ENTRIES if of(results, entry.name)][::-1]
    counts = " : ".join(map(str, COUNTS.values()))
    title = f"Three kinds of clothing, {counts} photographs: balanced accuracy on others"
    with drawing(results, title, (7.2, 3.2), (1, 1)) as (figure, panels):
        axes = panels[0, 0]
        for place, entry in enumerate(entries):
            found = [one["balanced_accuracy"] for one in of(results, entry.name)]
            colour = OURS if entry.ours else PEER
            axes.scatter(found, [place] * len(found), s=34, c=colour, edgecolors=INK, zorder=3)
            axes.plot([fmean(found)] * 2, [place - 0.3, place + 0.3], color=colour, lw=2)
        axes.axvline(1 / len(COUNTS), color=INK, lw=1, ls=":")
        axes.annotate(
            "always the commonest", (1 / len(COUNTS), 0), (4, 4), va="bottom", fontsize=8,
            xycoords=axes.get_xaxis_transform(), textcoords="offset points",
        )  # fmt: skip
        axes.set_yticks(range(len(entries)), [entry.name for entry in entries])
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0.3, 1.02)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
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
    data = describe_photos(args.photos)
    if missing := COUNTS.keys() - data["train"].keys():
        parser.error(f"--photos FOLDER has no classes {', '.join(sorted(missing))}")
    now = conditions(data)
    record = Record()
    measure(args.photos, args.seeds, record, trial=args.trial)
    entries = [dataclasses.asdict(entry) for entry in ENTRIES]
    results = record.results(NAME, now, trial=args.trial, entries=entries)
    written = files.finish(results, args.out, redraw, whole=args.seeds >= SEEDS)
    return 1 if record.failures or written is None else 0


def redraw(path: Path) -> list[Path]:
    """Write table and figure beside a file of results, from that file alone."""
    return files.redraw(path, to_markdown, plot)


def _parser() -> argparse.ArgumentParser:
    parser = files.options(__doc__, NAME)
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="train/ and validation/")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="draws: seeds 0 to N-1")
    return parser
