"""Run one benchmark: `python -m bench NAME`; without a name, list them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

#: each is a module of this package with a `main` that takes the options
NAMES = (
    "speed",
    "budget",
    "scaling",
    "disk",
    "processes",
    "inference",
    "images",
    "transfer",
    "uneven",
    "uncertainty",
    "deployment",
    "recognition",
    "serving",
    "bulk",
    "report",
)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark that is named first, with the options after it; return the exit code."""
    name, *options = arguments or [""]
    if name in NAMES:
        return int(importlib.import_module(f"bench.{name}").main(options))
    if name not in {"", "-h", "--help"}:
        sys.stderr.write(f"error: no benchmark is called {name!r}; there are {', '.join(NAMES)}\n")
        return 2
    print(overview())
    return 0


def overview() -> str:
    """Return a line for each benchmark: its name, and what it measures."""
    abouts = {name: importlib.import_module(f"bench.{name}").__doc__ or "" for name in NAMES}
    lines = (f"  {name:<13}{about.splitlines()[0]}" for name, about in abouts.items())
    return "\n".join(["python -m bench NAME [OPTIONS], with --help for the options:", "", *lines])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
