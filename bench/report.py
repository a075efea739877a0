"""Write table and figure of results again, from their .json alone.

::

    python -m bench report          all in bench/results/
    python -m bench report FILE …   these
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Sequence
from pathlib import Path

from bench.harness.files import RESULTS, print_written


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables and figures that are asked for; return the exit code."""
    about = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m bench report", description=about)
    parser.add_argument(
        "files", type=Path, nargs="*", metavar="FILE", help="results; default: all that there are"
    )
    for path in parser.parse_args(arguments).files or sorted(RESULTS.glob("*/*.json")):
        print_written(draw(path))
    return 0


def draw(path: Path) -> list[Path]:
    """Write table and figure beside a file of results, by the benchmark that it is of."""
    name = json.loads(path.read_text(encoding="utf-8"))["name"]
    written: list[Path] = importlib.import_module(f"bench.{name}").redraw(path)
    return written
