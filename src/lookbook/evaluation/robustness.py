"""Robustness: accuracy under more and more of each corruption, from shift to inversion.

Source: Hendrycks and Dietterich (2019), "Benchmarking neural network robustness to common
corruptions and perturbations".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from lookbook.images.preprocessing import border_median

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Int64, UInt8

    from lookbook.inference.model import Model

Corruption = Literal["shift", "rotation", "noise", "blur", "contrast", "flip", "inverted"]
#: corruption → how much of it; the first is none at all. Shift and blur count pixels of 28
LEVELS: dict[Corruption, tuple[float, ...]] = {
    "shift": (0, 1, 2, 3, 4, 6, 8),
    "rotation": (0, 5, 10, 15, 20, 30, 45),
    "noise": (0, 10, 20, 30, 50, 70, 100),
    "blur": (0, 0.5, 1, 1.5, 2, 3),
    "contrast": (1, 0.8, 0.6, 0.4, 0.2, 0.1),
    "flip": (0, 1),
    "inverted": (0, 1),
}


@dataclass(frozen=True)
class Curve:
    """Accuracy under more and more of one corruption."""

    corruption: Corruption
    levels: tuple[float, ...]
    accuracies: tuple[float, ...]


def robustness_curves(
    model: Model, images: UInt8[np.ndarray, "N H W *C"], labels: Int64[np.ndarray, "N"]
) -> Iterator[Curve]:
    """Measure the accuracy under each corruption, at each level."""

    def accuracy(shown: UInt8[np.ndarray, "N H W *C"]) -> float:
        return float((model.predict(shown).probs.argmax(axis=1) == labels).mean())

    unchanged = accuracy(images)
    for kind in LEVELS:
        levels = levels_for(kind, max(images.shape[1:3]))
        shares = []
        for level in levels:
            shown = corrupt(images, kind, level)
            shares.append(unchanged if np.array_equal(shown, images) else accuracy(shown))
        yield Curve(kind, levels, tuple(shares))


def levels_for(kind: Corruption, side: int) -> tuple[float, ...]:
    """Return at which levels a corruption is tried on images of that longer side.

    Shifts are of whole pixels, each once: of small images there are fewer.

    >>> levels_for("shift", 28), levels_for("shift", 8)
    ((0, 1, 2, 3, 4, 6, 8), (0, 1, 2))
    """
    if kind != "shift":
        return LEVELS[kind]
    return tuple(sorted({round(level * side / 28) for level in LEVELS[kind]}))


def corrupt(
    images: UInt8[np.ndarray, "N H W *C"], kind: Corruption, level: float
) -> UInt8[np.ndarray, "N H W *C"]:
    """Return the images at one level of a corruption; directions and noise are always the same.

    Shifts count pixels of these images, blur counts pixels of images 28 wide.

    >>> corrupt(np.uint8([[[0, 10]]]), "inverted", 1).tolist()
    [[[255, 245]]]
    """
    rng = np.random.default_rng(0)
    scale = max(images.shape[1:3]) / 28
    pixels = images.astype(np.float32)
    if kind == "shift":
        return _shift(images, round(level), rng)
    if kind == "rotation":
        return _rotate(images, level, rng)
    if kind == "noise":
        changed = pixels + level * rng.standard_normal(images.shape, np.float32)
    elif kind == "blur":
        from scipy.ndimage import gaussian_filter  # noqa: PLC0415

        widths = (0, level * scale, level * scale, *([0] if images.ndim == 4 else []))
        changed = gaussian_filter(pixels, widths)
    elif kind == "contrast":
        mean = pixels.mean(axis=tuple(range(1, images.ndim)), keepdims=True)
        changed = mean + level * (pixels - mean)
    elif level == 0:
        return images
    else:
        return images[:, :, ::-1].copy() if kind == "flip" else 255 - images
    return changed.round().clip(0, 255).astype(np.uint8)


def _shift(
    images: UInt8[np.ndarray, "N H W *C"], by: int, rng: np.random.Generator
) -> UInt8[np.ndarray, "N H W *C"]:
    """Move each image towards one of its corners; what comes in repeats its border."""
    if by == 0:
        return images
    height, width = images.shape[1:3]
    room = ((0, 0), (by, by), (by, by), *([(0, 0)] if images.ndim == 4 else []))
    wide = np.pad(images, room, mode="edge")
    corners = rng.integers(0, 2, (len(images), 2)) * 2 * by
    return np.stack(
        [
            one[down : down + height, right : right + width]
            for one, (down, right) in zip(wide, corners, strict=True)
        ]
    )


def _rotate(
    images: UInt8[np.ndarray, "N H W *C"], degrees: float, rng: np.random.Generator
) -> UInt8[np.ndarray, "N H W *C"]:
    """Turn each image left or right; what comes in has the colour of its border."""
    ways = rng.choice([-1, 1], len(images))
    turned = []
    for image, way in zip(images, ways, strict=True):
        ground = border_median(image)
        fill = tuple(ground.tolist()) if image.ndim == 3 else int(ground)
        upright = Image.fromarray(image)
        bilinear = Image.Resampling.BILINEAR
        turned.append(np.asarray(upright.rotate(float(way * degrees), bilinear, fillcolor=fill)))
    return np.stack(turned)
