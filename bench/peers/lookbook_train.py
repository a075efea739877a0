"""Train on photographs as a user types it; print what came of it as one JSON line."""

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
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("options", nargs="*", help="of `lookbook train`, behind --")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        start = time.perf_counter()
        place = ["--seed", str(args.seed), "--out", str(out)]
        sys.stderr.write(_lookbook("train", args.photos, *args.options, *place))
        seconds = time.perf_counter() - start
        found = {"command": " ".join(args.options), "seconds": seconds, **_measured(out)}
        print(json.dumps(found))


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
        "balanced_accuracy": found["balanced_accuracy"],
        "macro_f1": found["macro_f1"],
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
