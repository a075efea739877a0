"""Train on photographs with the commands that a user types; print what came of it as one JSON line.

It is told the size of the images and the minutes alone: the recipe is the program's choice.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def main() -> None:
    """Train with `lookbook train`, then score with `lookbook evaluate`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", required=True, help="has train/ and test/")
    parser.add_argument("--size", type=int, required=True, help="pixels on a side")
    parser.add_argument("--minutes", type=float, required=True, help="for training")
    parser.add_argument("--passes", type=float, help="a trial: so many passes, whatever they take")
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()

    options = train_options(args.size, args.minutes, args.passes)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        place = ["--seed", str(args.seed), "--out", str(out)]
        sys.stderr.write(_lookbook("train", args.photos, *options, *place))
        print(json.dumps({"command": " ".join(options), **_measured(out)}))


def train_options(size: int, minutes: float, passes: float | None) -> list[str]:
    """Return what `lookbook train` is told by somebody who has so many minutes."""
    if passes is not None:
        return ["--size", str(size), "--recipe", "standard", "--epochs", f"{passes:g}"]
    return ["--size", str(size), "--budget", f"{minutes:g}m"]


def _lookbook(*arguments: str) -> str:
    command = [sys.executable, "-m", "lookbook", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _measured(out: Path) -> dict[str, Any]:
    accuracy = json.loads(_lookbook("evaluate", str(out), "--json"))["accuracy"]
    metrics, history, conditions, recipe = (
        json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("metrics", "history", "conditions", "recipe")
    )
    return {
        "accuracy": accuracy,
        "recipe": recipe,
        "training_pictures": metrics["training_pictures"],
        "passes": sum(one["pictures"] for one in history) / metrics["training_pictures"],
        "parameters": metrics["parameters"],
        "fit_seconds": metrics["fit_seconds"],
        # reading, calibration and the rest, each by its name
        "seconds": conditions["seconds"],
        "versions": conditions["versions"],
        "threads": conditions["threads"],
        "device": conditions["device"],
    }


if __name__ == "__main__":
    main()
