"""Measure a training on two processes of one thread beside one process of two threads.

::

    python -m bench processes              recipe `standard`, seeds 0 to 2: the table is printed
    python -m bench processes --seeds 0    less of it

The two take turns, seed by seed, by the commands that a user types: `lookbook train`, and the same
under torchrun. Run it with the Python of the project's environment, on at least two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.harness.arithmetic import mean_deviation
from bench.harness.page import table
from bench.harness.peer_process import say

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
#: how many processes → what stands in the table
WAYS = {1: "one process, two threads", 2: "two processes, one thread each"}
HEADS = ("", "fit, seconds", "accuracy on the test part, %", "each: seconds, %")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table; return the exit code."""
    args = _parser().parse_args(arguments)
    found: dict[int, list[tuple[float, float]]] = {processes: [] for processes in WAYS}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in args.seeds:
            for processes, way in WAYS.items():
                run = Path(scratch) / f"{processes}-{seed}"
                found[processes].append(measure(args.recipe, seed, processes, run))
                seconds, accuracy = found[processes][-1]
                say(f"seed {seed}  {way:<31} fit {seconds:6.2f} s   {accuracy:.2f} %")
    print(to_markdown(found))
    return 0


def measure(recipe: str, seed: int, processes: int, run: Path) -> tuple[float, float]:
    """Train and evaluate; return the seconds of the fit, and the accuracy in percent."""
    launcher = (*TORCHRUN, str(processes)) if processes > 1 else ()
    options = ("--recipe", recipe, "--seed", str(seed), "--out", str(run))
    # each takes the threads that are its share of the cores
    usual = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, *launcher, "-m", "lookbook", "train", "fashion-mnist", *options]
    subprocess.run(command, check=True, capture_output=True, env=usual)
    evaluate = [sys.executable, "-m", "lookbook", "evaluate", str(run), "--json"]
    ended = subprocess.run(evaluate, check=True, capture_output=True)
    fitted = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return fitted["fit_seconds"], 100 * json.loads(ended.stdout)["accuracy"]


def to_markdown(found: dict[int, list[tuple[float, float]]]) -> str:
    """Write means with deviations over the seeds, and each of them.

    >>> print(to_markdown({2: [(10.0, 92.0), (12.0, 93.0)]}).splitlines()[2])
    | two processes, one thread each | 11.0 ± 1.4 | 92.50 ± 0.71 | 10.0, 92.00; 12.0, 93.00 |
    """
    rows = [
        [
            WAYS[processes],
            mean_deviation([seconds for seconds, _ in each], 1),
            mean_deviation([accuracy for _, accuracy in each], 2),
            "; ".join(f"{seconds:.1f}, {accuracy:.2f}" for seconds, accuracy in each),
        ]
        for processes, each in found.items()
    ]
    return "\n".join(table(HEADS, rows))


def _parser() -> argparse.ArgumentParser:
    about = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m bench processes", description=about)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one run of each")
    parser.add_argument("--recipe", default="standard", help="what is trained")
    return parser
