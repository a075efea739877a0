"""Attribution by occlusion: what the answer loses where a part of the image is covered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookbook.images.preprocessing import border_median

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64, UInt8

    from lookbook.inference.model import Model


def occlusion(
    model: Model, images: UInt8[np.ndarray, "L H W *C"], said: Int64[np.ndarray, "L"]
) -> Float32[np.ndarray, "L G G"]:
    """Return how much the model's answer loses where a part of the image is covered, 0 to 1.

    A square of a seventh of the sides, in the colour of the border, moves over the image.
    Source: Zeiler and Fergus (2014), occlusion.
    """
    height, width = images.shape[1:3]
    rows, columns = (_windows(side) for side in (height, width))
    maps = np.zeros((len(images), len(rows), len(columns)), np.float32)
    for i, image in enumerate(images):
        covered = np.repeat(image[None], len(rows) * len(columns) + 1, axis=0)
        ground = border_median(image)
        for j, (row, column) in enumerate((r, c) for r in rows for c in columns):
            covered[j, row, column] = ground
        probs = model.predict(covered).probs
        share = probs[:, said[i]]
        maps[i] = np.maximum(share[-1] - share[:-1], 0).reshape(maps.shape[1:])
        maps[i] /= max(maps[i].max(), 1e-6)
    return maps


def _windows(side: int) -> list[slice]:
    """Return where a square of a seventh of the side may lie, in thirteen places at the most.

    >>> [(w.start, w.stop) for w in _windows(28)][:3], len(_windows(28))
    ([(0, 4), (2, 6), (4, 8)], 13)
    """
    span = max(2, round(side / 7))
    starts = np.unique(np.linspace(0, side - span, 13).round().astype(int))
    return [slice(int(start), int(start) + span) for start in starts]
