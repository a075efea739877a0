"""Run attacks: `python -m tests.attack --seed 0 images 20000`."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as `lookbook.cli.process.tune`

import argparse
import importlib
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from . import cage

#: kind → its module, its class, and how many cases a whole run has
KINDS = {
    "images": ("images", "Images", 20_000),
    "bombs": ("images", "Bombs", 23),
    "arrays": ("arrays", "Arrays", 5000),
    "array-bombs": ("arrays", "ArrayBombs", 6),
    "documents": ("documents", "Documents", 3000),
    "models": ("models", "Models", 1000),
    "points": ("points", "Points", 500),
    "kills": ("kills", "Kills", 60),
}


def main() -> None:
    """Try the kinds that were asked for; end with 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="KIND [COUNT]", help=", ".join(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="try the case of this number alone")
    parser.add_argument("--keep", type=Path, help="leave the files of the cases here")
    asked = parser.parse_args()
    found = 0
    with tempfile.TemporaryDirectory() as scratch:
        place = (asked.keep or Path(scratch)).resolve()
        for kind, count in _asked(asked.what):
            numbers = list(range(count)) if asked.only is None else [asked.only]
            found += attack(kind, numbers, asked.seed, place / kind)
    sys.exit(found > 0)


def attack(kind: str, numbers: list[int], seed: int, place: Path) -> int:
    """Try cases, print what is found and the counts; return how many are not as they should be."""
    module, name, _ = KINDS[kind]
    made = getattr(importlib.import_module(f".{module}", __package__), name)()
    start, counts, most, longest = time.monotonic(), Counter(), 0, 0.0
    seen = Counter()
    for outcome in cage.run(made, numbers, seed, place):
        counts[outcome.kind] += 1
        most, longest = max(most, outcome.megabytes), max(longest, outcome.seconds)
        alike = re.sub(r"[0-9a-fx]+", "0", outcome.kind + outcome.what)
        seen[alike] += 1
        if kind == "kills" or (outcome.kind not in cage.ALLOWED and seen[alike] <= 3):
            _say(
                f"{kind} {outcome.number}: {outcome.kind}: {outcome.what!r} "
                f"({outcome.seconds:.1f} s, {outcome.megabytes:.0f} MB)"
            )
    told = ", ".join(f"{n:,} {what}" for what, n in counts.most_common())
    _say(
        f"{kind}: {sum(counts.values()):,} cases of seed {seed}: {told}; at most "
        f"{longest:.1f} s of the processor and {most:.0f} MB; {time.monotonic() - start:.0f} s"
    )
    return sum(n for what, n in counts.items() if what not in cage.ALLOWED)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _asked(words: list[str]) -> list[tuple[str, int]]:
    """Read kinds, each with a count or not."""
    found = []
    for word in words:
        if word.isdigit() and found:
            found[-1] = (found[-1][0], int(word))
        elif word in KINDS:
            found.append((word, KINDS[word][2]))
        else:
            sys.exit(f"no kind of attack is called {word}; there are {', '.join(KINDS)}")
    return found or [(kind, count) for kind, (_, _, count) in KINDS.items()]


if __name__ == "__main__":
    main()
