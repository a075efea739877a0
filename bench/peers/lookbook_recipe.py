"""Run one of lookbook's recipes by its command line, and print what it measured as one JSON line.

The only script here that needs lookbook: it calls the commands that a user types.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    """Train with `lookbook train --final`, then score with `lookbook evaluate`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--train-pictures", type=int)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--epochs", help="passes, where not the recipe's own number")
    parser.add_argument("--builtin", help="lookbook's own name of the data, where all of it counts")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        data = args.builtin or str(args.data)
        if args.train_pictures:
            data = str(_write_subset(args.data, args.train_pictures, Path(scratch)))
        run = Path(scratch) / "run"
        _train(data, args.recipe, args.epochs, args.seed, run)
        print(json.dumps(_measured(run)))


def _write_subset(data: Path, n: int, folder: Path) -> Path:
    """Write the first `n` training images and the whole test part: what the peers take."""
    with np.load(data) as arrays:
        chosen = {
            name: arrays[name][:n] if name.startswith("train_") else arrays[name]
            for name in arrays.files
        }
    path = folder / "subset.npz"
    np.savez(path, **chosen)
    return path


def _lookbook(*arguments: str) -> str:
    command = [sys.executable, "-m", "lookbook", *arguments]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode != 0:
        sys.exit(ended.returncode)  # it has said why; a traceback would stand below that
    return ended.stdout


def _train(data: str, recipe: str, epochs: str | None, seed: int, run: Path) -> None:
    # --final trains on every training image, as the peers do
    options = ["--recipe", recipe, "--seed", str(seed), "--out", str(run)]
    if epochs is not None:
        options += ["--epochs", epochs]
    sys.stderr.write(_lookbook("train", data, "--final", *options))


def _measured(run: Path) -> dict[str, Any]:
    accuracy = json.loads(_lookbook("evaluate", str(run), "--json"))["accuracy"]
    metrics, history, conditions = (
        json.loads((run / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("metrics", "history", "conditions")
    )
    return {
        "fit_seconds": metrics["fit_seconds"],
        # the twin that gives the temperature: no peer trains one, so it is counted by itself
        "calibration_seconds": metrics["calibration_seconds"],
        "accuracy": accuracy,
        "first_loss": history[0]["loss"],
        "last_loss": history[-1]["loss"],
        "versions": conditions["versions"],
        "threads": conditions["threads"],
        "device": conditions["device"],
    }


if __name__ == "__main__":
    main()
