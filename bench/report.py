"""Share what benchmarks have in common: ask a script, keep its answers, say where, draw alike."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bench import run
from lookbook.reports.figures import DPI, STYLE, save

if TYPE_CHECKING:
    from bench.summary import Spread

T = TypeVar("T")
#: what a file of results holds
Results = dict[str, Any]
GRID, QUIET = "#E4E7EA", "#5B626B"


# ---- measuring ----


@dataclass
class Record:
    """What was measured and what failed; each entry begins with the words that say which it is."""

    measurements: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    stopped: bool = False

    def ask(self, which: dict[str, Any], command: list[str], required: set[str]) -> dict[str, Any]:
        """Run a script and keep what it says; where it fails or is stopped, keep that."""
        load = os.getloadavg()
        start = time.perf_counter()
        try:
            found = run.parse(run.output_of(command), required)
        except run.PeerError as error:
            self.fail(which, str(error))
            return {}
        except KeyboardInterrupt:
            self.stopped = True
            run.add_stop(self.failures)
            return {}
        seconds = time.perf_counter() - start
        kept = {**which, **found, "process_seconds": seconds, "load_average_before": load}
        self.measurements.append(kept)
        return kept

    def until_stopped(self, turns: Iterable[T]) -> Iterator[T]:
        """Give one turn after the other, until Ctrl-C stops what a turn asks."""
        for turn in turns:
            if self.stopped:
                return
            yield turn

    def fail(self, which: dict[str, Any], message: str) -> None:
        """Keep a failure, and say it; the others go on."""
        self.failures.append({**which, "message": message})
        say(f"{describe(self.failures[-1])}; the others go on")

    def keras_python(self) -> Path | None:
        """Return the Python that has Keras on TensorFlow: the environment that `run.py` uses."""
        peer = next(peer for peer in run.PEERS if any("tensorflow" in r for r in peer.requirements))
        try:
            return run.set_up(peer)
        except (run.PeerError, OSError) as error:
            self.fail({"name": peer.name}, str(error))
            return None


def describe(failure: dict[str, Any]) -> str:
    """Say in one line what failed; all of the message is in the .json."""
    which = ", ".join(f"{name} {value}" for name, value in failure.items() if name != "message")
    return f"failed: {which.removeprefix('name ')}: {failure['message'].splitlines()[-1]}"


def conditions(data: Any) -> dict[str, Any]:
    """Return time, machine, load, commit and versions as they are now, with what the data is."""
    return {**run.conditions({"train_pictures": 0}, None), "data": data}


def say(message: str) -> None:
    """Tell on stderr how far the work is."""
    print(message, file=sys.stderr, flush=True)


# ---- the command ----


def parser(about: str | None, name: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    made = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    made.add_argument(
        "--trial", action="store_true", help="little of everything, written under another name"
    )
    made.add_argument("--out", type=Path, default=run.RESULTS, help="folder of the results")
    made.add_argument(
        "--redraw",
        type=Path,
        nargs="?",
        const=run.RESULTS / f"{name}.json",
        metavar="FILE",
        help="measure nothing; write table and figure again beside this .json",
    )
    return made


def redraw_only(path: Path, redraw: Callable[[Path], list[Path]]) -> int:
    """Write table and figure again, say where they are, and return the exit code."""
    for written in redraw(path):
        print(f"wrote {written}")
    return 0


def finish(
    results: Results, out: Path, redraw: Callable[[Path], list[Path]], *, whole: bool
) -> Path | None:
    """Write the results with their table and figure; return the .json, or None if it is empty.

    `whole` says whether all was asked for; where something failed it is no whole result either.
    """
    if not results["measurements"]:
        say("nothing was measured, nothing is written")
        return None
    out.mkdir(parents=True, exist_ok=True)
    name = stem(results["name"], whole=whole and not results["failures"], trial=results["trial"])
    target = out / f"{name}.json"
    target.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {target}")
    for path in redraw(target):
        print(f"wrote {path}")
    return target


def redraw(
    path: Path, to_markdown: Callable[[Results, str], str], plot: Callable[[Results], Figure]
) -> list[Path]:
    """Write table and figure beside a file of results, from that file alone."""
    results = json.loads(path.read_text(encoding="utf-8"))
    picture, table = path.with_suffix(".png"), path.with_suffix(".md")
    table.write_text(to_markdown(results, picture.name), encoding="utf-8")
    return [table, _thin(save(plot(results), picture))]


def _thin(picture: Path) -> Path:
    """Keep 256 colours of a figure, which has few: a third of the bytes."""
    with Image.open(picture) as drawn:
        fewer = drawn.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    known = PngInfo()
    known.add_text("Software", "lookbook")  # by which it is known as one of ours
    fewer.save(picture, optimize=True, pnginfo=known, dpi=(DPI, DPI))
    return picture


def stem(name: str, *, whole: bool, trial: bool) -> str:
    """Return the name of the files; what is not the whole result never takes its place.

    >>> stem("growth", whole=False, trial=False)
    'growth-part'
    """
    return name + ("-trial-run" if trial else "" if whole else "-part")


# ---- the table ----


def markdown(results: Results, title: str, body: Iterable[str], conditions: Iterable[str]) -> str:
    """Return a page: what keeps it from being whole, the body, then the conditions."""
    return "\n".join(
        [
            f"# {title}",
            "",
            *warnings(results),
            *body,
            "",
            "## Conditions",
            "",
            *(f"- {line}" for line in conditions),
            "",
        ]
    )


def table(heads: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table: the first column to the left, all others right."""
    cells = [list(heads), *rows]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], "|---|" + "---:|" * (len(heads) - 1), *lines[1:]]


