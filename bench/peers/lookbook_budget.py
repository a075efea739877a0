"""Train with a budget by the command that a user types, then score; print one JSON line."""

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
    """Train with `lookbook train --budget`, and hold the whole process to it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="as lookbook takes it")
    parser.add_argument("--budget", required=True, help="as lookbook takes it: 30s, 2m")
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        start = time.perf_counter()
        place = ["--seed", str(args.seed), "--out", str(out)]
        sys.stderr.write(_lookbook("train", args.data, "--budget", args.budget, *place))
        taken = time.perf_counter() - start
        print(json.dumps({"train_seconds": taken, **_measured(out)}))


def _lookbook(*arguments: str) -> str:
    command = [sys.executable, "-m", "lookbook", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _measured(out: Path) -> dict[str, Any]:
    evaluation = json.loads(_lookbook("evaluate", str(out), "--json"))
    metrics, conditions, recipe = (
        json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("metrics", "conditions", "recipe")
    )
    return {
        "accuracy": evaluation["accuracy"],
        "recipe": recipe["name"],
        "passes": recipe["epochs"],
        "fit_seconds": metrics["fit_seconds"],
        # imports, data, planning, and what comes after the fit, each by its name
        "seconds": conditions["seconds"],
        "versions": conditions["versions"],
        "threads": conditions["threads"],
        "device": conditions["device"],
    }


if __name__ == "__main__":
    main()
