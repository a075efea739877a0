"""Write results whole, with their table and figure, in the folder of their processor."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bench.harness.conditions import processor_name
from bench.harness.peer_process import ROOT, say
from lookbook.core.files import write_bytes
from lookbook.reports.figures import DPI, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.harness.record import Results

#: a folder for each processor, in it the files of each benchmark
RESULTS = ROOT / "bench" / "results"


def options(about: str | None, name: str, *, trial: bool = True) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    line, processor = (about or "").splitlines()[0], processor_name()
    parser = argparse.ArgumentParser(prog=f"python -m bench {name}", description=line)
    if trial:
        parser.add_argument(
            "--trial", action="store_true", help="little of everything, written under another name"
        )
    parser.add_argument(
        "--out",
        type=Path,
        default=RESULTS / processor,
        help=f"folder of the results; default: bench/results/{processor}",
    )
    parser.add_argument(
        "--redraw",
        type=Path,
        nargs="?",
        const=RESULTS,
        metavar="FILE",
        help="measure nothing; write table and figure again beside this .json, or beside all of "
        "this benchmark",
    )
    return parser


def redraw_only(path: Path, name: str, redraw: Callable[[Path], list[Path]]) -> int:
    """Write table and figure of a file, or of all below a folder, again; return the exit code."""
    for found in sorted(path.glob(f"*/{name}.json")) if path.is_dir() else [path]:
        print_written(redraw(found))
    return 0


def print_written(paths: Iterable[Path]) -> None:
    """Say which files were written."""
    for path in paths:
        print(f"wrote {path}")


def finish(
    results: Results,
    out: Path,
    redraw: Callable[[Path], list[Path]],
    *,
    whole: bool,
    kept: Path | None = None,
) -> Path | None:
    """Write the results with their table and figure; return the .json, or None if it is empty.

    `whole` says whether all was asked for; where something failed it is no whole result either.
    The whole takes the place of the file in which it was `kept` until now.
    """
    if not results["measurements"]:
        say("nothing was measured, nothing is written")
        return None
    out.mkdir(parents=True, exist_ok=True)
    name = stem(results["name"], whole=whole and not results["failures"], trial=results["trial"])
    target = out / f"{name}.json"
    write_bytes(target, (json.dumps(results, indent=2, ensure_ascii=False) + "\n").encode())
    print_written([target, *redraw(target)])
    if kept is not None and kept != target:
        for path in out.glob(f"{kept.stem}.*"):
            path.unlink()
    return target


def part_of(name: str, out: Path, *, trial: bool) -> Path:
    """Return the file in which what is measured is kept until it is the whole."""
    return out / f"{stem(name, whole=False, trial=trial)}.json"


def keep(results: Results, target: Path) -> None:
    """Keep what was measured until now."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(results), encoding="utf-8")


def earlier(target: Path, head: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was measured before on the same data and the same processor."""
    if not target.exists():
        return []
    found = json.loads(target.read_text(encoding="utf-8"))
    same = all(found["conditions"][key] == head[key] for key in ("data", "machine"))
    return list(found["measurements"]) if same else []


def stem(name: str, *, whole: bool, trial: bool) -> str:
    """Return the name of the files; what is not the whole result never takes its place.

    >>> stem("scaling", whole=False, trial=False)
    'scaling-part'
    """
    return name + ("-trial-run" if trial else "" if whole else "-part")


def redraw(
    path: Path, to_markdown: Callable[[Results, str], str], plot: Callable[[Results], Figure]
) -> list[Path]:
    """Write table and figure beside a file of results, from that file alone."""
    results = json.loads(path.read_text(encoding="utf-8"))
    figure, table = path.with_suffix(".png"), path.with_suffix(".md")
    write_bytes(table, to_markdown(results, figure.name).encode())
    return [table, _thin(save(plot(results), figure))]


def _thin(figure: Path) -> Path:
    """Keep 256 colours of a figure, which has few: a third of the bytes."""
    with Image.open(figure) as drawn:
        fewer = drawn.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    known = PngInfo()
    known.add_text("Software", "lookbook")  # by which it is known as one of ours
    fewer.save(figure, optimize=True, pnginfo=known, dpi=(DPI, DPI))
    return figure
