"""A small set of every kind of data: what works on all of these works on a user's own images."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

#: height, width and channels of images that each recipe and each export has to take
SHAPES = ((8, 8), (12, 20), (28, 28), (16, 16, 3), (20, 11, 3))


def squares(
    shape: tuple[int, ...], n: int, *, classes: int = 4, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Bright squares on dark noise: the class is their place in grey, their colour otherwise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = rng.integers(0, 40, (n, *shape), dtype=np.uint8)
    side = min(shape[:2]) // 2
    colours = np.array(list(product((90, 255), repeat=3)))[[4, 2, 1, 6, 3, 5, 0, 7]]
    for image, label in zip(images, labels, strict=True):
        if len(shape) == 3:
            top, left = (rng.integers(0, each - side + 1) for each in shape[:2])
            image[top : top + side, left : left + side] = colours[label % 8]
        else:
            top, left = (label // 2 % 2) * (shape[0] - side), (label % 2) * (shape[1] - side)
            image[top : top + side, left : left + side] = rng.integers(150, 256)
    return images, labels


def write_folder(
    folder: Path, shape: tuple[int, ...], counts: dict[str, int], *, seed: int = 0
) -> Path:
    """Write so many images of each class, as PNG files in a folder for each class."""
    names = list(counts)
    for label, name in enumerate(names):
        images, labels = squares(shape, counts[name] * len(names), classes=len(names), seed=seed)
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(images[labels == label]):
            Image.fromarray(image).save(folder / name / f"{number:03}.png")
    return folder
