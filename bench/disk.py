"""Train an epoch of images on the disk, more than memory is to hold, beside fewer in memory.

::

    python -m bench disk                    a million images: bench/results/…/disk.*
    python -m bench disk --images 100000    fewer, written under another name
    python -m bench disk --redraw           the page again, from the .json alone

Run it on Linux, with nothing beside; on two cores a million take about seven minutes. It writes
images of 64×64 in colour, 12.3 GB of a million, and deletes them when all is measured. What is
measured is kept at once, in `disk-part.json`; after Ctrl-C the next call goes on there. The exit
code is 1 where time or memory is more than asked for.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.harness import files
from bench.harness.conditions import condition_lines, conditions, version_line
from bench.harness.memory import LOOK_SECONDS, watched_memory
from bench.harness.page import markdown, table
from bench.harness.peer_process import SCRATCH, say
from bench.harness.record import Record
from bench.scaling import REQUIRED, SCRIPT, export
from lookbook.core.files import write_bytes

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from bench.harness.record import Results

NAME = "disk"
IMAGES, TRIAL_IMAGES, IN_MEMORY = 1_000_000, 5_000, 60_000
SIDE, RECIPE = 64, "standard"
#: in memory before and after: what else the machine does then shows
TURNS = (("memory", 0), ("disk", 0), ("memory", 1))
#: the most that is asked for: anonymous memory, and times the seconds an image
MOST_BYTES, MOST_TIMES = 1.5e9, 1.15
#: images that are made at once
BLOCK = 5_000


# ---- images ----


def write_images(path: Path, n: int, grey: UInt8[np.ndarray, "M S S"]) -> None:
    """Write so many images, each in a colour of its own; what is there already is kept."""
    if path.exists() and path.stat().st_size == 3 * n * grey[0].size:
        return
    say(f"writing {n:,} images, {3 * n * grey[0].size / 1e9:.1f} GB, to {path}")
    with path.open("wb") as file:
        for start in range(0, n, BLOCK):
            rows = np.arange(start, min(n, start + BLOCK))
            tints = np.random.default_rng(start).integers(96, 256, (len(rows), 1, 1, 3), np.uint16)
            file.write((grey[rows % len(grey), ..., None] * tints >> 8).astype(np.uint8).tobytes())
        file.flush()
        os.fsync(file.fileno())


def forget(path: Path) -> None:
    """Have the system keep nothing of a file in memory: each image comes from the disk."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


# ---- measuring ----


def measure(n: int, scratch: Path, record: Record, target: Path, head: dict[str, Any]) -> Path:
    """Train an epoch in each place, in turn; keep each result as it comes; return the images."""
    raw, labels = export(SIDE, IN_MEMORY, SCRATCH)
    images = scratch / f"images-{SIDE}-{n}.raw"
    scratch.mkdir(parents=True, exist_ok=True)
    write_images(images, n, np.memmap(raw, np.uint8, "r").reshape(-1, SIDE, SIDE))
    done = {(one["where"], one["round"]) for one in record.measurements}
    for where, round_ in record.turns([turn for turn in TURNS if turn not in done], _kind):
        count = n if where == "disk" else min(n, IN_MEMORY)
        command = [sys.executable, str(SCRIPT), "--images", str(images), "--labels", str(labels)]
        command += ["--shape", str(count), str(SIDE), str(SIDE), "3", *_mapped(where, images)]
        command += ["--recipe", RECIPE, "--seed", str(round_)]
        with watched_memory() as memory:
            found = record.ask({"where": where, "n": count, "round": round_}, command, REQUIRED)
        if found:
            found["anonymous_bytes"] = memory.peak
            say(f"  {_milliseconds(found):.3f} ms an image, {memory.peak / 1e9:.2f} GB anonymous")
        files.keep(record.results(NAME, head, trial=False), target)
    return images


def _kind(turn: tuple[str, int]) -> str:
    return f"images in {'memory' if turn[0] == 'memory' else 'a file'}"


def _mapped(where: str, images: Path) -> list[str]:
    if where == "memory":
        return []
    forget(images)
    return ["--mapped"]


# ---- what it says ----