def warnings(results: Results) -> list[str]:
    """Say first what keeps the table from being the whole result."""
    lines = [f"**{describe(failure)}**" for failure in results["failures"]]
    if results["trial"]:
        lines.insert(0, "**A trial with little of everything, not a result.**")
    return [part for line in lines for part in (line, "")]


def condition_lines(results: Results) -> list[str]:
    """Say when, where and with which code it was measured."""
    found = results["conditions"]
    machine = found["machine"]
    loads = ", ".join(f"{load:.2f}" for load in found["load_average"])
    state = "clean tree" if found["clean"] else "with changes that are not committed"
    code = f"commit {found['commit']}, {state}" if found["commit"] else "no commit known"
    return [
        f"Started: {found['started']}",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}",
        f"Load average at the start: {loads} (1, 5 and 15 minutes)",
        f"Code: {code}",
    ]


def version_line(versions: dict[str, str]) -> str:
    """List versions as a reader needs them: without the hash of the source."""
    named = (f"{n} {version}" for n, version in versions.items() if not n.endswith("sha256"))
    return ", ".join(named)


def three(values: Spread, digits: int) -> str:
    """Write least, middle and largest.

    >>> three(Spread(1.0, 2.0, 30.0), 1)
    '1.0 / 2.0 / 30.0'
    """
    return " / ".join(f"{v:,.{digits}f}" for v in (values.least, values.middle, values.most))


# ---- the figure ----


@contextmanager
def drawing(
    results: Results, title: str, size: tuple[float, float], shape: tuple[int, int]
) -> Iterator[tuple[Figure, Any]]:
    """Give a figure and its panels (rows, columns) to draw in, and write below where it is from."""
    # matplotlib's types ask for a literal of each key
    style: dict[Any, Any] = {**STYLE, "font.family": "DejaVu Sans"}
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(*shape, squeeze=False)
        for axes in panels.flat:
            axes.grid(color=GRID, lw=0.8)
            axes.set_axisbelow(True)
        yield figure, panels
        trial = " (a trial)" if results["trial"] else ""
        figure.suptitle(f"{title}{trial}", x=0.01, ha="left", fontsize=10)
        figure.supxlabel(machine_line(results), fontsize=7.5, color=QUIET)


def machine_line(results: Results) -> str:
    """Say in one line below a figure where and when it was measured."""
    found = results["conditions"]
    machine = found["machine"]
    commit = (found["commit"] or "not known")[:10]
    return (
        f"{machine['processor']}, {machine['cores']} cores, load {found['load_average'][0]:.1f} at "
        f"the start; {found['started'][:10]}; commit {commit}"
        f"{'' if found['clean'] else ' with changes'}"
    )
