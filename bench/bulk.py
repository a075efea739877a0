"""Write a table of answers to a million images with two processes, beside a loop of one's own.

::

    python -m bench bulk RUN RUN              bench/results/…/bulk.*: runs of Fashion-MNIST
    python -m bench bulk RUN --images 100000  fewer images, written under another name
    python -m bench bulk --redraw             the table again, from the .json alone

Run it on Linux, with nothing beside. The images are the test images of Fashion-MNIST, again and
again: random ones would all take the slow path, on which a model averages over several views.
"""

from __future__ import annotations

import json
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.harness import files
from bench.harness.conditions import condition_lines, conditions, version_line
from bench.harness.memory import LOOK_SECONDS, watched_memory
from bench.harness.page import markdown, table
from bench.harness.peer_process import SCRIPTS
from bench.harness.record import Record
from lookbook.core.files import write_bytes
from lookbook.data.sources import load
from lookbook.runs.store import Run, read_run

if TYPE_CHECKING:
    from bench.harness.record import Results

NAME = "bulk"
IMAGES, TRIAL_IMAGES, PROCESSES = 1_000_000, 20_000, 2
#: the loop answers a tenth of the images: its rate does not change
LOOP_SHARE, BATCHES = 10, (64, 1024)
REQUIRED = {"images", "seconds", "versions"}


# ---- images ----


def write_images(folder: Path, n: int) -> dict[str, Path]:
    """Write the test images in turn, so many of them, as .npz and as IDX."""
    images = np.resize(load("fashion-mnist", "test").images, (n, 28, 28))
    paths = {"npz": folder / "images.npz", "IDX": folder / "images-idx3-ubyte"}
    np.savez(paths["npz"], images=images)
    with paths["IDX"].open("wb") as file:
        file.write(struct.pack(">HBB3I", 0, 8, 3, *images.shape))
        file.write(images.tobytes())
    return paths


# ---- measuring ----


def measure(runs: list[Run], n: int) -> Record:
    """Write tables in every way with every run: files of both kinds, then loops."""
    record = Record()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        paths = write_images(place, n)
        for run, way in record.turns(
            _turns(runs), lambda turn: f"{turn[1][0]}, {turn[0].recipe.name}"
        ):
            name, options = way
            which = {"name": name, "recipe": run.recipe.name}
            options = [*options, "--model", str(run.model.resolve()), "--n", str(n // LOOP_SHARE)]
            kind = "npz" if "npz" in name else "IDX"
            rows = place / "rows.parquet"
            rows.unlink(missing_ok=True)
            out = ["--images", str(paths[kind]), "--out", str(rows)]
            with watched_memory() as memory:
                command = [sys.executable, str(SCRIPTS / "bulk_table.py"), *options, *out]
                found = record.ask(which, command, REQUIRED)
            if found:
                found["peak_bytes"] = memory.peak
    return record


def _turns(runs: list[Run]) -> Iterator[tuple[Run, tuple[str, list[str]]]]:
    for run in runs:
        for kind in ("npz", "IDX")[: 2 if run is runs[0] else 1]:
            ours = ["--what", "lookbook", "--processes", str(PROCESSES)]
            yield run, (f"lookbook predict --processes {PROCESSES}, {kind}", ours)
        for batch in BATCHES:
            yield run, (f"loop, batches of {batch}", ["--what", "loop", "--batch", str(batch)])


# ---- the page ----

_HEADS = (
    "",
    "recipe",
    "images",
    "seconds, whole process",
    "images a second",
    "first tenth",
    "last tenth",
    "last by first",
    "peak memory",
)


def to_markdown(results: Results) -> str:
    """Write the table, what it means, then the conditions."""
    body = [*table(_HEADS, [_row(one) for one in results["measurements"]], left=2), "", _MEANING]
    found = [*condition_lines(results), f"Images: {results['conditions']['data']}"]
    found += [f"Versions: {version_line(results['measurements'][0]['versions'])}"]
    return markdown(results, "A million images into one table", body, found)


_MEANING = (
    "Images a second are those of the whole process for `lookbook predict`: start, answers, "
    "parts written and joined; for the loop those of the loop alone, without its start. The loop "
    "is what one writes oneself: a session of ONNX Runtime as it comes, with a thread for each "
    "core, `argmax`, a Parquet file of three columns; it neither compares thresholds, "
    "nor does it go on after a stop. Memory is the sum over all processes of what no file stands "
    f"behind (`RssAnon`), looked at every {LOOK_SECONDS:g} s. The tenths are those of the images; "
    "the first begins after a hundredth, in which processes start: of a run of seconds each lasts "
    "some tenths of one, and runs differ by 8 %."
)


def _row(one: dict[str, Any]) -> list[str]:
    ours = "first_rate" in one
    seconds = one["process_seconds"] if ours else one["seconds"]
    tenths = [""] * 3
    if ours:
        first, last = one["first_rate"], one["last_rate"]
        tenths = [f"{first:,.0f}", f"{last:,.0f}", f"{last / first:.2f}"]
    return [
        one["name"],
        f"`{one['recipe']}`",
        f"{one['images']:,}",
        f"{one['process_seconds']:.1f}",
        f"{one['images'] / seconds:,.0f}",
        *tenths,
        f"{one['peak_bytes'] / 1e6:,.0f} MB",
    ]


# ---- the command ----


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the runs that are named, or write the page again; return the exit code."""
    parser = files.options(__doc__, NAME)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folders of runs, or their names")
    parser.add_argument("--images", type=int, default=IMAGES, help=f"default: {IMAGES:,}")
    args = parser.parse_args(arguments)
    if args.redraw is not None:
        return files.redraw_only(args.redraw, NAME, redraw)
    if not args.runs:
        parser.error("name at least one RUN: the folder of a run, or its name in runs/")
    n = TRIAL_IMAGES if args.trial else args.images
    now = conditions(f"{n:,} of 28×28, the test images of Fashion-MNIST in turn")
    record = measure([read_run(name) for name in args.runs], n)
    results = record.results(NAME, now, trial=args.trial)
    return 0 if files.finish(results, args.out, redraw, whole=n == IMAGES) else 1


def redraw(path: Path) -> list[Path]:
    """Write the table beside a file of results, from that file alone."""
    page = path.with_suffix(".md")
    write_bytes(page, to_markdown(json.loads(path.read_text(encoding="utf-8"))).encode())
    return [page]
