"""Fit one of lookbook's recipes on images in memory; print time and peak memory as one JSON line.

It holds the images once and nothing else, and reads no more than it holds.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int64, UInt8


def main() -> None:
    """Fill the memory with images, then fit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=Path, required=True, help="raw bytes, one a pixel")
    parser.add_argument("--labels", type=Path, required=True, help=".npy, for the same pictures")
    parser.add_argument("--side", type=int, required=True, help="pixels on a side")
    parser.add_argument("--n", type=int, required=True, help="how many pictures to fit on")
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--epochs", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()

    images, labels = fill(args.pictures, np.load(args.labels), args.n, args.side)

    from lookbook.cli import process

    process.tune()  # threads and memory behave as those of `lookbook train`
    from torch import get_num_threads

    from lookbook.core.environment import versions
    from lookbook.networks.devices import pick_device, settle
    from lookbook.recipes import find_recipe
    from lookbook.training.loop import fit

    before = peak_bytes()
    recipe = settle(find_recipe(args.recipe).with_epochs(args.epochs))
    fitted = fit((images, labels), None, recipe, int(labels.max()) + 1, seed=args.seed)
    print(
        json.dumps(
            {
                "fit_seconds": fitted.seconds,
                "seen": sum(one.images for one in fitted.history),
                "last_loss": fitted.history[-1].loss,
                "data_bytes": images.nbytes,
                "before_bytes": before,
                "peak_bytes": peak_bytes(),
                "versions": versions(),
                "threads": get_num_threads(),
                "device": str(pick_device()),
            }
        )
    )


def fill(
    path: Path, labels: Int64[np.ndarray, "M"], n: int, side: int
) -> tuple[UInt8[np.ndarray, "N H W"], Int64[np.ndarray, "N"]]:
    """Return `n` images: the first ones of a file, or all of them over and over again."""
    images = np.empty((n, side, side), np.uint8)
    for start in range(0, n, len(labels)):
        with path.open("rb") as file:
            # straight into its place: mapped pages or a copy would count as memory, too
            piece = images[start : start + len(labels)]
            if file.readinto(piece.data) != piece.nbytes:
                raise SystemExit(f"{path} holds too little; remove it, and it is written again")
    return images, np.resize(labels, n)


def peak_bytes() -> int:
    """Return the most memory that this process held at once."""
    status = Path("/proc/self/status")
    if status.exists():
        # of this program alone; getrusage counts what stood in its place before it began, too
        line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
