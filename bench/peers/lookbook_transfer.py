"""Train on photographs with a budget and nothing else; print what came of it as one JSON line."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Train with `lookbook train`, then score with `lookbook evaluate`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", required=True, help="has train/ and test/")
    parser.add_argument("--minutes", type=float, required=True, help="for all of the training")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--from-scratch", action="store_true")
    parser.add_argument("--final", action="store_true")
    args = parser.parse_args()

    options = ["--budget", f"{args.minutes:g}m"]
    options += ["--from-scratch"] if args.from_scratch else []
    options += ["--final"] if args.final else []
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        start = time.perf_counter()
        place = ["--seed", str(args.seed), "--out", str(out)]
        sys.stderr.write(_lookbook("train", args.photos, *options, *place))
        seconds = time.perf_counter() - start
        print(json.dumps({"command": " ".join(options), "seconds": seconds, **_measured(out)}))


def _lookbook(*arguments: str) -> str:
    command = [sys.executable, "-m", "lookbook", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _measured(out: Path) -> dict[str, Any]:
    found = json.loads(_lookbook("evaluate", str(out), "--json"))
    metrics, conditions, recipe = (
        json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("metrics", "conditions", "recipe")
    )
    thresholds = found["thresholds"]
    return {
        "accuracy": found["accuracy"],
        "ece": found["ece"],
        "refused": thresholds and thresholds["refused"],
        "recipe": recipe,
        "parameters": metrics["parameters"],
        # reading, planning, calibration and the rest, each by its name
        "parts": conditions["seconds"],
        "versions": conditions["versions"],
        "threads": conditions["threads"],
        "device": conditions["device"],
    }


if __name__ == "__main__":
    main()
