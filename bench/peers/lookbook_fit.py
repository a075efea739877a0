"""Fit one of lookbook's recipes for one epoch; print time and peak memory as one JSON line.

Images in memory it holds once, and nothing else, and reads no more than it holds.
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
    """Fill the memory with images, or map them, then fit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="raw bytes, one a number")
    parser.add_argument("--labels", type=Path, required=True, help=".npy, for the same images")
    parser.add_argument("--shape", type=int, nargs="+", required=True, help="N H W, or N H W 3")
    parser.add_argument("--mapped", action="store_true", help="the images stay on the disk")
    parser.add_argument("--classes", type=int, default=10, help="made from the labels, of ten")
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()
    n, *shape = args.shape
    ten = np.load(args.labels)
    if args.mapped:
        images: np.ndarray = np.memmap(args.images, np.uint8, "r", shape=(n, *shape))
    else:
        images = fill(args.images, len(ten), (n, *shape))
    labels = make_classes(np.resize(ten, n), args.classes)

    from lookbook.cli import process

    process.tune()  # threads and memory behave as those of `lookbook train`
    from torch import get_num_threads

    from lookbook.core.environment import versions
    from lookbook.networks.devices import pick_device, settle
    from lookbook.recipes import find_recipe
    from lookbook.training.loop import fit

    before = peak_bytes()
    recipe = settle(find_recipe(args.recipe).with_epochs(1))
    fitted = fit((images, labels), None, recipe, args.classes, seed=args.seed)
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


def fill(path: Path, of_file: int, shape: tuple[int, ...]) -> UInt8[np.ndarray, "N *shape"]:
    """Return so many images: the first ones of a file, or all of them over and over again."""
    images = np.empty(shape, np.uint8)
    for start in range(0, len(images), of_file):
        with path.open("rb") as file:
            # straight into its place: mapped pages or a copy would count as memory, too
            piece = images[start : start + of_file]
            if file.readinto(piece.data) != piece.nbytes:
                raise SystemExit(f"{path} holds too little; remove it, and it is written again")
    return images


def make_classes(ten: Int64[np.ndarray, "N"], classes: int) -> Int64[np.ndarray, "N"]:
    """Return labels of so many classes, as uniform as the ten are.

    >>> make_classes(np.array([3, 3, 0, 9]), 10).tolist()
    [3, 3, 0, 9]
    >>> make_classes(np.array([3, 3, 0, 9]), 20).tolist()
    [3, 13, 0, 19]
    """
    return (ten + 10 * np.arange(len(ten))) % classes


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