def of(results: Results, where: str) -> list[dict[str, Any]]:
    """Return the measurements with images in one place."""
    return [one for one in results["measurements"] if one["where"] == where]


def _milliseconds(one: dict[str, Any]) -> float:
    return float(1e3 * one["fit_seconds"] / one["seen"])


def goals(results: Results) -> list[tuple[str, str, bool]]:
    """Return what is asked for, what was measured, and whether that is enough."""
    on_disk, in_memory = of(results, "disk"), of(results, "memory")
    if not on_disk or not in_memory:
        return []
    most = max(one["anonymous_bytes"] for one in on_disk)
    times = fmean(map(_milliseconds, on_disk)) / fmean(map(_milliseconds, in_memory))
    return [
        ("anonymous memory: at most 1.5 GB", f"{most / 1e9:.2f} GB", most <= MOST_BYTES),
        ("an image: at most 1.15 times as long", f"{times:.2f}", times <= MOST_TIMES),
    ]


# ---- the page ----

_HEADS = (
    "",
    "images",
    "bytes of them",
    "an epoch, seconds",
    "milliseconds an image",
    "anonymous memory",
)


def to_markdown(results: Results) -> str:
    """Write what was asked for, each epoch, what they mean, then the conditions."""
    asked = [[what, found, "yes" if right else "**no**"] for what, found, right in goals(results)]
    body = table(("asked of the images on the disk", "measured", "reached"), asked, left=2)
    body += ["", *table(_HEADS, [_row(one) for one in results["measurements"]]), "", _MEANING]
    first = results["measurements"][0]
    versions = f"{first['device']}, {first['threads']} threads; {version_line(first['versions'])}"
    found = [*condition_lines(results), f"Images: {results['conditions']['data']}"]
    return markdown(
        results, "An epoch of a million images", body, [*found, f"lookbook: {versions}"]
    )


_MEANING = (
    f"One epoch of `{RECIPE}` by `training.loop.fit`, without a validation part, each in a process "
    "of its own, set up as that of `lookbook train`. Images on the disk are one file of bytes that "
    "is mapped into memory, as a cache of a folder is; nothing of it is in memory before, so that "
    "each image comes from the disk, in the random order of an epoch. Anonymous memory is what no "
    f"file stands behind (`RssAnon`), looked at every {LOOK_SECONDS:g} s. 1 GB is a thousand "
    "million bytes."
)


def _row(one: dict[str, Any]) -> list[str]:
    return [
        "in memory" if one["where"] == "memory" else "on the disk",
        f"{one['n']:,}",
        f"{one['data_bytes'] / 1e9:.2f} GB",
        f"{one['fit_seconds']:.1f}",
        f"{_milliseconds(one):.3f}",
        f"{one['anonymous_bytes'] / 1e9:.2f} GB",
    ]


# ---- the command ----


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, or write the page again; return the exit code."""
    parser = files.options(__doc__, NAME)
    parser.add_argument("--images", type=int, default=IMAGES, help=f"default: {IMAGES:,}")
    parser.add_argument(
        "--scratch", type=Path, default=SCRATCH, metavar="DIR", help="where they are written"
    )
    args = parser.parse_args(arguments)
    if args.redraw is not None:
        return files.redraw_only(args.redraw, NAME, redraw)
    n = TRIAL_IMAGES if args.trial else args.images
    about = "the training images of Fashion-MNIST in turn, each in a colour of its own"
    head = conditions(f"{n:,} of {SIDE}×{SIDE} in colour, {about}")
    target = files.part_of(NAME, args.out, trial=args.trial)
    record = Record([] if args.trial else files.earlier(target, head))
    images = measure(n, args.scratch, record, target, head)
    results = record.results(NAME, head, trial=args.trial)
    written = files.finish(results, args.out, redraw, whole=n == IMAGES, kept=target)
    if not record.failures:
        images.unlink()
    missed = [what for what, _, right in goals(results) if not right]
    for what in missed:
        print(f"missed: {what}")
    return 1 if record.failures or missed or written is None else 0


def redraw(path: Path) -> list[Path]:
    """Write the page beside a file of results, from that file alone."""
    page = path.with_suffix(".md")
    write_bytes(page, to_markdown(json.loads(path.read_text(encoding="utf-8"))).encode())
    return [page]
